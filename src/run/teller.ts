import { countTasks, type SiteAtWork, tellAtWork } from './at-work.ts'
import type { RunContext } from './context.ts'
import type { Publisher, Tally } from './publisher.ts'
import type { SiteRun } from './site-run.ts'

export interface Progress {
  /** The site, or several joined by ` + `. */
  readonly site: string
  /** Jobs that this run is to decide, and how many it has. */
  readonly total: number
  readonly done: number
  readonly tally: Tally
  readonly running: number
  readonly queued: number
  readonly elapsedSec: number
  readonly stopping: string | null
  /** What holds the sites back, in words; null: nothing is known to. */
  readonly waiting: string | null
}

/** News for `status`. */
const TELL_EVERY_MS = 1000

export interface TellerParts {
  readonly sites: readonly SiteRun[]
  readonly publisher: Publisher
}

/** Says how far a run is: to whoever started it, and to `status` of other processes. */
export class Teller {
  readonly #context: RunContext
  readonly #parts: TellerParts
  readonly #started: number
  #saidAt = Number.NEGATIVE_INFINITY

  constructor(context: RunContext, parts: TellerParts) {
    this.#context = context
    this.#parts = parts
    this.#started = context.clock.ticks()
  }

  /** `later`: what else the run waits for, in words. */
  async tell(later: string | null): Promise<void> {
    const { clock, paths, tables } = this.#context
    if (!tables.hasReaders || clock.ticks() - this.#saidAt < TELL_EVERY_MS) return
    this.#saidAt = clock.ticks()
    const sites: SiteAtWork[] = []
    for (const site of this.#parts.sites) sites.push(await this.#newsOf(site, later))
    tellAtWork(paths.cache, { pid: process.pid, sites })
  }

  async #newsOf(site: SiteRun, later: string | null): Promise<SiteAtWork> {
    const { clock } = this.#context
    const { arrays, watch, trouble } = site
    const limits = arrays.size === 0 || trouble ? undefined : await site.limits()
    return {
      ...{ site: site.name, ...countTasks(arrays.values()), waiting: joined(site.waiting ?? site.untold, later) },
      tasks_others: site.feed.allowance.others,
      tasks_max: limits && Number.isFinite(limits.openMax) ? limits.openMax : null,
      next_look_at: Math.round(clock.now() + Math.max(0, watch.news.nextLookMs - clock.ticks())),
    }
  }

  progress(said: Pick<Progress, 'total' | 'stopping'>, later: string | null): Progress {
    const { sites, publisher } = this.#parts
    let running = 0
    let queued = 0
    for (const { arrays } of sites)
      for (const array of arrays.values()) {
        running += array.runningJobs
        queued += array.unstartedTasks.length
      }
    const { clock } = this.#context
    return {
      ...said,
      ...{
        site: sites.map(({ name }) => name).join(' + '),
        done: publisher.done,
        tally: publisher.tally,
        running,
        queued,
      },
      waiting: this.#waiting(later),
      elapsedSec: (clock.ticks() - this.#started) / 1000,
    }
  }

  #waiting(later: string | null): string | null {
    const { sites } = this.#parts
    const said = sites.flatMap(({ name, waiting }) => (waiting === null ? [] : [{ name, waiting }]))
    if (said.length === 0) return joined(sites.find(({ untold }) => untold !== null)?.untold ?? null, later)
    const ofSites = said.map(({ name, waiting }) => (sites.length === 1 ? waiting : `${name}: ${waiting}`))
    return joined(ofSites.join('; '), later)
  }
}

const joined = (...said: readonly (string | null)[]): string | null =>
  said.filter((words) => words !== null).join('; ') || null
