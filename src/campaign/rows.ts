import { FloeError } from '../model/errors.ts'
import type { Json } from '../model/json.ts'
import { type FixedTable, TABLES } from '../model/tables.ts'
import type { Row, Value } from '../ports/tables/tables.ts'
import type { JsonRow } from './answers.ts'

/** Names and DuckDB types of a relation. */
export type Columns = readonly { readonly name: string; readonly type: string }[]

/** Columns of view `jobs`: those of the table, and what SQL works out. */
export const JOB_COLUMNS: Columns = [
  ...TABLES.jobs.columns,
  { name: 'state', type: 'VARCHAR' },
  { name: 'class', type: 'VARCHAR' },
  { name: 'tries', type: 'INTEGER' },
  { name: 'missing', type: 'BOOLEAN' },
]

export const columnsOf = (table: FixedTable): Columns => (table === 'jobs' ? JOB_COLUMNS : TABLES[table].columns)

/** Turns rows of a relation into JSON: times become ISO 8601 with microseconds, integers over 2^53 text. */
export function jsonRows(columns: Columns): (row: Row) => JsonRow {
  const convert = columns.map(({ name, type }) => [name, converter(type)] as const)
  return (row) => Object.fromEntries(convert.map(([name, toJson]) => [name, toJson(row[name] ?? null)]))
}

function converter(type: string): (value: Value) => Json {
  if (/^TIMESTAMP( WITH TIME ZONE|TZ)$/i.test(type)) return (value) => (value === null ? null : isoTime(value, 'Z'))
  if (/^TIMESTAMP$/i.test(type)) return (value) => (value === null ? null : isoTime(value, ''))
  return plain
}

function plain(value: Value): Json {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && !Number.isFinite(value)) return null
  return value as Json
}

function isoTime(value: Value, zone: string): Json {
  const micros = Number(value)
  const millis = Math.floor(micros / 1000)
  if (Math.abs(millis) > 8.64e15) return String(value)
  const rest = String(micros - millis * 1000).padStart(3, '0')
  return `${new Date(millis).toISOString().slice(0, -1)}${rest}`.replace(/\.?0{6}$/, '') + zone
}

/** Rows of a relation as they come, in JSON. */
export async function* converted({
  columns,
  rows,
}: {
  columns: Columns
  rows: AsyncIterable<readonly Row[]>
}): AsyncGenerator<JsonRow[]> {
  const convert = jsonRows(columns)
  for await (const chunk of rows) yield chunk.map(convert)
}

/** Throws USAGE. */
export function columnNamed(name: string): (typeof JOB_COLUMNS)[number] {
  const column = JOB_COLUMNS.find((known) => known.name === name)
  if (column) return column
  throw new FloeError('USAGE', `Jobs have no column ${name}.`, {
    hint: `Columns are ${JOB_COLUMNS.map((known) => known.name).join(', ')}.`,
  })
}
