import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from '../dispatch/dispatch.ts'
import { type Decided, foldRecords, type Offsets, readRecords } from '../events/events.ts'
import type { NamedJob } from '../model/manifest.ts'
import type { ReadLine, TaskStarted } from '../model/record.ts'
import { bindsLate, type ResourceClass, readManifest } from '../stage/stage.ts'
import { Elements } from './elements.ts'

/** A staged array as `batches` describes it. */
export interface LiveBatch {
  readonly batchId: number
  readonly task: number
  readonly jobs: number
}

/** Where an array was sent. */
export type ArraySite = Pick<Site, 'name' | 'outputs' | 'paths' | 'taskSec' | 'held'>

/** What was seen of an array and no record says; times are ages in milliseconds. */
export interface ArrayLooks {
  readonly missing: readonly {
    readonly task: number
    readonly how: 'ended' | 'absent'
    readonly forMs: number
    /** Bytes of its records then. */
    readonly bytes: number
  }[]
  readonly accounted: readonly { readonly task: number; readonly forMs: number }[]
  readonly goneMs: number | null
  readonly avoids: readonly string[]
  readonly generation: number
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
  readonly site: ArraySite
  readonly directory: string
  readonly batches: readonly LiveBatch[]
  readonly terms: ResourceClass
  nativeId: string | undefined
  /** False while what was staged here has not been carried to the site. */
  isSent = true
  /** Since when the site has no directory of it, by the monotonic clock. */
  goneSince: number | undefined
  #damaged = 0
  /** Nodes that its tasks were kept from when it was submitted, and what was known of nodes then. */
  avoids: readonly string[] = []
  generation = 0
  #offsets: Offsets = {}
  /** `revision job` of jobs with a verdict. */
  readonly #decided = new Set<string>()
  /** `revision job` of jobs whose verdict came of what is known of their task; a record line still counts before it. */
  readonly #inferred = new Set<string>()
  /** Jobs that started and have no verdict yet -> task. */
  readonly #running = new Map<string, { job: string; revision: number; task: number; attempt: number }>()
  readonly #started = new Map<string, TaskStarted>()
  readonly #begun = new Set<number>()
  /** Undefined: to be counted anew. */
  #open: readonly number[] | undefined
  #hasRetries = false
  readonly elements: Elements
  readonly #batchOf: ReadonlyMap<number, number>
  readonly #sealed = new Set<number>()
  readonly #gone = new Set<number>()
  readonly #recalled = new Set<number>()
  /** Since when the scheduler says that a task ended, or does not list it, by the monotonic clock. */
  readonly #missingSince = new Map<number, { readonly how: 'ended' | 'absent'; readonly at: number }>()
  readonly #accountedSince = new Map<number, number>()
  #failed: FailedTask[] = []
  /** When tasks said that they ended, by the clocks of their nodes, microseconds since 1970; those that nobody has taken yet. */
  #ends: number[] = []
  /** Nodes on which jobs ran since they were last asked for, and whether one ended there that a full disk did not spoil. */
  #worked = new Map<string, boolean>()
  /** Tasks that ended before they began, and are noted. */
  readonly #barred = new Set<number>()

  constructor(fields: {
    id: string
    site: ArraySite
    arrays: string
    batches: readonly LiveBatch[]
    terms: ResourceClass
  }) {
    this.id = fields.id
    this.site = fields.site
    this.directory = join(fields.arrays, fields.id)
    this.batches = fields.batches
    this.#batchOf = new Map(fields.batches.map(({ task, batchId }) => [task, batchId]))
    this.terms = fields.terms
    this.elements = new Elements(
      fields.batches.map(({ task }) => task),
      () => (this.site.held ? false : bindsLate(this.directory)),
    )
  }

  /** Record lines that could not be read, since they were last taken. */
  takeDamaged(): number {
    const damaged = this.#damaged
    this.#damaged = 0
    return damaged
  }

