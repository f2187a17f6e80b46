import { type ArraySpec, ConnectorError, type NativeId, type SiteLimits, type TaskReport } from '../connector.ts'
import type { Argv, Dialect, Refusal } from '../dialect.ts'
import {
  inChunks,
  indicesBelow,
  linesOf,
  numberOf,
  readRanges,
  runsOf,
  unanswered,
  unreadable,
} from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { OTHER_MACHINE, OTHER_MACHINE_HINT, waitingHere } from './local.ts'
import type { VERBS } from './verbs.ts'

export interface LocalDialectOptions {
  /** argv of the bundled local scheduler on that machine: a Node and the file. */
  readonly program: readonly string[]
  /** Directory of its queue there. */
  readonly directory: string
  /** Cores that tasks may use at a time; null: all. */
  readonly slots: number | null
}

/**
 * A machine without a scheduler: floe's own runs there (main.ts), started by whichever command finds work and none alive, detached from the
 * connection. What is submitted again under a name is the array that is there. Costs a process of Node a command.
 */
export function localDialect({ program, directory, slots }: LocalDialectOptions): Dialect {
  const call = (verb: keyof typeof VERBS, ...words: readonly string[]): Argv => [
    program[0]!,
    ...[...program.slice(1), verb, directory, String(slots ?? 0), ...words],
  ]
  return {
    name: 'local',
    // A floe that runs in a task of another one.
    clears: ['FLOE_'],
    // Tasks run in the environment of who submits, locale and time zone included.
    keeps: ['LC_ALL', 'TZ'],
    facts: { arrayOfOne: false, submitMs: 60_000, idsMax: 100 },
    task: { id: '$FLOE_LOCAL_ID', index: '$FLOE_LOCAL_INDEX' },
    submit: (array: ArraySpec) => call('submit', array.name, array.directory, String(array.count), String(array.cpus)),
    idPattern: '^(local-[0-9a-f]{24})$',
    find: (name) => [call('find', name)],
    parseFind: ([output]) => (output ? linesOf(answered('find', output)) : []),
    status: (ids) => call('status', ...ids),
    parseStatus,
    cancel: (id, indices) =>
      indices === undefined
        ? [call('cancel', id)]
        : inChunks(runsOf(indices), 1000).map((runs) =>
            call('cancel', id, runs.map(([first, last]) => `${first}-${last}`).join(',')),
          ),
    isGone: () => false,
    limits: () => [call('limits')],
    parseLimits: ([output]) => limitsOf(answered('limits', output!)),
    refusal,
    waiting: waitingHere,
  }
}

function answered(verb: string, output: Output): string {
  if (output.exit !== 0) throw unanswered(`floe's scheduler (${verb})`, output, refusal(output))
  return output.stdout
}

/** `local-… 0-11 queued "reason"`, the reason as JSON. */
function parseStatus(output: Output, arrays: ReadonlyMap<NativeId, number>): readonly TaskReport[] {
  return linesOf(answered('status', output)).flatMap((line) => {
    const [, id = '', indices = '', state = '', reason = ''] =
      /^(\S+) (\S+) (queued|running|ended) (.+)$/.exec(line) ?? []
    const ranges = readRanges(indices)
    const count = arrays.get(id)
    if (!ranges || count === undefined) throw unreadable("floe's scheduler", 'a line that is no state of tasks', line)
    return [...indicesBelow(count, ranges)].map((index) => ({
      ...{ id, index, state: state as TaskReport['state'], reason: JSON.parse(reason) as string | null },
    }))
  })
}

function limitsOf(text: string): SiteLimits {
  const [, version = '', cores, bytes] = /^(\S+) (\d+) (\d+)$/.exec(text.trim()) ?? []
  const [cpusMax, memoryMaxBytes] = [numberOf(cores), numberOf(bytes)]
  if (cpusMax === null)
    throw new ConnectorError(
      'unreadable',
      `floe's scheduler printed ${JSON.stringify(text.slice(0, 120))}`,
      'Run again.',
    )
  const any = { isDefault: true, walltimeMaxSec: null, arrayMax: null, queuedMax: null }
  return {
    version: `floe's own scheduler, Node ${version}`,
    ...{
      arrayMax: 100_000,
      queuedMax: null,
      arraysMax: null,
      accounts: [],
      hasAccounting: false,
      forgetsAfterSec: null,
    },
    queues: [{ ...any, name: 'local', cpusMax, memoryMaxBytes }],
    notes: [
      'Tasks run one after another as cores are free: memory and GPUs of several tasks are not counted together.',
      'Tasks go on when you log out, unless the machine ends the processes of who does (KillUserProcesses of logind): then `loginctl enable-linger` once.',
    ],
  }
}

function refusal({ stdout, stderr }: Output): Refusal {
  const said = `${stderr}\n${stdout}`
  if (said.includes(OTHER_MACHINE)) return { answer: 'needs you', hint: OTHER_MACHINE_HINT }
  if (/ENOSPC|EDQUOT|no space left/i.test(said))
    return { answer: 'needs you', hint: 'Free some space in the scratch directory there.' }
  if (/EAGAIN|ENOMEM|EMFILE|ENFILE|Cannot allocate/i.test(said)) {
    return { answer: 'again', hint: 'The machine has no room for another process now; floe asks again.' }
  }
  return {
    answer: 'needs you',
    hint: 'The scratch directory there has to be writable for you, and Node has to run: `floe doctor` looks.',
  }
}
