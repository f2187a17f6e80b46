import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { appendFileSync, closeSync, createReadStream, createWriteStream, fstatSync, openSync, readSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { constants, gunzipSync } from 'node:zlib'
import type { Row } from '../ports/tables/tables.ts'
import { numberRows, parseHead } from './merged-csv.ts'

/** A published output that may hold a table. */
export interface Output {
  /** Its number within this merge. */
  readonly no: number
  readonly output: string
  /** Absolute path of the file or of the pack that holds it. */
  readonly path: string
  /** Null: the whole file. */
  readonly offset: number | null
  readonly sizeBytes: number
  /** `sha256:…` */
  readonly digest: string
}

/** A row of `_merge_todo`. */
export interface Todo extends Row {
  readonly no: number
  readonly output: string
  readonly site: string | null
  readonly path: string
  readonly is_pack: boolean
  readonly offset_bytes: number | null
  readonly size_bytes: number
  readonly digest: string
}

export function outputOf(row: Todo, packs: string): Output {
  return {
    no: row.no,
    output: row.output,
    path: row.is_pack ? resolve(packs, row.path) : row.path,
    offset: row.is_pack ? (row.offset_bytes ?? 0) : null,
    sizeBytes: row.size_bytes,
    digest: row.digest,
  }
}

/** A file with the rows of many outputs, numbered, or of one. */
export interface Gathered {
  readonly kind: 'csv' | 'ndjson'
  readonly path: string
  /** The output that all rows belong to; null: each row begins with the number of its output and its own. */
  readonly no: number | null
  readonly outputs: readonly number[]
  readonly delimiter: string
  readonly columns: readonly string[]
  readonly skipLines: number
  readonly isGzip: boolean
}

export interface ParquetFile {
  readonly no: number
  readonly path: string
}

/** Why an output is not in the merged table. `isLasting`: its content will never do, so it need not be read again. */
export interface Refusal {
  readonly no: number
  readonly reason: string
  readonly isLasting: boolean
}

export interface Gathering {
  readonly texts: readonly Gathered[]
  readonly parquet: readonly ParquetFile[]
  readonly refusals: readonly Refusal[]
}

const SUFFIX = /\.(csv|tsv|ndjson|jsonl|parquet)(\.gz)?$/i

/** Up to this size a file is read here and laid into one file with its like: DuckDB 1.5.6 takes 0.5 ms to open a CSV file, this 0.01 ms. */
const SMALL_BYTES = 8 * 2 ** 20
const SMALL_UNPACKED_BYTES = 64 * 2 ** 20
const HEAD_BYTES = 64 * 2 ** 10
const FLUSH_CHARS = 2 ** 20
// Small files are read with the blocking calls, ten times as fast as the others; other work of the process gets its turn after so many.
const FILES_A_TURN = 64
/** Between fields of a numbered NDJSON line: no JSON text can hold it. */
export const UNIT = '\x1f'

/**
 * Reads the outputs and lays small ones of one form together, below `folder`. What no longer is what was published (size or digest) is
 * refused, so a result never gets the rows of the one that replaced it. Costs each file's bytes once, and little memory.
 */
export async function gatherOutputs(outputs: readonly Output[], folder: string, prefix = ''): Promise<Gathering> {
  const gathering = { texts: [] as Gathered[], parquet: [] as ParquetFile[], refusals: [] as Refusal[] }
  const heaps = new Heaps(join(folder, `${prefix}heap-`))
  for (const [at, output] of outputs.entries()) {
    if (at % FILES_A_TURN === FILES_A_TURN - 1) await setImmediate(undefined)
    try {
      const problem = await gatherOne(output, { folder, heaps, gathering })
      if (problem !== undefined) gathering.refusals.push({ no: output.no, ...problem })
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const isGone = code === 'ENOENT' || code === 'ENOTDIR'
      const reason = isGone ? 'its file is no longer there' : `it could not be read: ${message}`
      gathering.refusals.push({ no: output.no, reason, isLasting: false })
    }
  }
  gathering.texts.push(...heaps.finish())
  return gathering
}

type Problem = Omit<Refusal, 'no'> | undefined
interface Place {
  readonly folder: string
  readonly heaps: Heaps
  readonly gathering: { readonly texts: Gathered[]; readonly parquet: ParquetFile[] }
}

const REPLACED: Problem = { reason: 'its file was changed after it was published', isLasting: false }
const NOT_UTF8: Problem = { reason: 'it is not UTF-8', isLasting: true }

async function gatherOne(output: Output, place: Place): Promise<Problem> {
  const [, suffix, gz] = SUFFIX.exec(output.output)!
  const kind = suffix!.toLowerCase()
  const isParquet = kind === 'parquet'
  // Of nothing but empty outputs no pack is made.
  if (output.sizeBytes === 0 && !isParquet) return undefined
  const fd = openSync(output.path, 'r')
  try {
    const total = fstatSync(fd).size
    const whole = output.offset === null
    if (whole ? total !== output.sizeBytes : total < output.offset! + output.sizeBytes) return REPLACED
    if (isParquet || output.sizeBytes > SMALL_BYTES) return await gatherLarge(output, fd, { ...place, kind, gz })
    const bytes = readRange(fd, output.offset ?? 0, output.sizeBytes)
    if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== output.digest) return REPLACED
    const unpacked = gz ? unpack(bytes) : bytes
    if (unpacked === undefined) return await gatherLarge(output, fd, { ...place, kind, gz })
    if (!isUtf8(unpacked)) return NOT_UTF8
    return gatherSmall(output.no, unpacked.toString('utf8'), { ...place, kind })
  } finally {
    closeSync(fd)
  }
}

