import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { quoteName, quotePath, quoteText } from '../ports/tables/tables.ts'
import type { Adding, JobFile } from './adding.ts'
import { excerpt, type Fault, type GivenColumn } from './given.ts'
import { jobForm } from './job-form.ts'
import { parseJsonTexts } from './json-text.ts'
import { dataNamed, keyNamed, resourceNamed } from './keys.ts'
import { LINE_MAX, type LineBlock, lineBlocks } from './lines.ts'
import { Spool } from './spool.ts'

/**
 * Reads NDJSON by SQL. The keys are those of a sample of the lines; a second look by SQL at the number of keys of each line finds every
 * line that has others, or values of other forms. Only those lines, and what is no JSON at all, are read one by one and told what is wrong.
 */
export async function readNdjson(adding: Adding, file: JobFile): Promise<void> {
  const measured = await measure(file.path, adding.signal)
  const keys = await sampleKeys(file.path)
  const path = measured.tooLong.length === 0 ? file.path : await withoutLongLines(adding, file.path)
  // SQL keeps twice as much for each thread.
  const bound = Math.max(1 << 20, measured.longest + 1024)
  const piece = await adding.insert(file, typedRead(path, keys, bound))
  const odd = await adding.remove(piece, 'is_odd')
  // A blank line is no row: all rows behind it stand a line further down.
  if (measured.blank.length > 0) {
    const places = measured.blank.map((line, at) => line - 1 - at)
    await adding.skipLines(piece, places)
  }
  if (odd.length > 0) await readOddLines(adding, file, odd)
}

interface Measured {
  /** Numbers of the lines that hold nothing, but for those at the end. */
  readonly blank: number[]
  readonly tooLong: number[]
  /** Bytes of the longest of the others. */
  longest: number
}

/** One look at the bytes of the file, as fast as the disk: where rows are not lines, and what SQL would choke on. */
async function measure(path: string, signal: AbortSignal | undefined): Promise<Measured> {
  const measured: Measured = { blank: [], tooLong: [], longest: 0 }
  let last = 0
  for await (const block of lineBlocks(path, { signal })) {
    if (block.tooLong !== null) measured.tooLong.push(block.line)
    // Only the first line of a block can be longer than what is read at once.
    measured.longest = Math.max(measured.longest, block.bytes.indexOf(10) + 1 || block.bytes.length)
    if (!mayHoldBlank(block.bytes)) {
      last = block.line
      continue
    }
    for (const { line, from, to } of linesOf(block)) {
      if (isBlank(block.bytes, from, to)) measured.blank.push(line)
      else last = line
    }
  }
  while (measured.blank.length > 0 && measured.blank.at(-1)! > last) measured.blank.pop()
  return measured
}

/** Whether some line begins with a blank or is empty: said of a block by searching it five times, which is faster than to look at each line. */
function mayHoldBlank(bytes: Buffer): boolean {
  const isWhite = (byte: number | undefined) => byte === 32 || (byte !== undefined && byte >= 9 && byte <= 13)
  return isWhite(bytes[0]) || BLANK_STARTS.some((start) => bytes.includes(start))
}

const BLANK_STARTS = ['\n\n', '\n ', '\n\t', '\n\r', '\n\v', '\n\f'].map((text) => Buffer.from(text))

function* linesOf({ line: first, bytes }: LineBlock): Generator<{ line: number; from: number; to: number }> {
  let line = first
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(10, from)
    const to = end < 0 ? bytes.length : end
    yield { line: line++, from, to }
    from = to + 1
  }
}

function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (byte !== 32 && (byte < 9 || byte > 13)) return false
  }
  return true
}

/** A copy in which lines that are too long are `null`: the rows stay what they were. */
async function withoutLongLines(adding: Adding, path: string): Promise<string> {
  const copy = adding.scratchPath('short.ndjson')
  const handle = await open(copy, 'w', 0o600)
  try {
    for await (const { bytes, tooLong } of lineBlocks(path, { signal: adding.signal })) {
      await handle.appendFile(tooLong === null ? bytes : 'null\n')
    }
  } finally {
    await handle.close()
  }
  return copy
}

/** What SQL reads: names of the file by the column of a job that they mean, at the top and inside `data` and `resources`. */
interface Keys {
  readonly top: ReadonlyMap<GivenColumn, string>
  readonly data: ReadonlyMap<GivenColumn, string>
  readonly resources: ReadonlyMap<GivenColumn, string>
}

