import type { Seal } from '../dispatch/dispatch.ts'
import { encodeRecord } from '../model/record.ts'
import type { LiveArray } from './live-array.ts'

/** Records that end tasks, as the attempt of each that would come next: who finds one begins nothing. */
export function sealsOf(
  array: LiveArray,
  tasks: readonly number[],
  { nowMs, message }: { nowMs: number; message: string },
): Seal[] {
  const at = Math.round(nowMs * 1000)
  const line = encodeRecord({ v: 1, at, event: 'task ended', reason: 'drained', message, jobs: 0 })
  return tasks.map((task) => ({ task, attempt: array.nextAttempt(task), line }))
}
