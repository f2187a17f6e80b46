import {
  type Connector,
  cancelTasks,
  endingsOf,
  lenient,
  type TaskEnding,
  type TaskReport,
  watchTasks,
} from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import { intervalAfter } from '../model/pace.ts'
import { lostJobs, undecidedJobs } from './arrays.ts'
import type { RunContext } from './context.ts'
import { type Fact, judge } from './evidence.ts'
import type { LiveArray } from './live-array.ts'
import { isWithoutRecord, type NodeWatch } from './node-watch.ts'
import type { Publisher } from './publisher.ts'
import { sealsOf } from './seals.ts'

/** Answers to a question for states that say nothing of the tasks. */
const UNCLEAR: ReadonlySet<string> = new Set(['SUBMIT_UNREADABLE', 'SUBMIT_REFUSED', 'STATE_UNKNOWN'])
/** Longest time between two questions to accounting about the same missing tasks. */
const EXPLAIN_MAX_MS = 300_000
/** What a site said last of its tasks. */
export interface SiteNews {
  /** Why the first task that waits does so, in words; null: none waits, or it was not said. */
  readonly waiting: string | null
  /** When it is looked at again, by the monotonic clock. */
  readonly nextLookMs: number
}

/**
 * Looks at a site in its rhythm: record lines first, then the scheduler, whose word only says that nothing more will come; accounting then
 * explains what the record does not. Records that cannot be read and a scheduler that does not answer end no task; tasks that are not listed
 * any more are given up after long, and fenced. Costs one pull and one status call an interval; while tasks are missing a second pull, and
 * questions to accounting that become rarer.
 */
export class Watch {
  readonly #context: RunContext
  readonly #publisher: Publisher
  readonly #nodes: NodeWatch
  readonly #read: (array: LiveArray) => void
  /** When to look next, by the monotonic clock. */
  #pullAt = Number.NEGATIVE_INFINITY
  #watchAt = Number.NEGATIVE_INFINITY
  /** Since when nothing that the scheduler says can be read, by the monotonic clock. */
  #unreadableSince: number | undefined
  #waiting: string | null = null
  /** When accounting was asked last, by the monotonic clock, and how long until it is asked again with nothing new to ask. */
  #explainedAt = Number.NEGATIVE_INFINITY
  #explainEveryMs = 0
  #asked: ReadonlySet<string> = new Set()

  constructor(
    context: RunContext,
    { publisher, nodes, read }: { publisher: Publisher; nodes: NodeWatch; read: (array: LiveArray) => void },
  ) {
    this.#context = context
    this.#publisher = publisher
    this.#nodes = nodes
    this.#read = read
  }

  get news(): SiteNews {
    return { waiting: this.#waiting, nextLookMs: this.#watchAt }
  }

  async look(arrays: readonly LiveArray[]): Promise<void> {
    const { clock } = this.#context
    const open = arrays.filter((array) => !array.over)
    if (open.length === 0) return
    if (clock.ticks() >= this.#pullAt) await this.#pull(open)
    if (clock.ticks() >= this.#watchAt) await this.#watch(open)
  }

  /** A site that is slow is asked less often. */
  #next(beganAt: number, usualMs: number): number {
    const tookMs = this.#context.clock.ticks() - beganAt
    return beganAt + 1000 * intervalAfter(usualMs / 1000, tookMs / 1000)
  }

  /** False: the records could not be read, so nothing may be concluded from what they do not say. */
  async #pull(open: readonly LiveArray[]): Promise<boolean> {
    const { clock, site } = this.#context
    const beganAt = clock.ticks()
    // What was not carried yet is not missing there.
    const there = open.filter(({ isSent }) => isSent)
    const gone = await lenient(() => site.pull(there.map(({ id }) => id)))
    this.#pullAt = beganAt + site.rhythm.pullMs
    for (const array of open) {
      this.#read(array)
      if (gone) array.goneSince = gone.has(array.id) ? (array.goneSince ?? clock.ticks()) : undefined
      // A mount that comes and goes shows an empty place for a while.
      if (array.goneSince === undefined || clock.ticks() - array.goneSince < site.rhythm.graceMs) continue
      await this.#takeAway(array)
      this.giveUpPurged(array)
    }
    return gone !== undefined
  }

  /** Tasks of an array without a directory would run for nobody, and their jobs are about to run elsewhere. */
  async #takeAway({ nativeId }: LiveArray): Promise<void> {
    if (nativeId === undefined) return
    const connector = await this.#context.site.connector()
    await lenient(() => cancelTasks(connector, nativeId))
  }

