import type { JobEnded } from '../model/record.ts'
import type { JobState } from '../model/verdict.ts'
import type {
  AddReport,
  CleanReport,
  FetchReport,
  JsonRow,
  PlanReport,
  RequestReport,
  ResultsReport,
  RunProgress,
  RunReport,
  SimulationReport,
  StatusReport,
} from './answers.ts'
import type { Columns } from './rows.ts'

/** Which jobs a verb speaks of; what is given holds together. */
export interface Selection {
  /** Exact names. */
  readonly jobs?: readonly string[]
  readonly state?: JobState | readonly JobState[]
  /** One SQL expression over the columns of view `jobs`. */
  readonly where?: string
  readonly all?: boolean
}

export interface AddOptions {
  /** Called now and then with the jobs read so far. */
  readonly onProgress?: (progress: { readonly path: string; readonly jobs: number }) => void
  readonly signal?: AbortSignal
}

export interface CleanOptions {
  /** Only what lies at this site. */
  readonly site?: string
  /** What may stay at a site, oldest first to go; absent: its `quota`, else the newest logs. */
  readonly keepBytes?: number
  /** Nothing stays that no live work needs. */
  readonly all?: boolean
}

export interface PlanOptions {
  /** Where to run; several share the jobs. */
  readonly site?: string | readonly string[]
  readonly jobsPerBatch?: number
  readonly batchSeconds?: number
  /** Jobs that go first, to be measured; absent: by `scouts:` of floe.yaml, and none where it is said how to cut. */
  readonly scouts?: number
  readonly signal?: AbortSignal
}

export interface RunOptions extends PlanOptions {
  /** One turn of the loop, then back, for cron. */
  readonly once?: boolean
  /** What to do about results whose inputs or program changed; absent: refuse and say how many. */
  readonly stale?: 'rerun' | 'keep'
  /** Attempts of a job at most, losses by the site aside; absent: as `policy:` says for each class. */
  readonly maxTries?: number
  /** Failed jobs at which the run stops by itself; absent: by the share `stop_when_failed`. */
  readonly maxFailures?: number
  readonly onProgress?: (progress: RunProgress) => void
}

export interface SimulateOptions {
  /** Whose limits and rhythm are believed; absent: `site` of floe.yaml. */
  readonly site?: string
  /** 1 when absent. */
  readonly seed?: number
  /** That tasks use at a time. */
  readonly cores?: number
  /** Of one job, half of it to one and a half; absent: the mean of those that succeeded so far. */
  readonly jobSec?: number
  /** Median of the time that an array waits; absent: as `doctor` measured it. */
  readonly waitSec?: number
  /** Share of the jobs that fail by themselves, 0 to 1. */
  readonly failures?: number
  /** How often calls get no answer, nodes fail, tasks are preempted or forgotten, directories purged; none when absent. */
  readonly trouble?: 'none' | 'some' | 'much'
  /** Files as floe.yaml, of which `policy`, `batch` and `stop_when_failed` are taken: one simulation for each. */
  readonly policies?: readonly string[]
  /** From the start, as if nothing had been run yet, to be compared with what really was. */
  readonly against?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: RunProgress) => void
}

export interface TryOptions {
  readonly write: (stream: 'stdout' | 'stderr', text: Buffer) => void
  readonly signal?: AbortSignal
}

export interface TryReport {
  readonly job_id: string
  readonly ended: JobEnded
  /** Where it ran; stays. */
  readonly sandbox: string | null
  /** Where its outputs are; not in the campaign's outputs. */
  readonly outputs: string
}

