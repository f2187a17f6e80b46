import { crc32 } from 'node:zlib'
import type { FailureClass, Verdict } from './verdict.ts'

/*
 * Record file, version 1: records/<task>.<attempt> in an array's directory. NDJSON, one writer, appended. Each line ends in
 * `,"crc":"xxxxxxxx"}`: eight hex digits of the CRC-32 of all bytes of the line before that comma.
 * A line without a right crc at the end of the file was being written when the node died: it is not there.
 * "job ended" decides a job; "task ended" seals the file. docs/formats.md says each field.
 */

export const RECORD_VERSION = 1

interface RecordBase {
  readonly v: typeof RECORD_VERSION
  /** UTC microseconds since 1970, by the node's clock; never used for order. */
  readonly at: number
}

/** First line of each file. */
export interface TaskStarted extends RecordBase {
  readonly event: 'task started'
  readonly campaign: string
  readonly array: string
  readonly task: number
  /** The scheduler's index in the array, where elements choose their tasks when they start. Absent: the number of the task. */
  readonly element?: number
  readonly attempt: number
  readonly batch: number
  readonly node: string
  /** The scheduler's id of this task, null on the local site. */
  readonly native_id: string | null
  readonly pid: number
  readonly slots: number
}

/** A job that has run for a moment. The shortest have no such line: "job ended" says when they started. */
export interface JobStarted extends RecordBase {
  readonly event: 'job started'
  readonly job: string
  readonly revision: number
  readonly slot: number
  readonly started_at: number
  /** Where its streams begin in logs/; the files grow while it runs, and are not there before something was written. */
  readonly stdout: LogStart
  readonly stderr: LogStart
}

export interface LogStart {
  readonly file: string
  readonly offset: number
}

/**
 * Where a stream of one job lies: a file in logs/, from `offset`, `bytes` long there; `total` bytes were written by the job. When `total` is
 * more than `bytes`, the middle was left out, and a line between head and tail says so.
 */
export interface LogRange {
  readonly file: string
  readonly offset: number
  readonly bytes: number
  readonly total: number
}

export interface OutputWritten {
  readonly path: string
  readonly size_bytes: number
  /** `sha256:…` of the content; null for a directory. */
  readonly digest: string | null
  /** With `publish: pack`: the tar, relative to the directory of outputs; content lies at `offset`. */
  readonly pack?: string
  /** With `publish: table`: the file, relative to the array's directory; content lies at `offset`, and no file is published. */
  readonly table?: string
  readonly offset?: number
}

/** Bytes that came from HDFS: of the node's own disks, of its rack, of elsewhere. */
export interface BytesRead {
  readonly local: number
  readonly rack: number
  readonly remote: number
}

export interface JobEnded extends RecordBase {
  readonly event: 'job ended'
  readonly job: string
  readonly revision: number
  readonly job_digest: string
  readonly try: number
  readonly slot: number
  readonly started_at: number
  readonly verdict: Verdict
  readonly class: FailureClass | null
  /** The rule that decided, in words: `exit 3`, `signal KILL, 4.02 GB of 4.00 GB`, `output mean/1.csv is not there`. */
  readonly rule: string
  readonly exit: number | null
  readonly signal: string | null
  readonly wall_sec: number
  readonly cpu_sec: number | null
  /** Largest sampled resident memory of the job's processes; null for the shortest jobs. */
  readonly memory_max_bytes: number | null
  readonly stdout: LogRange | null
  readonly stderr: LogRange | null
  readonly outputs: readonly OutputWritten[]
  /** `check` was asked for and passed. */
  readonly checked: boolean
  /** What was brought for it. An input that several jobs of a task read is brought once, for the first of them; absent: nothing was. */
  readonly bytes_read?: BytesRead
  /** The kept sandbox of a failed job, relative to the array's directory. */
  readonly sandbox: string | null
}

/** Last line: no job of this attempt will be recorded any more. */
export interface TaskEnded extends RecordBase {
  readonly event: 'task ended'
  /** `done`, `drained` (TERM or walltime near), `cancelled`, `failed` (the runner could not work; `message` says why). */
  readonly reason: 'done' | 'drained' | 'cancelled' | 'failed'
  readonly message: string | null
  /** How many jobs this attempt decided. */
  readonly jobs: number
}

export type RecordLine = TaskStarted | JobStarted | JobEnded | TaskEnded

/** A line and where it ends in its file: the order of verdicts is by (attempt, end, task). */
export interface ReadLine {
  readonly task: number
  readonly attempt: number
  readonly end: number
  readonly line: RecordLine
}

/** One line with its checksum and newline. */
export function encodeRecord(line: RecordLine): string {
  const body = JSON.stringify(line).slice(0, -1)
  return `${body},"crc":"${crcHex(body)}"}\n`
}

const TAIL = ',"crc":"'
/** `,"crc":"xxxxxxxx"}` */
const TAIL_LENGTH = TAIL.length + 10

/** A line without its newline; `undefined` when it is torn or damaged. */
export function decodeRecord(text: string): RecordLine | undefined {
  const body = checkedBody(text)
  return body === undefined ? undefined : (JSON.parse(`${body}}`) as RecordLine)
}

/** What a line tells of itself, and its JSON but for the last brace. */
export interface RecordGlance {
  readonly at: number
  readonly event: RecordLine['event']
  /** Of a job: its name, as JSON. */
  readonly job: string | undefined
  /** Where a task starts. */
  readonly batch: number | undefined
  readonly body: string
}

/** How runners begin lines of jobs: nearly all that there are, and the rest of each need not be read. */
const JOB_LINE = /^\{"v":1,"at":(\d+),"event":"(job started|job ended)","job":("(?:[^"\\]|\\.)*"),"/

/** As `decodeRecord`, in a quarter of the time. */
export function glanceAtRecord(text: string): RecordGlance | undefined {
  const body = checkedBody(text)
  if (body === undefined) return undefined
  const [, at, event, job] = JOB_LINE.exec(body) ?? []
  if (event !== undefined) return { at: Number(at), event: event as RecordLine['event'], job, batch: undefined, body }
  const line = JSON.parse(`${body}}`) as RecordLine
  return {
    ...{ at: line.at, event: line.event, body },
    job: 'job' in line ? JSON.stringify(line.job) : undefined,
    batch: 'batch' in line ? line.batch : undefined,
  }
}

function checkedBody(text: string): string | undefined {
  const end = text.length - TAIL_LENGTH
  if (end < 0 || !text.startsWith(TAIL, end) || !text.endsWith('"}')) return undefined
  const body = text.slice(0, end)
  return crcHex(body) === text.slice(end + TAIL.length, -2) ? body : undefined
}

function crcHex(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}
