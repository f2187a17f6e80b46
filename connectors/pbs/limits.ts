import type { Argv, QueueLimits, SiteLimits } from '../dialect.ts'
import { bytesOf, numberOf, secondsOf, unanswered, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

/** As text: in JSON several limits under one key are one. */
export function limits(): readonly Argv[] {
  return [
    ['qstat', '-Bf'],
    ['qstat', '-Qf'],
    ['id', '-un'],
  ]
}

export function parseLimits(outputs: readonly Output[]): SiteLimits {
  const [said, queuesSaid, me] = outputs
  const [server] = objectsOf('qstat -Bf', said)
  if (!server) throw unreadable('qstat -Bf', 'no server', said?.stdout ?? '')
  const user = me?.exit === 0 ? me.stdout.trim() : ''
  const isKept = server.one('job_history_enable') === 'True'
  const most = mostFor(server, user)
  const queues = objectsOf('qstat -Qf', queuesSaid)
  return {
    version: `PBS ${server.one('pbs_version') ?? 'of unknown version'}`,
    arrayMax: numberOf(server.one('max_array_size')) ?? 10_000,
    queuedMax: most,
    queues: queues.filter((queue) => queue.one('enabled') === 'True').map((queue) => limitsOf(queue, server, user)),
    accounts: [],
    // Two weeks unless the site says otherwise.
    forgetsAfterSec: isKept ? secondsOf(server.one('job_history_duration') ?? '336:00:00') : 0,
    hasAccounting: isKept,
    notes: [
      ...(isKept
        ? []
        : ['The server keeps no history (job_history_enable): how a task ended is known from its records alone.']),
      ...[...server.all('max_queued_res'), ...server.all('max_run'), ...server.all('max_run_res')].map(
        ([key, value]) => `The server limits ${key} = ${value}; floe waits when it refuses.`,
      ),
      ...queues
        .filter((queue) => queue.one('enabled') !== 'True' || queue.one('started') !== 'True')
        .map((queue) => `Queue ${queue.name} is closed, or does not start what it takes.`),
    ],
  }
}

function limitsOf(queue: Told, server: Told, user: string): QueueLimits {
  return {
    name: queue.name,
    isDefault: queue.name === server.one('default_queue'),
    walltimeMaxSec: secondsOf(queue.one('resources_max.walltime') ?? ''),
    cpusMax: numberOf(queue.one('resources_max.ncpus')),
    memoryMaxBytes: bytesOf(queue.one('resources_max.mem') ?? ''),
    arrayMax: numberOf(queue.one('max_array_size')),
    queuedMax: mostFor(queue, user),
  }
}

/** `[u:PBS_GENERIC=30]`, `[u:alice=25]`, `[o:PBS_ALL=200]`: a limit by name stands in place of the one for all users. Tasks are counted. */
function mostFor(told: Told, user: string): number | null {
  const all = told
    .all('max_queued')
    .map(([, value]) => value)
    .join()
  const of = (whom: string): number | null =>
    numberOf(
      all
        .split(/[[\],]+/)
        .find((one) => one.startsWith(`${whom}=`))
        ?.split('=')[1],
    )
  const mine = (user === '' ? null : of(`u:${user}`)) ?? of('u:PBS_GENERIC')
  const total = of('o:PBS_ALL')
  return mine === null || total === null ? (mine ?? total) : Math.min(mine, total)
}

interface Told {
  readonly name: string
  one(key: string): string | undefined
  /** Pairs under this key, or under keys below it (`max_run_res.mem`). */
  all(key: string): readonly (readonly [string, string])[]
}

function objectsOf(command: string, output: Output | undefined): readonly Told[] {
  if (output?.exit !== 0) {
    const said = output ?? { exit: 127, stdout: '', stderr: '' }
    throw unanswered(command, said, refusal(said))
  }
  const blocks = output.stdout
    .replace(/\n\t/g, '')
    .split(/^(?:Server|Queue): /m)
    .slice(1)
  return blocks.map((block) => {
    const [name = '', ...lines] = block.split('\n')
    const pairs = lines.flatMap((line) => {
      const [, key, value] = /^ {4}([\w.]+) = (.*)$/.exec(line) ?? []
      return key === undefined ? [] : [[key, value!.trim()] as const]
    })
    return {
      name: name.trim(),
      one: (key) => pairs.find(([found]) => found === key)?.[1],
      all: (key) => pairs.filter(([found]) => found === key || found.startsWith(`${key}.`)),
    }
  })
}