  async #watch(open: readonly LiveArray[]): Promise<void> {
    const { clock, site } = this.#context
    const beganAt = clock.ticks()
    const due = open.filter((array) => !array.over && array.nativeId !== undefined)
    if (due.length === 0) return
    let earlyMs: number | undefined
    const onEarly = (laterMs: number) => {
      earlyMs = laterMs
    }
    const reports = await this.#ask(due, onEarly).finally(() => {
      // Two that took turns of equal length would else always meet the same one at work.
      this.#watchAt = earlyMs === undefined ? this.#next(beganAt, site.rhythm.watchMs) : clock.ticks() + earlyMs
    })
    if (!reports) return
    const statesOf = statesIn(reports)
    const isWhole = (array: LiveArray) => {
      const states = statesOf(array)
      return array.openTasks.every((task) => isOpen(states.get(task)))
    }
    if (due.every(isWhole)) {
      for (const array of due) for (const task of array.openTasks) array.isBack(task)
      this.#explainEveryMs = 0
      return
    }
    // Read once more: the seal may have come between the last reading and the scheduler's answer.
    if (!(await this.#pull(due))) return
    const missing: Missing[] = []
    for (const array of due) {
      const found = this.#compare(array, { states: statesOf(array), isBlank: reports.length === 0 })
      if (found.tasks.length > 0 && (await this.#isOwner(array))) missing.push(found)
    }
    await this.#conclude(missing)
  }

  /** Two submissions may have reached the scheduler; the one whose task was first to start is the array from then on. */
  async #isOwner(array: LiveArray): Promise<boolean> {
    const known = await lenient(() => this.#context.site.submission(array.id))
    if (known?.nativeId === undefined || known.nativeId === array.nativeId) return known !== undefined
    array.nativeId = known.nativeId
    for (const task of array.openTasks) array.isBack(task)
    return false
  }

  async #conclude(missing: readonly Missing[]): Promise<void> {
    const { clock } = this.#context
    const asked = new Set(missing.flatMap(({ array, tasks }) => tasks.map((task) => `${array.id} ${task}`)))
    const isUnasked = [...asked].some((task) => !this.#asked.has(task))
    if (isUnasked) this.#explainEveryMs = 0
    const isNews = isUnasked || missing.some(({ ended, absent }) => ended.length + absent.length > 0)
    if (missing.length === 0 || (!isNews && clock.ticks() - this.#explainedAt < this.#explainEveryMs)) return
    this.#explainedAt = clock.ticks()
    this.#asked = asked
    this.#explainEveryMs = Math.min(
      EXPLAIN_MAX_MS,
      Math.max(this.#context.site.rhythm.watchMs, this.#explainEveryMs * 2),
    )
    for (const { array, ended, absent } of missing) {
      await this.#end(array, ended)
      for (const task of await this.#sealed(array, absent)) array.markGone(task)
    }
    await this.#explain(missing.map(({ array }) => array))
  }

  /** Elements of these tasks ended. Where elements choose, another one may yet take a task that nobody has begun. */
  async #end(array: LiveArray, tasks: readonly number[]): Promise<void> {
    const isOpenToOthers = (task: number) => array.elements.bindLate !== false && !array.hasBegun(task)
    for (const task of tasks) if (!isOpenToOthers(task)) array.markGone(task)
    for (const task of await this.#sealed(array, tasks.filter(isOpenToOthers))) array.markGone(task)
  }

  /** Tasks that are not listed may start all the same: they are cancelled, and sealed on the site, so that none does. */
  async #sealed(array: LiveArray, tasks: readonly number[]): Promise<readonly number[]> {
    if (tasks.length === 0) return []
    const { clock, site } = this.#context
    const seals = sealsOf(array, tasks, { nowMs: clock.now(), message: 'given up: not listed any more' })
    const connector = await site.connector()
    const begun = await lenient(async () => {
      await cancelTasks(connector, array.nativeId!, array.elements.of(tasks))
      return site.seal(array.id, seals)
    })
    return begun ? tasks.filter((task) => !begun.has(task)) : []
  }

  async #ask(due: readonly LiveArray[], onEarly: (laterMs: number) => void): Promise<TaskReport[] | undefined> {
    const connector = await this.#context.site.connector()
    const arrays = new Map(due.map(({ nativeId, batches }) => [nativeId!, batches.length]))
    try {
      const reports = await watchTasks(connector, arrays, onEarly)
      this.#unreadableSince = undefined
      if (reports) this.#waiting = waitingIn(reports, connector)
      return reports
    } catch (error) {
      // Words that floe does not know, as while a controller is being replaced: records decide, so there is time.
      if (!(error instanceof FloeError) || !UNCLEAR.has(error.code)) throw error
      const { clock, site } = this.#context
      this.#unreadableSince ??= clock.ticks()
      if (clock.ticks() - this.#unreadableSince > site.rhythm.blankMs) throw error
      this.#waiting = `${error.message} (${error.hint})`
      return undefined
    }
  }

  /** Notes what the scheduler says of the open tasks, and which of them it has not had for long enough. */
  #compare(array: LiveArray, { states, isBlank }: { states: States; isBlank: boolean }): Missing {
    const { clock, site } = this.#context
    const { graceMs, absentMs, blankMs } = site.rhythm
    const found: Missing = { array, tasks: [], ended: [], absent: [] }
    for (const task of array.openTasks) {
      const state = states.get(task)
      if (isOpen(state)) {
        array.isBack(task)
        continue
      }
      const forMs = array.missingFor(task, state === undefined ? 'absent' : 'ended', clock.ticks())
      if (forMs < graceMs) continue
      found.tasks.push(task)
      if (array.hasEnded(task)) found.ended.push(task)
      // Grid Engine drops what was cancelled while it waited.
      else if (array.isRecalled(task) || forMs >= (isBlank ? blankMs : absentMs)) found.absent.push(task)
    }
    return found
  }

  async #explain(arrays: readonly LiveArray[]): Promise<void> {
    const ids = arrays.map(({ nativeId }) => nativeId!)
    const endings = (await endingsOf(await this.#context.site.connector(), ids)) ?? []
    for (const array of arrays) {
      const ofElements = endings
        .filter(({ id }) => id === array.nativeId)
        .map((ending) => [ending.index, ending] as const)
      const own = array.elements.byTask(new Map(ofElements), (ending) => ending === undefined)
      await this.#believe(array, own)
      for (const [task, ending] of own) this.#nodes.heedEnding(array, task, ending)
      this.#giveUp(array, (task) => endOf(own.get(task)))
    }
  }

  /** A task that is listed no more is gone when accounting knows its end; its record may still be on the way for a while. */
  async #believe(array: LiveArray, endings: ReadonlyMap<number, TaskEnding>): Promise<void> {
    const { clock, site } = this.#context
    const ended: number[] = []
    for (const task of array.openTasks) {
      const ending = endings.get(task)
      if (!array.isMissing(task) || !ending) continue
      const forMs = array.accountedFor(task, clock.ticks())
      const isSilent = isWithoutRecord(ending) && !array.hasBegun(task)
      if (forMs >= site.rhythm.graceMs || isSilent) ended.push(task)
    }
    await this.#end(array, ended)
  }

  /** The array's directory is gone: jobs that it had started are lost with it. */
  giveUpPurged(array: LiveArray): void {
    for (const task of array.openTasks) array.markGone(task)
    this.#giveUp(array, () => ({ source: 'absence', why: 'purged' }))
  }

  /** Jobs that its tasks which are gone had started, by what is known of each task; those that it took back, by that. */
  #giveUp(array: LiveArray, factOf: (task: number) => Fact): void {
    for (const lost of lostJobs(array)) this.#publisher.addInferred(array, lost, judge([factOf(lost.task)])!)
    array.forgetLost()
    const recalled = judge([{ source: 'queue', state: 'recalled' }])!
    for (const task of array.takeRecalled()) this.#publisher.addInferred(array, undecidedJobs(array, task, 1), recalled)
  }
}

/** What is known of a task that is gone. */
const endOf = (ending: TaskEnding | undefined): Fact =>
  ending ? { source: 'accounting', ending } : { source: 'absence', why: 'vanished' }

/** Open tasks that the scheduler has not had for a while; those of which that is believed. */
interface Missing {
  readonly array: LiveArray
  readonly tasks: number[]
  readonly ended: number[]
  readonly absent: number[]
}

type States = ReadonlyMap<number, TaskReport['state']>

function statesIn(reports: readonly TaskReport[]): (array: LiveArray) => States {
  const byArray = new Map<string, Map<number, TaskReport['state']>>()
  for (const { id, index, state } of reports) {
    const states = byArray.get(id) ?? new Map<number, TaskReport['state']>()
    byArray.set(id, states.set(index, state))
  }
  return ({ nativeId, elements }) => elements.heed(byArray.get(nativeId ?? '') ?? new Map(), isOpen)
}

const isOpen = (state: TaskReport['state'] | undefined): boolean => state !== undefined && state !== 'ended'

/** What keeps tasks waiting, the worst first: what never clears, then what needs a person. */
function waitingIn(reports: readonly TaskReport[], connector: Connector): string | null {
  const reasons = new Set<string>()
  for (const { state, reason } of reports)
    if ((state === 'queued' || state === 'held') && reason !== null) reasons.add(reason)
  const said = [...reasons].map((reason) => connector.waiting(reason))
  const worst =
    said.find(({ clears }) => clears === 'never') ?? said.find(({ clears }) => clears === 'needs you') ?? said[0]
  if (!worst) return null
  return worst.clears === 'will clear' ? worst.sentence : `${worst.sentence} (${worst.clears})`
}