const SAMPLES = 8
const SAMPLE = 1 << 17

async function sampleKeys(path: string): Promise<Keys> {
  const keys = { top: new Map(), data: new Map(), resources: new Map() }
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(SAMPLE)
    for (let sample = 0; sample < SAMPLES; sample++) {
      const from = size <= SAMPLE ? 0 : Math.floor(((size - SAMPLE) * sample) / (SAMPLES - 1))
      const { bytesRead } = await handle.read(buffer, 0, SAMPLE, from)
      for (const line of buffer.toString('utf8', 0, bytesRead).split('\n')) noteKeys(keys, line)
      if (size <= SAMPLE) break
    }
  } finally {
    await handle.close()
  }
  return keys
}

type Noted = { readonly [part in keyof Keys]: Map<GivenColumn, string> }

function noteKeys(keys: Noted, line: string): void {
  if (!line.startsWith('{')) return
  let row: Record<string, unknown>
  try {
    row = JSON.parse(line)
  } catch {
    return
  }
  for (const [name, value] of Object.entries(row)) {
    const known = keyNamed(name)
    if (known?.form === 'data' || known?.form === 'resources') {
      for (const inner of Object.keys((value ?? {}) as object)) {
        const key = known.form === 'data' ? dataNamed(inner) : resourceNamed(inner)
        if (key) note(keys[known.form], columnOf(key), inner)
      }
    } else if (known) note(keys.top, columnOf(known.key), name)
  }
  for (const column of keys.top.keys()) keys.data.delete(column)
}

/** The first spelling of a key is read by SQL; a line with another is an odd one. */
function note(keys: Map<GivenColumn, string>, column: GivenColumn, name: string): void {
  if (!keys.has(column)) keys.set(column, name)
}

const columnOf = (key: string): GivenColumn => (key === 'input' || key === 'output' ? `${key}s` : key) as GivenColumn

const LISTS: ReadonlySet<string> = new Set(['arguments', 'inputs', 'outputs', 'files', 'after'])
const MAPS: ReadonlySet<string> = new Set(['environment', 'labels'])

const typeOf = (column: GivenColumn): unknown =>
  LISTS.has(column) ? ['VARCHAR'] : MAPS.has(column) ? 'MAP(VARCHAR, VARCHAR)' : 'VARCHAR'

/** Weights of the keys inside `data` and `resources` in the count of a row's keys. */
const INNER = { data: 100, resources: 10_000 } as const

function typedRead(path: string, keys: Keys, bound: number) {
  const shape: Record<string, unknown> = {}
  const columns = [...keys.top].map(([column, name]) => {
    shape[name] = typeOf(column)
    return { column, sql: `job.${quoteName(name)}`, weight: 1 }
  })
  const inner = (['data', 'resources'] as const).filter((part) => keys[part].size > 0)
  const counted: string[] = []
  for (const part of inner) {
    shape[part] = Object.fromEntries([...keys[part]].map(([column, name]) => [name, typeOf(column)]))
    // A text where the map should be comes as a map of nulls: it counts as absent, and the line as odd.
    const some = [...keys[part].values()].map((name) => `job.${part}.${quoteName(name)} IS NOT NULL`)
    counted.push(`CAST(${some.join(' OR ')} AS INTEGER)`)
    for (const [column, name] of keys[part]) {
      columns.push({ column, sql: `job.${part}.${quoteName(name)}`, weight: INNER[part] })
    }
  }
  counted.push(...columns.map(({ sql, weight }) => `${weight} * CAST(${sql} IS NOT NULL AS INTEGER)`))
  const list = columns.map(({ column, sql }) => `${sql} AS ${quoteName(column)}`)
  const places = ['$', ...inner.map((part) => `$.${part}`)].map((place) => quoteText(place))
  const there = [
    'len(found[1])',
    ...inner.map((part, at) => `${INNER[part]} * coalesce(len(found[${at + 2}]), 0)`),
  ].join(' + ')
  const names = columns.map(({ column }) => column)
  // Texts are joined once for all lists, in a SELECT of its own: DuckDB evaluates a text anew for each test in a CASE or OR that it stands in.
  const texts = names.filter((name) => LISTS.has(name) || MAPS.has(name)).map(textsOf)
  const tests = [`keys IS DISTINCT FROM (${counted.join(' + ')})`, 'keys = 0', ODD_TEXT, ...names.map(isOdd)]
  // A file without any known key is still read: every line of it is odd.
  const job = columns.length > 0 ? `from_json(json, ${quoteText(JSON.stringify(shape))})` : 'NULL'
  return {
    columns: new Set<GivenColumn>([...names, 'is_odd']),
    select: `SELECT * EXCLUDE (job, keys, texts), coalesce(${tests.join(' OR ')}, false) AS is_odd
      FROM (SELECT *, concat_ws(chr(10), ${["''", ...texts].join(', ')}) AS texts
      FROM (SELECT job, ${there} AS keys${list.map((one) => `, ${one}`).join('')}
      FROM (SELECT ${job} AS job, json_keys(json, [${places.join(', ')}]) AS found
      FROM read_ndjson_objects(${quotePath(path)}, ignore_errors = true, maximum_object_size = ${bound}))))`,
  }
}

