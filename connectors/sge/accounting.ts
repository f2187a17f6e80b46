import type { NativeId } from '../connector.ts'
import type { Argv, TaskEnding } from '../dialect.ts'
import { bytesOf, linesOf, numberOf, secondsOf, unanswered, utcSecondsOf } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { FAILED, refusal } from './words.ts'

/**
 * qacct takes one id a call, and reads the whole accounting file for it: seconds to minutes on an old site. Only our own jobs are asked
 * for, since ids begin again after 99,999.
 */
export function accounting(ids: readonly NativeId[]): Argv {
  return ['sh', '-c', 'me=$(id -un); for id do qacct -o "$me" -j "$id" 2>&1; done; exit 0', 'qacct', ...ids]
}

export function parseAccounting(output: Output): readonly TaskEnding[] {
  const endings = new Map<string, TaskEnding>()
  // A task that ran twice has two records, in the order of their ends: the last one counts.
  for (const record of recordsOf(output)) {
    const task = numberOf(record.get('taskid')) ?? 1
    const ending = { id: record.get('jobnumber') ?? '', index: task - 1, ...endingOf(record) }
    endings.set(`${ending.id}.${ending.index}`, ending)
  }
  return [...endings.values()]
}

type Usage = ReadonlyMap<string, string>

/** Records of what is known; none where nothing is known, or no accounts are kept. */
export function recordsOf(output: Output): readonly Usage[] {
  const records: Map<string, string>[] = []
  for (const line of linesOf(output.stdout)) {
    if (line.startsWith('=====')) records.push(new Map())
    else {
      const [, key, value] = /^(\w+) +(.*?) *$/.exec(line) ?? []
      if (key !== undefined && !line.startsWith('error')) records.at(-1)?.set(key, value!)
    }
  }
  const all = `${output.stderr}\n${output.stdout}`
  const isUnknown = /not found|no jobs running since startup|No such file|unable to open/i.test(all)
  if (records.length === 0 && !isUnknown && (output.exit !== 0 || output.stdout.trim() !== '')) {
    throw unanswered('qacct', output, refusal(output))
  }
  // A sum of all may follow, under a line of its own.
  return records.filter((record) => record.has('jobnumber'))
}

function endingOf(record: Usage): Omit<TaskEnding, 'id' | 'index'> {
  const failed = /^\d+/.exec(record.get('failed') ?? '')?.[0] ?? '0'
  const status = Number(/^\d+/.exec(record.get('exit_status') ?? '')?.[0] ?? 0)
  const cause = causeOf(record, failed, status)
  // A signal is 128 and more; only where the system says that it ended the job is it surely one.
  const isSignal = failed !== '0' && status > 128
  return {
    word: `failed ${record.get('failed') ?? '0'}, exit_status ${status}`.replace(/ +/g, ' '),
    cause,
    exit: cause === 'launch' || isSignal ? null : status,
    signal: isSignal ? status - 128 : null,
    node: record.get('hostname') ?? null,
    startedAt: utcSecondsOf(record.get('start_time') ?? ''),
    endedAt: utcSecondsOf(record.get('end_time') ?? ''),
    // It is in kB; 8.1.9 prints it with a unit as if it were bytes (58.508KB of a task that had 20 GB).
    memoryMaxBytes: (bytesOf(record.get('ru_maxrss') ?? '') ?? 0) * 1024 || null,
  }
}

const XCPU = 152

function causeOf(record: Usage, failed: string, status: number): TaskEnding['cause'] {
  if (/^(?!NONE)\S+/.test(record.get('deleted_by') ?? '')) return 'cancelled'
  if (failed === '0') return status === 0 ? 'succeeded' : status === XCPU ? 'walltime' : 'failed'
  if (failed === '37') return ranOutOfTime(record) ? 'walltime' : 'memory'
  if (failed === '100' && (status === XCPU || (status > 128 && ranOutOfTime(record)))) return 'walltime'
  return FAILED[failed] ?? 'launch'
}

/** The record says only that some limit was enforced; what was asked for is in its category. */
function ranOutOfTime(record: Usage): boolean {
  const category = record.get('category') ?? ''
  const asked = secondsOf(/\bh_rt=([\d:]+)/.exec(category)?.[1] ?? '')
  const ran = Number.parseFloat(record.get('ru_wallclock') ?? '')
  if (asked !== null) return ran >= asked - 1
  return record.get('failed')?.startsWith('37') === true && !/\bh_vmem=/.test(category)
}
