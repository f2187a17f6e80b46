import { join } from 'node:path'
import type { Decided } from '../events/events.ts'
import type { Json } from '../model/json.ts'
import type { NamedJob } from '../model/manifest.ts'
import type { JobEnded } from '../model/record.ts'
import type { FailureClass } from '../model/verdict.ts'
import type { Row } from '../ports/tables/tables.ts'
import { type Answer, attemptRow, groupRow, publish, resultRows } from '../results/results.ts'
import type { RunContext } from './context.ts'
import type { Source } from './evidence.ts'
import type { LiveArray, LiveBatch } from './live-array.ts'
import { type Before, decideNext, failuresBefore } from './policy.ts'

interface Waiting {
  readonly ended: JobEnded
  readonly superseded: boolean
  readonly evidence: Source | 'reuse'
  readonly array: LiveArray | null
  readonly task: number | null
  readonly attempt: number | null
  readonly recordEnd: number | null
  readonly reusedFrom: string | null
  /** False: its task ended before it could begin, so nothing was tried. */
  readonly hasBegun: boolean
  /** Where that was, when no record says it. */
  readonly node: string | null
}

/** How a verdict counts for the progress of this run. */
export interface Tally {
  succeeded: number
  failed: number
  retried: number
  cancelled: number
  lost: number
  reused: number
  /** Of the failed and lost: held for a person, by the policy. */
  held: number
  /** Outputs that lie at their site as files. */
  away: number
  /** Record lines that could not be read. */
  damaged: number
  readonly byClass: Map<FailureClass, number>
}

/** Jobs of one attempt of a task, as its manifest names them. */
export interface TaskJobs {
  readonly task: number
  readonly attempt: number
  readonly jobs: readonly NamedJob[]
}

export interface InferredVerdict extends Pick<JobEnded, 'verdict' | 'class' | 'rule'> {
  readonly evidence: Source
  readonly hasBegun?: boolean
  readonly node?: string | null
}

const BEGUN = { hasBegun: true, node: null }

/** They differ in what only their jobs say. */
const areAlike = (one: Waiting, other: Waiting): boolean =>
  one.array === other.array &&
  one.task === other.task &&
  one.attempt === other.attempt &&
  one.evidence === other.evidence &&
  one.superseded === other.superseded &&
  one.node === other.node &&
  one.reusedFrom === other.reusedFrom &&
  one.ended.verdict === other.ended.verdict &&
  one.ended.class === other.ended.class &&
  one.ended.rule === other.ended.rule &&
  one.ended.exit === other.ended.exit &&
  one.ended.signal === other.ended.signal

/** Verdicts between harvest and table. Memory: the rows since the last publication. */
export class Publisher {
  readonly tally: Tally = {
    ...{ succeeded: 0, failed: 0, retried: 0, cancelled: 0, lost: 0, reused: 0, held: 0, away: 0, damaged: 0 },
    byClass: new Map(),
  }
  #waiting: Waiting[] = []
  readonly #verdicts = new Map<string, number>()
  readonly #context: RunContext
  readonly #guard: () => Promise<void>
  readonly #facts: () => Promise<Readonly<Record<string, Json>>>

