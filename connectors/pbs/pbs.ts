import type { ArraySpec, NativeId, TaskReport } from '../connector.ts'
import type { Argv, Dialect } from '../dialect.ts'
import { clock, linesOf, runsOf, unanswered, unknownState, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { accounting, parseAccounting } from './accounting.ts'
import { type Attributes, answerOf, taskOf } from './jobs.ts'
import { limits, parseLimits } from './limits.ts'
import { refusal, STATES, waiting } from './words.ts'

/**
 * OpenPBS and PBS Pro, with job history and without. Not Torque: there `-J` and `-x` mean something else. One array costs one submit; a
 * status call costs the server about a kilobyte for each task of an array that is not over.
 */
export const pbs: Dialect = {
  name: 'pbs',
  clears: ['PBS_', 'QSTAT_', 'QSUB_'],
  keeps: ['PBS_CONF_FILE', 'PBS_SERVER', 'PBS_EXEC', 'PBS_HOME', 'PBS_PRIMARY', 'PBS_SECONDARY'],
  // `qsub -J` refuses a range of one.
  facts: { arrayOfOne: true, submitMs: 60_000, idsMax: 100 },
  task: { id: '${PBS_ARRAY_ID:-$PBS_JOBID}', index: '${PBS_ARRAY_INDEX:-0}' },
  submit,
  idPattern: '^([0-9]+(\\[\\])?\\.[A-Za-z0-9._-]+)$',
  find: (name) => [
    ['qselect', '-N', name],
    ['qselect', '-x', '-N', name],
  ],
  parseFind,
  status: (ids) => ['qstat', '-t', '-f', ...ids],
  parseStatus,
  accounting,
  parseAccounting,
  cancel,
  isGone,
  limits,
  parseLimits,
  refusal,
  waiting,
}

function submit(array: ArraySpec): Argv {
  const memory = array.memoryBytes === null ? '' : `:mem=${Math.ceil(array.memoryBytes / 2 ** 20)}mb`
  const gpus = array.gpus === 0 ? '' : `:ngpus=${array.gpus}`
  return [
    'qsub',
    // Whole: names may have 230 characters.
    ...['-N', array.name],
    ...(array.count === 1 ? [] : ['-J', `0-${array.count - 1}`]),
    // Not the login shell of the user, which may be csh; it starts as a login shell all the same.
    ...['-S', '/bin/sh'],
    // Without a host it is a file of the host of qsub, and would be carried there after each task.
    ...['-j', 'oe', '-o', 'localhost:/dev/null'],
    // By default there is a mail for each task that is aborted.
    ...['-m', 'n'],
    ...['-l', `select=1:ncpus=${array.cpus}${memory}${gpus}`],
    ...(array.walltimeSec === null ? [] : ['-l', `walltime=${clock(array.walltimeSec)}`]),
    ...(array.queue === null ? [] : ['-q', array.queue]),
    ...(array.account === null ? [] : ['-A', array.account]),
    ...(array.options ?? []),
  ]
}

/** The second question is of ended jobs; a server without history answers that it has none. */
function parseFind(outputs: readonly Output[]): readonly NativeId[] {
  const ids = outputs.flatMap((output) => {
    if (/not configured to maintain job history/.test(output.stderr)) return []
    if (output.exit !== 0) throw unanswered('qselect', output, refusal(output))
    return linesOf(output.stdout).map((line) => {
      if (!/^\d+(\[\])?\.\S+$/.test(line)) throw unreadable('qselect', 'a line that is no id of a job', line)
      return line
    })
  })
  return [...new Set(ids)].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
}

/** Without -x: of an array that is over, the server says so, history or not. */
function parseStatus(output: Output, arrays: ReadonlyMap<NativeId, number>): readonly TaskReport[] {
  const { jobs, finished } = answerOf(output, arrays.keys())
  const reports: TaskReport[] = finished.flatMap((id) =>
    Array.from({ length: arrays.get(id) ?? 0 }, (_, index) => ({ id, index, state: 'ended' as const, reason: null })),
  )
  for (const [key, job] of jobs) {
    const task = taskOf(key)
    if (!task || task.index >= (arrays.get(task.id) ?? 0)) continue
    reports.push({ ...task, ...stateOf(job, jobs.get(task.id)) })
  }
  return reports
}

/** Substate of a job that its node has not taken yet. A server that is killed in that moment leaves it so for ever. */
const SENT = '41'

function stateOf(job: Attributes, array: Attributes | undefined): Pick<TaskReport, 'state' | 'reason'> {
  const word = job.get('job_state') ?? ''
  const state = STATES[word]
  if (state === undefined) throw unknownState(word, 'PBS', 'STATES in connectors/pbs/words.ts')
  if (word === 'R' && job.get('substate') === SENT)
    return { state: 'queued', reason: `Sent to ${job.get('exec_host') ?? 'a node'}` }
  if (state === 'running') return { state, reason: null }
  // Tasks of an array that is held as a whole say Q.
  if (state === 'held' || (word === 'Q' && array?.get('job_state') === 'H'))
    return { state: 'held', reason: heldBy(job) }
  const comment = job.get('comment') ?? null
  // A task that waits has the comment of its array, of another task, of its last run, or of a hold that is over.
  const isOld =
    state !== 'ended' && /^(Job (Array Began|Array Held|held|run|was sent)|Subjob finished)/i.test(comment ?? '')
  return { state, reason: isOld ? null : comment }
}

/** Of a job that was held from the start there is no comment; of one that was held later it may be that of its last run. */
function heldBy(job: Attributes): string | null {
  const comment = job.get('comment')
  if (/\bheld\b/i.test(comment ?? '')) return comment!
  const types = job.get('Hold_Types')
  return types === undefined ? (comment ?? null) : `Hold_Types = ${types}`
}

/**
 * `3[0-2].host` is a range of an array; lists in brackets are refused. A command for each range: of three and more parts of one array qdel
 * deletes the first two and exits with 0 (seen at cd7ab5e).
 */
function cancel(id: NativeId, indices?: readonly number[]): readonly Argv[] {
  if (indices?.length === 0) return []
  if (indices === undefined || !id.includes('[]')) return [['qdel', id]]
  return runsOf(indices).map(([first, last]) => [
    'qdel',
    id.replace('[]', first === last ? `[${first}]` : `[${first}-${last}]`),
  ])
}

function isGone({ stderr }: Output): boolean {
  const gone =
    /Unknown Job Id|Job has finished|finished array subjob|Request invalid for state of job|Delete already in progress/
  const lines = linesOf(stderr)
  return lines.length > 0 && lines.every((line) => gone.test(line))
}
