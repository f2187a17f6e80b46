import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chance, type PlayedTask } from '../../connectors/simulated/simulated.ts'
import { type Cancelled, decodeCancel } from '../model/cancel.ts'
import type { ManifestJob, ManifestTask, NamedJob } from '../model/manifest.ts'
import {
  decodeRecord,
  encodeRecord,
  type JobEnded,
  type JobStarted,
  type RecordLine,
  type TaskStarted,
} from '../model/record.ts'

export interface SimulatedRule {
  readonly seed: number
  /** Of one job; each takes between half of it and one and a half. */
  readonly jobSec: number
  /** Share of the jobs that fail. */
  readonly failures: number
}

export type ReadTask = (directory: string, task: number) => { header: ManifestTask; jobs: readonly ManifestJob[] }

/**
 * Stands for the runner at a site that runs nothing: writes the records of a task as its jobs would end by the rule, one after the other, or on
 * request. A succeeded job has written no output. Each line says `simulated`.
 */
export const simulatedRunner =
  (rule: SimulatedRule, readTask: ReadTask) =>
  ({ array, index, startedAt, now }: PlayedTask): boolean => {
    const folder = join(array.directory, 'records')
    const path = join(folder, `${index}.1`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const known = (textsOf([path])[0] ?? '').split('\n').filter(Boolean).map(decodeRecord)
    // One that was given up is sealed, perhaps before it began.
    if (known.some((line) => line?.event === 'task ended') || isSealed(folder, index)) return true
    const { header, jobs } = readTask(array.directory, index)
    const before = known.filter((line) => line?.event === 'job ended')
    const cancelled = decodeCancel(textsOf(['cancel', `cancel.${index}`].map((name) => join(array.directory, name))))
    const lastAt = before.at(-1)?.at
    const span = { from: lastAt === undefined ? startedAt : lastAt / 1000, now }
    const ended = endingsOf(jobs.slice(before.length), rule, { ...span, cancelled })
    const lines: RecordLine[] = known.length > 0 ? ended : [startedLine(header, startedAt), ...ended]
    const job = jobs[before.length + ended.length]
    const isOver = job === undefined
    const isTold = ended.length === 0 && known.some((line) => line?.event === 'job started' && line.job === job?.job)
    if (job && !isTold) {
      const from = ended.at(-1)?.at ?? toUs(span.from)
      lines.push(startingLine(job, header, { from: from / 1000, slot: 0 }))
    }
    if (isOver) {
      const at = ended.at(-1)?.at ?? lastAt ?? toUs(startedAt)
      const reason = cancelled === 'all' ? 'cancelled' : 'done'
      lines.push({ v: 1, at, event: 'task ended', reason, message: null, jobs: jobs.length })
    }
    if (lines.length > 0) appendFileSync(path, lines.map(encodeRecord).join(''), { mode: 0o600 })
    return isOver
  }

const textsOf = (paths: readonly string[]): string[] =>
  paths.filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8'))

/** Of jobs that come one after the other, the first of which runs. */
function endingsOf(
  jobs: readonly ManifestJob[],
  rule: SimulatedRule,
  { from: first, now, cancelled }: { from: number; now: number; cancelled: Cancelled },
): JobEnded[] {
  const ended: JobEnded[] = []
  let from = first
  for (const job of jobs) {
    const isCancelled = cancelled === 'all' || cancelled.has(job.job)
    const usualEnd = from + 1000 * lengthOf(job, rule)
    // What is cancelled before its turn has no length.
    const to = !isCancelled ? usualEnd : ended.length === 0 ? Math.max(from, Math.min(usualEnd, now)) : from
    if (to > now) break
    ended.push(endedLine(job, isCancelled ? CANCELLED : fateOf(job, rule), { from, to, slot: 0 }))
    from = to
  }
  return ended
}

const isSealed = (folder: string, task: number): boolean =>
  readdirSync(folder).some((name) => name.startsWith(`${task}.`) && name !== `${task}.1`)

/** Microseconds. */
export const toUs = (ms: number): number => Math.round(ms * 1000)

export const startedLine = ({ campaign, array, task, batch }: ManifestTask, startedAt: number): TaskStarted => ({
  ...{ v: 1, at: toUs(startedAt), event: 'task started', campaign, array, task, attempt: 1, batch },
  ...{ node: 'simulated', native_id: null, pid: process.pid, slots: 1 },
})

/** Its streams, as nobody writes any, are files that are not there. Times are milliseconds. */
export const startingLine = (
  { job, revision }: NamedJob,
  { task }: ManifestTask,
  { from, slot }: { from: number; slot: number },
): JobStarted => ({
  ...{ v: 1, at: toUs(from), event: 'job started', job, revision, slot, started_at: toUs(from) },
  stdout: { file: `${task}.1.0.out`, offset: 0 },
  stderr: { file: `${task}.1.0.err`, offset: 0 },
})

type Fate = Pick<JobEnded, 'exit' | 'verdict' | 'class' | 'rule'>

const CANCELLED: Fate = {
  exit: null,
  verdict: 'cancelled',
  class: 'cancelled',
  rule: 'simulated: cancelled on request',
}

const FAILED: Fate = { exit: 1, verdict: 'failed', class: 'app', rule: 'simulated: exit 1' }
const SUCCEEDED: Fate = { exit: 0, verdict: 'succeeded', class: null, rule: 'simulated: exit 0' }

export const fateOf = (job: NamedJob, { seed, failures }: SimulatedRule): Fate =>
  failures > 0 && chance(seed, job.job, job.try, 'fate') < failures ? FAILED : SUCCEEDED

/** Seconds. */
export const lengthOf = (job: NamedJob, { seed, jobSec }: SimulatedRule): number =>
  jobSec * (0.5 + chance(seed, job.job, job.try, 'length'))

/** Times are milliseconds. */
export const endedLine = (
  { job, revision, job_digest, try: nth }: NamedJob,
  { exit, verdict, class: failure, rule }: Fate,
  { from, to, slot }: { from: number; to: number; slot: number },
): JobEnded => ({
  v: 1,
  at: toUs(to),
  event: 'job ended',
  job,
  revision,
  job_digest,
  try: nth,
  slot,
  started_at: toUs(from),
  verdict,
  class: failure,
  rule,
  exit,
  signal: null,
  wall_sec: (to - from) / 1000,
  cpu_sec: null,
  memory_max_bytes: null,
  stdout: null,
  stderr: null,
  outputs: [],
  checked: false,
  sandbox: null,
})
