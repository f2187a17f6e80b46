import { type Calls, cancelTasks, lenient } from '../dispatch/dispatch.ts'
import { type Code, FloeError } from '../model/errors.ts'
import { dropCut } from './arrays.ts'
import { Cancels } from './cancels.ts'
import type { RunContext } from './context.ts'
import { Feed } from './feed.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { keepLooks, type Looking, recallLooks } from './looks.ts'
import { areMovable, type Waiting } from './movable.ts'
import { NodeWatch } from './node-watch.ts'
import type { Publisher } from './publisher.ts'
import { sealsOf } from './seals.ts'
import type { Room } from './share.ts'
import { takeUp } from './take-up.ts'
import { Telling } from './telling.ts'
import { Watch } from './watch.ts'
import { WaysIn } from './ways-in.ts'

/** Trouble of some jobs, or of one array, which others need not share. */
const OF_SOME: readonly Code[] = [
  'SUBMIT_REFUSED',
  'SUBMIT_UNREADABLE',
  'EXECUTABLE_INVALID',
  'STAGE_FAILED',
  'INPUTS_MISSING',
  'DISK_FULL',
]
/** Trouble of one site, which others need not share. */
const OF_ONE: readonly Code[] = [...OF_SOME, 'SITE_UNREACHABLE', 'SITE_FULL', 'STATE_UNKNOWN']

/** Delays of the last tasks, of which there may be a million. */
const DELAYS_KEPT = 10_000

/** What a run asked of a site, and what came of it: neither is bought with the other. */
export interface Pace {
  readonly site: string
  readonly calls: Calls
  /** Median of seconds from the end of a task to its verdict; null: no task ended. */
  readonly delaySec: number | null
}

/** Looks at a site for which work may wait there while another one has room. */
const WAITS_MAX_LOOKS = 30

export interface SiteRunParts {
  readonly lease: Lease
  readonly publisher: Publisher
  /** No other site is run: its trouble is the run's. */
  readonly isAlone: boolean
}

/** What a run does with one site: feeds it, follows its arrays, and bears its trouble where other sites go on. */
export class SiteRun {
  readonly context: RunContext
  readonly arrays = new Map<string, LiveArray>()
  readonly feed: Feed
  readonly watch: Watch
  readonly nodes: NodeWatch
  readonly cancels: Cancels
  /** What a person has to mend for some of the jobs; nothing more is sent, the others go on, and it is thrown when they are over. */
  trouble: FloeError | undefined
  /** It does not do what it is asked, and is asked no more. */
  #isOut = false
  #hasTakenUp = false
  #telling: Telling | undefined
  readonly #waysIn: WaysIn
  readonly #seenAt = new WeakMap<LiveArray, number>()
  readonly #begun = new WeakSet<LiveArray>()
  /** Arrays that were taken back to be planned for another site. */
  readonly #moved = new WeakSet<LiveArray>()
  #lastWaitMs = 0
  #cutSeen = { count: 0, at: 0 }
  /** What could go nowhere else is not looked at all the time. */
  readonly #askedAgainAt = new Map<string, number>()
  readonly #lease: Lease
  readonly #publisher: Publisher
  readonly #isAlone: boolean
  /** From the ends of tasks to their verdicts, seconds. */
  readonly #delays: number[] = []