/** All evidence on one job, the newest first. */
export interface JobReport {
  readonly job: JsonRow
  readonly inputs: readonly JsonRow[]
  /**
   * Each with `outputs`, what that try made: path, size_bytes, digest, and whether it is `published`, what `results` has. Null when its
   * record was cleaned away.
   */
  readonly attempts: readonly JsonRow[]
  readonly results: readonly JsonRow[]
  readonly requests: readonly JsonRow[]
  readonly batch: JsonRow | null
  readonly live: {
    readonly state: 'queued' | 'running' | 'ended'
    readonly site: string
    readonly array: string
    readonly task: number
    readonly node: string | null
    readonly ended: JobEnded | null
  } | null
  /** What the scheduler says of the task that it is in. */
  readonly queue: {
    readonly site: string
    readonly native_id: string
    readonly task: number
    readonly state: 'queued' | 'held' | 'running' | 'ended' | null
    readonly reason: string | null
    readonly meaning: string | null
    readonly clears: 'will clear' | 'needs you' | 'never' | null
  } | null
  /** What accounting says of the tasks of attempts that did not succeed. */
  readonly accounting: readonly {
    readonly try: number
    readonly revision: number
    readonly word: string
    readonly exit: number | null
    readonly signal: number | null
    readonly node: string | null
    readonly memory_max_bytes: number | null
  }[]
  /** Sites that could not be asked, and why. */
  readonly silent: readonly { readonly site: string; readonly why: string }[]
  /** Each fact on each try: the newest try first, in each the most trusted fact first. */
  readonly evidence: readonly {
    readonly try: number
    readonly revision: number
    readonly source: 'record' | 'accounting' | 'queue' | 'heartbeat' | 'absence' | 'reuse'
    readonly says: string
    /** When it happened by the clock of whoever says it, or when it was asked; ISO 8601, UTC. */
    readonly at: string | null
    /** The try has its verdict of this. */
    readonly decided: boolean
  }[]
}

export interface JobsOptions extends Selection {
  readonly limit?: number
  readonly columns?: readonly string[]
}

export interface FetchOptions {
  /** Only what lies at this site. */
  readonly site?: string
  readonly onProgress?: (progress: {
    readonly site: string
    readonly done: number
    readonly total: number
    readonly bytes: number
  }) => void
  readonly signal?: AbortSignal
}

export interface LogOptions {
  readonly stream?: 'stdout' | 'stderr'
  /** The how-manieth try; absent: the newest. */
  readonly try?: number
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

/** Rows as they come, in chunks, to be read once. */
export interface RowStream {
  readonly columns: Columns
  readonly rows: AsyncIterable<readonly JsonRow[]>
  close(): Promise<void>
}

export type ResultsFormat = 'csv' | 'tsv' | 'ndjson' | 'parquet' | 'arrow' | 'arrows'

export interface ResultsOptions {
  readonly file: string
  /** By the suffix of the file when absent. */
  readonly format?: ResultsFormat
  readonly signal?: AbortSignal
}

/**
 * A campaign, one method a verb of the command line; each gives back what the verb prints with --json. Throws FloeError, whose code says what
 * happened. Nothing is read before a verb needs it.
 */
export interface Campaign {
  /** Its directory, without links. */
  readonly root: string
  readonly id: string
  add(files: readonly string[], options?: AddOptions): Promise<AddReport>
  remove(selection: Selection, why?: string): Promise<RequestReport>
  plan(options?: PlanOptions): Promise<PlanReport>
  run(options?: RunOptions): Promise<RunReport>
  /** In virtual time, on a copy; no site is asked anything. */
  simulate(options?: SimulateOptions): Promise<SimulationReport>
  try(jobId: string, options: TryOptions): Promise<TryReport>
  status(): Promise<StatusReport>
  jobs(options?: JobsOptions): RowStream
  show(jobId: string): Promise<JobReport>
  logs(jobId: string, options?: LogOptions): AsyncIterable<{ stream: 'stdout' | 'stderr'; text: Buffer }>
  retry(selection: Selection, why?: string): Promise<RequestReport>
  cancel(selection: Selection, why?: string): Promise<RequestReport>
  hold(selection: Selection, why?: string): Promise<RequestReport>
  release(selection: Selection, why?: string): Promise<RequestReport>
  /** The merged table into a file. */
  results(options: ResultsOptions): Promise<ResultsReport>
  /** The merged table as bytes, in a format that can be streamed; CSV when absent. */
  resultBytes(format?: ResultsFormat): AsyncIterable<string | Uint8Array>
  /** Outputs that lie at sites, into the campaign's outputs. Tables are not changed. */
  fetch(selection: Selection, options?: FetchOptions): Promise<FetchReport>
  query(sql: string): Promise<RowStream>
  clean(options?: CleanOptions): Promise<CleanReport>
  close(): Promise<void>
}
