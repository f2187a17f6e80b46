import type { NativeId } from '../connector.ts'
import type { Argv, TaskEnding } from '../dialect.ts'
import { bytesOf, numberOf, unknownState, utcSecondsOf } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { type Attributes, answerOf, taskOf } from './jobs.ts'
import { CAUSES, STATES } from './words.ts'

/** Where the server keeps history; without it the answer is empty. The accounting files themselves are root's. */
export function accounting(ids: readonly NativeId[]): Argv {
  return ['qstat', '-x', '-t', '-f', ...ids]
}

export function parseAccounting(output: Output): readonly TaskEnding[] {
  const { jobs } = answerOf(output)
  return [...jobs].flatMap(([key, job]) => {
    const task = taskOf(key)
    if (!task || STATES[job.get('job_state') ?? ''] !== 'ended') return []
    const isOfArray = key !== task.id
    // A task that never ran is a copy of its array, whose Exit_status says nothing of it.
    const hasRun = !isOfArray || job.has('array_index')
    const wasDeleted = (hasRun ? job : jobs.get(task.id))?.get('substate') === DELETED
    if (!hasRun && !wasDeleted) return []
    return [{ ...task, ...endingOf(hasRun ? job : NOTHING, wasDeleted) }]
  })
}

/** Substate of jobs that somebody deleted, whatever they ended with. */
const DELETED = '91'
const NOTHING: Attributes = new Map()

function endingOf(job: Attributes, wasDeleted: boolean): Omit<TaskEnding, 'id' | 'index'> {
  const status = job.get('Exit_status')
  const code = status === undefined ? null : Number(status)
  return {
    word: status === undefined ? 'no Exit_status' : `Exit_status ${status}`,
    cause: wasDeleted ? 'cancelled' : causeOf(code),
    exit: code !== null && code >= 0 && code < 256 ? code : null,
    // 256 and more: killed from outside. A signal inside the script is 128 and more, as any shell says it.
    signal: code !== null && code >= 256 ? code - 256 : null,
    node: /^[^/+]+/.exec(job.get('exec_host') ?? '')?.[0] ?? null,
    startedAt: utcSecondsOf(job.get('stime') ?? ''),
    endedAt: utcSecondsOf(job.get('obittime') ?? '') ?? numberOf(job.get('history_timestamp')),
    memoryMaxBytes: bytesOf(job.get('resources_used.mem') ?? '') || null,
  }
}

function causeOf(code: number | null): TaskEnding['cause'] {
  // Dropped before it ran.
  if (code === null) return 'cancelled'
  if (code >= 0) return code === 0 ? 'succeeded' : 'failed'
  const cause = CAUSES[String(code)]
  if (cause === undefined) throw unknownState(`Exit_status ${code}`, 'PBS', 'CAUSES in connectors/pbs/words.ts')
  return cause
}
