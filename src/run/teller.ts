import { lenient } from '../dispatch/dispatch.ts'
import { countTasks, tellAtWork } from './at-work.ts'
import type { RunContext } from './context.ts'
import type { Feed } from './feed.ts'
import type { LiveArray } from './live-array.ts'
import type { Publisher, Tally } from './publisher.ts'
import type { Watch } from './watch.ts'

export interface Progress {
  readonly site: string
  /** Jobs that this run is to decide, and how many it has. */
  readonly total: number
  readonly done: number
  readonly tally: Tally
  readonly running: number
  readonly queued: number
  readonly elapsedSec: number
  readonly stopping: string | null
  /** What holds the site back, in words; null: nothing is known to. */
  readonly waiting: string | null
}

/** News for `status`. */
const TELL_EVERY_MS = 1000

export interface TellerParts {
  readonly arrays: ReadonlyMap<string, LiveArray>
  readonly feed: Feed
  readonly watch: Watch
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

  async tell(waiting: string | null): Promise<void> {
    const { clock, paths, site } = this.#context
    const { arrays, feed, watch } = this.#parts
    if (clock.ticks() - this.#saidAt < TELL_EVERY_MS) return
    this.#saidAt = clock.ticks()
    const limits = arrays.size === 0 ? undefined : await lenient(() => feed.limits())
    tellAtWork(paths.cache, {
      ...{ pid: process.pid, site: site.name, ...countTasks(arrays.values()), waiting },
      tasks_max: limits && Number.isFinite(limits.openMax) ? limits.openMax : null,
      next_look_at: Math.round(clock.now() + Math.max(0, watch.news.nextLookMs - clock.ticks())),
    })
  }

  progress(said: Pick<Progress, 'total' | 'stopping' | 'waiting'>): Progress {
    const { arrays, publisher } = this.#parts
    let running = 0
    let queued = 0
    for (const array of arrays.values()) {
      running += array.runningJobs
      queued += array.unstartedTasks.length
    }
    const { clock, site } = this.#context
    return {
      ...said,
      ...{ site: site.name, done: publisher.done, tally: publisher.tally, running, queued },
      elapsedSec: (clock.ticks() - this.#started) / 1000,
    }
  }
}
