import { countStates, stateFacts } from '../catalog/catalog.ts'
import type { FloeError } from '../model/errors.ts'
import { type Merged, mergeOutputs } from '../results/results.ts'
import { type Elsewhere, endArrays, liveElsewhere } from './arrays.ts'
import { bringOutputs } from './bring.ts'
import { eachSite, type RunContext } from './context.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { harvestedFacts, harvestedOf } from './live-status.ts'
import { Planner } from './planner.ts'
import { lookAtFiles, type PlanWishes } from './planning.ts'
import { Publisher, type Tally } from './publisher.ts'
import { commonestReason, type Reason } from './reason.ts'
import { RequestWatch } from './requests.ts'
import { type Pace, SiteRun } from './site-run.ts'
import { type Progress, Teller } from './teller.ts'

export interface CoordinateOptions extends PlanWishes {
  readonly once?: boolean
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
}

export interface Outcome {
  readonly tally: Tally
  /** Why the run stopped before all was done; null: all is done. */
  readonly stopped: 'interrupted' | 'once' | 'too many failures' | null
  readonly missing: number
  readonly merged: Merged | null
  /** Why most of the jobs failed, when it stopped for that. */
  readonly reason: Reason | null
  /** Sites that did not do what they were asked, and why; the others did their work. */
  readonly unused: readonly { readonly site: string; readonly why: string }[]
  /** Of sites with a scheduler. */
  readonly paces: readonly Pace[]
  /** Work of other sites, which this run left alone. */
  readonly elsewhere: readonly Elsewhere[]
  /** Why status events wait to be told; null: none does. */
  readonly untold: string | null
}

/** A commit a minute and table at most; more rows than these are not held. */
const PUBLISH_EVERY_MS = 60_000
const WAITING_MAX = 100_000
/** Looks for requests of people. */
const HEED_EVERY_MS = 500
/** Decided jobs before a share of failures says anything. */
const SHARE_FROM = 20

/**
 * The loop: look, decide, act, sleep. Holds no state that table, record files and scheduler do not hold: killed anywhere, the next
 * call goes on. Ends when nothing is pending, cut or live at any of its sites.
 */
export async function coordinate(context: RunContext, lease: Lease, options: CoordinateOptions): Promise<Outcome> {
  const coordinator = new Coordinator(context, lease, options)
  try {
    const outcome = await coordinator.run()
    return { ...outcome, untold: await coordinator.endTelling() }
  } finally {
    await coordinator.endTelling()
  }
}

class Coordinator {
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #options: CoordinateOptions
  readonly #sites: readonly SiteRun[]
  readonly #publisher: Publisher
  readonly #requests: RequestWatch
  readonly #planner: Planner
  readonly #teller: Teller
  #publishedAt = 0
  #beganAtMs = 0
  #elsewhere: readonly Elsewhere[] = []
  #harvestedElsewhere: Awaited<ReturnType<typeof harvestedOf>> = {}
  #heededAt = Number.NEGATIVE_INFINITY
  #stopping: Outcome['stopped'] = null
  /** Verdicts when the share of failures was last looked at. */
  #judged = 0
  /** Jobs came whose files nobody looked at yet. */
  #unseen = false

  constructor(context: RunContext, lease: Lease, options: CoordinateOptions) {
    this.#context = context
    this.#lease = lease
    this.#options = options
    this.#publisher = new Publisher(
      context,
      () => lease.guard(),
      async () =>
        context.tables.hasReaders
          ? { ...(await stateFacts(context.tables)), ...harvestedFacts(this.#arrays, this.#harvestedElsewhere) }
          : {},
    )
    const publisher = this.#publisher
    const contexts = eachSite(context)
    this.#sites = contexts.map((one) => new SiteRun(one, { lease, publisher, isAlone: contexts.length === 1 }))
    const parts = { sites: this.#sites, publisher }
    this.#requests = new RequestWatch(context.tables)
    this.#planner = new Planner(context, {
      ...parts,
      wishes: options,
      guard: () => lease.guard(),
      publish: () => this.#publish(),
      elsewhere: () => this.#elsewhere.reduce((sum, { jobs }) => sum + jobs, 0),
    })
    this.#teller = new Teller(context, parts)
  }

