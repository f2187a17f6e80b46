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

/** What dispatch needs from a cluster, and nothing else. */
export interface Connector {
  readonly name: string
  readonly limits: { readonly arrayMax: number; readonly queuedMax: number }
  /** Idempotent on `array.name`: submitting twice gives the same id and one array. */
  submit(array: ArraySpec): Promise<NativeId>
  /** One query for all ids. A task that is not listed is left out, never guessed. */
  status(ids: readonly NativeId[]): Promise<TaskReport[]>
  /** Cancelling what has ended, or never was, succeeds. Without indices: the whole array. */
  cancel(id: NativeId, indices?: readonly number[]): Promise<void>
}

/** The connectors' own error; dispatch translates it once. */
export class ConnectorError extends Error {
  readonly kind: 'unreachable' | 'refused' | 'unreadable' | 'unknown state'
  readonly hint: string

  constructor(kind: ConnectorError['kind'], message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'ConnectorError'
    this.kind = kind
    this.hint = hint
  }
}
