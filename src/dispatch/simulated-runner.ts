import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chance, type PlayedTask } from '../../connectors/simulated/simulated.ts'
import type { ManifestJob, ManifestTask } from '../model/manifest.ts'
import { decodeRecord, encodeRecord, type JobEnded, type RecordLine } from '../model/record.ts'

export interface SimulatedRule {
  readonly seed: number
  /** Of one job; each takes between half of it and one and a half. */
  readonly jobSec: number
  /** Share of the jobs that fail. */
  readonly failures: number
}

export type ReadTask = (directory: string, task: number) => { header: ManifestTask; jobs: readonly ManifestJob[] }

/**
 * Stands for the runner at a site that runs nothing: writes the records of a task as its jobs would end by the rule, one after the other. A
 * succeeded job has written no output. Each line says `simulated`.
 */
export const simulatedRunner =
  (rule: SimulatedRule, readTask: ReadTask) =>
  ({ array, index, startedAt, now }: PlayedTask): boolean => {
    const folder = join(array.directory, 'records')
    const path = join(folder, `${index}.1`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const known = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean).map(decodeRecord) : []
    // One that was given up is sealed, perhaps before it began.
    if (known.some((line) => line?.event === 'task ended') || isSealed(folder, index)) return true
    const { header, jobs } = readTask(array.directory, index)
    const lines: RecordLine[] = known.length > 0 ? [] : [startedLine(header, startedAt)]
    const done = known.filter((line) => line?.event === 'job ended').length
    let at = startedAt
    for (const [place, job] of jobs.entries()) {
      const from = at
      at += 1000 * rule.jobSec * (0.5 + chance(rule.seed, job.job, job.try, 'length'))
      if (at > now) break
      if (place >= done) lines.push(endedLine(job, rule, { from, to: at }))
    }
    const isOver = at <= now
    if (isOver)
      lines.push({ v: 1, at: toUs(at), event: 'task ended', reason: 'done', message: null, jobs: jobs.length })
    if (lines.length > 0) appendFileSync(path, lines.map(encodeRecord).join(''), { mode: 0o600 })
    return isOver
  }

const isSealed = (folder: string, task: number): boolean =>
  readdirSync(folder).some((name) => name.startsWith(`${task}.`) && name !== `${task}.1`)

const toUs = (ms: number): number => Math.round(ms * 1000)

const startedLine = ({ campaign, array, task, batch }: ManifestTask, startedAt: number): RecordLine => ({
  ...{ v: 1, at: toUs(startedAt), event: 'task started', campaign, array, task, attempt: 1, batch },
  ...{ node: 'simulated', native_id: null, pid: process.pid, slots: 1 },
})

function endedLine(job: ManifestJob, rule: SimulatedRule, { from, to }: { from: number; to: number }): JobEnded {
  const isFailed = chance(rule.seed, job.job, job.try, 'fate') < rule.failures
  return {
    ...{ v: 1, at: toUs(to), event: 'job ended', job: job.job, revision: job.revision, job_digest: job.job_digest },
    ...{ try: job.try, slot: 0, started_at: toUs(from), exit: isFailed ? 1 : 0, signal: null },
    ...(isFailed
      ? { verdict: 'failed' as const, class: 'app' as const, rule: 'simulated: exit 1' }
      : { verdict: 'succeeded' as const, class: null, rule: 'simulated: exit 0' }),
    ...{ wall_sec: (to - from) / 1000, cpu_sec: null, memory_max_bytes: null, stdout: null, stderr: null },
    ...{ outputs: [], checked: false, sandbox: null },
  }
}
