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
import type { FailureClass, Verdict } from '../model/verdict.ts'
import { lostJobs, undecidedJobs } from './arrays.ts'
import type { RunContext } from './context.ts'
import type { LiveArray } from './live-array.ts'
import type { InferredVerdict, Publisher } from './publisher.ts'

/** Exit of a task whose node does not see the array's directory; see the job script. */
const NO_DIRECTORY = 72

/** What accounting says of a task that ended without sealing its record, as the verdict of the jobs that it ran. */
const BY_CAUSE: Readonly<Record<TaskEnding['cause'], { verdict: Verdict; class: FailureClass; rule: string }>> = {
  memory: { verdict: 'failed', class: 'memory', rule: 'the scheduler ended its task for its memory' },
  walltime: { verdict: 'failed', class: 'walltime', rule: 'the scheduler ended its task at its walltime' },
  node: { verdict: 'lost', class: 'node', rule: 'its node failed' },
  preempted: { verdict: 'lost', class: 'preempted', rule: 'the scheduler took the node for other work' },
  cancelled: { verdict: 'cancelled', class: 'cancelled', rule: 'its task was cancelled at the scheduler' },
  launch: { verdict: 'lost', class: 'lost', rule: 'the scheduler could not start its task' },
  failed: { verdict: 'lost', class: 'lost', rule: 'its task ended without sealing its record; the job had started' },
  succeeded: { verdict: 'lost', class: 'lost', rule: 'its task ended without sealing its record; the job had started' },
}

const VANISHED: InferredVerdict = {
  verdict: 'lost',
  class: 'lost',
  rule: 'its task vanished without sealing its record; the job had started',
  evidence: 'absence',
}
const RECALLED: InferredVerdict = {
  verdict: 'cancelled',
  class: 'cancelled',
  rule: 'cancelled on request, before its task began',
  evidence: 'queue',
}
const PURGED: InferredVerdict = {
  verdict: 'lost',
  class: 'purged',
  rule: 'the directory of its array is gone from scratch; the job had started',
  evidence: 'absence',
}

/** Looks in a row that find no directory of an array: a mount that comes and goes shows an empty place for a moment. */
const GONE_LOOKS = 2
/** What a site said last of its tasks. */
export interface SiteNews {
  /** Why the first task that waits does so, in words; null: none waits, or it was not said. */
  readonly waiting: string | null
  /** When it is looked at again, by the monotonic clock. */
  readonly nextLookMs: number
}

/**
 * Looks at a site in its rhythm: record lines first, then the scheduler, whose word only says that nothing more will come; accounting then
 * explains what the record does not. A scheduler that does not answer, or that lists nothing at all, ends no task. Costs one pull and one
 * status call an interval, and one question to accounting while tasks are missing.
 */
export class Watch {
  readonly #context: RunContext
  readonly #publisher: Publisher
  readonly #read: (array: LiveArray) => void
  #pulledAt = Number.NEGATIVE_INFINITY
  #watchedAt = Number.NEGATIVE_INFINITY
  /** Since when nothing that the scheduler says can be read, by the monotonic clock. */
  #unreadableSince: number | undefined
  #waiting: string | null = null

  constructor(context: RunContext, publisher: Publisher, read: (array: LiveArray) => void) {
    this.#context = context
    this.#publisher = publisher
    this.#read = read
  }

