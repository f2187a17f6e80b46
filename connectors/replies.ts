import { ConnectorError } from './connector.ts'
import type { Argv } from './dialect.ts'
import { quote, quoteWords } from './quote.ts'
import type { Output } from './transport/transport.ts'

/*
 * Commands of a scheduler as one sh text, and their outputs out of its output. Each output stands between marker lines of that call, with the
 * exit in the last one, so that a banner, a profile that talks and a connection that was cut are never read as an answer of the scheduler.
 */

/** What all commands of a site are run under. */
export interface Surroundings {
  /** Beginnings of variables to unset, and names among them to keep. */
  readonly clears: readonly string[]
  readonly keeps: readonly string[]
  /** Lines of sh that put the scheduler's commands on PATH. */
  readonly setup: readonly string[]
  /** Whether a login shell of bash is needed to find them. */
  readonly login: boolean
}

const FIXED = [
  ['LC_ALL', 'C'],
  ['TZ', 'UTC'],
] as const

/**
 * A whole script: `body` (lines of sh) with locale and time zone fixed unless they are kept, what leaks unset, and the setup of the site done. It is one function
 * that is called in the last line: of a text that was cut on its way nothing runs.
 */
export function scriptOf(body: readonly string[], { clears, keeps, setup, login }: Surroundings): string {
  const lines = [
    'floe() {',
    ...FIXED.filter(([name]) => !keeps.includes(name)).map((pair) => `export ${pair.join('=')}`),
    ...(clears.length > 0 ? unsetting(clears, keeps) : []),
    ...(setup.length > 0 ? [`{ eval ${quote(setup.join('\n'))}; } >/dev/null </dev/null`] : []),
    ...body,
    '}',
  ]
  if (!login) return [...lines, 'floe', ''].join('\n')
  // What the profile prints goes nowhere; the script gets its outputs back on the descriptors that were kept.
  const inner = [...lines, 'exec 1>&7 2>&8 7>&- 8>&-', 'floe', ''].join('\n')
  return `floe() {\nexec 7>&1 8>&2\nbash -lc ${quote(inner)} >/dev/null 2>&1 </dev/null\n}\nfloe\n`
}

/** Only names come out of `env`: a line of a value that looks like one costs no more than a variable that nobody has. */
const unsetting = (clears: readonly string[], keeps: readonly string[]): string[] => [
  `for floe_name in $(env | sed -nE ${quote(`s/^((${clears.join('|')})[A-Za-z0-9_]*)=.*/\\1/p`)}); do`,
  ...(keeps.length > 0 ? [`case $floe_name in ${keeps.join('|')}) continue ;; esac`] : []),
  'unset "$floe_name"',
  'done',
]

/** Lines that run commands, each between its markers. */
export const asking = (commands: readonly Argv[], mark: string): string[] =>
  commands.flatMap((words, at) => [...opening(mark, at), `${quoteWords(words)} </dev/null`, ...closing(mark, at, '$?')])

export const opening = (mark: string, at: number): string[] => [
  `printf '%s\\n' '${mark} < ${at}'`,
  `printf '%s\\n' '${mark} < ${at}' >&2`,
]

export const closing = (mark: string, at: number, exit: string): string[] => [
  `printf '\\n%s\\n' "${mark} > ${at} ${exit}"`,
  `printf '\\n%s\\n' '${mark} > ${at}' >&2`,
]

/** Lines that a script said of itself, after its marker. */
export const saidIn = ({ stdout }: Output, mark: string): string[] =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith(`${mark} : `))
    .map((line) => line.slice(mark.length + 3))

/** The outputs of `asking`, whole. One that lacks its end is no output: the way there was cut, or the shell was killed. */
export function repliesIn(output: Output, mark: string, commands: readonly Argv[]): Output[] {
  return commands.map((words, at) => {
    const stdout = between(output.stdout, mark, at)
    const stderr = between(output.stderr, mark, at)
    const exit = stdout === undefined ? undefined : /^\d+$/.exec(stdout.rest)?.[0]
    if (stdout === undefined || stderr === undefined || exit === undefined) throw cut(output, words)
    return { exit: Number(exit), stdout: stdout.text, stderr: stderr.text }
  })
}

function between(text: string, mark: string, at: number): { text: string; rest: string } | undefined {
  const open = `${mark} < ${at}\n`
  const from = text.indexOf(open)
  const to = from < 0 ? -1 : text.indexOf(`\n${mark} > ${at}`, from + open.length - 1)
  if (to < 0) return undefined
  const end = text.indexOf('\n', to + 1)
  // A line without its end may be half a number.
  if (end < 0) return undefined
  const rest = text.slice(to + `\n${mark} > ${at}`.length, end).trim()
  return { text: text.slice(from + open.length, Math.max(to, from + open.length)), rest }
}

function cut(output: Output, words: Argv): ConnectorError {
  return new ConnectorError(
    'unreachable',
    `the shell of the site ended before ${nameOf(words)} had answered (exit ${output.exit}): ${firstLines(output)}`,
    'Nothing was concluded from it; floe asks again.',
  )
}

/** The program that a command is about: of `env A=1 squeue …` squeue, of `sh -c TEXT qstat …` qstat. */
export function nameOf(words: Argv): string {
  if (words[0] === 'env') return words.slice(1).find((word) => !word.includes('=')) ?? 'env'
  return words[0] === 'sh' ? (words[3] ?? 'sh') : words[0]
}

/** The beginning of what a command said, stderr first, for messages. */
export function firstLines({ stderr, stdout }: Output): string {
  const lines = [...stderr.split('\n'), ...stdout.split('\n')].map((line) => line.trim()).filter(Boolean)
  if (lines.length === 0) return 'it printed nothing'
  const text = lines.slice(0, 4).join(' · ')
  return text.length > 500 ? `${text.slice(0, 499)}…` : text
}
