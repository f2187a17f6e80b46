import type { NativeId } from '../connector.ts'
import { linesOf, unanswered, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

/*
 * What `qstat -f` says of jobs. Its JSON is no JSON where a value holds a backslash, a control character, or looks like a number (NaN, 1e999):
 * the last release writes it by hand. Then only lines are trusted, by their indentation, and only attributes that floe asks for. Servers
 * before 14 have no JSON; their text folds long values into lines that begin with a tab.
 */

/** By name; of a group the name is `resources_used.mem`. All values as text, for the JSON of newer servers turns "007" into 7. */
export type Attributes = ReadonlyMap<string, string>

/** sh text that asks for JSON, and for text where qstat knows no -F (exit 2, a usage error). The ids come as its arguments. */
export function qstatOf(options: string): string {
  return `qstat ${options} -F json "$@"; code=$?; [ $code = 2 ] || exit $code; qstat ${options} "$@"`
}

export interface Answer {
  readonly jobs: ReadonlyMap<string, Attributes>
  /** Ids of which the server says that they have ended, and nothing else. */
  readonly finished: readonly string[]
}

/** Throws unless each id was answered: by a job, as finished, or as unknown. An empty answer of a server that is down has another exit. */
export function answerOf(output: Output): Answer {
  const lines = linesOf(output.stderr)
  const finished = lines.flatMap((line) => /^qstat: (\S+) Job has finished/.exec(line)?.[1] ?? [])
  const isToldOf = (line: string): boolean =>
    /Unknown Job Id|Job has finished|not configured to maintain job history/.test(line)
  const isExplained = lines.length > 0 && lines.every(isToldOf)
  if (output.exit !== 0 && !isExplained) throw unanswered('qstat', output, refusal(output))
  if (output.stdout.trim() === '' && !isExplained) throw unreadable('qstat', 'nothing, and said that all is well', '')
  return { jobs: jobsIn(output.stdout), finished }
}

/** `3[7].host` is task 7 of `3[].host`; `10.host` is task 0 of itself; `3[].host` is no task. */
export function taskOf(key: string): { id: NativeId; index: number } | undefined {
  const [, number, index, server] = /^(\d+)(?:\[(\d*)\])?(\..*)$/.exec(key) ?? []
  if (number === undefined || index === '') return undefined
  return index === undefined ? { id: key, index: 0 } : { id: `${number}[]${server}`, index: Number(index) }
}

export function jobsIn(stdout: string): ReadonlyMap<string, Attributes> {
  if (stdout.trim() === '') return new Map()
  if (stdout.trimStart().startsWith('{')) return parsed(stdout) ?? jsonLines(stdout)
  if (/^Job Id: /.test(stdout) && stdout.endsWith('\n\n')) return textLines(stdout)
  throw unreadable('qstat', 'something that is neither its JSON nor its text, or was cut short', stdout.slice(-120))
}

function parsed(stdout: string): ReadonlyMap<string, Attributes> | undefined {
  let value: { Jobs?: Record<string, Record<string, unknown>> }
  try {
    value = JSON.parse(stdout)
  } catch {
    return undefined
  }
  return new Map(Object.entries(value.Jobs ?? {}).map(([id, job]) => [id, new Map(flat(job))]))
}

function flat(value: Record<string, unknown>, prefix = ''): (readonly [string, string])[] {
  return Object.entries(value).flatMap(([key, one]) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? flat(one as Record<string, unknown>, `${prefix}${key}.`)
      : [[`${prefix}${key}`, typeof one === 'string' ? one : JSON.stringify(one)] as const],
  )
}

/** Depth 2 names a job, 3 its attributes, 4 those of a group. One step is a tab or four blanks. */
function jsonLines(stdout: string): ReadonlyMap<string, Attributes> {
  if (!stdout.trimEnd().endsWith('\n}')) throw unreadable('qstat', 'JSON that was cut short', stdout.slice(-120))
  const jobs = new Map<string, Map<string, string>>()
  let job: Map<string, string> | undefined
  let group = ''
  for (const line of stdout.split('\n')) {
    const [, indent = '', key, rest = ''] = /^(\t+|(?: {4})+)"((?:[^"\\]|\\.)*)":\s*(.*?),?$/.exec(line) ?? []
    if (key === undefined) continue
    const depth = indent.startsWith('\t') ? indent.length : indent.length / 4
    if (depth === 2 && rest === '{') {
      job = new Map()
      jobs.set(key, job)
    } else if (depth === 3) {
      group = rest === '{' ? `${key}.` : ''
      if (rest !== '{') job?.set(key, unquoted(rest))
    } else if (depth === 4 && group !== '') job?.set(group + key, unquoted(rest))
  }
  return jobs
}

const unquoted = (value: string): string =>
  value.startsWith('"') ? value.replace(/^"|"$/g, '').replace(/\\(["\\/])/g, '$1') : value

function textLines(stdout: string): ReadonlyMap<string, Attributes> {
  const jobs = new Map<string, Map<string, string>>()
  let job: Map<string, string> | undefined
  let last = ''
  for (const line of stdout.split('\n')) {
    const [, id] = /^Job Id: (\S+)$/.exec(line) ?? []
    const [, key, value = ''] = /^ {4}([\w.]+) = (.*)$/.exec(line) ?? []
    if (id !== undefined) {
      job = new Map()
      jobs.set(id, job)
    } else if (key !== undefined) {
      job?.set(key, value)
      last = key
    } else if (line.startsWith('\t') && last !== '') job?.set(last, job.get(last)! + line.slice(1))
  }
  return jobs
}
