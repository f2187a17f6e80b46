import { endingsOf, lenient, type TaskEnding, watchTasks } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import type { FailureClass, Verdict } from '../model/verdict.ts'
import { lostJobs } from './arrays.ts'
import type { RunContext } from './context.ts'
import type { LiveArray } from './live-array.ts'
import type { InferredVerdict, Publisher } from './publisher.ts'

/** An array that the scheduler does not list for so long is gone. */
const ABSENT_AFTER_MS = 30_000
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
const PURGED: InferredVerdict = {
  verdict: 'lost',
  class: 'purged',
  rule: 'the directory of its array is gone from scratch; the job had started',
  evidence: 'absence',
}

/**
 * Looks at a site in its rhythm: record lines first, then the scheduler, whose word only says that nothing more will come; accounting then
 * explains what the record does not. Costs one pull and one status call an interval, and one question to accounting when tasks vanished.
 */
export class Watch {
  readonly #context: RunContext
  readonly #publisher: Publisher
  readonly #read: (array: LiveArray) => void
  #pulledAt = Number.NEGATIVE_INFINITY
  #watchedAt = Number.NEGATIVE_INFINITY
  /** Reason of waiting of the first task that waits, in the scheduler's own word. */
  waiting: string | null = null

  constructor(context: RunContext, publisher: Publisher, read: (array: LiveArray) => void) {
    this.#context = context
    this.#publisher = publisher
    this.#read = read
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
    const gone = await lenient(() => site.pull(open.map(({ id }) => id)))
    for (const array of open) {
      this.#read(array)
      if (!gone?.has(array.id)) continue
      for (const task of array.openTasks) array.markGone(task)
      this.#giveUp(array, () => PURGED)
    }
  }

  async #watch(open: readonly LiveArray[]): Promise<void> {
    const { clock, site } = this.#context
    this.#watchedAt = clock.ticks()
    const due = open.filter((array) => !array.over && array.nativeId !== undefined)
    if (due.length === 0) return
    const connector = await site.connector()
    const reports = await watchTasks(
      connector,
      new Map(due.map(({ nativeId, batches }) => [nativeId!, batches.length])),
    )
    if (!reports) return
    const waits = reports.find(({ state, reason }) => (state === 'queued' || state === 'held') && reason !== null)
    this.waiting = waits ? connector.waiting(waits.reason!).sentence : null
    // Read once more: the seal may have come between the last reading and the scheduler's answer.
    await this.#pull(due)
    const vanished: LiveArray[] = []
    for (const array of due) {
      if (array.over) continue
      const listed = reports.filter(({ id }) => id === array.nativeId)
      array.absentSinceMs = listed.length > 0 ? undefined : (array.absentSinceMs ?? clock.ticks())
      const absent = array.absentSinceMs !== undefined && clock.ticks() - array.absentSinceMs > ABSENT_AFTER_MS
      const states = new Map(listed.map(({ index, state }) => [index, state]))
      let isNew = false
      for (const task of array.openTasks) {
        const isEnded = states.get(task) === 'ended' || absent
        if (isEnded && array.endedFor(task, clock.ticks()) >= site.rhythm.graceMs) {
          array.markGone(task)
          isNew = true
        } else if (!isEnded && states.has(task)) array.isBack(task)
      }
      if (isNew) vanished.push(array)
    }
    if (vanished.length > 0) await this.#explain(vanished)
  }

  async #explain(arrays: readonly LiveArray[]): Promise<void> {
    const { site } = this.#context
    const ids = arrays.map(({ nativeId }) => nativeId!)
    const endings = (await endingsOf(await site.connector(), ids)) ?? []
    for (const array of arrays) {
      const own = new Map(endings.filter(({ id }) => id === array.nativeId).map((ending) => [ending.index, ending]))
      const blind = [...own.values()].find(({ exit }) => exit === NO_DIRECTORY)
      if (blind) {
        throw new FloeError(
          'STAGE_FAILED',
          `The node ${blind.node ?? 'of a task'} of ${site.name} does not see ${site.paths.arrays}.`,
          { hint: `Name a directory that login and compute nodes share as \`scratch:\` of ${site.name}.` },
        )
      }
      this.#giveUp(array, (task) => explained(own.get(task)))
    }
  }

  #giveUp(array: LiveArray, verdictOf: (task: number) => InferredVerdict): void {
    for (const lost of lostJobs(array)) this.#publisher.addInferred(array, lost, verdictOf(lost.task))
    array.forgetLost()
  }
}

function explained(ending: TaskEnding | undefined): InferredVerdict {
  if (!ending) return VANISHED
  const { rule, ...judged } = BY_CAUSE[ending.cause]
  const exit = ending.exit === null || ending.exit === 0 ? '' : `, exit ${ending.exit}`
  const signal = ending.signal === null || ending.signal === 0 ? '' : `, signal ${ending.signal}`
  return { ...judged, rule: `${rule} (${ending.word}${exit}${signal})`, evidence: 'accounting' }
}
