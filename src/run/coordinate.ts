import { countStates, stateFacts } from '../catalog/catalog.ts'
import { lenient, type Site } from '../dispatch/dispatch.ts'
import { type Code, FloeError } from '../model/errors.ts'
import { type Merged, mergeOutputs } from '../results/results.ts'
import { type Elsewhere, endArrays, liveElsewhere } from './arrays.ts'
import { countTasks, tellAtWork } from './at-work.ts'
import { bringOutputs } from './bring.ts'
import { Cancels } from './cancels.ts'
import type { RunContext } from './context.ts'
import { Feed } from './feed.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { harvestedFacts, harvestedOf } from './live-status.ts'
import { keepLooks, type Looking, recallLooks } from './looks.ts'
import { NodeWatch } from './node-watch.ts'
import { chooseRunnable, lookAtFiles, type PlanWishes, planRunnable } from './planning.ts'
import { Publisher, type Tally } from './publisher.ts'
import { RequestWatch } from './requests.ts'
import { takeUp } from './take-up.ts'
import { Watch } from './watch.ts'

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
  /** Work of other sites, which this run left alone. */
  readonly elsewhere: readonly Elsewhere[]
}

/** A commit a minute and table at most; more rows than these are not held. */
const PUBLISH_EVERY_MS = 60_000
const WAITING_MAX = 100_000
/** Looks for requests of people. */
const HEED_EVERY_MS = 500
/** News for `status`. */
const TELL_EVERY_MS = 1000
/** Plans in a row that may decide nothing. */
const FRUITLESS_MAX = 3
/** Trouble of some jobs, or of one array, which others need not share. */
const OF_SOME: readonly Code[] = [
  'SUBMIT_REFUSED',
  'SUBMIT_UNREADABLE',
  'EXECUTABLE_INVALID',
  'STAGE_FAILED',
  'INPUTS_MISSING',
]
/** Decided jobs before a share of failures says anything. */
const SHARE_FROM = 20

/**
 * The loop: look, decide, act, sleep. Holds no state that table, record files and scheduler do not hold: killed anywhere, the next
 * call goes on. Ends when nothing is pending, cut or live.
 */
export async function coordinate(context: RunContext, lease: Lease, options: CoordinateOptions): Promise<Outcome> {
  const loop = new Coordinator(context, lease, options)
  return loop.run()
}

class Coordinator {
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #options: CoordinateOptions
  readonly #site: Site
  readonly #watch: Watch
  readonly #nodes: NodeWatch
  readonly #feed: Feed
  readonly #publisher: Publisher
  readonly #requests: RequestWatch
  readonly #arrays = new Map<string, LiveArray>()
  readonly #cancels: Cancels
  #publishedAt = 0
  #elsewhere: readonly Elsewhere[] = []
  #harvestedElsewhere: Awaited<ReturnType<typeof harvestedOf>> = {}
  #heededAt = Number.NEGATIVE_INFINITY
  #saidAt = Number.NEGATIVE_INFINITY
  #missing = 0
  #total = 0
  #verdictsAtPlan = -1
  /** Arrays that ended since the last plan. */
  #ended = 0
  #fruitless = 0
  #stopping: Outcome['stopped'] = null
  /** Verdicts when the share of failures was last looked at. */
  #judged = 0
  /** True when jobs may wait for a plan: at the start, and after verdicts that ask for another try. */
  #unplanned = true
  /** Jobs came whose files nobody looked at yet. */
  #unseen = false
  /** What a person has to mend for some of the jobs; the others go on, and it is thrown when they are over. */
  #trouble: FloeError | undefined

  constructor(context: RunContext, lease: Lease, options: CoordinateOptions) {
    this.#context = context
    this.#lease = lease
    this.#options = options
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
  }

