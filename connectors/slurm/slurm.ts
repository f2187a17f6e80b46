import type { ArraySpec, NativeId, TaskReport } from '../connector.ts'
import type { Argv, Dialect } from '../dialect.ts'
import { inChunks, indicesBelow, type Ranges, readRanges, runsOf, unknownState, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { accounting, isWithoutAccounts, parseAccounting } from './accounting.ts'
import { limits, parseLimits } from './limits.ts'
import { valuesIn } from './options.ts'
import { NO_WISHES, type SlurmWishes } from './rights.ts'
import { rowsOf, textOf, WHOLE } from './rows.ts'
import { refusal, STATES, waiting } from './words.ts'

/**
 * Slurm 20.11 to 26.05, by text with columns of our own: its JSON changes with each release and `squeue --json` ignored `-j` until 24.05.
 * One array costs one submit; all arrays together one squeue. Job steps are never made, so the controller sees one job a task.
 */
export const slurm = (wishes: SlurmWishes = NO_WISHES): Dialect => ({
  name: 'slurm',
  clears: ['SLURM_', 'SBATCH_', 'SQUEUE_', 'SACCT_', 'SCANCEL_', 'SINFO_', 'SCONTROL_', 'SACCTMGR_'],
  keeps: ['SLURM_CONF', 'SLURM_CONF_SERVER'],
  // sbatch itself tries again for two minutes (1 + 2 + … + 15 s) when the controller is busy or full.
  facts: { arrayOfOne: false, submitMs: 180_000, idsMax: 200 },
  task: { id: '$SLURM_ARRAY_JOB_ID', index: '$SLURM_ARRAY_TASK_ID' },
  submit,
  idPattern: '^([0-9]+)(;[^ ]*)?$',
  find,
  parseFind,
  status,
  parseStatus,
  accounting,
  parseAccounting,
  cancel,
  avoid: (id, nodes, options) => [
    ...(['scontrol', 'update', `JobId=${id}`] as const),
    `ExcNodeList=${[...excludedBy(options), ...nodes].join(',')}`,
  ],
  isGone: (output) =>
    /Invalid job id specified|already completing or completed|Job has already finished/.test(textOf(output)),
  limits,
  parseLimits: (outputs) => parseLimits(outputs, wishes),
  refusal: (output) => refusal(textOf(output)),
  waiting,
})

function submit(array: ArraySpec): Argv {
  return [
    'sbatch',
    '--parsable',
    `--job-name=${array.name}`,
    `--array=0-${array.count - 1}`,
    // Exists on all nodes. In a directory that a node does not see Slurm starts in /tmp; the script finds its own way.
    '--chdir=/',
    '--output=/dev/null',
    '--error=/dev/null',
    // The login environment of the node, not that of whoever submitted.
    '--export=NONE',
    // After the loss of a node, or preemption, the same task runs again; the runner counts that as an attempt of its own.
    '--requeue',
    '--nodes=1',
    '--ntasks=1',
    `--cpus-per-task=${array.cpus}`,
    ...(array.memoryBytes === null ? [] : [`--mem=${Math.ceil(array.memoryBytes / 2 ** 20)}M`]),
    ...(array.walltimeSec === null ? [] : [`--time=${Math.ceil(array.walltimeSec / 60)}`]),
    // Not --gpus-per-node: that needs select/cons_tres.
    ...(array.gpus === 0 ? [] : [`--gres=gpu:${array.gpus}`]),
    ...(array.queue === null ? [] : [`--partition=${array.queue}`]),
    ...(array.account === null ? [] : [`--account=${array.account}`]),
    ...(array.options ?? []),
    // Said twice, the last one counts.
    ...(array.avoid?.length ? [`--exclude=${[...excludedBy(array.options), ...array.avoid].join(',')}`] : []),
  ]
}

/** Nodes that the site's own words leave out already. */
const excludedBy = (options: readonly string[] = []): string[] => valuesIn(options, 'exclude', 'x').filter(Boolean)

/**
 * What has ended. What sacct calls pending or running and squeue does not know is nowhere: of a job that a controller lost, when it was killed
 * a moment after it had answered, the accounts say PENDING for ever.
 */
const ENDED = 'BF,CA,CD,DL,F,NF,OOM,PR,TO'

/** squeue knows what waits, runs, or ended within MinJobAge; sacct what ended before. A task that ran has left its own trace. */
function find(name: string): readonly Argv[] {
  return [
    ['squeue', '--me', '-a', '-h', '-t', 'all', '-n', name, '-o', '%F|%j|.'],
    // Without an end the states are those at the start.
    [
      'sacct',
      ...'-X -n -p -S now-2days -E now'.split(' '),
      `--state=${ENDED}`,
      `--name=${name}`,
      '--format=JobID,JobName',
    ],
  ]
}

function parseFind(outputs: readonly Output[], name: string): readonly NativeId[] {
  const [queue, accounts] = outputs
  const rows = queue ? rowsOf('squeue', queue, 3) : []
  // Without accounts the queue alone has to do.
  if (accounts && !isWithoutAccounts(accounts)) rows.push(...rowsOf('sacct', accounts, 3))
  const ids = rows.filter(([, found]) => found === name).map(([id]) => id!.replace(/_.*/, ''))
  return [...new Set(ids)].sort((a, b) => Number(a) - Number(b))
}

/**
 * `--me`: one unknown id of several is no error then, and other users' jobs are not loaded. An id alone is given twice, for squeue takes
 * another way with one, on which an unknown id is an error.
 */
function status(ids: readonly NativeId[]): Argv {
  const list = ids.length === 1 ? [...ids, ...ids] : ids
  return [...WHOLE, 'squeue', '--me', '-a', '-h', '-t', 'all', '-j', list.join(','), '-o', '%F|%K|%T|%r|.']
}

function parseStatus(output: Output, arrays: ReadonlyMap<NativeId, number>): readonly TaskReport[] {
  if (output.exit !== 0 && /Invalid job id specified/.test(output.stderr)) return []
  const singles = new Map<NativeId, Map<number, TaskReport>>()
  const groups: { id: NativeId; count: number; ranges: Ranges; report: Omit<TaskReport, 'index'> }[] = []
  for (const [id = '', task = '', word = '', why = ''] of rowsOf('squeue', output, 5)) {
    const count = arrays.get(id)
    // Not an array, so another job that was given this id.
    if (count === undefined || task === 'N/A') continue
    const report = { id, ...stateOf(word, why) }
    if (/^\d+$/.test(task)) {
      if (!singles.has(id)) singles.set(id, new Map())
      if (Number(task) < count) singles.get(id)!.set(Number(task), { ...report, index: Number(task) })
      continue
    }
    const ranges = readRanges(task.replace(/%\d+$/, '').replace(/^\[|\]$/g, ''))
    if (!ranges) throw unreadable('squeue', 'a range of tasks that floe cannot read', task)
    groups.push({ id, count, ranges, report })
  }
  const reports = [...singles.values()].flatMap((tasks) => [...tasks.values()])
  for (const { id, count, ranges, report } of groups) {
    for (const index of indicesBelow(count, ranges)) {
      if (!singles.get(id)?.has(index)) reports.push({ ...report, index })
    }
  }
  return reports
}

function stateOf(word: string, why: string): Pick<TaskReport, 'state' | 'reason'> {
  const state = STATES[word]
  if (state === undefined) throw unknownState(word, 'Slurm', 'STATES in connectors/slurm/words.ts')
  // The reason of the last wait sticks to a task that runs or was cancelled.
  if (state === 'running' || state === 'ended') return { state, reason: state === 'ended' ? word : null }
  const isHeld = state === 'held' || /held|JobHold/i.test(why)
  return { state: isHeld ? 'held' : 'queued', reason: why === '' || why === 'None' ? null : why }
}

/** Some 200 ranges a command, for the line must not grow without bound. */
function cancel(id: NativeId, indices?: readonly number[]): readonly Argv[] {
  if (indices === undefined) return [['scancel', id]]
  return inChunks(runsOf(indices), 200).map((runs) => {
    const list = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    return ['scancel', `${id}_[${list.join(',')}]`]
  })
}
