import { type Calls, lenient, type TaskLimits } from '../dispatch/dispatch.ts'
import { type Code, FloeError } from '../model/errors.ts'
import { dropCut } from './arrays.ts'
import { Cancels } from './cancels.ts'
import type { RunContext } from './context.ts'
import { Feed } from './feed.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { keepLooks, type Looking, recallLooks } from './looks.ts'
import { Moving } from './moving.ts'
import { NodeWatch } from './node-watch.ts'
import type { Publisher } from './publisher.ts'
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

/** Plans in a row after which its tasks may have decided nothing. */
const FRUITLESS_MAX = 3

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
  readonly #moving: Moving
  /** Arrays that ended since the last plan, and what it had decided then. */
  #ended = 0
  #verdictsBefore = -1
  #fruitless = 0
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
    this.#moving = new Moving(context, { lease, arrays, feed: this.feed })
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
      feed.cut = cut
      recallLooks(this.context.paths.cache, this.context.clock, this.#looking)
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

  /** False: nothing is to be planned for it now. */
  async giveWay(others: readonly SiteRun[]): Promise<boolean> {
    let isGiven = false
    await this.#bearing(async () => {
      isGiven = await this.#moving.giveWay(others)
    })
    return isGiven
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
      this.#moving.look()
      await this.feed.allowance.look(this.#standing)
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
    this.#fruitless = 0
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

  /** Lets go of arrays whose end is in the tables. */
  async release(over: readonly LiveArray[]): Promise<void> {
    for (const array of over) {
      this.arrays.delete(array.id)
      if (!this.feed.isLetGo(array) && !this.#moving.isMoved(array)) this.#ended++
    }
    // Said for other campaigns; what was not heard, `clean` says again.
    await this.#bearing(async () => {
      await lenient(() => this.context.site.release(over.map(({ id }) => id)))
    })
  }

  async takeBack(): Promise<void> {
    await this.#bearing(() => this.feed.withdraw())
    this.cancels.takeBack()
    await this.passOn()
  }

  passOn(): Promise<void> {
    return this.#bearing(() => this.cancels.passOn())
  }

  /** Before a plan: it is in trouble when all its tasks ended again and again without deciding a job. */
  async demandFruit(): Promise<void> {
    const verdicts = this.#publisher.verdictsOf(this.name)
    if (verdicts !== this.#verdictsBefore) this.#fruitless = 0
    else if (this.#ended > 0) this.#fruitless++
    this.#verdictsBefore = verdicts
    this.#ended = 0
    if (this.#fruitless <= FRUITLESS_MAX) return
    await this.sparing(async () => {
      throw new FloeError('STAGE_FAILED', `${FRUITLESS_MAX} times all tasks ended without deciding a job.`, {
        hint: this.context.site.hints.fruitless,
      })
    })
  }

  /** What it allows; undefined: that cannot be told now. */
  async limits(): Promise<TaskLimits | undefined> {
    try {
      return await this.feed.limits()
    } catch (error) {
      if (error instanceof FloeError) return undefined
      throw error
    }
  }

  /** What it has to do, with `seconds` for a job of which nothing is known. */
  room(seconds: number): Room {
    return this.#moving.room(seconds)
  }

  /** For the next run. */
  keep(): void {
    // The next run tries anew.
    if (this.nodes.hopeless) this.nodes.forget()
    if (this.#hasTakenUp) keepLooks(this.context.paths.cache, this.context.clock, this.#looking)
  }

  /** What is under way is waited for, and other campaigns are told what is left there. */
  async finish(): Promise<void> {
    await this.#waysIn.finish()
    if (this.#hasTakenUp && !this.#isOut) await this.feed.allowance.finish(this.#standing)
  }

  get #standing() {
    return { open: this.feed.openTasks, cut: this.feed.cut }
  }

  async endTelling(): Promise<string | null> {
    return (await this.#telling?.finish()) ?? null
  }

  /** Why it does not go on, in words; null: it does. */
  get waiting(): string | null {
    const { patience, allowance } = this.feed
    const blocked = this.trouble?.message ?? patience.blocked ?? this.nodes.nodes.news
    return blocked ?? allowance.waiting ?? this.watch.news.waiting
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
    const [nodes, waits] = [this.nodes.nodes, this.#moving]
    return { site: name, arrays: this.arrays, nodes, waits, unseenMaxMs: rhythm.absentMs / 3 }
  }
}
