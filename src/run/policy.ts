import type { FailureClass } from '../model/verdict.ts'

/** What is done after a failure of one class. */
export interface RetryRule {
  /** Attempts that may end in this class before the job is given up. */
  readonly tries: number
  readonly memoryFactor: number
  readonly walltimeFactor: number
  /** What happens after the last. */
  readonly exhausted: 'give up' | 'hold'
}

export type RetryPolicy = Readonly<Record<FailureClass, RetryRule>>

const rule = (tries: number, more: Partial<RetryRule> = {}): RetryRule => ({
  tries,
  memoryFactor: 1,
  walltimeFactor: 1,
  exhausted: 'give up',
  ...more,
})

/** A program that fails is not run again by itself; what the infrastructure did is. */
export const DEFAULT_RETRIES: RetryPolicy = {
  app: rule(1),
  check: rule(1),
  memory: rule(3, { memoryFactor: 2 }),
  walltime: rule(2, { walltimeFactor: 2 }),
  node: rule(5),
  staging: rule(3),
  input: rule(1),
  launch: rule(1),
  preempted: rule(10),
  purged: rule(5),
  cancelled: rule(1),
  lost: rule(3),
}

/** What becomes of a job whose attempt ended in `failure`; `before` counts its earlier attempts that ended in the same class. */
export function decideNext(
  policy: RetryPolicy,
  failure: FailureClass | null,
  before: number,
): 'done' | 'retry' | 'hold' | 'give up' {
  if (failure === null) return 'done'
  const { tries, exhausted } = policy[failure]
  return failure !== 'cancelled' && before + 1 < tries ? 'retry' : exhausted
}