  async run(): Promise<Omit<Outcome, 'untold'>> {
    const { clock } = this.#context
    this.#publishedAt = clock.ticks()
    this.#beganAtMs = clock.now()
    await this.#takeUp()
    for (;;) {
      if (this.#stopping === null) await this.#feedSites()
      await this.#look()
      await this.#heedRequests()
      for (const site of this.#sites) await site.passOn()
      await this.#judge()
      await this.#settle()
      await this.#teller.tell(this.#planner.later)
      const said = { total: this.#planner.total, stopping: this.#stopping }
      this.#options.onProgress?.(this.#teller.progress(said, this.#planner.later))
      if (this.#options.signal?.aborted) this.#stopping = 'interrupted'
      if (this.#stopping === 'interrupted' || this.#finished()) break
      if (this.#options.once) {
        this.#stopping = 'once'
        break
      }
      await clock.sleep(this.#turnMs, this.#options.signal)
    }
    for (const site of this.#sites) await site.finish()
    await this.#publish()
    for (const site of this.#sites) site.keep()
    const trouble = this.#trouble
    if (trouble && this.#stopping !== 'interrupted' && (await this.#isSomethingLeft())) throw trouble
    const merged = this.#stopping === 'interrupted' ? null : await this.#merge()
    const reason = this.#stopping === 'too many failures' ? await commonestReason(this.#context, this.#beganAtMs) : null
    return {
      tally: this.#publisher.tally,
      stopped: this.#stopping,
      missing: this.#planner.missing,
      merged,
      reason,
      elsewhere: this.#elsewhere,
      paces: this.#sites.flatMap(({ pace }) => pace ?? []),
      unused: this.#sites.flatMap(({ name, trouble: why }) => (why ? [{ site: name, why: why.message }] : [])),
    }
  }

  /** That another site could not do for one that is in trouble. */
  async #isSomethingLeft(): Promise<boolean> {
    if (this.#sites.every(({ trouble }) => trouble)) return true
    const { pending, queued, running } = await countStates(this.#context.tables)
    return queued + running > 0 || pending > this.#planner.missing
  }

  /** Why status events wait to be told; null: none does. */
  async endTelling(): Promise<string | null> {
    const untold = await Promise.all(this.#sites.map((site) => site.endTelling()))
    return untold.find((why) => why !== null) ?? null
  }

  get #arrays(): LiveArray[] {
    return this.#sites.flatMap(({ arrays }) => [...arrays.values()])
  }

  /** What a person has to mend for some of the jobs; the others go on, and it is thrown when they are over. */
  get #trouble(): FloeError | undefined {
    return this.#sites.find(({ trouble }) => trouble)?.trouble
  }

  get #turnMs(): number {
    return Math.min(...this.#sites.map(({ context }) => context.site.rhythm.turnMs))
  }

  #finished(): boolean {
    if (!this.#sites.every((site) => site.isOver(this.#stopping !== null))) return false
    if (this.#stopping !== null || this.#sites.every(({ trouble }) => trouble)) return true
    // That goes to the others in the next turn.
    if (this.#sites.some(({ trouble, feed }) => trouble && feed.cut > 0)) return false
    return !this.#planner.isDue && this.#planner.later === null && !this.#unseen
  }

  /** Side by side; what is under way at one is not left behind when another one ends the run. */
  async #look(): Promise<void> {
    for (const looked of await Promise.allSettled(this.#sites.map((site) => site.look())))
      if (looked.status === 'rejected') throw looked.reason
  }

  async #feedSites(): Promise<void> {
    for (const site of this.#sites) await site.offerAgain()
    await this.#shed()
    // Jobs that wait for one site keep no other from work that it could do.
    const isFed = this.#planner.isDue && !this.#unseen && (await this.#planner.plan())
    if (!isFed) await this.#rebalance()
    for (const site of this.#sites) await site.fill()
  }

  /** What waits too long at one site moves to another that has room. */
  async #rebalance(): Promise<void> {
    if (this.#sites.length === 1) return
    const roomy: SiteRun[] = []
    for (const site of this.#sites) if (await site.hasRoom()) roomy.push(site)
    if (roomy.length === 0) return
    for (const site of this.#sites) if (!roomy.includes(site) && (await site.giveWay(roomy))) this.#planner.wake()
  }

  /** What was cut for a site that is in trouble goes to the others. */
  async #shed(): Promise<void> {
    if (this.#sites.every(({ trouble }) => trouble)) return
    for (const site of this.#sites) if (site.trouble && (await site.letGoOfCut())) this.#planner.wake()
  }

  async #takeUp(): Promise<void> {
    const { tables } = this.#context
    // One after the other: they share the tables.
    for (const site of this.#sites) this.#planner.total += await site.takeUp()
    const own = this.#sites.filter(({ hasTakenUp }) => hasTakenUp)
    this.#elsewhere = await liveElsewhere(
      tables,
      own.map(({ name }) => name),
    )
    const others = this.#elsewhere.flatMap(({ arrays }) => arrays)
    this.#harvestedElsewhere = await harvestedOf(tables, others)
  }

  async #heedRequests(): Promise<void> {
    if (this.#context.clock.ticks() - this.#heededAt < HEED_EVERY_MS) return
    const isFirst = this.#heededAt === Number.NEGATIVE_INFINITY
    this.#heededAt = this.#context.clock.ticks()
    const news = await this.#requests.news()
    if (news.jobs) this.#unseen = true
    if (news.requests || news.jobs) this.#planner.isDue = true
    // A person did something: that may have been what was to be mended.
    if (news.jobs || (news.requests && !isFirst)) for (const site of this.#sites) site.mended()
    const able = this.#sites.find(({ trouble }) => !trouble)
    if (this.#unseen && able && (await able.tries(() => this.#lookAtFiles()))) this.#unseen = false
    if (news.requests || news.jobs) for (const { cancels } of this.#sites) await cancels.heed()
  }

  async #lookAtFiles(): Promise<void> {
    await lookAtFiles(this.#context, { stale: 'leave', digests: true, guard: () => this.#lease.guard() })
  }

  /** Too many failures: nothing new is staged, and tasks that have not begun are taken back; their jobs stay pending. */
  async #judge(): Promise<void> {
    const { tally } = this.#publisher
    const { stopWhenFailed, maxFailures } = this.#context.settings
    const isTooMuch = () => {
      if (maxFailures !== undefined) return tally.failed >= maxFailures
      const ended = tally.failed + tally.succeeded
      return ended >= SHARE_FROM && tally.failed / ended > stopWhenFailed
    }
    const verdicts = tally.failed + tally.succeeded + tally.retried
    if (this.#stopping !== null || verdicts < this.#judged * 2 || !isTooMuch()) return
    // Published failures alone tell which are tried again; verdicts double between two looks, so that these cost few commits.
    this.#judged = verdicts
    await this.#publish()
    if (!isTooMuch()) return
    this.#stopping = 'too many failures'
    await this.#takeBack()
  }

  async #takeBack(): Promise<void> {
    for (const site of this.#sites) await site.takeBack()
  }

  /** Publishes when due, then lets go of arrays that are over. */
  async #settle(): Promise<void> {
    const isLate = this.#context.clock.ticks() - this.#publishedAt > PUBLISH_EVERY_MS
    const due = (isLate && this.#context.tables.hasReaders) || this.#publisher.waiting > WAITING_MAX
    const ended = this.#sites.flatMap((site) => {
      const { over, arrays } = site
      const isAll = arrays.size - site.idle(this.#stopping !== null) === over.length
      return over.length > 0 && (due || isLate || isAll || over.length > 8) ? [{ site, over }] : []
    })
    if (ended.length === 0 && !due) return
    await this.#publish()
    if (ended.length === 0) return
    await endArrays(
      this.#context,
      ended.flatMap(({ over }) => over),
      () => this.#lease.guard(),
    )
    for (const { site, over } of ended) await site.release(over)
    const isDone = ended.every(({ over }) => over.every(({ hasDoneAll }) => hasDoneAll))
    // Where there are readers there are people, who may have asked for something just now.
    if (!isDone || this.#context.tables.hasReaders || this.#planner.later !== null) this.#planner.isDue = true
  }

  async #publish(): Promise<void> {
    this.#publishedAt = this.#context.clock.ticks()
    await this.#publisher.flush()
  }

  async #merge(): Promise<Outcome['merged']> {
    if (this.#publisher.tally.succeeded === 0 && this.#stopping === 'once') return null
    const bring = bringOutputs(this.#context)
    return mergeOutputs(this.#context.tables, {
      root: this.#context.paths.root,
      bring,
      guard: () => this.#lease.guard(),
    })
  }
}
