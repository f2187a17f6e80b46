/** The scheduler's own id of an array, as it printed it. */
export type NativeId = string

/** An array as dispatch hands it to a cluster. Names are unique for ever: campaign, array and nonce are in them. */
export interface ArraySpec {
  readonly name: string
  /** Absolute path of the array's directory on the site. */
  readonly directory: string
  /** How many tasks; indices are 0 … count - 1. */
  readonly count: number
  /** argv of the runner without its task index, e.g. node, runner.js, --array, DIR. */
  readonly command: readonly string[]
  readonly cpus: number
  readonly memoryBytes: number | null
  readonly walltimeSec: number | null
  readonly gpus: number
  readonly queue: string | null
  readonly account: string | null
  /** Nodes that no task is to go to, as far as the scheduler can be told. */
  readonly avoid?: readonly string[]
  /** The site's own words for the submit command, each one argument, e.g. `--constraint=avx2`. They come last, so they win. */
  readonly options?: readonly string[]
}

/** Two vocabularies are never mixed: this is the state of a task; how a job ended is a verdict and comes from record files. */
export interface TaskReport {
  readonly id: NativeId
  readonly index: number
  readonly state: 'queued' | 'held' | 'running' | 'ended'
  /** The scheduler's own words for waiting or ending. */
  readonly reason: string | null
}

/** How a task ended, in the scheduler's own accounting. It explains; a record line decides. */
export interface TaskEnding {
  readonly id: NativeId
  readonly index: number
  /** The scheduler's word for it, e.g. OUT_OF_MEMORY. */
  readonly word: string
  readonly cause: 'succeeded' | 'failed' | 'memory' | 'walltime' | 'node' | 'launch' | 'preempted' | 'cancelled'
  readonly exit: number | null
  readonly signal: number | null
  readonly node: string | null
  /** UTC seconds since 1970. */
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly memoryMaxBytes: number | null
}

/** Why a task waits, for a person: what the scheduler's word means, and whether waiting helps. */
export interface Waiting {
  readonly sentence: string
  readonly clears: 'will clear' | 'needs you' | 'never'
}

/** What a site allows; null: no limit is known. */
export interface SiteLimits {
  /** Scheduler's name and version in one line, e.g. `Slurm 23.11.4`. */
  readonly version: string
  /** Tasks of one array. */
  readonly arrayMax: number
  /** Tasks of a user that may be queued or running at once. */
  readonly queuedMax: number | null
  /** Arrays of a user that may be there at once, where the site counts those. */
  readonly arraysMax: number | null
  readonly queues: readonly QueueLimits[]
  readonly accounts: readonly string[]
  /** Seconds for which an ended task is still listed. */
  readonly forgetsAfterSec: number | null
  readonly hasAccounting: boolean
  /** One sentence each: what else was found and what floe does about it. */
  readonly notes: readonly string[]
}

export interface QueueLimits {
  readonly name: string
  readonly isDefault: boolean
  readonly walltimeMaxSec: number | null
  readonly cpusMax: number | null
  readonly memoryMaxBytes: number | null
  /** Where a queue is tighter than the site: tasks of one array, and tasks of a user. */
  readonly arrayMax: number | null
  readonly queuedMax: number | null
}

/** What dispatch needs from a cluster, and nothing else. Errors are ConnectorErrors. */
export interface Connector {
  readonly name: string
  /**
   * Idempotent on `array.name`: submitting twice gives the same id and one array that runs. Also the question for the id of an array that
   * may have been submitted: once a task has started, the answer is the submission that owns the array. With `verify` an id that was noted
   * is believed only when queue, accounting or a task knows the array by its name; else the scheduler has lost it, and it is sent again.
   */
  submit(array: ArraySpec, options?: { readonly verify?: boolean }): Promise<NativeId>
  /**
   * One query for all arrays, given with their counts of tasks. A task that is not listed is left out, never guessed. `inTurn`: throws
   * TooEarly when another run has just asked.
   */
  status(arrays: ReadonlyMap<NativeId, number>, options?: { readonly inTurn?: boolean }): Promise<TaskReport[]>
  /** Cancelling what has ended, or never was, succeeds. Without indices: the whole array; with an empty list: nothing. */
  cancel(id: NativeId, indices?: readonly number[]): Promise<void>
  /**
   * Keeps those tasks of an array that wait from these nodes, and from no others but those of the `options` that it was submitted with. Tasks
   * that have begun are left alone. Absent: the scheduler takes no such word for what is queued.
   */
  readonly avoid?: (id: NativeId, nodes: readonly string[], options: readonly string[]) => Promise<void>
  /** What the site's accounting knows of tasks that ended; it lags, and keeps none on some sites. */
  endings(ids: readonly NativeId[]): Promise<TaskEnding[]>
  siteLimits(): Promise<SiteLimits>
  /** What the `reason` of a queued or held task means. */
  waiting(reason: string): Waiting
}

/**
 * The connectors' own error; dispatch translates it once. What the kinds ask for:
 * `unreachable` the same call again after a while; `wait` room must become free first, then the same call; `refused` a person must change
 * something; `never` nothing of that form can be had here; `unreadable` an answer that floe does not understand, nothing was concluded from it;
 * `unknown state` a word that is missing in a table of the dialect.
 */
export class ConnectorError extends Error {
  readonly kind: 'unreachable' | 'wait' | 'refused' | 'never' | 'unreadable' | 'unknown state'
  readonly hint: string
  /** The command that was refused, where a scheduler refused one. */
  readonly command: RefusedCommand | undefined

  constructor(kind: ConnectorError['kind'], message: string, hint: string, cause?: unknown, command?: RefusedCommand) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'ConnectorError'
    this.kind = kind
    this.hint = hint
    this.command = command
  }
}

/** The scheduler was not asked, for others have just asked it. */
export class TooEarly extends ConnectorError {
  readonly laterMs: number

  constructor(message: string, laterMs: number) {
    super('unreachable', message, 'Records decide, so there is time; floe asks then.')
    this.laterMs = laterMs
  }
}

/** What was tried and what came back, for a person. */
export interface RefusedCommand {
  /** The command as one line, cut where it is long. */
  readonly tried: string
  readonly exit: number
  /** The scheduler's own words, whole lines. */
  readonly said: string
}

/** Of limits that hold together; null is none. */
export function leastOf(limits: readonly (number | null)[]): number | null {
  const known = limits.filter((limit) => limit !== null)
  return known.length === 0 ? null : Math.min(...known)
}
