import { countStates } from '../catalog/catalog.ts'
import type { PlanCosts } from '../map/map.ts'
import { formatCounted, formatSeconds } from '../model/format.ts'
import type { RunContext } from './context.ts'
import { chooseRunnable, type PlanWishes, planRunnable } from './planning.ts'
import type { Publisher } from './publisher.ts'
import { heldInWords, holdForScouts, lookForScouts, type Scouting } from './scouts.ts'
import { planShares } from './share-runnable.ts'
import type { SiteRun } from './site-run.ts'

/** Until jobs that no site could take are offered again. */
const REST_MS = 10_000
/** Between two plans for what waits for scouts: each reads what is known of all jobs. */
const HELD_REST_MS = 2000

export interface PlannerParts {
  readonly wishes: PlanWishes
  readonly guard: () => Promise<void>
  readonly publish: () => Promise<void>
  readonly sites: readonly SiteRun[]
  readonly publisher: Publisher
  /** Jobs under way at sites that are not run. */
  readonly elsewhere: () => number
}

/** Plans the jobs that wait when a site could take more of them, for the sites that could. */
export class Planner {
  /** Jobs that wait for a file, and all that this run is to decide, as of the last plan. */
  missing = 0
  total = 0
  /** Jobs that the policy puts off: how many, and when the first is due by the monotonic clock. */
  #later: { readonly jobs: number; readonly at: number } | undefined
  /** Jobs that wait for what others measure: when they are planned in any case, and after how many successes, by the clock and the tally. */
  #held:
    | { readonly jobs: number; readonly at: number; readonly notBefore: number; readonly succeeded: number }
    | undefined
  #isDue = true
  #hasCut = false
  readonly #context: RunContext
  readonly #parts: PlannerParts
  #restsUntil = Number.NEGATIVE_INFINITY

  constructor(context: RunContext, parts: PlannerParts) {
    this.#context = context
    this.#parts = parts
  }

  /** Jobs may wait for a plan: at the start, after verdicts that ask for another try, and when one that was put off is due. */
  get isDue(): boolean {
    const now = this.#context.clock.ticks()
    return this.#isDue || (this.#later !== undefined && now >= this.#later.at) || this.#isHeldDue(now)
  }

  #isHeldDue(now: number): boolean {
    if (!this.#held) return false
    const { at, notBefore, succeeded } = this.#held
    return now >= at || (now >= notBefore && this.#parts.publisher.tally.succeeded >= succeeded)
  }

  set isDue(isDue: boolean) {
    this.#isDue = isDue
  }

  /** What is sent later, and why, in words; null: nothing is. */
  get later(): string | null {
    const said = [this.#held && heldInWords(this.#held.jobs), this.#putOff].filter((words) => words !== undefined)
    return said.length === 0 ? null : said.join('; ')
  }

  get #putOff(): string | undefined {
    if (!this.#later) return undefined
    const { jobs, at } = this.#later
    const seconds = Math.max(1, Math.ceil((at - this.#context.clock.ticks()) / 1000))
    return `${formatCounted(jobs, 'job')} ${jobs === 1 ? 'is' : 'are'} tried again in ${formatSeconds(seconds)}`
  }

  /** Jobs came that are to be planned at once, also when those before could go nowhere. */
  wake(): void {
    this.#isDue = true
    this.#restsUntil = Number.NEGATIVE_INFINITY
  }

  /** False: nothing was cut for any site. */
  async plan(): Promise<boolean> {
    const { clock } = this.#context
    if (clock.ticks() < this.#restsUntil) return false
    const takers: SiteRun[] = []
    for (const site of this.#parts.sites) if (await site.wants()) takers.push(site)
    const [first] = takers
    if (!first) return false
    this.#hasCut = false
    if (!(await first.tries(() => this.#plan(takers)))) this.isDue = true
    return this.#hasCut
  }

  async #plan(takers: readonly SiteRun[]): Promise<void> {
    const { sites, publish, publisher, wishes, guard, elsewhere } = this.#parts
    await publish()
    this.isDue = false
    this.#later = undefined
    this.#held = undefined
    this.missing = 0
    // Mostly known from the last commit's facts, where choosing reads the keys of all jobs.
    const counts = await countStates(this.#context.tables)
    if (counts.pending === 0) return
    const { clock } = this.#context
    const { jobs: all, missing, later, laterAtMs } = await chooseRunnable(this.#context)
    const scouting = await lookForScouts(this.#context, (id) =>
      sites.some(({ arrays }) => arrays.get(id)?.isUntouched === false),
    )
    if (scouting.held > 0) await this.#hold(scouting)
    const jobs = all - scouting.held
    if (laterAtMs !== null) this.#later = { jobs: later, at: clock.ticks() + laterAtMs - clock.now() }
    // Before anything takes over an output of a job that was replaced or withdrawn, that one is told to end.
    for (const site of sites) {
      await site.cancels.heed()
      await site.passOn()
    }
    this.missing = missing
    // What was planned before, and comes back to be planned again, is counted once.
    const underWay = Math.max(0, counts.queued + counts.running - elsewhere())
    if (all > 0) this.total = publisher.done + all + later + underWay
    if (jobs === 0) return
    for (const site of sites) await site.demandFruit()
    const able = takers.filter(({ trouble }) => !trouble)
    if (able.length === 0) {
      this.isDue = true
      return
    }
    const [only] = sites
    if (sites.length > 1) await this.#planShares(able)
    else this.#give(only!, await planRunnable(this.#context, { ...wishes, jobs, guard }))
  }

  async #hold({ held, enough, waitSec }: Scouting): Promise<void> {
    await holdForScouts(this.#context)
    const now = this.#context.clock.ticks()
    const succeeded = this.#parts.publisher.tally.succeeded + enough
    this.#held = { jobs: held, at: now + waitSec * 1000, notBefore: now + HELD_REST_MS, succeeded }
  }

  #give({ feed }: SiteRun, { batches }: PlanCosts): void {
    feed.cut = batches
    this.#hasCut ||= batches > 0
  }

  /** Each site's share is chosen and cut for itself; what no site takes now waits for one that could. */
  async #planShares(takers: readonly SiteRun[]): Promise<void> {
    const { sites, wishes, guard } = this.#parts
    const able = sites.filter(({ trouble }) => !trouble)
    const { plans, left } = await planShares(this.#context, {
      ...wishes,
      guard,
      sites: able.map(({ context }) => context),
      rooms: (seconds) => takers.map((site) => site.room(seconds)),
      tries: async (name, act) => sites.find((site) => site.name === name)?.tries(act),
    })
    for (const { context, costs } of plans) this.#give(sites.find(({ name }) => name === context.site.name)!, costs)
    if (left === 0) return
    this.isDue = true
    this.#restsUntil = this.#context.clock.ticks() + REST_MS
  }
}
