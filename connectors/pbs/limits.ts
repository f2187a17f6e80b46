import { leastOf } from '../connector.ts'
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
    ['id', '-gn'],
  ]
}

export function parseLimits(outputs: readonly Output[]): SiteLimits {
  const [said, queuesSaid, me, ours] = outputs
  const [server] = objectsOf('qstat -Bf', said)
  if (!server) throw unreadable('qstat -Bf', 'no server', said?.stdout ?? '')
  const whose: Whose = { user: wordOf(me), group: wordOf(ours) }
  const isKept = server.one('job_history_enable') === 'True'
  const most = submitMax(server, whose)
  const queues = objectsOf('qstat -Qf', queuesSaid)
  return {
    version: `PBS ${server.one('pbs_version') ?? 'of unknown version'}`,
    arrayMax: numberOf(server.one('max_array_size')) ?? 10_000,
    queuedMax: most,
    arraysMax: null,
    queues: queues.filter(isOpen).map((queue) => limitsOf(queue, server, { whose, queues })),
    accounts: [],
    // Two weeks unless the site says otherwise.
    forgetsAfterSec: isKept ? secondsOf(server.one('job_history_duration') ?? '336:00:00') : 0,
    hasAccounting: isKept,
    notes: [
      ...(isKept
        ? []
        : ['The server keeps no history (job_history_enable): how a task ended is known from its records alone.']),
      ...[server, ...queues].flatMap((told) => runNote(told, whose)),
      ...server
        .all('max_queued_res')
        .map(([key, value]) => `The server limits ${key} = ${value}; floe waits when it refuses.`),
      ...server
        .all('max_run_res')
        .map(([key, value]) => `The server limits ${key} = ${value}; what is beyond it waits.`),
      ...queues
        .filter((queue) => queue.one('enabled') !== 'True' || queue.one('started') !== 'True')
        .map((queue) => `Queue ${queue.name} is closed, or does not start what it takes.`),
    ],
  }
}

const wordOf = (output: Output | undefined): string => (output?.exit === 0 ? output.stdout.trim() : '')

/** Of all at once the least; 0 may be a limit. */
function runNote(told: Told, whose: Whose): string[] {
  const most = leastFor(told, ['max_run', 'max_user_run', 'max_running'], whose)
  if (most === null) return []
  const where = told.isServer ? 'at the site' : `in queue ${told.name}`
  return [`At most ${most} tasks of yours run at once ${where} (max_run).`]
}

/** Queues that take jobs from a route alone are not for people. */
const isOpen = (queue: Told): boolean => queue.one('enabled') === 'True' && queue.one('from_route_only') !== 'True'

interface Around {
  readonly whose: Whose
  readonly queues: readonly Told[]
}

/** What a queue leaves open the server says for it. A route takes what one of its destinations takes, and keeps back what is too many for them. */
function limitsOf(queue: Told, server: Told, { whose, queues }: Around): QueueLimits {
  const most = (resource: string): string | undefined =>
    queue.one(`resources_max.${resource}`) ?? server.one(`resources_max.${resource}`)
  const own: QueueLimits = {
    name: queue.name,
    isDefault: queue.name === server.one('default_queue'),
    walltimeMaxSec: secondsOf(most('walltime') ?? ''),
    cpusMax: numberOf(most('ncpus')),
    memoryMaxBytes: bytesOf(most('mem') ?? ''),
    arrayMax: numberOf(queue.one('max_array_size')),
    queuedMax: submitMax(queue, whose),
  }
  const others = queues.filter((other) => other !== queue)
  const names = queue.one('queue_type') === 'Route' ? (queue.one('route_destinations') ?? '').split(',') : []
  const ends = names.map((name) => others.find((other) => other.name === name.trim()))
  if (ends.length === 0 || ends.includes(undefined)) return own
  const behind = ends.map((end) => limitsOf(end!, server, { whose, queues: others }))
  const within = (key: 'walltimeMaxSec' | 'cpusMax' | 'memoryMaxBytes' | 'arrayMax'): number | null => {
    const theirs = behind.map((end) => end[key])
    return leastOf([own[key], theirs.includes(null) ? null : Math.max(...theirs.map(Number))])
  }
  return {
    ...own,
    ...{ walltimeMaxSec: within('walltimeMaxSec'), cpusMax: within('cpusMax') },
    ...{ memoryMaxBytes: within('memoryMaxBytes'), arrayMax: within('arrayMax') },
  }
}

interface Whose {
  readonly user: string
  readonly group: string
}

/** Tasks that a user may have there, running ones too, and those that may wait (queued_jobs_threshold). */
const submitMax = (told: Told, whose: Whose): number | null =>
  leastFor(told, ['max_queued', 'queued_jobs_threshold', 'max_queuable'], whose)

/**
 * `[u:PBS_GENERIC=30]`, `[u:alice=25]`, `[g:ice=50]`, `[o:PBS_ALL=200]`, or in the older form a number: the least of what holds for the
 * user, the group and all. A limit by name stands in place of the one for every user, or every group. Tasks are counted.
 */
function leastFor(told: Told, keys: readonly string[], { user, group }: Whose): number | null {
  const known = keys.flatMap((key) => {
    const values = told.all(key).filter(([found]) => found === key)
    const words = values.flatMap(([, value]) => value.split(/[[\],\s]+/))
    const of = (whom: string): number | null =>
      numberOf(words.find((word) => word.startsWith(`${whom}=`))?.split('=')[1])
    return [
      (user === '' ? null : of(`u:${user}`)) ?? of('u:PBS_GENERIC'),
      (group === '' ? null : of(`g:${group}`)) ?? of('g:PBS_GENERIC'),
      of('o:PBS_ALL'),
      ...words.map(numberOf),
    ].filter((most) => most !== null)
  })
  return known.length === 0 ? null : Math.min(...known)
}

interface Told {
  readonly name: string
  readonly isServer: boolean
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
      isServer: command === 'qstat -Bf',
      one: (key) => pairs.find(([found]) => found === key)?.[1],
      all: (key) => pairs.filter(([found]) => found === key || found.startsWith(`${key}.`)),
    }
  })
}