  constructor(context: RunContext, { lease, publisher, isAlone }: SiteRunParts) {
    this.context = context
    this.#lease = lease
    this.#publisher = publisher
    this.#isAlone = isAlone
    this.#waysIn = new WaysIn(context)
    this.nodes = new NodeWatch(context, publisher)
    const [nodes, arrays] = [this.nodes, this.arrays]
    this.feed = new Feed(context, { lease, publisher, arrays, nodes: nodes.nodes })
    this.cancels = new Cancels(context, arrays)
    this.watch = new Watch(context, { publisher, nodes, read: (array) => this.#readRecords(array) })
  }

  get name(): string {
    return this.context.site.name
  }

  /** False: what an earlier run left there could not be read, so it is as work of a site that is not run. */
  get hasTakenUp(): boolean {
    return this.#hasTakenUp
  }

  /** Takes up what an earlier run left. Answers the jobs that are not decided. */
  async takeUp(): Promise<number> {
    let undecided = 0
    await this.#bearing(async () => {
      this.#telling = await Telling.open(this.context)
      const { arrays, feed, watch } = this
      const { cut, jobs } = await takeUp(this.context, { arrays, feed, watch, publisher: this.#publisher })
      recallLooks(this.context.paths.cache, this.context.clock, this.#looking)
      feed.cut = cut
      undecided = jobs
      // What ended while nobody ran says nothing of this run.
      for (const array of arrays.values()) array.takeEnds()
      this.#hasTakenUp = true
    })
    if (this.#hasTakenUp) return undecided
    this.arrays.clear()
    // What is cut there has not left this machine, and others can do it.
    await dropCut(this.context.tables, { of: this.name }, () => this.#lease.guard())
    return undecided
  }

  /** More jobs could be planned for it. */
  async wants(): Promise<boolean> {
    if (this.trouble || this.#isOut || this.feed.cut > 0 || this.nodes.nodes.isPaused) return false
    let isHungry = false
    await this.tries(async () => {
      isHungry = this.feed.openTasks < (await this.feed.limits()).planBelow
    })
    return isHungry
  }

  /** False: not done, now or ever. */
  async tries(act: () => Promise<void>): Promise<boolean> {
    let isDone = false
    await this.sparing(async () => {
      isDone = await this.feed.patience.tries(act)
    })
    return isDone
  }

  offerAgain(): Promise<void> {
    return this.sparing(() => this.feed.offerAgain())
  }

  async fill(): Promise<void> {
    if (!this.trouble) await this.sparing(() => this.feed.fill())
  }

  /** It could begin more than it has. */
  async hasRoom(): Promise<boolean> {
    if (this.feed.patience.blocked !== null) return false
    for (const array of this.arrays.values()) if (array.unstartedTasks.length > 0) return false
    return this.wants()
  }

  /**
   * What has waited here for too long is given up, where it could begin at one of the `others`: batches that are cut, and arrays of which no
   * task has begun, which are sealed first, so that none begins after all. False: nothing is to be planned for it now.
   */
  async giveWay(others: readonly SiteRun[]): Promise<boolean> {
    const now = this.context.clock.ticks()
    if (this.feed.cut !== this.#cutSeen.count) this.#cutSeen = { count: this.feed.cut, at: now }
    const hasLongCut = this.feed.cut > 0 && now - this.#cutSeen.at > this.#waitsMaxMs
    for (const array of this.arrays.values())
      if (this.#waitingMs(array) > this.#waitsMaxMs && (await this.#couldGo({ arrayId: array.id }, others)))
        await this.#bearing(() => (array.nativeId === undefined ? this.feed.withdraw(array) : this.#recall(array)))
    if (!hasLongCut || !(await this.#couldGo({ cutFor: this.name }, others))) return false
    return this.letGoOfCut()
  }

  async #couldGo(waiting: Waiting, others: readonly SiteRun[]): Promise<boolean> {
    const now = this.context.clock.ticks()
    const key = Object.values(waiting).join()
    if (now < (this.#askedAgainAt.get(key) ?? Number.NEGATIVE_INFINITY)) return false
    this.#askedAgainAt.set(key, now + this.#waitsMaxMs)
    return areMovable(
      this.context,
      waiting,
      others.map(({ context }) => context),
    )
  }

  async #recall(array: LiveArray): Promise<void> {
    const { site, clock } = this.context
    const tasks = array.openTasks
    const seals = sealsOf(array, tasks, { nowMs: clock.now(), message: 'taken back: it waited too long here' })
    await this.#lease.guard()
    // Also when the answer is lost.
    this.#moved.add(array)
    const begun = await lenient(() => site.seal(array.id, seals))
    if (!begun) return
    this.#lastWaitMs = this.#waitingMs(array)
    const { nativeId, elements } = array
    // Any element of those that are left may take a task that has begun nowhere else.
    if (elements.bindLate !== false && begun.size > 0) return
    const sealed = elements.of(tasks.filter((task) => !begun.has(task)))
    if (sealed.length > 0) await lenient(async () => cancelTasks(await site.connector(), nativeId!, sealed))
  }

  get #waitsMaxMs(): number {
    return this.context.site.rhythm.watchMs * WAITS_MAX_LOOKS
  }

  /** Batches that nobody stages any more wait for a plan of the other sites; false: there are none. */
  async letGoOfCut(): Promise<boolean> {
    if (this.feed.cut === 0) return false
    await dropCut(this.context.tables, { of: this.name }, () => this.#lease.guard())
    this.feed.cut = 0
    return true
  }

  async look(): Promise<void> {
    await this.#bearing(async () => {
      await this.watch.look([...this.arrays.values()])
      this.#telling?.look(this.arrays.values())
      this.#waysIn.look(this.arrays.values())
      for (const array of this.arrays.values()) this.#waitingMs(array)
      await this.#heedNodes()
    })
  }

  /** What it does stays with it, as trouble, where something else goes on beside it. */
  async sparing(act: () => Promise<void>): Promise<void> {
    if (this.#isOut) return
    try {
      await act()
    } catch (error) {
      if (!(error instanceof FloeError)) throw error
      const isSpared = OF_SOME.includes(error.code) && this.arrays.size > 0
      if (!isSpared) this.#bear(error)
      else if (error.code === 'DISK_FULL') this.nodes.hopeless ??= error
      else this.trouble ??= error
    }
  }

  async #bearing(act: () => Promise<void>): Promise<void> {
    if (this.#isOut) return
    try {
      await act()
    } catch (error) {
      if (!(error instanceof FloeError)) throw error
      this.#bear(error)
    }
  }

  #bear(error: FloeError): void {
    if (this.#isAlone || !OF_ONE.includes(error.code)) throw error
    this.trouble ??= error
    this.#isOut = !OF_SOME.includes(error.code) || !this.#hasTakenUp
  }

  /** A person did something: that may have been what was to be mended. */
  mended(): void {
    if (!this.#hasTakenUp) return
    this.trouble = undefined
    this.#isOut = false
    this.feed.unstick()
    this.nodes.forget()
  }

  /** Nothing more of it is to be waited for, as far as it is known now. `stopping`: nothing new is sent anywhere. */
  isOver(stopping: boolean): boolean {
    if (this.#isOut) return true
    if (this.arrays.size > this.idle(stopping)) return false
    return stopping || this.trouble !== undefined || this.feed.cut === 0
  }

  /** Arrays that this run does not offer to the site any more: the next one takes them up. */
  idle(stopping: boolean): number {
    let idle = 0
    for (const array of this.arrays.values())
      if (array.nativeId === undefined && !array.over && (stopping || this.feed.isStuck(array))) idle++
    return idle
  }

  get over(): LiveArray[] {
    return [...this.arrays.values()].filter((array) => array.over)
  }

  /** Lets go of arrays whose end is in the tables; answers how many of them had been sent. */
  async release(over: readonly LiveArray[]): Promise<number> {
    // Said for other campaigns; what was not heard, `clean` says again.
    await lenient(() => this.context.site.release(over.map(({ id }) => id)))
    for (const { id } of over) this.arrays.delete(id)
    return over.filter((array) => !this.feed.isLetGo(array) && !this.#moved.has(array)).length
  }

  async takeBack(): Promise<void> {
    await this.feed.withdraw()
    this.cancels.takeBack()
    await this.cancels.passOn()
  }

  /** What it has to do, with `seconds` for a job of which nothing is known. */
  room(seconds: number): Room {
    const { site } = this.context
    let jobs = 0
    for (const array of this.arrays.values()) jobs += array.undecidedJobs
    const waitingMs = Math.max(this.#lastWaitMs, ...[...this.arrays.values()].map((array) => this.#waitingMs(array)))
    return { site: this.name, slots: site.slots, busySec: (jobs * seconds) / site.slots + waitingMs / 1000 }
  }

  /** How long none of its tasks has begun since it was first seen here; 0: one has. Remembers how long that took last. */
  #waitingMs(array: LiveArray): number {
    const now = this.context.clock.ticks()
    const since = this.#seenAt.get(array) ?? now
    this.#seenAt.set(array, since)
    if (array.isUntouched) return array.over || array.goneSince !== undefined ? 0 : now - since
    if (!this.#begun.has(array)) this.#lastWaitMs = now - since
    this.#begun.add(array)
    return 0
  }

  /** For the next run. */
  keep(): void {
    // The next run tries anew.
    if (this.nodes.hopeless) this.nodes.forget()
    if (this.#hasTakenUp) keepLooks(this.context.paths.cache, this.context.clock, this.#looking)
  }

  endWaysIn(): Promise<void> {
    return this.#waysIn.finish()
  }

  async endTelling(): Promise<string | null> {
    return (await this.#telling?.finish()) ?? null
  }

  /** Why it does not go on, in words; null: it does. */
  get waiting(): string | null {
    return this.trouble?.message ?? this.feed.patience.blocked ?? this.nodes.nodes.news ?? this.watch.news.waiting
  }

  /** What this run asked of the scheduler, and how soon after the ends of tasks their verdicts were known; null: there is no scheduler. */
  get pace(): Pace | null {
    const { name, calls } = this.context.site
    if (calls === null) return null
    const sorted = [...this.#delays].sort((a, b) => a - b)
    return { site: name, calls: { ...calls }, delaySec: sorted[sorted.length >> 1] ?? null }
  }

  get untold(): string | null {
    return this.#waysIn.warning ?? this.#telling?.waiting ?? null
  }

  #readRecords(array: LiveArray): void {
    this.#publisher.addDecided(array, array.harvest())
    const { clock, site } = this.context
    const nowSec = clock.now() / 1000 + (site.clockOffSec ?? 0)
    for (const at of array.takeEnds()) this.#delays.push(Math.max(0, nowSec - at / 1e6))
    this.#delays.splice(0, this.#delays.length - DELAYS_KEPT)
    this.nodes.heedRecords(array)
  }

  /** Where no node can work nothing more is sent, and what waits is taken back. */
  async #heedNodes(): Promise<void> {
    await this.nodes.lookAtScratch()
    const { hopeless } = this.nodes
    if (hopeless === undefined || this.trouble) return this.nodes.keepAway(this.arrays.values())
    this.trouble = hopeless
    await this.takeBack()
  }

  get #looking(): Looking {
    const { name, rhythm } = this.context.site
    return { site: name, arrays: this.arrays, nodes: this.nodes.nodes, unseenMaxMs: rhythm.absentMs / 3 }
  }
}