  get news(): SiteNews {
    return { waiting: this.#waiting, nextLookMs: this.#watchedAt + this.#context.site.rhythm.watchMs }
  }

  async look(arrays: readonly LiveArray[]): Promise<void> {
    const { clock, site } = this.#context
    const open = arrays.filter((array) => !array.over)
    if (open.length === 0) return
    if (clock.ticks() - this.#pulledAt >= site.rhythm.pullMs) await this.#pull(open)
    if (clock.ticks() - this.#watchedAt >= site.rhythm.watchMs) await this.#watch(open)
  }

  async #pull(open: readonly LiveArray[]): Promise<void> {
    const { clock, site } = this.#context
    this.#pulledAt = clock.ticks()
    // What was not carried yet is not missing there.
    const there = open.filter(({ isSent }) => isSent)
    const gone = await lenient(() => site.pull(there.map(({ id }) => id)))
    for (const array of open) {
      this.#read(array)
      if (gone) array.goneLooks = gone.has(array.id) ? array.goneLooks + 1 : 0
      if (array.goneLooks < GONE_LOOKS) continue
      await this.#takeAway(array)
      this.giveUpPurged(array)
    }
  }

  /** Tasks of an array without a directory would run for nobody, and their jobs are about to run elsewhere. */
  async #takeAway({ nativeId }: LiveArray): Promise<void> {
    if (nativeId === undefined) return
    const connector = await this.#context.site.connector()
    await lenient(() => cancelTasks(connector, nativeId))
  }

  async #watch(open: readonly LiveArray[]): Promise<void> {
    this.#watchedAt = this.#context.clock.ticks()
    const due = open.filter((array) => !array.over && array.nativeId !== undefined)
    if (due.length === 0) return
    const reports = await this.#ask(due)
    if (!reports) return
    // Read once more: the seal may have come between the last reading and the scheduler's answer.
    await this.#pull(due)
    const missing: LiveArray[] = []
    for (const array of due) {
      const listed = new Map(reports.filter(({ id }) => id === array.nativeId).map((report) => [report.index, report]))
      if (this.#compare(array, listed)) missing.push(array)
    }
    if (missing.length > 0) await this.#explain(missing)
  }

  async #ask(due: readonly LiveArray[]): Promise<TaskReport[] | undefined> {
    const connector = await this.#context.site.connector()
    const arrays = new Map(due.map(({ nativeId, batches }) => [nativeId!, batches.length]))
    try {
      const reports = await watchTasks(connector, arrays)
      this.#unreadableSince = undefined
      if (reports) this.#waiting = waitingIn(reports, connector)
      return reports
    } catch (error) {
      if (!(error instanceof FloeError) || error.code !== 'SUBMIT_UNREADABLE') throw error
      const { clock, site } = this.#context
      this.#unreadableSince ??= clock.ticks()
      if (clock.ticks() - this.#unreadableSince > site.rhythm.absentMs) throw error
      return undefined
    }
  }

  /** Notes what the scheduler says of the open tasks; true when accounting should be asked about some. */
  #compare(array: LiveArray, listed: ReadonlyMap<number, TaskReport>): boolean {
    const { clock, site } = this.#context
    const { graceMs, absentMs } = site.rhythm
    let isMissing = false
    for (const task of array.openTasks) {
      const state = listed.get(task)?.state
      if (state !== undefined && state !== 'ended') {
        array.isBack(task)
        continue
      }
      const forMs = array.missingFor(task, state === undefined ? 'absent' : 'ended', clock.ticks())
      if (forMs < graceMs) continue
      isMissing = true
      if (state === 'ended' || forMs >= absentMs) array.markGone(task)
    }
    return isMissing
  }

  async #explain(arrays: readonly LiveArray[]): Promise<void> {
    const ids = arrays.map(({ nativeId }) => nativeId!)
    const endings = (await endingsOf(await this.#context.site.connector(), ids)) ?? []
    for (const array of arrays) {
      const own = new Map(endings.filter(({ id }) => id === array.nativeId).map((ending) => [ending.index, ending]))
      this.#believe(array, own)
      const blind = [...own.values()].find(({ exit }) => exit === NO_DIRECTORY)
      // One node of many that lost its mount is that node's fault.
      if (blind && !array.hasStarted) throw this.#blind(blind)
      this.#giveUp(array, (task) => explained(own.get(task)))
    }
  }

  /** A task that is listed no more is gone when accounting knows its end; its record may still be on the way for a while. */
  #believe(array: LiveArray, endings: ReadonlyMap<number, TaskEnding>): void {
    const { clock, site } = this.#context
    for (const task of array.openTasks) {
      if (!array.isMissing(task) || !endings.has(task)) continue
      if (array.accountedFor(task, clock.ticks()) >= site.rhythm.graceMs) array.markGone(task)
    }
  }

  #blind({ node }: TaskEnding): FloeError {
    const { name, paths } = this.#context.site
    return new FloeError('STAGE_FAILED', `The node ${node ?? 'of a task'} of ${name} does not see ${paths.arrays}.`, {
      hint: `Name a directory that login and compute nodes share as \`scratch:\` of ${name} in sites.yaml.`,
    })
  }

  /** The array's directory is gone: jobs that it had started are lost with it. */
  giveUpPurged(array: LiveArray): void {
    for (const task of array.openTasks) array.markGone(task)
    this.#giveUp(array, () => PURGED)
  }

  #giveUp(array: LiveArray, verdictOf: (task: number) => InferredVerdict): void {
    for (const lost of lostJobs(array)) this.#publisher.addInferred(array, lost, verdictOf(lost.task))
    array.forgetLost()
    for (const task of array.takeRecalled()) this.#publisher.addInferred(array, undecidedJobs(array, task, 1), RECALLED)
  }
}

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

function explained(ending: TaskEnding | undefined): InferredVerdict {
  if (!ending) return VANISHED
  const { rule, ...judged } = BY_CAUSE[ending.cause]
  const exit = ending.exit === null || ending.exit === 0 ? '' : `, exit ${ending.exit}`
  const signal = ending.signal === null || ending.signal === 0 ? '' : `, signal ${ending.signal}`
  return { ...judged, rule: `${rule} (${ending.word}${exit}${signal})`, evidence: 'accounting' }
}
