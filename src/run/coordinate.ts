import { stateFacts } from '../catalog/catalog.ts'
import { lenient, type Site } from '../dispatch/dispatch.ts'
import { type Code, FloeError } from '../model/errors.ts'
import { type Merged, mergeOutputs } from '../results/results.ts'
import { type Elsewhere, endArrays, liveElsewhere } from './arrays.ts'
import { bringOutputs } from './bring.ts'
import { Cancels } from './cancels.ts'
import type { RunContext } from './context.ts'
import { Feed } from './feed.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { harvestedFacts, harvestedOf } from './live-status.ts'
import { keepLooks, type Looking, recallLooks } from './looks.ts'
import { NodeWatch } from './node-watch.ts'
import { Planner } from './planner.ts'
import { lookAtFiles, type PlanWishes } from './planning.ts'
import { Publisher, type Tally } from './publisher.ts'
import { commonestReason, type Reason } from './reason.ts'
import { RequestWatch } from './requests.ts'
import { takeUp } from './take-up.ts'
import { type Progress, Teller } from './teller.ts'
import { Telling } from './telling.ts'
import { Watch } from './watch.ts'
import { WaysIn } from './ways-in.ts'

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
/** Trouble of some jobs, or of one array, which others need not share. */
const OF_SOME: readonly Code[] = [
  'SUBMIT_REFUSED',
  'SUBMIT_UNREADABLE',
  'EXECUTABLE_INVALID',
  'STAGE_FAILED',
  'INPUTS_MISSING',
  'DISK_FULL',
]
/** Decided jobs before a share of failures says anything. */
const SHARE_FROM = 20

/**
 * The loop: look, decide, act, sleep. Holds no state that table, record files and scheduler do not hold: killed anywhere, the next
 * call goes on. Ends when nothing is pending, cut or live.
 */
export async function coordinate(context: RunContext, lease: Lease, options: CoordinateOptions): Promise<Outcome> {
  const telling = await Telling.open(context)
  try {
    const outcome = await new Coordinator(context, lease, { ...options, telling }).run()
    return { ...outcome, untold: (await telling?.finish()) ?? null }
  } finally {
    await telling?.finish()
  }
}

class Coordinator {
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #options: CoordinateOptions
  readonly #telling: Telling | undefined
  readonly #site: Site
  readonly #watch: Watch
  readonly #nodes: NodeWatch
  readonly #feed: Feed
  readonly #publisher: Publisher
  readonly #requests: RequestWatch
  readonly #arrays = new Map<string, LiveArray>()
  readonly #cancels: Cancels
  readonly #planner: Planner
  readonly #teller: Teller
  readonly #waysIn: WaysIn
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
  /** What a person has to mend for some of the jobs; the others go on, and it is thrown when they are over. */
  #trouble: FloeError | undefined

  constructor(
    context: RunContext,
    lease: Lease,
    { telling, ...options }: CoordinateOptions & { telling: Telling | undefined },
  ) {
    this.#context = context
    this.#lease = lease
    this.#options = options
    this.#telling = telling
    this.#site = context.site
    this.#publisher = new Publisher(
      context,
      () => lease.guard(),
      async () => ({
        ...(await stateFacts(context.tables)),
        ...harvestedFacts(this.#arrays.values(), this.#harvestedElsewhere),
      }),
    )
    this.#nodes = new NodeWatch(context, this.#publisher)
    const [publisher, nodes, arrays] = [this.#publisher, this.#nodes, this.#arrays]
    this.#feed = new Feed(context, { lease, publisher, arrays, nodes: nodes.nodes })
    this.#cancels = new Cancels(context, this.#arrays)
    this.#requests = new RequestWatch(context.tables)
    this.#watch = new Watch(context, { publisher, nodes, read: (array) => this.#readRecords(array) })
    const parts = { arrays, feed: this.#feed, watch: this.#watch, publisher, cancels: this.#cancels }
    this.#planner = new Planner(context, {
      ...parts,
      wishes: options,
      guard: () => lease.guard(),
      publish: () => this.#publish(),
      elsewhere: () => this.#elsewhere.reduce((sum, { jobs }) => sum + jobs, 0),
    })
    this.#teller = new Teller(context, parts)
    this.#waysIn = new WaysIn(context)
  }

