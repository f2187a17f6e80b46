import type { RetrySetting } from '../config/config.ts'
import type { FailureClass } from '../model/verdict.ts'

export type RetryPolicy = Readonly<Record<FailureClass, RetrySetting>>

/** What becomes of a job whose attempt ended in `failure`; `before` counts its earlier attempts that ended in the same class. */
export function decideNext(
  policy: RetryPolicy,
  failure: FailureClass | null,
  before: number,
): 'done' | 'retry' | 'hold' | 'give up' {
  if (failure === null) return 'done'
  const { tries, exhausted } = policy[failure]
  return before + 1 < tries ? 'retry' : exhausted
}
