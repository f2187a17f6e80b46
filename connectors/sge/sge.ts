import { type ArraySpec, ConnectorError, type NativeId, type TaskReport } from '../connector.ts'
import type { Argv, Dialect } from '../dialect.ts'
import { inChunks, indicesBelow, linesOf, readRanges, runsOf, unanswered, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { accounting, parseAccounting, recordsOf } from './accounting.ts'
import { limits, parseLimits } from './limits.ts'
import { refusal, stateOf, waiting } from './words.ts'

/** What each Grid Engine calls as it likes: keys of the site in sites.yaml. */
export interface SgeWords {
  /** `pe:` A parallel environment whose slots are all on one host, e.g. smp. Null: tasks of one cpu only. */
  readonly parallelEnvironment: string | null
  /** `memory:` The resource of a slot's memory. */
  readonly memory: string
  /** `gpu:` The resource of GPUs, counted for the task. */
  readonly gpus: string
}

/** These limit address space too, of which Node 20 reserves 0.7 GB at its start and 1.3 GB at work, whatever it uses: with less it aborts. */
const LIMITS_ADDRESSES = /^[hs]_vmem$/
const ADDRESS_BYTES = 1.5 * 2 ** 30

export const SGE_WORDS: SgeWords = { parallelEnvironment: null, memory: 'h_vmem', gpus: 'gpu' }

/**
 * Grid Engine 8 (Son of Grid Engine; Univa and Altair speak alike). One array costs one submit; a status call costs one qstat of all the
 * user's jobs, in which what waits is a range. Tasks vanish from it the moment they end.
 */
export const sge = (words: SgeWords = SGE_WORDS): Dialect => ({
  name: 'sge',
  clears: ['SGE_'],
  keeps: ['SGE_ROOT', 'SGE_CELL', 'SGE_CLUSTER_NAME', 'SGE_QMASTER_PORT', 'SGE_EXECD_PORT', 'SGE_ARCH'],
  facts: { arrayOfOne: false, submitMs: 60_000, idsMax: 50 },
  // Tasks are counted from 1.
  task: { id: '$JOB_ID', index: '$((SGE_TASK_ID - 1))' },
  submit: (array) => submit(array, words),
  idPattern: '^([0-9]+)(\\.[0-9]+-[0-9]+:[0-9]+)?$',
  find: (name) => [
    ['qstat', '-xml'],
    ['sh', '-c', 'exec qacct -o "$(id -un)" -j "$1"', 'qacct', name],
  ],
  parseFind,
  // qstat cannot be asked for some ids.
  status: () => ['qstat', '-xml'],
  parseStatus,
  accounting,
  parseAccounting,
  cancel,
  isGone,
  limits,
  parseLimits,
  refusal,
  waiting,
})

function submit(array: ArraySpec, words: SgeWords): Argv {
  if (array.cpus > 1 && words.parallelEnvironment === null) {
    throw new ConnectorError(
      'refused',
      `Tasks of ${array.cpus} cpus need a parallel environment, and the site names none.`,
      'Set `pe:` in sites.yaml to one whose slots are all on one host (`qconf -spl`, `qconf -sp NAME`: allocation_rule $pe_slots).',
    )
  }
  // Memory is counted for each slot.
  const room = LIMITS_ADDRESSES.test(words.memory) ? ADDRESS_BYTES : 0
  const memory = array.memoryBytes === null ? null : Math.ceil((array.memoryBytes + room) / array.cpus / 2 ** 20)
  return [
    'qsub',
    '-terse',
    ...['-N', array.name],
    ...['-t', `1-${array.count}`],
    // By default the shell of the queue, often csh.
    ...['-S', '/bin/sh'],
    // Exists on all nodes: where the home directory does not, a task would go into error.
    ...['-wd', '/'],
    ...['-j', 'y', '-o', '/dev/null'],
    // After the loss of a node the same task runs again; the runner counts that as an attempt of its own.
    ...['-r', 'y'],
    ...['-m', 'n'],
    ...(array.cpus > 1 ? ['-pe', words.parallelEnvironment!, String(array.cpus)] : []),
    ...(memory === null ? [] : ['-l', `${words.memory}=${memory}M`]),
    ...(array.walltimeSec === null ? [] : ['-l', `h_rt=${Math.ceil(array.walltimeSec)}`]),
    ...(array.gpus === 0 ? [] : ['-l', `${words.gpus}=${array.gpus}`]),
    ...(array.avoid?.length ? ['-l', `hostname=!(${array.avoid.flatMap(namesOf).join('|')})`] : []),
    ...(array.queue === null ? [] : ['-q', array.queue]),
    // Sites bill and share by project; -A is a mere remark in the accounts.
    ...(array.account === null ? [] : ['-P', array.account]),
    ...(array.options ?? []),
  ]
}

/** A host may be known by its whole name, or by the first part of it. */
const namesOf = (node: string): string[] => {
  const [first] = node.split('.')
  return [first!, `${first}.*`]
}

interface Listed {
  readonly id: NativeId
  readonly name: string
  readonly word: string
  /** `4`, `13-60:1`, `8,9`; empty for a job that is no array. */
  readonly tasks: string
}

function listed(output: Output): readonly Listed[] {
  if (output.exit !== 0) throw unanswered('qstat', output, refusal(output))
  if (!output.stdout.trimEnd().endsWith('</job_info>')) {
    throw unreadable('qstat', 'XML that was cut short, or none', output.stdout.slice(-120))
  }
  return [...output.stdout.matchAll(/<job_list\b[^>]*>([\s\S]*?)<\/job_list>/g)].map(([, job]) => {
    const text = (tag: string): string => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(job!)?.[1]?.trim() ?? ''
    return { id: text('JB_job_number'), name: text('JB_name'), word: text('state'), tasks: text('tasks') }
  })
}

function parseFind([queue, accounts]: readonly Output[], name: string): readonly NativeId[] {
  const now = queue ? listed(queue).filter((job) => job.name === name) : []
  const then = accounts ? recordsOf(accounts).filter((record) => record.get('jobname') === name) : []
  const ids = [...now.map(({ id }) => id), ...then.map((record) => record.get('jobnumber') ?? '')]
  return [...new Set(ids)].sort((a, b) => Number(a) - Number(b))
}

function parseStatus(output: Output, arrays: ReadonlyMap<NativeId, number>): readonly TaskReport[] {
  return listed(output).flatMap(({ id, word, tasks }) => {
    const count = arrays.get(id)
    // A job that is no array is another one, which was given this id.
    if (count === undefined || tasks === '') return []
    const ranges = readRanges(tasks)
    if (!ranges) throw unreadable('qstat', 'a range of tasks that floe cannot read', tasks)
    const state = stateOf(word)
    return [...indicesBelow(count + 1, ranges)].map((task) => ({ id, index: task - 1, ...state }))
  })
}

function cancel(id: NativeId, indices?: readonly number[]): readonly Argv[] {
  if (indices === undefined) return [['qdel', id]]
  const ranges = runsOf(indices).map(([first, last]) => `${id}.${first + 1}-${last + 1}`)
  return inChunks(ranges, 200).map((chunk) => ['qdel', ...chunk])
}

/** What there is nothing to do about is said on stdout, by some versions with exit 1. */
function isGone({ stdout, stderr }: Output): boolean {
  const lines = linesOf(`${stdout}\n${stderr}`)
  const gone = /does not exist|already in deletion|has (deleted|registered)/
  return lines.length > 0 && lines.every((line) => gone.test(line))
}
