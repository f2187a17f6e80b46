import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Decided, foldRecords, type Offsets, type ReadLine, readRecords } from '../events/events.ts'
import type { TaskStarted } from '../model/record.ts'
import type { ResourceClass } from '../stage/stage.ts'

/** A staged array as `batches` describes it. */
export interface LiveBatch {
  readonly batchId: number
  readonly task: number
  readonly jobs: number
}

/** An attempt of a task whose runner could not work. */
export interface FailedTask {
  readonly task: number
  readonly attempt: number
  readonly message: string | null
}

/**
 * What the coordinator holds of an array between staging and its end; made anew from table and record files after a restart. Memory: one
 * name a decided job of arrays that are not finished.
 */
export class LiveArray {
  readonly id: string
  readonly directory: string
  readonly batches: readonly LiveBatch[]
  readonly terms: ResourceClass
  nativeId: string | undefined
  /** Since when the scheduler does not list the array at all, by the monotonic clock. */
  absentSinceMs: number | undefined
  damagedLines = 0
  #offsets: Offsets = {}
  /** `revision job` of jobs with a verdict. */
  readonly #decided = new Set<string>()
  /** `revision job` of jobs whose verdict came of what is known of their task; a record line still counts before it. */
  readonly #inferred = new Set<string>()
  /** Jobs that started and have no verdict yet -> task. */
  readonly #running = new Map<string, { job: string; revision: number; task: number; attempt: number }>()
  readonly #started = new Map<string, TaskStarted>()
  readonly #batchOf: ReadonlyMap<number, number>
  readonly #sealed = new Set<number>()
  readonly #gone = new Set<number>()
  readonly #endedSince = new Map<number, number>()
  #failed: FailedTask[] = []

  constructor(fields: { id: string; arrays: string; batches: readonly LiveBatch[]; terms: ResourceClass }) {
    this.id = fields.id
    this.directory = join(fields.arrays, fields.id)
    this.batches = fields.batches
    this.#batchOf = new Map(fields.batches.map(({ task, batchId }) => [task, batchId]))
    this.terms = fields.terms
  }

  /** New verdicts since the last harvest. `committed` are ends of lines that a table has already, by record file. */
  harvest(committed?: Offsets): Decided[] {
    const lines: ReadLine[] = []
    for (let more = true; more; ) {
      const read = readRecords(this.directory, this.#offsets)
      more = read.lines.length > 0
      for (const line of read.lines) lines.push(line)
      this.#offsets = read.offsets
      this.damagedLines += read.damaged
    }
    const { decided, tasks, running } = foldRecords(lines)
    for (const { task, attempt, line } of lines) {
      if (line.event === 'job started' && !this.#inferred.has(`${line.revision} ${line.job}`))
        this.#running.set(`${line.revision} ${line.job}`, { job: line.job, revision: line.revision, task, attempt })
    }
    for (const [name, { started, ended }] of tasks) {
      const task = Number(name.slice(0, name.indexOf('.')))
      if (started) this.#started.set(name, started)
      if (ended) this.#sealed.add(task)
      if (ended?.reason === 'failed')
        this.#failed.push({ task, attempt: Number(name.slice(name.indexOf('.') + 1)), message: ended.message })
    }
    const news: Decided[] = []
    for (const verdict of decided) {
      const name = `${verdict.ended.revision} ${verdict.ended.job}`
      const superseded = verdict.superseded || this.#decided.has(name)
      this.#decided.add(name)
      this.#running.delete(name)
      const known = committed?.[`${verdict.task}.${verdict.attempt}`] ?? 0
      if (verdict.end > known) news.push({ ...verdict, superseded })
    }
    // A job that started in a sealed attempt without a verdict was given back by its runner.
    for (const [name, { task, job }] of this.#running)
      if (this.#sealed.has(task) && !running.has(job)) this.#running.delete(name)
    return news
  }

  isDecided(job: string, revision: number): boolean {
    return this.#decided.has(`${revision} ${job}`) || this.#inferred.has(`${revision} ${job}`)
  }

  /** Jobs that have an inferred verdict now: none of them is given another. */
  noteInferred(jobs: readonly { readonly job: string; readonly revision: number }[]): void {
    for (const { job, revision } of jobs) {
      this.#inferred.add(`${revision} ${job}`)
      this.#running.delete(`${revision} ${job}`)
    }
  }

  /** Tasks that their runner gave up since the last call. */
  takeFailed(): FailedTask[] {
    const failed = this.#failed
    this.#failed = []
    return failed
  }

  /** Milliseconds since the scheduler first said that the task ended. */
  endedFor(task: number, now: number): number {
    const since = this.#endedSince.get(task) ?? now
    this.#endedSince.set(task, since)
    return now - since
  }

  /** The scheduler runs the task again, as after a requeue. */
  isBack(task: number): void {
    this.#endedSince.delete(task)
  }

  /** The scheduler no longer has the task, and its record is not sealed. */
  markGone(task: number): void {
    this.#gone.add(task)
  }

  /** Tasks that the scheduler should still know. */
  get openTasks(): number[] {
    return this.batches.map(({ task }) => task).filter((task) => !this.isOver(task))
  }

  /** Tasks that no record file knows yet. */
  get unstartedTasks(): number[] {
    const started = new Set([...this.#started.keys()].map((name) => Number(name.slice(0, name.indexOf('.')))))
    return this.openTasks.filter((task) => !started.has(task))
  }

  isOver(task: number): boolean {
    return this.#sealed.has(task) || this.#gone.has(task)
  }

  get over(): boolean {
    return this.batches.every(({ task }) => this.isOver(task))
  }

  /** Jobs that had started when their task vanished: lost, with their task. */
  lostJobs(): { job: string; revision: number; task: number; attempt: number }[] {
    return [...this.#running.values()].filter(({ task }) => this.#gone.has(task) && !this.#sealed.has(task))
  }

  forgetLost(): void {
    for (const [name, { task }] of this.#running) if (this.#gone.has(task)) this.#running.delete(name)
  }

  /** How far the records were read, and which jobs run. */
  get harvested(): { offsets: Offsets; running: string[] } {
    return { offsets: this.#offsets, running: [...this.#running.keys()] }
  }

  get runningJobs(): number {
    return this.#running.size
  }

  get undecidedJobs(): number {
    return this.batches.filter(({ task }) => !this.isOver(task)).reduce((sum, { jobs }) => sum + jobs, 0)
  }

  node(task: number, attempt: number): TaskStarted | undefined {
    return this.#started.get(`${task}.${attempt}`)
  }

  batchOf(task: number): number | null {
    return this.#batchOf.get(task) ?? null
  }

  /** Asks the runners, on the site, to end these jobs, each once. Written whole: an empty file would cancel all. */
  askCancel(jobs: readonly { job: string }[]): void {
    if (!existsSync(this.directory)) return
    const path = join(this.directory, 'cancel')
    const asked = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const known = new Set(asked.split('\n'))
    const lines = jobs.map(({ job }) => JSON.stringify(job)).filter((line) => !known.has(line))
    if (lines.length === 0) return
    const aside = `${path}.${process.pid}`
    writeFileSync(aside, asked + lines.map((line) => `${line}\n`).join(''), { mode: 0o600 })
    renameSync(aside, path)
  }
}
