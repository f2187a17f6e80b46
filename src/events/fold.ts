import type { JobEnded, ReadLine, TaskEnded, TaskStarted } from '../model/record.ts'

/** `<task>.<attempt>`: one run of one task, as its record file is named. */
export type TaskName = `${number}.${number}`
export const taskName = (task: number, attempt: number): TaskName => `${task}.${attempt}`

/** A job's verdict with its place, by which the first is chosen. */
export interface Decided {
  readonly task: number
  readonly attempt: number
  readonly end: number
  readonly ended: JobEnded
  /** A verdict of the same job in the same array came before. */
  readonly superseded: boolean
}

/** What the record lines of one array say. */
export interface Fold {
  readonly tasks: ReadonlyMap<TaskName, { readonly started: TaskStarted | null; readonly ended: TaskEnded | null }>
  /** In order of (job, attempt, end, task). */
  readonly decided: readonly Decided[]
  /** `revision job` of jobs that started and have not ended in an attempt that is not sealed. */
  readonly runningJobs: readonly string[]
  /** The same: job -> its task. */
  readonly running: ReadonlyMap<string, TaskName>
}

const jobName = (job: string, revision: number): string => `${revision} ${job}`

/**
 * The state that a set of record lines means. Pure, and free of order: lines may come doubled and in any order, from any number of files.
 * The first verdict of a job by (attempt, end, task) counts; later ones are kept as superseded.
 */
export function foldRecords(lines: Iterable<ReadLine>): Fold {
  const tasks = new Map<TaskName, { started: TaskStarted | null; ended: TaskEnded | null }>()
  const started = new Map<string, { job: string; revision: number; task: TaskName }>()
  const ended = new Map<string, Omit<Decided, 'superseded'>[]>()
  let last: { task: number; attempt: number; name: TaskName } | undefined
  for (const { task, attempt, end, line } of lines) {
    if (last?.task !== task || last.attempt !== attempt) last = { task, attempt, name: taskName(task, attempt) }
    const { name } = last
    const seen = tasks.get(name) ?? { started: null, ended: null }
    tasks.set(name, seen)
    if (line.event === 'task started') seen.started = line
    else if (line.event === 'task ended') seen.ended = line
    else if (line.event === 'job started')
      started.set(`${name} ${jobName(line.job, line.revision)}`, { job: line.job, revision: line.revision, task: name })
    else {
      const job = jobName(line.job, line.revision)
      const verdicts = ended.get(job)
      const verdict = { task, attempt, end, ended: line }
      if (!verdicts) ended.set(job, [verdict])
      else if (!verdicts.some((one) => one.task === task && one.attempt === attempt && one.end === end))
        verdicts.push(verdict)
    }
  }
  const decided: Decided[] = []
  for (const job of [...ended.keys()].sort()) {
    const verdicts = ended.get(job)!
    if (verdicts.length > 1) verdicts.sort((a, b) => a.attempt - b.attempt || a.end - b.end || a.task - b.task)
    for (const [i, { task, attempt, end, ended: line }] of verdicts.entries()) {
      decided.push({ task, attempt, end, ended: line, superseded: i > 0 })
      if (started.size > 0) started.delete(`${taskName(task, attempt)} ${job}`)
    }
  }
  const now = [...started.values()].filter(({ task }) => tasks.get(task)?.ended === null)
  const running = new Map(now.map(({ job, task }) => [job, task]))
  return { tasks, decided, running, runningJobs: now.map(({ job, revision }) => jobName(job, revision)) }
}
