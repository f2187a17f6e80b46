import { join } from 'node:path'
import { type Column, TABLES, type TableName } from '../../model/tables.ts'
import { quoteName, quotePath } from './quote.ts'
import type { Part, Snapshot } from './tables.ts'
import type { NamedType } from './types.ts'

/** SELECT over the parts of a snapshot with all columns that the table should have, typed; no rows when there are no parts. */
export function selectParts(
  folder: string,
  snapshot: Pick<Snapshot, 'table' | 'schema' | 'isEvolved'>,
  parts: readonly Part[],
): string {
  const columns = columnsOf(snapshot.table, snapshot.schema)
  if (parts.length === 0) {
    const nulls = columns.map(({ name, type }) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`)
    return `SELECT ${nulls.join(', ') || 'NULL AS nothing'} WHERE false`
  }
  const there = new Set(snapshot.schema.map((column) => column.name))
  const list = columns.map(({ name, type }) =>
    there.has(name) ? quoteName(name) : `CAST(NULL AS ${type}) AS ${quoteName(name)}`,
  )
  const paths = parts.map((part) => quotePath(join(folder, part.path)))
  // hive_partitioning is off because a campaign in /data/site=a/ would get its `site` from the path.
  const options = `hive_partitioning = false${snapshot.isEvolved ? ', union_by_name = true' : ''}`
  return `SELECT ${list.join(', ')} FROM read_parquet([${paths.join(', ')}], ${options})`
}

/** SELECT of `columns` with `filename`, the path of the part that a row lies in. */
export function selectPlaces(folder: string, { parts, isEvolved }: Snapshot, columns: readonly string[]): string {
  const paths = parts.map((part) => quotePath(join(folder, part.path)))
  const options = `hive_partitioning = false, filename = true${isEvolved ? ', union_by_name = true' : ''}`
  return `SELECT ${[...columns, 'filename'].map(quoteName).join(', ')} FROM read_parquet([${paths.join(', ')}], ${options})`
}

/** Columns of the shape in its order, then those of the table that this version of floe does not know. */
export function columnsOf(table: TableName, schema: readonly NamedType[]): NamedType[] {
  const shape: readonly Column[] = table === 'merged' ? [] : TABLES[table].columns
  const known = new Set(shape.map((column) => column.name))
  return [...shape.map(({ name, type }) => ({ name, type })), ...schema.filter((column) => !known.has(column.name))]
}