  async run(): Promise<Omit<Outcome, 'untold'>> {
    const { clock } = this.#context
    this.#publishedAt = clock.ticks()
    this.#beganAtMs = clock.now()
    await this.#takeUp()
    for (;;) {
      if (this.#stopping === null) await this.#feedSite()
      await this.#watch.look([...this.#arrays.values()])
      this.#telling?.look(this.#arrays.values())
      this.#waysIn.look(this.#arrays.values())
      await this.#heedNodes()
      await this.#heedRequests()
      await this.#cancels.passOn()
      await this.#judge()
      await this.#settle()
      await this.#teller.tell(this.#waiting)
      const said = { total: this.#planner.total, stopping: this.#stopping, waiting: this.#waiting }
      this.#options.onProgress?.(this.#teller.progress(said))
      if (this.#options.signal?.aborted) this.#stopping = 'interrupted'
      if (this.#stopping === 'interrupted' || this.#finished()) break
      if (this.#options.once) {
        this.#stopping = 'once'
        break
      }
      await clock.sleep(this.#site.rhythm.turnMs, this.#options.signal)
    }
    await this.#waysIn.finish()
    await this.#publish()
    // The next run tries anew.
    if (this.#nodes.hopeless) this.#nodes.forget()
    keepLooks(this.#context.paths.cache, clock, this.#looking)
    if (this.#trouble && this.#stopping !== 'interrupted') throw this.#trouble
    const merged = this.#stopping === 'interrupted' ? null : await this.#merge()
    const reason = this.#stopping === 'too many failures' ? await commonestReason(this.#context, this.#beganAtMs) : null
    return {
      tally: this.#publisher.tally,
      stopped: this.#stopping,
      missing: this.#planner.missing,
      merged,
      reason,
      elsewhere: this.#elsewhere,
    }
  }

  #finished(): boolean {
    if (this.#arrays.size > this.#idle) return false
    if (this.#stopping !== null || this.#trouble) return true
    return this.#feed.cut === 0 && !this.#planner.isDue && this.#planner.later === null && !this.#unseen
  }

  /** Arrays that this run does not offer to the site any more: the next one takes them up. */
  get #idle(): number {
    let idle = 0
    for (const array of this.#arrays.values())
      if (array.nativeId === undefined && !array.over && (this.#stopping !== null || this.#feed.isStuck(array))) idle++
    return idle
  }

  async #feedSite(): Promise<void> {
    await this.#sparing(() => this.#feed.offerAgain())
    if (!this.#trouble) await this.#sparing(() => this.#plan())
    if (!this.#trouble) await this.#sparing(() => this.#feed.fill())
  }

  async #sparing(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof FloeError) || !OF_SOME.includes(error.code) || this.#arrays.size === 0) throw error
      if (error.code === 'DISK_FULL') this.#nodes.hopeless ??= error
      else this.#trouble ??= error
    }
  }

  async #takeUp(): Promise<void> {
    const context = this.#context
    this.#elsewhere = await liveElsewhere(context)
    const others = this.#elsewhere.flatMap(({ arrays }) => arrays)
    this.#harvestedElsewhere = await harvestedOf(context.tables, others)
    const parts = { arrays: this.#arrays, feed: this.#feed, watch: this.#watch, publisher: this.#publisher }
    const { cut, jobs } = await takeUp(context, parts)
    recallLooks(context.paths.cache, context.clock, this.#looking)
    this.#feed.cut = cut
    this.#planner.total += jobs
  }

  get #looking(): Looking {
    const { name, rhythm } = this.#site
    const parts = { site: name, arrays: this.#arrays, nodes: this.#nodes.nodes }
    return { ...parts, unseenMaxMs: rhythm.absentMs / 3 }
  }

  async #plan(): Promise<void> {
    if (!this.#planner.isDue || this.#unseen || this.#feed.cut > 0 || this.#nodes.nodes.isPaused) return
    await this.#planner.plan()
  }

  #readRecords(array: LiveArray): void {
    this.#publisher.addDecided(array, array.harvest())
    this.#nodes.heedRecords(array)
  }

  /** Where no node can work nothing more is sent, and what waits is taken back. */
  async #heedNodes(): Promise<void> {
    await this.#nodes.lookAtScratch()
    const { hopeless } = this.#nodes
    if (hopeless === undefined || this.#trouble) return this.#nodes.keepAway(this.#arrays.values())
    this.#trouble = hopeless
    await this.#takeBack()
  }

  async #heedRequests(): Promise<void> {
    if (this.#context.clock.ticks() - this.#heededAt < HEED_EVERY_MS) return
    const isFirst = this.#heededAt === Number.NEGATIVE_INFINITY
    this.#heededAt = this.#context.clock.ticks()
    const news = await this.#requests.news()
    if (news.jobs) this.#unseen = true
    if (news.requests || news.jobs) this.#planner.isDue = true
    // A person did something: that may have been what was to be mended.
    if (news.jobs || (news.requests && !isFirst)) {
      this.#trouble = undefined
      this.#feed.unstick()
      this.#nodes.forget()
    }
    if (this.#unseen && !this.#trouble)
      await this.#sparing(async () => {
        this.#unseen = !(await this.#feed.patience.tries(() => this.#lookAtFiles()))
      })
    if (news.requests || news.jobs) await this.#cancels.heed()
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
    await this.#feed.withdraw()
    this.#cancels.takeBack()
    await this.#cancels.passOn()
  }

  /** Publishes when due, then lets go of arrays that are over. */
  async #settle(): Promise<void> {
    const over = [...this.#arrays.values()].filter((array) => array.over)
    const due =
      this.#context.clock.ticks() - this.#publishedAt > PUBLISH_EVERY_MS || this.#publisher.waiting > WAITING_MAX
    if (over.length === 0 && !due) return
    if (over.length > 0 && (due || this.#arrays.size - this.#idle === over.length || over.length > 8)) {
      await this.#publish()
      await endArrays(this.#context, over, () => this.#lease.guard())
      // Said for other campaigns; what was not heard, `clean` says again.
      await lenient(() => this.#site.release(over.map(({ id }) => id)))
      for (const array of over) {
        this.#arrays.delete(array.id)
        if (!this.#feed.isLetGo(array)) this.#planner.ended++
      }
      this.#planner.isDue = true
    } else if (due) await this.#publish()
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

  get #waiting(): string | null {
    const { patience } = this.#feed
    const site = this.#trouble?.message ?? patience.blocked ?? this.#nodes.nodes.news ?? this.#watch.news.waiting
    return site ?? this.#waysIn.warning ?? this.#telling?.waiting ?? this.#planner.later
  }
}