  async run(): Promise<Outcome> {
    const { clock } = this.#context
    const started = clock.ticks()
    this.#publishedAt = started
    await this.#takeUp()
    for (;;) {
      if (this.#stopping === null) await this.#feedSite()
      await this.#watch.look([...this.#arrays.values()])
      await this.#heedNodes()
      await this.#heedRequests()
      await this.#cancels.passOn()
      await this.#judge()
      await this.#settle()
      await this.#tell()
      this.#options.onProgress?.(this.#progress((clock.ticks() - started) / 1000))
      if (this.#options.signal?.aborted) this.#stopping = 'interrupted'
      if (this.#stopping === 'interrupted' || this.#finished()) break
      if (this.#options.once) {
        this.#stopping = 'once'
        break
      }
      await clock.sleep(this.#site.rhythm.turnMs, this.#options.signal)
    }
    await this.#publish()
    keepLooks(this.#context.paths.cache, clock, this.#looking)
    if (this.#trouble && this.#stopping !== 'interrupted') throw this.#trouble
    const merged = this.#stopping === 'interrupted' ? null : await this.#merge()
    return {
      tally: this.#publisher.tally,
      stopped: this.#stopping,
      missing: this.#missing,
      merged,
      elsewhere: this.#elsewhere,
    }
  }

  #finished(): boolean {
    if (this.#arrays.size > this.#idle) return false
    if (this.#stopping !== null || this.#trouble) return true
    return this.#feed.cut === 0 && !this.#unplanned && !this.#unseen
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
      this.#trouble ??= error
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
    this.#total += jobs
  }

  get #looking(): Looking {
    const { name, rhythm } = this.#site
    const parts = { site: name, arrays: this.#arrays, nodes: this.#nodes.nodes }
    return { ...parts, unseenMaxMs: rhythm.absentMs / 3 }
  }

  async #plan(): Promise<void> {
    if (!this.#unplanned || this.#unseen || this.#feed.cut > 0 || this.#nodes.nodes.isPaused) return
    if (!(await this.#feed.patience.tries(() => this.#planNow()))) this.#unplanned = true
  }

  async #planNow(): Promise<void> {
    if (this.#feed.openTasks >= (await this.#feed.limits()).planBelow) return
    await this.#publish()
    this.#unplanned = false
    // Mostly known from the last commit's facts, where choosing reads the keys of all jobs.
    this.#missing = 0
    const counts = await countStates(this.#context.tables)
    if (counts.pending === 0) return
    const { jobs, missing } = await chooseRunnable(this.#context)
    // Before anything takes over an output of a job that was replaced or withdrawn, that one is told to end.
    await this.#cancels.heed()
    await this.#cancels.passOn()
    this.#missing = missing
    if (jobs === 0) return
    const verdicts = this.#done() + this.#publisher.tally.retried
    if (verdicts !== this.#verdictsAtPlan) this.#fruitless = 0
    else if (this.#ended > 0) this.#fruitless++
    this.#verdictsAtPlan = verdicts
    this.#ended = 0
    if (this.#fruitless > FRUITLESS_MAX) {
      throw new FloeError('STAGE_FAILED', `${FRUITLESS_MAX} times all tasks ended without deciding a job.`, {
        hint: this.#site.hints.fruitless,
      })
    }
    const { batches } = await planRunnable(this.#context, {
      ...this.#options,
      jobs,
      guard: () => this.#lease.guard(),
    })
    this.#feed.cut = batches
    // What was planned before, and comes back to be planned again, is counted once.
    const elsewhere = this.#elsewhere.reduce((sum, { jobs: there }) => sum + there, 0)
    this.#total = this.#done() + jobs + Math.max(0, counts.queued + counts.running - elsewhere)
  }

  #readRecords(array: LiveArray): void {
    this.#publisher.addDecided(array, array.harvest())
    this.#nodes.heedRecords(array)
  }

  /** Where no node can work nothing more is sent, and what waits is taken back. */
  async #heedNodes(): Promise<void> {
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
    if (news.requests || news.jobs) this.#unplanned = true
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
    const isTooMuch = () =>
      tally.failed + tally.succeeded >= SHARE_FROM &&
      tally.failed / (tally.failed + tally.succeeded) > this.#context.settings.stopWhenFailed
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
        if (!this.#feed.isLetGo(array)) this.#ended++
      }
      this.#unplanned = true
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

  #done(): number {
    const { succeeded, failed, cancelled, lost } = this.#publisher.tally
    return succeeded + failed + cancelled + lost
  }

  /** For `status` of other processes. */
  async #tell(): Promise<void> {
    const { clock, paths } = this.#context
    if (clock.ticks() - this.#saidAt < TELL_EVERY_MS) return
    this.#saidAt = clock.ticks()
    const limits = this.#arrays.size === 0 ? undefined : await lenient(() => this.#feed.limits())
    tellAtWork(paths.cache, {
      ...{ pid: process.pid, site: this.#site.name, ...countTasks(this.#arrays.values()) },
      tasks_max: limits && Number.isFinite(limits.openMax) ? limits.openMax : null,
      waiting: this.#waiting,
      next_look_at: Math.round(clock.now() + Math.max(0, this.#watch.news.nextLookMs - clock.ticks())),
    })
  }

  get #waiting(): string | null {
    return this.#trouble?.message ?? this.#feed.patience.blocked ?? this.#nodes.nodes.news ?? this.#watch.news.waiting
  }

  #progress(elapsedSec: number): Progress {
    let running = 0
    let queued = 0
    for (const array of this.#arrays.values()) {
      running += array.runningJobs
      queued += array.unstartedTasks.length
    }
    return {
      site: this.#site.name,
      total: this.#total,
      done: this.#done(),
      tally: this.#publisher.tally,
      running,
      queued,
      elapsedSec,
      stopping: this.#stopping,
      waiting: this.#waiting,
    }
  }
}