  /** New verdicts since the last harvest. `committed` are ends of lines that a table has already, by record file. */
  harvest(committed?: Offsets): Decided[] {
    const lines = this.site.held?.takeLines(this.id) ?? this.#readLines()
    const { decided, tasks, running } = foldRecords(lines)
    for (const { task, attempt, line } of lines) {
      // What still writes is not gone, whatever is listed.
      if (this.#missingSince.size > 0 && this.#missingSince.get(task)?.how === 'absent') this.#missingSince.delete(task)
      if (line.event === 'job started' && !this.#inferred.has(`${line.revision} ${line.job}`))
        this.#running.set(`${line.revision} ${line.job}`, { job: line.job, revision: line.revision, task, attempt })
    }
    for (const [name, { started, ended }] of tasks) {
      const task = Number(name.slice(0, name.indexOf('.')))
      if (started) {
        this.#started.set(name, started)
        this.#begun.add(task)
      }
      // What was known of the task was of an element that stood for it.
      if (started?.element !== undefined && this.elements.bind(task, started.element)) this.isBack(task)
      if (ended) this.#seal(task)
      if (ended && ended.jobs > 0) this.#ends.push(ended.at)
      if (ended?.reason === 'failed')
        this.#failed.push({ task, attempt: Number(name.slice(name.indexOf('.') + 1)), message: ended.message })
    }
    for (const { task, attempt, line } of lines) {
      if (line.event !== 'job started' && (line.event !== 'job ended' || line.wall_sec === 0)) continue
      const node = this.#started.get(`${task}.${attempt}`)?.node
      const hasEnded = line.event === 'job ended' && line.class !== 'node'
      if (node !== undefined) this.#worked.set(node, hasEnded || this.#worked.get(node) === true)
    }
    const news: Decided[] = []
    for (const verdict of decided) {
      const name = `${verdict.ended.revision} ${verdict.ended.job}`
      const superseded = verdict.superseded || this.#decided.has(name)
      this.#decided.add(name)
      this.#running.delete(name)
      const known = committed?.[`${verdict.task}.${verdict.attempt}`] ?? 0
      if (verdict.end > known) news.push(superseded === verdict.superseded ? verdict : { ...verdict, superseded })
    }
    // A job that started in a sealed attempt without a verdict was given back by its runner.
    for (const [name, { task, job }] of this.#running)
      if (this.#sealed.has(task) && !running.has(job)) this.#running.delete(name)
    return news
  }

  #readLines(): ReadLine[] {
    const lines: ReadLine[] = []
    for (let more = true; more; ) {
      const read = readRecords(this.directory, this.#offsets)
      more = read.lines.length > 0
      for (const line of read.lines) lines.push(line)
      this.#offsets = read.offsets
      this.#damaged += read.damaged
    }
    return lines
  }

  /** Of a task; none when the array's directory was taken away. */
  jobsOf(task: number): readonly NamedJob[] {
    if (this.site.held) return this.site.held.jobs(this.id, task)
    return existsSync(join(this.directory, 'index')) ? readManifest(this.directory, task).jobs : []
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

  /** Times of ends of tasks that were read since the last call. */
  takeEnds(): number[] {
    const ends = this.#ends
    this.#ends = []
    return ends
  }

  takeWorked(): ReadonlyMap<string, boolean> {
    const worked = this.#worked
    this.#worked = new Map()
    return worked
  }

  /** No record is there of any task. */
  get isUntouched(): boolean {
    return this.#started.size === 0
  }

  hasBegun(task: number): boolean {
    return this.#begun.has(task)
  }

  /** False: it was noted before. */
  bar(task: number): boolean {
    return this.#barred.size < this.#barred.add(task).size
  }

  /** Milliseconds since the scheduler first said so of the task without a break. What it said had ended it may forget. */
  missingFor(task: number, how: 'ended' | 'absent', now: number): number {
    const since = this.#missingSince.get(task)
    if (since && (since.how === how || since.how === 'ended')) return now - since.at
    this.#missingSince.set(task, { how, at: now })
    return 0
  }

  /** The scheduler said so, and nothing else since. */
  hasEnded(task: number): boolean {
    return this.#missingSince.get(task)?.how === 'ended'
  }

  /** Milliseconds since accounting was first heard to know the end of the task. */
  accountedFor(task: number, now: number): number {
    const since = this.#accountedSince.get(task) ?? now
    this.#accountedSince.set(task, since)
    return now - since
  }

  looksAt(now: number): ArrayLooks {
    const missing = [...this.#missingSince].filter(([task]) => !this.isOver(task))
    return {
      missing: missing.map(([task, { how, at }]) => ({ task, how, forMs: now - at, bytes: this.#bytesOf(task) })),
      accounted: [...this.#accountedSince].map(([task, at]) => ({ task, forMs: now - at })),
      goneMs: this.goneSince === undefined ? null : now - this.goneSince,
      ...{ avoids: this.avoids, generation: this.generation },
    }
  }

  /** As seen by an earlier run at `then`; what has written since is not missing. */
  recallLooks({ missing, accounted, goneMs, avoids, generation }: ArrayLooks, then: number): void {
    for (const { task, how, forMs, bytes } of missing)
      if (bytes === this.#bytesOf(task)) this.#missingSince.set(task, { how, at: then - forMs })
    for (const { task, forMs } of accounted) this.#accountedSince.set(task, then - forMs)
    if (goneMs !== null && this.goneSince !== undefined) this.goneSince = then - goneMs
    this.avoids = avoids
    this.generation = generation
    // That was known to the earlier run.
    this.#worked.clear()
  }

  #bytesOf(task: number): number {
    return Object.entries(this.#offsets).reduce(
      (sum, [name, end]) => (name.startsWith(`${task}.`) ? sum + end : sum),
      0,
    )
  }

  isMissing(task: number): boolean {
    return this.#missingSince.has(task)
  }

  /** The attempt that the task would begin next. */
  nextAttempt(task: number): number {
    const prefix = `${task}.`
    return [...this.#started.keys()].filter((name) => name.startsWith(prefix)).length + 1
  }

  /** The scheduler has the task, as again after a requeue. */
  isBack(task: number): void {
    this.#missingSince.delete(task)
    this.#accountedSince.delete(task)
  }

  /** The scheduler no longer has the task, and its record is not sealed. */
  markGone(task: number): void {
    this.#gone.add(task)
    this.#open = undefined
  }

  #seal(task: number): void {
    this.#sealed.add(task)
    this.#open = undefined
  }

  /** The scheduler was told to cancel these tasks, which had not begun. */
  recall(tasks: readonly number[]): void {
    for (const task of tasks) this.#recalled.add(task)
  }

  isRecalled(task: number): boolean {
    return this.#recalled.has(task)
  }

  /** Recalled tasks that are gone and never began, once. */
  takeRecalled(): number[] {
    const taken = [...this.#recalled].filter((task) => this.#gone.has(task) && !this.#begun.has(task))
    for (const task of taken) this.#recalled.delete(task)
    return taken
  }

  /** Tasks that the scheduler should still know. */
  get openTasks(): readonly number[] {
    this.#open ??= this.batches.map(({ task }) => task).filter((task) => !this.isOver(task))
    return this.#open
  }

  /** Tasks that no record file knows yet. */
  get unstartedTasks(): number[] {
    return this.openTasks.filter((task) => !this.#begun.has(task))
  }

  isOver(task: number): boolean {
    return this.#sealed.has(task) || this.#gone.has(task)
  }

  get over(): boolean {
    return this.openTasks.length === 0
  }

  /** One of its jobs is to be tried again. */
  noteRetry(): void {
    this.#hasRetries = true
  }

  /** A record decided each of its jobs, for good. */
  get hasDoneAll(): boolean {
    return !this.#hasRetries && this.#decided.size >= this.batches.reduce((sum, { jobs }) => sum + jobs, 0)
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

  /** Asks the runners, on the site, to end these jobs; false: they were asked already. Written whole: an empty file would cancel all. */
  askCancel(jobs: readonly { job: string }[]): boolean {
    if (!existsSync(this.directory)) return false
    const path = join(this.directory, 'cancel')
    const asked = new Set(existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [])
    const before = asked.size
    for (const { job } of jobs) asked.add(JSON.stringify(job))
    if (asked.size === before) return false
    const aside = `${path}.${process.pid}`
    writeFileSync(aside, [...asked, ''].join('\n'), { mode: 0o600 })
    renameSync(aside, path)
    return true
  }

  /** Tasks that have not begun and of which all jobs are among these. Elements that may take any task are left alone while one of them is wanted. */
  unstartedAllOf(jobs: readonly { readonly job: string; readonly task: number }[]): number[] {
    const asked = new Map<number, Set<string>>()
    for (const { job, task } of jobs) asked.set(task, (asked.get(task) ?? new Set()).add(job))
    const counts = new Map(this.batches.map(({ task, jobs: count }) => [task, count]))
    const isAsked = (task: number) => (asked.get(task)?.size ?? 0) >= (counts.get(task) ?? 0)
    if (this.elements.bindLate !== false && !this.openTasks.every(isAsked)) return []
    return this.unstartedTasks.filter(isAsked)
  }
}
