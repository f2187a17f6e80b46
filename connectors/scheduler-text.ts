import { ConnectorError } from './connector.ts'
import type { Refusal } from './dialect.ts'
import type { Output } from './transport/transport.ts'

/* What the dialects share: index ranges, durations, sizes, and the way they complain. */

/** Indices as schedulers write them. `cutAt`: the text was cut short, and says nothing about indices from this one on. */
export interface Ranges {
  readonly ranges: readonly { readonly first: number; readonly last: number; readonly step: number }[]
  readonly cutAt: number | null
}

/** Reads `7`, `1-10,13`, `0-98:2`, and texts cut short with dots (`1-10,13,15-2...`). Undefined: not such a text. */
export function readRanges(text: string): Ranges | undefined {
  const whole = text.replace(/\.\.+$/, '')
  const ranges: { first: number; last: number; step: number }[] = []
  const parts = whole.split(',')
  const torn = whole === text ? undefined : parts.pop()
  for (const part of parts) {
    const [, first, last, step] = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part) ?? []
    if (first === undefined) return undefined
    ranges.push({ first: Number(first), last: Number(last ?? first), step: Math.max(1, Number(step ?? 1)) })
  }
  if (torn === undefined) return { ranges, cutAt: null }
  // Of the part at the cut only a number with a dash behind it is whole.
  const [, first] = /^(\d+)-/.exec(torn) ?? []
  if (first !== undefined) ranges.push({ first: Number(first), last: Number(first), step: 1 })
  return { ranges, cutAt: (ranges.at(-1)?.last ?? -1) + 1 }
}

/** The indices below `count`, in order. From where the text was cut on, all of them. */
export function* indicesBelow(count: number, { ranges, cutAt }: Ranges): Generator<number> {
  for (const { first, last, step } of ranges) {
    for (let index = first; index <= last && index < count; index += step) yield index
  }
  if (cutAt !== null) for (let index = cutAt; index < count; index++) yield index
}

/** Sorted runs of neighbours: [3, 1, 2, 7] → [1, 3], [7, 7]. */
export function runsOf(indices: readonly number[]): readonly (readonly [first: number, last: number])[] {
  const runs: [number, number][] = []
  for (const index of [...new Set(indices)].sort((a, b) => a - b)) {
    const run = runs.at(-1)
    if (run && run[1] === index - 1) run[1] = index
    else runs.push([index, index])
  }
  return runs
}

export function inChunks<T>(list: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => list.slice(at * size, (at + 1) * size))
}

export const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line.trim() !== '')

/** A whole number and nothing else. */
export const numberOf = (text: string | undefined): number | null =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : null

/** `HH:MM:SS`, hours as long as they need be. */
export function clock(sec: number): string {
  const whole = Math.ceil(sec)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`
}

/** `1-02:03:04`, `26:03:04`, `03:04`, or plain seconds. Null: no number, so no limit (`UNLIMITED`, `infinite`, `INFINITY`). */
export function secondsOf(text: string): number | null {
  const [, days, rest] = /^(?:(\d+)-)?(\d+(?::\d+){0,2})(?:\.\d+)?$/.exec(text.trim()) ?? []
  if (rest === undefined) return null
  const parts = rest.split(':').map(Number)
  // Behind days the first number is hours, however many follow.
  while (days !== undefined && parts.length < 3) parts.push(0)
  return Number(days ?? 0) * 86_400 + parts.reduce((sum, part) => sum * 60 + part, 0)
}

const UNITS = 'KMGTP'

/** `12.5M`, `217724kb`, `4G`, `1024`: powers of 1024. Without a unit it is in `unit`. Null: no size. */
export function bytesOf(text: string, unit = ''): number | null {
  const [, number, given] = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text.trim()) ?? []
  if (number === undefined) return null
  const power = UNITS.indexOf((given || unit || ' ').toUpperCase()) + 1
  return Math.round(Number(number) * 1024 ** power)
}

/** `2026-11-21T05:58:55` and `Sat Nov 21 00:05:26 2026`, written by a command that ran with TZ=UTC. Null: not a time. */
export function utcSecondsOf(text: string): number | null {
  const ms = Date.parse(text.includes('T') ? `${text}Z` : `${text.replace(/\.\d+$/, '')} UTC`)
  return Number.isNaN(ms) || !/\d{4}/.test(text) ? null : Math.floor(ms / 1000)
}

/** The first rule whose pattern is in the text. Order matters. */
export function firstRule<T extends readonly [RegExp, ...unknown[]]>(rules: readonly T[], text: string): T | undefined {
  return rules.find(([pattern]) => pattern.test(text))
}

/** What a command said, as one line for an error; where it complained, that. */
export function saidBy({ stdout, stderr }: Output): string {
  const text = linesOf(stderr.trim() === '' ? stdout : stderr)
    .map((line) => line.trim())
    .join(' · ')
  if (text === '') return 'nothing'
  return text.length > 500 ? `${text.slice(0, 500)} …` : text
}

export function unknownState(word: string, scheduler: string, table: string): ConnectorError {
  return new ConnectorError(
    'unknown state',
    `${scheduler} said that a task is in state "${word}", which floe does not know.`,
    `Nothing was changed. Add the word to the table ${table}, or tell the authors which ${scheduler} says it.`,
  )
}

export function unreadable(command: string, what: string, text: string): ConnectorError {
  return new ConnectorError(
    'unreadable',
    `${command} printed ${what}: ${JSON.stringify(text.slice(0, 120))}`,
    'floe asks again. If it stays, run the command by hand on the site: a wrapper or another scheduler may stand in its place.',
  )
}

/** A question that got no answer: asked again when the scheduler is away, for a person otherwise. */
export function unanswered(command: string, output: Output, { answer, hint }: Refusal): ConnectorError {
  return new ConnectorError(
    answer === 'again' || answer === 'wait' ? 'unreachable' : 'refused',
    `${command} ended with exit ${output.exit} and said: ${saidBy(output)}`,
    hint,
  )
}

/** Queues that words for qsub name: `main.q@node` and `batch@server` are main.q and batch. */
export function qsubQueues(options: readonly string[]): readonly string[] {
  const named = options.flatMap((word, at) => (word === '-q' ? (options[at + 1] ?? []) : []))
  return (named.at(-1) ?? '').split(',').flatMap((name) => name.replace(/@.*/, '') || [])
}
