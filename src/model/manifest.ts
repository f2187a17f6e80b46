/*
 * Manifest, version 1: file `manifest` in an array's directory. NDJSON, one line a task header followed by its jobs, sorted by task.
 * File `index` beside it: two little-endian 64-bit integers a task, the byte offset and the byte length of the task's range.
 * Each task reads its own range only. Written once, before the array is submitted.
 */

/** Header line of a task's range. What it says holds for all its jobs. */
export interface ManifestTask {
  readonly v: 1
  readonly campaign: string
  readonly array: string
  readonly task: number
  readonly batch: number
  readonly jobs: number
  /** cpus of one job; slots = cpus of the task / cpus of a job. */
  readonly cpus: number
  /** GPUs of one job; absent: none. */
  readonly gpus?: number
  readonly memory_bytes: number | null
  /** Limit of one job, seconds; null: none. */
  readonly walltime_sec: number | null
  /** sh, run once in each slot before the first job. */
  readonly setup: string | null
  /** Programs run in this image. */
  readonly container?: ManifestContainer
  readonly publish: 'files' | 'pack' | 'table'
  /** Absolute directory that output paths are relative to, or a folder in HDFS by its address. */
  readonly outputs: string
  /** Elements of the array choose their tasks when they start, by file `places` and by claims. Absent: element n runs task n. */
  readonly binds_late?: true
  /** Of a copy of a task, which runs the same jobs at the same time: of each the first one's verdict counts, see jobs/runner/wins.ts. */
  readonly copy_of?: {
    /** Absolute directory of the array of the task. */
    readonly array: string
    readonly task: number
    /** What one node writes the others see after so long, milliseconds. */
    readonly seen_ms: number
  }
  /** Absolute directory of what floe carried to the site. What is missing there was purged, which is no fault of a job. */
  readonly cache?: string
  /** Directories that inputs are read in, in place. One that is bare on a node is not mounted there, which is no fault of a job. */
  readonly roots?: readonly string[]
  /** Directory on the node that the jobs' directories are made in. Absent: FLOE_TMPDIR, else TMPDIR, else the array's directory; see the job script. */
  readonly sandboxes?: string
  /** How many sandboxes of failed jobs the site keeps. */
  readonly sandboxes_max: number
  /** Sandboxes of jobs that succeeded are kept too. */
  readonly sandboxes_all?: true
}

export interface ManifestContainer {
  /** Apptainer or Singularity: a bare name looked up on PATH of the slot, or an absolute path. */
  readonly program: string
  /** Absolute path of the image on the site. */
  readonly image: string
}

export interface ManifestInput {
  /** Path below the job's directory that the input is linked under. */
  readonly name: string
  /** Absolute path on the site, or an address in HDFS, `webhdfs://…` or `swebhdfs://…`: the task brings it to its node, once. */
  readonly path: string
  /** `sha256:…` that what is brought has to have; absent: not known. */
  readonly digest?: string
  /** As planned; null: not looked up. A difference at start is class `input`. */
  readonly size_bytes: number | null
  /** UTC microseconds; null: not looked up. */
  readonly mtime: number | null
}

export interface ManifestOutput {
  /** Relative path, or a glob. */
  readonly path: string
  readonly optional: boolean
}

/** What a job is known by while it is under way. */
export type NamedJob = Pick<ManifestJob, 'job' | 'revision' | 'job_digest' | 'try'>

/** One job. Placeholders in `arguments` are resolved already. Absent keys are empty. */
export interface ManifestJob {
  readonly job: string
  readonly revision: number
  readonly job_digest: string
  /** The how-manieth try of this job, from 1; copied into its record line. */
  readonly try: number
  /** argv[0]: an absolute path on the site, or a bare name looked up on PATH (of the slot, after `setup`). */
  readonly program: string
  readonly arguments: readonly string[]
  readonly inputs: readonly ManifestInput[]
  readonly files?: readonly ManifestInput[]
  readonly outputs: readonly ManifestOutput[]
  readonly environment?: Readonly<Record<string, string>>
  /** Name of the input that is its standard input. */
  readonly stdin?: string
  /** Path of the output that is its standard output. */
  readonly stdout?: string
  /** sh, run after exit 0 in the job's directory. */
  readonly check?: string
}