const valuesOf = (column: GivenColumn): string =>
  MAPS.has(column) ? `map_values(${quoteName(column)})` : quoteName(column)
const textsOf = (column: GivenColumn): string => `array_to_string(${valuesOf(column)}, chr(10))`

/** Whether a text of a list may be JSON that was no text: maps and lists come as their JSON. Some such texts are odd and right. */
const ODD_TEXT = `contains(texts, '{"') OR contains(texts, '[') OR contains(texts, '{}')`

/** Whether a text may be JSON that was no text, a list holds null, or a map holds a key twice. */
function isOdd(column: GivenColumn): string {
  const [name, values] = [quoteName(column), valuesOf(column)]
  if (!LISTS.has(column) && !MAPS.has(column)) return `starts_with(${name}, '{') OR starts_with(${name}, '[')`
  const hasNull = `list_count(${values}) < len(${values})`
  if (LISTS.has(column)) return hasNull
  return `${hasNull} OR CASE WHEN cardinality(${name}) > 1 THEN len(list_distinct(map_keys(${name}))) < cardinality(${name}) END`
}

async function readOddLines(adding: Adding, file: JobFile, odd: Float64Array): Promise<void> {
  const spool = new Spool(adding, file)
  let [number, next] = [0, 0]
  for await (const block of lineBlocks(file.path, { signal: adding.signal })) {
    for (const { line, from, to } of linesOf(block)) {
      if (isBlank(block.bytes, from, to)) continue
      if (number++ !== odd[next]) continue
      next++
      const form = lineForm(block, { from, to, isCut: to === block.bytes.length })
      if (spool.push(line, form)) await spool.flush()
    }
    if (next === odd.length) break
  }
  await spool.end()
}

function lineForm({ bytes, tooLong }: LineBlock, { from, to, isCut }: { from: number; to: number; isCut: boolean }) {
  if (tooLong !== null) return tooLongFault(tooLong)
  const line = bytes.subarray(from, to)
  if (!isUtf8(line)) return notUtf8(line)
  const text = line.toString('utf8')
  try {
    return jobForm(parseJsonTexts(text))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return isCut ? cutOff(text) : notJson(text, error)
  }
}

const ID = /"(?:id|job_id|name)"\s*:\s*"((?:[^"\\]|\\.)*)"/

function nameIn(text: string): string | null {
  try {
    const id = ID.exec(text)?.[1]
    return id === undefined ? null : (JSON.parse(`"${id}"`) as string)
  } catch {
    return null
  }
}

export const tooLongFault = (bytes: number): Fault => ({
  job: null,
  value: null,
  reason: `a line of ${Math.round(bytes / 1e6)} MB`,
  hint: `a job may have ${LINE_MAX / 1e6} MB; pass long lists in a file`,
})

export function notUtf8(bytes: Buffer): Fault {
  const text = bytes.toString('latin1')
  return {
    job: nameIn(text),
    value: excerpt(text),
    reason: 'not UTF-8',
    hint: 'convert the file: iconv -f latin1 -t utf-8 OLD > NEW',
  }
}

const cutOff = (text: string): Fault => ({
  job: nameIn(text),
  value: excerpt(text),
  reason: 'the file ends within this line',
  hint: 'it was cut off; write the file again',
})

const notJson = (text: string, { message }: SyntaxError): Fault => ({
  job: nameIn(text),
  value: excerpt(text),
  reason: `no JSON: ${message.replace(/, (?:\.\.\.)?".*$/s, '')}`,
  hint: 'write one JSON object in each line',
})
