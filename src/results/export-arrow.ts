import type * as arrow from 'apache-arrow'
import { type ColumnChunk, quoteName, type Sql, type Value } from '../ports/tables/tables.ts'

/** A record batch is closed at so many rows, or so many characters of text. */
const BATCH_ROWS = 65_536
const BATCH_CHARS = 2 ** 26

type Engine = typeof arrow

/** What a column is made of: SQL that gives its bits as numbers (days, microseconds), and Arrow's type for them. */
interface ArrowColumn {
  readonly sql: string
  readonly field: arrow.Field
  readonly kind: 'int64' | 'int32' | 'float64' | 'bool' | 'utf8'
}

export interface ArrowRows {
  readonly select: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** The file form, else the stream. */
  readonly isFile: boolean
}

/**
 * The rows of a SELECT as Arrow IPC: int64, float64, bool, date32, timestamp in microseconds UTC, utf8. One record batch is held at a time; a
 * slow reader slows the query.
 */
export async function* arrowBytes(sql: Sql, { select, columns, isFile }: ArrowRows): AsyncGenerator<Uint8Array> {
  // It takes 60 ms to load, which only who exports to Arrow should pay.
  const engine = await import('apache-arrow')
  const typed = columns.map((column) => arrowColumn(engine, column))
  const schema = new engine.Schema(typed.map(({ field }) => field))
  const written: Uint8Array[] = []
  // The writer's own queue has no bound and no look inside.
  class Sink extends engine.AsyncByteQueue {
    override write(bytes: Uint8Array): void {
      written.push(bytes)
    }
  }
  const writer = isFile ? new engine.RecordBatchFileWriter() : new engine.RecordBatchStreamWriter()
  writer.reset(new Sink(), schema)
  const list = typed.map((column) => column.sql).join(', ')
  let chunks: (readonly ColumnChunk[])[] = []
  let rows = 0
  let chars = 0
  const writeBatch = () => {
    writer.write(recordBatch(engine, { schema, typed, chunks, rows }))
    chunks = []
    rows = 0
    chars = 0
  }
  for await (const chunk of sql.columns(`SELECT ${list} FROM (${select})`)) {
    chunks.push(chunk)
    rows += chunk[0]!.length
    chars += typed.reduce((sum, { kind }, at) => (kind === 'utf8' ? sum + charsIn(chunk[at]!) : sum), 0)
    if (rows >= BATCH_ROWS || chars >= BATCH_CHARS) writeBatch()
    if (written.length > 0) yield Buffer.concat(written.splice(0))
  }
  if (rows > 0) writeBatch()
  writer.finish()
  yield Buffer.concat(written.splice(0))
}

function charsIn(values: ColumnChunk): number {
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += (values[at] as string | null)?.length ?? 0
  return sum
}

function arrowColumn(engine: Engine, { name, type }: { name: string; type: string }): ArrowColumn {
  const x = quoteName(name)
  const column = (of: arrow.DataType, kind: ArrowColumn['kind'], sql = x) => ({
    sql,
    field: new engine.Field(name, of, true),
    kind,
  })
  switch (type) {
    case 'BIGINT':
      return column(new engine.Int64(), 'int64')
    case 'DOUBLE':
      return column(new engine.Float64(), 'float64')
    case 'BOOLEAN':
      return column(new engine.Bool(), 'bool')
    case 'DATE':
      return column(new engine.DateDay(), 'int32', `CAST(${x} - DATE '1970-01-01' AS INTEGER)`)
    case 'TIMESTAMP WITH TIME ZONE':
      return column(new engine.TimestampMicrosecond('UTC'), 'int64', `epoch_us(${x})`)
    default:
      return column(new engine.Utf8(), 'utf8', `CAST(${x} AS VARCHAR)`)
  }
}

interface Batch {
  readonly schema: arrow.Schema
  readonly typed: readonly ArrowColumn[]
  readonly chunks: readonly (readonly ColumnChunk[])[]
  readonly rows: number
}

function recordBatch(engine: Engine, { schema, typed, chunks, rows }: Batch): arrow.RecordBatch {
  const children = typed.map(({ field, kind }, at) => {
    const parts = chunks.map((chunk) => chunk[at]!)
    const { nullBitmap, nullCount } = nullsOf(parts, rows)
    const common = { type: field.type, length: rows, nullCount, ...(nullCount > 0 ? { nullBitmap } : {}) }
    return engine.makeData({ ...common, ...buffersOf(kind, parts, rows) } as never)
  })
  const struct = engine.makeData({ type: new engine.Struct(schema.fields), length: rows, nullCount: 0, children })
  return new engine.RecordBatch(schema, struct)
}

function nullsOf(parts: readonly ColumnChunk[], rows: number): { nullBitmap: Uint8Array; nullCount: number } {
  const nullBitmap = bitmap(rows)
  let nullCount = 0
  eachValue(parts, (value, at) => {
    if (value === null) nullCount += 1
    else nullBitmap[at >> 3]! |= 1 << (at & 7)
  })
  return { nullBitmap, nullCount }
}

// Readers that use SIMD (Arrow C++) expect buffers padded to 64 bytes to hold zeros, not whatever lay there.
const bitmap = (rows: number): Uint8Array => new Uint8Array(Math.ceil(rows / 512) * 64)

function eachValue(parts: readonly ColumnChunk[], take: (value: Value, at: number) => void): void {
  let place = 0
  for (const part of parts) for (let at = 0; at < part.length; at++) take(part[at]!, place++)
}

function buffersOf(kind: ArrowColumn['kind'], parts: readonly ColumnChunk[], rows: number) {
  if (kind === 'utf8') return textBuffers(parts, rows)
  if (kind === 'bool') {
    const data = bitmap(rows)
    eachValue(parts, (value, at) => {
      if (value === true) data[at >> 3]! |= 1 << (at & 7)
    })
    return { data }
  }
  if (kind === 'int64') {
    const data = new BigInt64Array(rows)
    eachValue(parts, (value, at) => {
      if (value !== null) data[at] = BigInt(value as number | bigint)
    })
    return { data }
  }
  const data = kind === 'int32' ? new Int32Array(rows) : new Float64Array(rows)
  eachValue(parts, (value, at) => {
    if (value !== null) data[at] = value as number
  })
  return { data }
}

function textBuffers(parts: readonly ColumnChunk[], rows: number) {
  const valueOffsets = new Int32Array(rows + 1)
  const texts: string[] = []
  eachValue(parts, (value, at) => {
    const text = (value as string | null) ?? ''
    valueOffsets[at + 1] = valueOffsets[at]! + Buffer.byteLength(text)
    texts.push(text)
  })
  return { valueOffsets, data: new Uint8Array(Buffer.from(texts.join(''))) }
}