  constructor(context: RunContext, guard: () => Promise<void>, facts: () => Promise<Readonly<Record<string, Json>>>) {
    this.#context = context
    this.#guard = guard
    this.#facts = facts
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Jobs that this run has decided. */
  get done(): number {
    const { succeeded, failed, cancelled, lost } = this.tally
    return succeeded + failed + cancelled + lost
  }

  /** Jobs that were decided, or are tried again, after they had been given to this site. */
  verdictsOf(site: string): number {
    return this.#verdicts.get(site) ?? 0
  }

  /** What answered the jobs whose answers are not published yet. */
  get waitingAnswers(): string[] {
    return this.#waiting.flatMap(({ reusedFrom }) => reusedFrom ?? [])
  }

  addDecided(array: LiveArray, decided: readonly Decided[]): void {
    this.tally.damaged += array.takeDamaged()
    for (const { ended, superseded, task, attempt, end } of decided) {
      this.#waiting.push({
        ended,
        superseded,
        evidence: 'record',
        array,
        task,
        attempt,
        recordEnd: end,
        reusedFrom: null,
        ...BEGUN,
      })
      if (superseded) continue
      this.#count(ended, array.site.name)
      if (ended.outputs.length > 0 && (array.site.name !== 'local' || this.#context.settings.outputsUrl !== null))
        this.tally.away += ended.outputs.filter(({ table }) => table === undefined).length
    }
  }

  addAnswers(answers: readonly Answer[], site: string): void {
    for (const { ended, from } of answers) {
      this.#waiting.push({
        ended,
        superseded: false,
        evidence: 'reuse',
        array: null,
        task: null,
        attempt: null,
        recordEnd: null,
        reusedFrom: from,
        ...BEGUN,
      })
      this.tally.succeeded++
      this.tally.reused++
      this.#noteVerdict(site)
    }
  }

  /** Jobs that no record line decides and evidence about their task does. */
  addInferred(array: LiveArray, { task, attempt, jobs }: TaskJobs, verdict: InferredVerdict): void {
    const at = this.#nowUs()
    const { evidence, hasBegun = true, node = null, ...judged } = verdict
    for (const { job, revision, job_digest, try: nth } of jobs) {
      const ended: JobEnded = {
        ...{ v: 1, at, event: 'job ended', job, revision, job_digest, try: nth, slot: 0, started_at: at },
        ...judged,
        ...{ exit: null, signal: null, wall_sec: 0, cpu_sec: null, memory_max_bytes: null, stdout: null, stderr: null },
        ...{ outputs: [], checked: false, sandbox: null },
      }
      this.#waiting.push({
        ended,
        superseded: false,
        evidence,
        array,
        task,
        attempt,
        recordEnd: null,
        reusedFrom: null,
        ...{ hasBegun, node },
      })
      if (hasBegun) this.#count(ended, array.site.name)
    }
    array.noteInferred(jobs)
  }

  /** Publishes what waits, in one commit a table. Returns how many rows. */
  async flush(): Promise<number> {
    const rows = this.#waiting
    if (rows.length === 0) return 0
    const failed = rows.filter(({ ended, superseded }) => ended.class !== null && !superseded)
    const before = await failuresBefore(
      this.#context.tables,
      failed.map(({ ended }) => ended),
    )
    const publishedAtUs = this.#nowUs()
    const { paths, settings } = this.#context
    const { attempts, groups } = this.#attempts(rows, before, publishedAtUs)
    const results = rows
      .filter(({ ended, superseded }) => ended.outputs.length > 0 && ended.verdict === 'succeeded' && !superseded)
      .flatMap(({ ended, array }) =>
        resultRows(ended, {
          outputsRoot: array === null ? paths.outputs : (settings.outputsUrl ?? array.site.outputs),
          arrayDirectory: array === null ? null : join(array.site.paths.arrays, array.id),
          site: array === null ? 'local' : array.site.name,
          publishedAtUs,
        }),
      )
    await publish(this.#context.tables, {
      attempts,
      groups,
      results,
      facts: this.#facts,
      guard: this.#guard,
    })
    this.#waiting = []
    return rows.length
  }

  #attempts(
    rows: readonly Waiting[],
    before: (ended: JobEnded) => Before,
    publishedAtUs: number,
  ): { attempts: Row[]; groups: Row[] } {
    const groups: Row[] = []
    let [first, firstNext]: [Waiting?, ReturnType<typeof decideNext>?] = []
    const attempts = rows.map((row): Row => {
      const next = this.#next(row, before)
      if (first === undefined || next !== firstNext || !areAlike(row, first)) {
        ;[first, firstNext] = [row, next]
        groups.push(this.#group(groups.length, row, { next, publishedAtUs }))
      }
      return attemptRow(row.ended, {
        ...{ group: groups.length - 1, hasBegun: row.hasBegun, recordEnd: row.recordEnd },
      })
    })
    return { attempts, groups }
  }

  #group(
    group: number,
    row: Waiting,
    { next, publishedAtUs }: { next: ReturnType<typeof decideNext>; publishedAtUs: number },
  ): Row {
    const { ended, array } = row
    const site = array?.site ?? this.#context.site
    const place = row.task === null || row.attempt === null ? undefined : array?.node(row.task, row.attempt)
    return groupRow(group, ended, {
      evidence: row.evidence,
      next,
      superseded: row.superseded,
      cpus: array?.terms.cpus ?? null,
      memoryBytes: array?.terms.memory_bytes ?? null,
      // A job that names none had what its task had.
      walltimeSec:
        array?.terms.walltime_sec ?? (ended.class === 'walltime' ? (array?.terms.task_sec ?? site.taskSec) : null),
      site: site.name,
      node: place?.node ?? row.node,
      batchId: row.task === null ? null : (array?.batchOf(row.task) ?? null),
      arrayId: array?.id ?? null,
      task: row.task,
      taskAttempt: row.attempt,
      nativeId: place?.native_id ?? array?.nativeId ?? null,
      reusedFrom: row.reusedFrom,
      publishedAtUs,
    })
  }

  /** A job that is tried again is not decided yet. */
  #next(
    { ended, superseded, hasBegun, array, task }: Waiting,
    before: (ended: JobEnded) => Before,
  ): ReturnType<typeof decideNext> {
    if (superseded) return 'done'
    if (!hasBegun) {
      array?.noteRetry()
      return 'retry'
    }
    const { policy, maxTries } = this.#context.settings
    const next = decideNext(policy, ended.class, {
      before: before(ended),
      maxTries: maxTries ?? null,
      ...(array && {
        had: {
          memoryBytes: array.terms.memory_bytes,
          walltimeSec: array.terms.walltime_sec,
          jobs: array.batches.find((batch) => batch.task === task)?.jobs ?? 1,
        },
      }),
    })
    if (next === 'hold') this.tally.held++
    if (next === 'retry') {
      array?.noteRetry()
      this.tally[ended.verdict]--
      this.tally.retried++
    }
    return next
  }

  #count(ended: JobEnded, site: string): void {
    const { tally } = this
    this.#noteVerdict(site)
    tally[ended.verdict]++
    if (ended.class !== null) tally.byClass.set(ended.class, (tally.byClass.get(ended.class) ?? 0) + 1)
  }

  #noteVerdict(site: string): void {
    this.#verdicts.set(site, this.verdictsOf(site) + 1)
  }

  #nowUs(): number {
    return Math.round(this.#context.clock.now() * 1000)
  }
}

export type { LiveBatch }
