import type { Argv } from 'yargs'
import type { Campaign } from '../floe.ts'
import type { Terminal } from './terminal.ts'

/** What a command is given besides its arguments. */
export interface Setting {
  readonly terminal: Terminal
  /** What `-C` names. */
  readonly named: string | undefined
  /** Opens the campaign of `-C`, or the one around the current directory; closed when the command is over. */
  readonly campaign: () => Promise<Campaign>
  /** Aborted by the first Ctrl-C when the command is `interruptible`. */
  readonly signal: AbortSignal
}

/** Exit status of a command that came to its end; the rest are FloeErrors. */
export type Status = 0 | 3 | 4 | 130

/** One verb. `usage` is the yargs form: `add <file..>`; what `options` adds to it is what `A` says. */
export interface Command<A> {
  readonly usage: string
  readonly text: string
  /** Shown by help; the second of each pair says what it does. */
  readonly examples: readonly (readonly [string, string])[]
  readonly options?: (yargs: Argv) => unknown
  /** Ctrl-C is told by `signal` and the command ends in its own way; without it, the process ends at once. */
  readonly interruptible?: boolean
  readonly run: (args: A, setting: Setting) => Promise<Status>
}

/** A verb as main keeps it, whatever its arguments. */
export type AnyCommand = Command<never>
