import type { Argv, QueueLimits, SiteLimits } from '../dialect.ts'
import { linesOf, numberOf, secondsOf, unanswered } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

export function limits(): readonly Argv[] {
  return [
    ['qconf', '-sconf'],
    ['sh', '-c', 'qconf -help | head -n 1'],
    ['sh', '-c', 'for queue in $(qconf -sql); do qconf -sq "$queue"; done'],
    ['qconf', '-spl'],
  ]
}

export function parseLimits(outputs: readonly Output[]): SiteLimits {
  const [config = { exit: 127, stdout: '', stderr: '' }, help, queues, environments] = outputs
  if (config.exit !== 0) throw unanswered('qconf -sconf', config, refusal(config))
  const [set = new Map<string, string>()] = objectsOf(config.stdout, undefined)
  // 0 switches a limit off.
  const limit = (key: string): number | null => numberOf(set.get(key)) || null
  const [jobs, all] = [limit('max_u_jobs'), limit('max_jobs')]
  const instances = limit('max_aj_instances')
  const pes = environments?.exit === 0 ? linesOf(environments.stdout) : []
  const hasAccounting = !/\baccounting=false/.test(set.get('reporting_params') ?? '')
  return {
    version: (help?.exit === 0 && help.stdout.trim()) || 'Grid Engine of unknown version',
    arrayMax: limit('max_aj_tasks') ?? 75_000,
    queuedMax: null,
    arraysMax: jobs,
    queues: queues?.exit === 0 ? objectsOf(queues.stdout, 'qname').map(queueOf) : [],
    accounts: [],
    forgetsAfterSec: 0,
    hasAccounting,
    notes: [
      ...(jobs === null
        ? []
        : [`At most ${jobs} jobs of a user, an array being one (max_u_jobs); floe keeps below it.`]),
      ...(all === null ? [] : [`At most ${all} jobs of all users (max_jobs); floe waits when it refuses.`]),
      ...(instances === null ? [] : [`At most ${instances} tasks of one array run at once (max_aj_instances).`]),
      pes.length === 0
        ? 'There is no parallel environment: tasks have one cpu.'
        : `For tasks of several cpus set \`pe:\` to one of ${pes.join(', ')} whose slots are on one host.`,
      ...(hasAccounting ? [] : ['No accounts are kept: how a task ended is known from its records alone.']),
    ],
  }
}

/** `h_rt  24:00:00,[c1=12:00:00]`: what holds in general, then exceptions of hosts. */
function queueOf(queue: ReadonlyMap<string, string>): QueueLimits {
  const slots = [...(queue.get('slots') ?? '').matchAll(/(?:^|=)(\d+)/g)].map(([, count]) => Number(count))
  return {
    name: queue.get('qname') ?? '',
    isDefault: false,
    walltimeMaxSec: secondsOf((queue.get('h_rt') ?? '').split(',')[0]!),
    cpusMax: slots.length === 0 ? null : Math.max(...slots),
    memoryMaxBytes: null,
    arrayMax: null,
    queuedMax: null,
  }
}

/** Lines of a name and a value; a backslash at the end goes on in the next. Each line named `first` begins a new object. */
function objectsOf(text: string, first: string | undefined): readonly ReadonlyMap<string, string>[] {
  const objects: Map<string, string>[] = first === undefined ? [new Map()] : []
  for (const line of linesOf(text.replace(/\\\n\s*/g, ''))) {
    const [, key, value] = /^(\w+)\s+(.*?)\s*$/.exec(line) ?? []
    if (key === first && first !== undefined) objects.push(new Map())
    if (key !== undefined) objects.at(-1)?.set(key, value!)
  }
  return objects
}
