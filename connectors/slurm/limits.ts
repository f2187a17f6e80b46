import type { Argv, QueueLimits, SiteLimits } from '../dialect.ts'
import { bytesOf, linesOf, numberOf, secondsOf, unanswered } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

/** floe leaves room for others in the table of all jobs of the cluster (MaxJobCount). */
const SHARE_OF_ALL_JOBS = 0.5

export function limits(): readonly Argv[] {
  return [
    ['scontrol', 'show', 'config'],
    // Exact: nodes of a partition that differ come in lines of their own.
    ['sinfo', '-h', '-e', '-o', '%P|%a|%l|%c|%m|.'],
    [
      'sh',
      '-c',
      `exec sacctmgr -nP show assoc where user="$(id -un)" format=Account,Partition,QOS,DefaultQOS,MaxSubmit,MaxJobs`,
    ],
    ['sacctmgr', '-nP', 'show', 'qos', 'format=Name,MaxSubmitPU,MaxSubmitPA,MaxJobsPU,MaxWall'],
  ]
}

export function parseLimits(outputs: readonly Output[]): SiteLimits {
  const [config = { exit: 127, stdout: '', stderr: '' }, nodes, associations, qualities] = outputs
  if (config.exit !== 0) throw unanswered('scontrol show config', config, refusal(config.stderr))
  const set = settingsOf(config.stdout)
  const number = (key: string): number | null => numberOf(set.get(key)?.split(' ')[0] ?? '')
  const arraySize = number('MaxArraySize') ?? 1001
  const arrayTasks = numberOf(/\bmax_array_tasks=(\d+)/.exec(set.get('SchedulerParameters') ?? '')?.[1] ?? '')
  const allJobs = number('MaxJobCount') ?? 10_000
  const hasAccounting = /slurmdbd/.test(set.get('AccountingStorageType') ?? '')
  const mine = hasAccounting ? rightsOf(associations, qualities) : NO_RIGHTS
  const share = Math.floor(allJobs * SHARE_OF_ALL_JOBS)
  return {
    version: `Slurm ${set.get('SLURM_VERSION') ?? 'of unknown version'}`,
    arrayMax: Math.max(1, Math.min(arraySize, arrayTasks ?? arraySize)),
    queuedMax: Math.min(share, mine.submitMax ?? share),
    queues: nodes?.exit === 0 ? queuesOf(nodes.stdout) : [],
    accounts: mine.accounts,
    forgetsAfterSec: number('MinJobAge'),
    hasAccounting,
    notes: [
      `The cluster holds ${allJobs} jobs of all users (MaxJobCount); floe keeps to ${share}.`,
      ...(arraySize > 1 ? [] : ['Arrays are switched off (MaxArraySize): floe cannot submit here.']),
      ...(hasAccounting ? [] : ['No accounts are kept: how a task ended is known from its records alone.']),
      ...(/rl_enable/.test(set.get('SlurmctldParameters') ?? '')
        ? ['The controller limits the rate of requests (rl_enable).']
        : []),
      ...mine.notes,
    ],
  }
}

function settingsOf(text: string): ReadonlyMap<string, string> {
  const pairs = linesOf(text).flatMap((line) => {
    const [, key, value] = /^(\w+)\s*=\s?(.*)$/.exec(line) ?? []
    return key === undefined ? [] : [[key, value!.trim()] as const]
  })
  return new Map(pairs)
}

/** `main*|up|infinite|16|4000|.`; cpus and memory with a plus are the least of several. The largest node counts. */
function queuesOf(text: string): readonly QueueLimits[] {
  const queues = new Map<string, QueueLimits>()
  for (const line of linesOf(text)) {
    const [partition = '', , walltime = '', cpus = '', memory = ''] = line.split('|')
    const name = partition.replace(/\*$/, '')
    const known = queues.get(name)
    const largest = (before: number | null | undefined, now: number | null): number | null =>
      before == null ? now : now === null ? before : Math.max(before, now)
    queues.set(name, {
      name,
      isDefault: partition.endsWith('*'),
      walltimeMaxSec: secondsOf(walltime),
      cpusMax: largest(known?.cpusMax, numberOf(cpus.replace('+', ''))),
      memoryMaxBytes: largest(known?.memoryMaxBytes, bytesOf(memory.replace('+', ''), 'M')),
      arrayMax: null,
      queuedMax: null,
    })
  }
  return [...queues.values()]
}

interface Rights {
  readonly accounts: readonly string[]
  readonly submitMax: number | null
  readonly notes: readonly string[]
}

const NO_RIGHTS: Rights = { accounts: [], submitMax: null, notes: [] }

/**
 * How many tasks may be submitted: the least of the association and its default QOS, for the account with the most room. Under a tighter
 * account the site refuses, and floe waits.
 */
function rightsOf(associations: Output | undefined, qualities: Output | undefined): Rights {
  if (associations?.exit !== 0) return NO_RIGHTS
  const qos = new Map(
    (qualities?.exit === 0 ? linesOf(qualities.stdout) : []).map((line) => {
      const [name = '', perUser = '', perAccount = ''] = line.split('|')
      return [name, leastOf([numberOf(perUser), numberOf(perAccount)])]
    }),
  )
  const rows = linesOf(associations.stdout).map((line) => {
    const [account = '', partition = '', all = '', usual = '', submit = '', jobs = ''] = line.split('|')
    const quality = usual || (all.includes(',') ? '' : all)
    return {
      account,
      partition,
      quality,
      jobs: numberOf(jobs),
      max: leastOf([numberOf(submit), qos.get(quality) ?? null]),
    }
  })
  const notes = rows
    .filter(({ max, jobs }) => max !== null || jobs !== null)
    .map(({ account, partition, quality, max, jobs }) => {
      const where = [`Account ${account}`, partition && `in queue ${partition}`, quality && `with QOS ${quality}`]
      const most = [max !== null && `${max} tasks submitted`, jobs !== null && `${jobs} running`]
      return `${where.filter(Boolean).join(' ')}: at most ${most.filter(Boolean).join(', ')}.`
    })
  const isOpen = rows.length === 0 || rows.some(({ max }) => max === null)
  const submitMax = isOpen ? null : Math.max(...rows.map(({ max }) => max!))
  return { accounts: [...new Set(rows.map(({ account }) => account))], submitMax, notes }
}

function leastOf(numbers: readonly (number | null)[]): number | null {
  const known = numbers.filter((number) => number !== null)
  return known.length === 0 ? null : Math.min(...known)
}
