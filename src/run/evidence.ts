import type { TaskEnding } from '../dispatch/dispatch.ts'
import type { JobEnded } from '../model/record.ts'
import type { FailureClass, TaskState, Verdict } from '../model/verdict.ts'

/** Who may say something of a try, the most trusted first. */
export const TRUST = ['record', 'accounting', 'queue', 'heartbeat', 'absence'] as const
export type Source = (typeof TRUST)[number]

/** Something that is known of one try of a job. */
export type Fact =
  /** A whole `job ended` line. */
  | { readonly source: 'record'; readonly line: Pick<JobEnded, 'verdict' | 'class' | 'rule'> }
  /** How its task ended, by the scheduler's books. */
  | { readonly source: 'accounting'; readonly ending: Pick<TaskEnding, 'cause' | 'word' | 'exit' | 'signal'> }
  /** What is listed of its task now; `recalled`: taken back on request, before it began. */
  | { readonly source: 'queue'; readonly state: TaskState | 'recalled' }
  /** Its task wrote to the record. */
  | { readonly source: 'heartbeat' }
  /** Nothing was heard for longer than the deadline, or the directory of its array is gone. */
  | { readonly source: 'absence'; readonly why: 'vanished' | 'purged' }

export interface Judgement {
  readonly verdict: Verdict
  readonly class: FailureClass | null
  readonly rule: string
  readonly evidence: Source
}

/**
 * The one place where facts become a verdict. The most trusted fact that says how the job ended decides, whatever the others say and in
 * whatever order they came; a task that is listed or writes is not absent. Undefined: nothing says it yet. Only a record line says succeeded:
 * it is written when the outputs are published.
 */
export function judge(facts: readonly Fact[]): Judgement | undefined {
  for (const source of TRUST) {
    // Of several facts of one source the same one is taken whatever their order.
    const said = facts.filter((fact) => fact.source === source).map(sayingOf)
    const judged = said.flatMap((one) => (typeof one === 'object' ? [one] : [])).sort(byText)[0]
    if (judged) return { ...judged, evidence: source }
    if (said.includes('alive')) return undefined
  }
  return undefined
}

type Said = Omit<Judgement, 'evidence'>

const byText = (a: Said, b: Said): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

function sayingOf(fact: Fact): Said | 'alive' | 'nothing' {
  switch (fact.source) {
    case 'record':
      return { verdict: fact.line.verdict, class: fact.line.class, rule: fact.line.rule }
    case 'accounting':
      return explained(fact.ending)
    case 'queue':
      if (fact.state === 'recalled') return RECALLED
      // Of a task that has ended its record may still be on the way.
      return fact.state === 'ended' ? 'nothing' : 'alive'
    case 'heartbeat':
      return 'alive'
    case 'absence':
      return fact.why === 'purged' ? PURGED : VANISHED
  }
}

/** What accounting says of a task that ended without sealing its record, as the verdict of the jobs that it ran. */
const BY_CAUSE: Readonly<Record<TaskEnding['cause'], Said>> = {
  memory: { verdict: 'failed', class: 'memory', rule: 'the scheduler ended its task for its memory' },
  walltime: { verdict: 'failed', class: 'walltime', rule: 'the scheduler ended its task at its walltime' },
  node: { verdict: 'lost', class: 'node', rule: 'its node failed' },
  preempted: { verdict: 'lost', class: 'preempted', rule: 'the scheduler took the node for other work' },
  cancelled: { verdict: 'cancelled', class: 'cancelled', rule: 'its task was cancelled at the scheduler' },
  launch: { verdict: 'lost', class: 'lost', rule: 'the scheduler could not start its task' },
  failed: { verdict: 'lost', class: 'lost', rule: 'its task ended without sealing its record; the job had started' },
  succeeded: { verdict: 'lost', class: 'lost', rule: 'its task ended without sealing its record; the job had started' },
}
const FULL: Said = { verdict: 'lost', class: 'node', rule: 'its task could not write to the scratch any more' }
const VANISHED: Said = {
  verdict: 'lost',
  class: 'lost',
  rule: 'its task vanished without sealing its record; the job had started',
}
const RECALLED: Said = {
  verdict: 'cancelled',
  class: 'cancelled',
  rule: 'cancelled on request, before its task began',
}
const PURGED: Said = {
  verdict: 'lost',
  class: 'purged',
  rule: 'the directory of its array is gone from scratch; the job had started',
}

/** Exit of a task whose job script, or whose runner, could not write to the scratch. */
const NO_OWNER = 73
export const couldNotWrite = ({ exit }: Pick<TaskEnding, 'exit'>): boolean => exit === NO_OWNER

function explained(ending: Pick<TaskEnding, 'cause' | 'word' | 'exit' | 'signal'>): Said {
  const { rule, ...judged } = couldNotWrite(ending) ? FULL : BY_CAUSE[ending.cause]
  const exit = ending.exit === null || ending.exit === 0 ? '' : `, exit ${ending.exit}`
  const signal = ending.signal === null || ending.signal === 0 ? '' : `, signal ${ending.signal}`
  return { ...judged, rule: `${rule} (${ending.word}${exit}${signal})` }
}