function readRange(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  let at = 0
  while (at < length) {
    const bytesRead = readSync(fd, buffer, at, length - at, offset + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return buffer.subarray(0, at)
}

/** `undefined` when too much comes out of it; throws on what is no gzip. */
function unpack(bytes: Buffer): Buffer | undefined {
  try {
    return gunzipSync(bytes, { maxOutputLength: SMALL_UNPACKED_BYTES })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined
    throw cause
  }
}

function gatherSmall(no: number, text: string, { heaps, kind }: Place & { kind: string }): Problem {
  if (kind === 'ndjson' || kind === 'jsonl') {
    const lines = text.split('\n').filter((line) => line.trim() !== '')
    const heap = heaps.take({ kind: 'ndjson', delimiter: UNIT, columns: [] })
    heap.add(no, lines.map((line, at) => `${no}${UNIT}${at}${UNIT}${line}\n`).join(''))
    return undefined
  }
  const head = parseHead(text, kind === 'tsv')
  if (head === 'empty') return undefined
  if ('problem' in head) return { reason: head.problem, isLasting: true }
  const rows = numberRows(text.slice(head.bodyFrom), no, head.delimiter)
  if (rows === undefined) return { reason: 'a quote in it is never closed', isLasting: true }
  heaps.take({ kind: 'csv', delimiter: head.delimiter, columns: head.columns }).add(no, rows)
  return undefined
}

async function gatherLarge(
  output: Output,
  fd: number,
  { folder, gathering, kind, gz }: Place & { kind: string; gz: string | undefined },
): Promise<Problem> {
  const { no, offset, sizeBytes } = output
  const range = offset === null ? {} : { start: offset, end: offset + sizeBytes - 1 }
  const hash = createHash('sha256')
  if (sizeBytes > 0) for await (const bytes of createReadStream(output.path, range)) hash.update(bytes)
  if (`sha256:${hash.digest('hex')}` !== output.digest) return REPLACED
  const path = offset === null ? output.path : join(folder, `slice-${no}.${kind}${gz ?? ''}`)
  if (offset !== null) await pipeline(createReadStream(output.path, range), createWriteStream(path))
  if (kind === 'parquet') {
    gathering.parquet.push({ no, path })
    return undefined
  }
  const common = { path, no, outputs: [no], isGzip: gz !== undefined }
  if (kind === 'ndjson' || kind === 'jsonl') {
    gathering.texts.push({ ...common, kind: 'ndjson', delimiter: UNIT, columns: [], skipLines: 0 })
    return undefined
  }
  const bytes = readRange(fd, offset ?? 0, Math.min(sizeBytes, HEAD_BYTES))
  const text = (gz ? gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }) : bytes).toString('utf8')
  const head = parseHead(text, kind === 'tsv')
  if (head === 'empty') return { reason: 'it begins with more than 64 kB of comments', isLasting: true }
  if ('problem' in head) return { reason: head.problem, isLasting: true }
  gathering.texts.push({ ...common, kind: 'csv', ...head })
  return undefined
}

type Form = Pick<Gathered, 'kind' | 'delimiter' | 'columns'>

/** Files that rows of one form are gathered in. */
class Heaps {
  readonly #path: string
  readonly #heaps = new Map<string, Heap>()

  constructor(path: string) {
    this.#path = path
  }

  take(form: Form): Heap {
    const key = JSON.stringify([form.kind, form.delimiter, form.columns])
    let heap = this.#heaps.get(key)
    if (heap === undefined) {
      heap = new Heap(form, `${this.#path}${this.#heaps.size}`)
      this.#heaps.set(key, heap)
    }
    return heap
  }

  finish(): Gathered[] {
    return Array.from(this.#heaps.values(), (heap) => heap.finish())
  }
}

class Heap {
  readonly #form: Form
  readonly #path: string
  readonly #outputs: number[] = []
  #waiting: string[] = []
  #chars = 0

  constructor(form: Form, path: string) {
    this.#form = form
    this.#path = path
  }

  add(no: number, rows: string): void {
    this.#outputs.push(no)
    this.#waiting.push(rows)
    this.#chars += rows.length
    if (this.#chars >= FLUSH_CHARS) this.#flush()
  }

  #flush(): void {
    appendFileSync(this.#path, this.#waiting.join(''), { mode: 0o600 })
    this.#waiting = []
    this.#chars = 0
  }

  finish(): Gathered {
    this.#flush()
    return { ...this.#form, path: this.#path, no: null, outputs: this.#outputs, skipLines: 0, isGzip: false }
  }
}
