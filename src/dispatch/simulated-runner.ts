import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BegunTask, chance, type Performance, type PlayedTask } from '../../connectors/simulated/simulated.ts'
import { type Cancelled, decodeCancel } from '../model/cancel.ts'
import type { ManifestJob, ManifestTask } from '../model/manifest.ts'
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
    if (job && !isTold) lines.push(beginning(job, header, ended.at(-1)?.at ?? toUs(span.from)))
    if (isOver) {
      const at = ended.at(-1)?.at ?? lastAt ?? toUs(startedAt)
      const reason = cancelled === 'all' ? 'cancelled' : 'done'
      lines.push({ v: 1, at, event: 'task ended', reason, message: null, jobs: jobs.length })
    }
    if (lines.length > 0) appendFileSync(path, lines.map(encodeRecord).join(''), { mode: 0o600 })
    return isOver
  }

/**
 * The same for a cluster in memory: what a task will write is made when it begins, by as many slots as its jobs fit into it, and shown as time goes
 * on. Throws when the directory of its array is gone. Memory: the lines of a task that are not shown yet.
 */
export const simulatedPerformance =
  (rule: SimulatedRule, readTask: ReadTask) =>
  ({ array, index, startedAt, node, slowness }: BegunTask): Performance => {
    const folder = join(array.directory, 'records')
    // One that was given up is sealed, and never begins.
    if (isSealed(folder, index)) return { endsAt: startedAt, show: () => {} }
    const { header, jobs } = readTask(array.directory, index)
    const free = new Array<number>(Math.max(1, Math.floor(array.cpus / header.cpus))).fill(startedAt)
    const lines: RecordLine[] = [{ ...startedLine(header, startedAt), node, slots: free.length }]
    for (const job of jobs) {
      const slot = free.indexOf(Math.min(...free))
      const from = free[slot]!
      const share = 0.5 + chance(rule.seed, job.job, job.try, 'length')
      const lengthMs = Math.round(1000 * rule.jobSec * slowness * share)
      free[slot] = from + lengthMs
      lines.push({ ...beginning(job, header, toUs(from)), slot })
      lines.push({ ...endedLine(job, fateOf(job, rule), { from, to: from + lengthMs }), slot })
    }
    const endsAt = Math.max(...free)
    lines.push({ v: 1, at: toUs(endsAt), event: 'task ended', reason: 'done', message: null, jobs: jobs.length })
    // Of one moment what ends comes before what begins.
    lines.sort((a, b) => a.at - b.at)
    return { endsAt, show: shower(join(folder, `${index}.1`), lines) }
  }

function shower(path: string, lines: RecordLine[]): Performance['show'] {
  let shown = 0
  return (until) => {
    let text = ''
    for (let line = lines[shown]; line && line.at <= toUs(until); line = lines[++shown]) text += encodeRecord(line)
    if (text === '') return
    try {
      appendFileSync(path, text, { mode: 0o600 })
    } catch (error) {
      // Its directory was purged.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
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
    const usualEnd = from + 1000 * rule.jobSec * (0.5 + chance(rule.seed, job.job, job.try, 'length'))
    // What is cancelled before its turn has no length.
    const to = !isCancelled ? usualEnd : ended.length === 0 ? Math.max(from, Math.min(usualEnd, now)) : from
    if (to > now) break
    ended.push(endedLine(job, isCancelled ? CANCELLED : fateOf(job, rule), { from, to }))
    from = to
  }
  return ended
}

const isSealed = (folder: string, task: number): boolean =>
  readdirSync(folder).some((name) => name.startsWith(`${task}.`) && name !== `${task}.1`)

const toUs = (ms: number): number => Math.round(ms * 1000)

const startedLine = ({ campaign, array, task, batch }: ManifestTask, startedAt: number): TaskStarted => ({
  ...{ v: 1, at: toUs(startedAt), event: 'task started', campaign, array, task, attempt: 1, batch },
  ...{ node: 'simulated', native_id: null, pid: process.pid, slots: 1 },
})

/** Its streams, as nobody writes any, are files that are not there. */
const beginning = ({ job, revision }: ManifestJob, { task }: ManifestTask, startedAtUs: number): JobStarted => ({
  ...{ v: 1, at: startedAtUs, event: 'job started', job, revision, slot: 0, started_at: startedAtUs },
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

const fateOf = (job: ManifestJob, { seed, failures }: SimulatedRule): Fate =>
  chance(seed, job.job, job.try, 'fate') < failures
    ? { exit: 1, verdict: 'failed', class: 'app', rule: 'simulated: exit 1' }
    : { exit: 0, verdict: 'succeeded', class: null, rule: 'simulated: exit 0' }

const endedLine = (job: ManifestJob, fate: Fate, { from, to }: { from: number; to: number }): JobEnded => ({
  ...{ v: 1, at: toUs(to), event: 'job ended', job: job.job, revision: job.revision, job_digest: job.job_digest },
  ...{ try: job.try, slot: 0, started_at: toUs(from), signal: null, ...fate },
  ...{ wall_sec: (to - from) / 1000, cpu_sec: null, memory_max_bytes: null, stdout: null, stderr: null },
  ...{ outputs: [], checked: false, sandbox: null },
})
