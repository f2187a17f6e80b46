import { leastOf } from '../connector.ts'
import type { Argv, QueueLimits, SiteLimits } from '../dialect.ts'
import { bytesOf, linesOf, numberOf, secondsOf, unanswered } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { NO_RIGHTS, qualitiesOf, rightsOf, type SlurmWishes } from './rights.ts'
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
      `exec sacctmgr -nP show assoc where user="$(id -un)" format=Account,Partition,QOS,DefaultQOS,MaxSubmit,MaxJobs,GrpSubmit,Cluster`,
    ],
    ['sacctmgr', '-nP', 'show', 'qos', 'format=Name,MaxSubmitPU,MaxSubmitPA,MaxJobsPU,MaxWall,GrpSubmit'],
    // Group limits of accounts are not inherited in what is shown of a user. Rows without a user are those of accounts.
    ['sh', '-c', `sacctmgr -nP show assoc format=Account,User,ParentName,GrpSubmit,Cluster | sed -n '/^[^|]*||/p'`],
    ['scontrol', '-o', 'show', 'partition'],
  ]
}

export function parseLimits(outputs: readonly Output[], wishes: SlurmWishes): SiteLimits {
  const [config = { exit: 127, stdout: '', stderr: '' }, nodes, associations, qualities, groups, partitions] = outputs
  if (config.exit !== 0) throw unanswered('scontrol show config', config, refusal(config.stderr))
  const set = settingsOf(config.stdout)
  const number = (key: string): number | null => numberOf(set.get(key)?.split(' ')[0] ?? '')
  const arraySize = number('MaxArraySize') ?? 1001
  const arrayTasks = numberOf(/\bmax_array_tasks=(\d+)/.exec(set.get('SchedulerParameters') ?? '')?.[1] ?? '')
  const allJobs = number('MaxJobCount') ?? 10_000
  const hasAccounting = /slurmdbd/.test(set.get('AccountingStorageType') ?? '')
  const qos = hasAccounting ? qualitiesOf(qualities) : new Map<string, number | null>()
  const cluster = set.get('ClusterName') ?? ''
  const submitMax = submitMaxOf(partitions, qos)
  const queues = nodes?.exit === 0 ? queuesOf(nodes.stdout, submitMax) : []
  const usual = queues.filter(({ isDefault }) => isDefault).map(({ name }) => name)
  const wished = { ...wishes, queues: wishes.queues.length > 0 ? wishes.queues : usual }
  const mine = hasAccounting ? rightsOf({ associations, groups, qos, cluster }, wished) : NO_RIGHTS
  const share = Math.floor(allJobs * SHARE_OF_ALL_JOBS)
  return {
    version: `Slurm ${set.get('SLURM_VERSION') ?? 'of unknown version'}`,
    arrayMax: Math.max(1, Math.min(arraySize, arrayTasks ?? arraySize)),
    queuedMax: leastOf([share, mine.submitMax, ...wished.queues.map((name) => submitMax.get(name) ?? null)])!,
    arraysMax: null,
    queues,
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
function queuesOf(text: string, submitMax: ReadonlyMap<string, number | null>): readonly QueueLimits[] {
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
      queuedMax: submitMax.get(name) ?? null,
    })
  }
  return [...queues.values()]
}

/** A partition may have a QOS of its own, which holds for all its jobs: `PartitionName=main … QoS=N/A …`. */
function submitMaxOf(
  partitions: Output | undefined,
  qos: ReadonlyMap<string, number | null>,
): ReadonlyMap<string, number | null> {
  const lines = partitions?.exit === 0 ? linesOf(partitions.stdout) : []
  const word = (line: string, key: string): string => new RegExp(`(?:^| )${key}=(\\S+)`).exec(line)?.[1] ?? ''
  return new Map(lines.map((line) => [word(line, 'PartitionName'), qos.get(word(line, 'QoS')) ?? null]))
}
