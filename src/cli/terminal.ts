import type { Ask } from '../floe.ts'
import { openAsk } from './ask.ts'
import { COLORED, PLAIN, type Style } from './text/style.ts'

export interface TerminalOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly color: boolean
}

/** Where a command speaks: results on stdout, everything else on stderr. */
export interface Terminal {
  readonly json: boolean
  readonly quiet: boolean
  /** Colours of stdout and of stderr. */
  readonly style: Style
  readonly errorStyle: Style
  /** Whether stderr is a screen, so that progress can be drawn over itself. */
  readonly isScreen: boolean
  /** Whether stdout is one. */
  readonly isInteractive: boolean
  readonly columns: number
  /** To stdout; waits while the reader is slow. */
  out(text: string | Uint8Array): Promise<void>
  /** To stderr, unless --quiet. */
  note(text: string): void
  /** To stderr, always. */
  error(text: string): void
  /** Asks the person, on the terminal itself; undefined: there is none. */
  readonly ask: Ask | undefined
  /** Whether somebody is typing an answer. */
  readonly isAsking: () => boolean
  /** One line of JSON on stdout. */
  outJson(value: unknown): Promise<void>
}

export function openTerminal({ json, quiet, color }: TerminalOptions): Terminal {
  const { stdout, stderr, env } = process
  const styleOf = (stream: { isTTY?: boolean }) =>
    color && stream.isTTY && !env.NO_COLOR && env.TERM !== 'dumb' ? COLORED : PLAIN
  const ask = openAsk()
  const out = (text: string | Uint8Array) =>
    new Promise<void>((resolve) => {
      if (stdout.write(text)) resolve()
      else stdout.once('drain', resolve)
    })
  return {
    json,
    quiet,
    style: styleOf(stdout),
    errorStyle: styleOf(stderr),
    isScreen: stderr.isTTY === true && env.TERM !== 'dumb',
    isInteractive: stdout.isTTY === true,
    ask,
    isAsking: () => ask?.isOpen() ?? false,
    columns: stderr.columns || stdout.columns || 100,
    out,
    note: (text) => {
      if (!quiet) stderr.write(text)
    },
    error: (text) => {
      stderr.write(text)
    },
    outJson: (value) => out(`${toJson(value)}\n`),
  }
}

/** Integers over 2^53 are written as text, because few readers of JSON keep them. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner))

/** `| head` closed the pipe: nobody reads on, and nothing went wrong. */
export function quietOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
}
