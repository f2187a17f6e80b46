import type { NativeId } from '../connector.ts'
import { linesOf, unanswered, unreadable } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'
import { refusal } from './words.ts'

/*
 * What `qstat -f` says of jobs, as text: lines of four blanks, a name, ` = ` and a value; a long value is folded into lines that begin with
 * a tab. Not as JSON: the last release writes it by hand, so that a backslash or NaN in a value spoils it, and its successor (seen at the
 * commit cd7ab5e) prints of several ids only the first, and says that all is well.
 */

/** By name; of a group the name is `resources_used.mem`. */
export type Attributes = ReadonlyMap<string, string>

export interface Answer {
  readonly jobs: ReadonlyMap<string, Attributes>
  /** Ids of which the server says that they have ended, and nothing else. */
  readonly finished: readonly string[]
}

/** Throws unless each of `ids` was answered: by a job, as finished, or as unknown. An empty answer of a server that is down has another exit. */
export function answerOf(output: Output, ids: Iterable<NativeId> = []): Answer {
  const lines = linesOf(output.stderr)
  const finished = lines.flatMap((line) => /^qstat: (\S+) Job has finished/.exec(line)?.[1] ?? [])
  const isToldOf = (line: string): boolean =>
    /Unknown Job Id|Job has finished|not configured to maintain job history/.test(line)
  const isExplained = lines.length > 0 && lines.every(isToldOf)
  if (output.exit !== 0 && !isExplained) throw unanswered('qstat', output, refusal(output))
  if (output.stdout.trim() === '' && !isExplained) throw unreadable('qstat', 'nothing, and said that all is well', '')
  const jobs = jobsIn(output.stdout)
  for (const id of ids) {
    // The ids of a complaint may end in a longer name of the server.
    const isNamed = (line: string): boolean => line.split(/\s/).some((word) => word.startsWith(stemOf(id)))
    if (!jobs.has(id) && !lines.some(isNamed))
      throw unreadable('qstat', `nothing of ${id}, which it was asked for`, output.stdout.slice(0, 60))
  }
  return { jobs, finished }
}

/** `3[].` of `3[].host`. */
const stemOf = (id: NativeId): string => id.slice(0, id.indexOf('.') + 1)

/** `3[7].host` is task 7 of `3[].host`; `10.host` is task 0 of itself; `3[].host` is no task. */
export function taskOf(key: string): { id: NativeId; index: number } | undefined {
  const [, number, index, server] = /^(\d+)(?:\[(\d*)\])?(\..*)$/.exec(key) ?? []
  if (number === undefined || index === '') return undefined
  return index === undefined ? { id: key, index: 0 } : { id: `${number}[]${server}`, index: Number(index) }
}

function jobsIn(stdout: string): ReadonlyMap<string, Attributes> {
  if (stdout.trim() === '') return new Map()
  if (!/^Job Id: /.test(stdout) || !stdout.endsWith('\n\n'))
    throw unreadable('qstat', 'something that is no list of jobs, or was cut short', stdout.slice(-120))
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
