import type { ArraySpec, NativeId, SiteLimits, TaskEnding, TaskReport, Waiting } from './connector.ts'
import type { Output } from './transport/transport.ts'

export type { QueueLimits, SiteLimits, TaskEnding, Waiting } from './connector.ts'

/** A command as a list of words. They are quoted once, in quote.ts, and nowhere else. */
export type Argv = readonly [string, ...string[]]

/** What a refusal asks for: the same again after a while, room first, a person, or nothing that could help. */
export interface Refusal {
  readonly answer: 'again' | 'wait' | 'needs you' | 'never'
  readonly hint: string
}

/**
 * A scheduler's command language: text in, text out, no I/O, no clock. Commands are run by command.ts under `sh` with LC_ALL=C, TZ=UTC, and
 * without the variables that start with one of `clears`; those in `keeps` stay as they are.
 *
 * Parsers get the whole output and judge it, since some schedulers say it all with exit 0. They throw a ConnectorError when it is no answer:
 * `unreachable` (ask again later), `refused` (a person must act), `unreadable` (cut short, or not this scheduler), `unknown state` (a word
 * that is in no table; the message names it and the table). An empty list is always an answer: the scheduler was asked and knows none.
 *
 * Nothing of the user's goes to a scheduler but the array's name, numbers, and words of sites.yaml: each has its own idea of blanks, quotes
 * and colons in paths. The job script itself changes to the array's directory and says where its output goes.
 */
export interface Dialect {
  readonly name: string
  /** Beginnings of environment variables that would beat or leak into what floe asks for. */
  readonly clears: readonly string[]
  /** Variables that stay as they are: those that say where the scheduler is; LC_ALL and TZ where a task gets the environment of who submits. */
  readonly keeps: readonly string[]
  /** What may differ between versions and sites and is asked for elsewhere; never compare `name`. */
  readonly facts: {
    /** An array of one must be sent as a plain job. */
    readonly arrayOfOne: boolean
    /** Milliseconds that a submit may take, the scheduler's own retries included. */
    readonly submitMs: number
    /** Most ids of one status or cancel command. */
    readonly idsMax: number
  }
  /** sh expressions, in the environment of a task: the id of the whole array as `submit` printed it, and the 0-based index of the task. */
  readonly task: { readonly id: string; readonly index: string }
  /** All that is asked for is in the command; the job script comes on its stdin and has no directives. Its stdout and stderr are discarded. */
  submit(array: ArraySpec): Argv
  /** ERE for `sed -nE 's/…/\1/p'`: its first group is the id in a line of what `submit` prints; other lines (banners) do not match. */
  readonly idPattern: string
  /** Ids of all arrays of this user with this name that the queue still shows, ended ones too where it shows them, and of accounting. */
  find(name: string): readonly Argv[]
  parseFind(outputs: readonly Output[], name: string): readonly NativeId[]
  status(ids: readonly NativeId[]): Argv
  /** Tasks of `arrays` (id to number of tasks). A range that has not started comes as one report for each of its indices. */
  parseStatus(output: Output, arrays: ReadonlyMap<NativeId, number>): readonly TaskReport[]
  /** Absent: this scheduler keeps no accounts. */
  accounting?(ids: readonly NativeId[]): Argv
  parseAccounting?(output: Output): readonly TaskEnding[]
  /** Without indices: the whole array; with an empty list: nothing. */
  cancel(id: NativeId, indices?: readonly number[]): readonly Argv[]
  /** Keeps what waits of an array, submitted with `options`, from these nodes, an empty list from none. Absent: that cannot be said of what is queued. */
  avoid?(id: NativeId, nodes: readonly string[], options: readonly string[]): Argv
  /** True when a failed cancel says that there is nothing left to cancel. */
  isGone(output: Output): boolean
  limits(): readonly Argv[]
  parseLimits(outputs: readonly Output[]): SiteLimits
  /** What a failed command wants, by its own words. */
  refusal(output: Output): Refusal
  /** What the `reason` of a queued or held task means. */
  waiting(reason: string): Waiting
}
