import { type FixedTable, TABLES } from '../../src/model/tables.ts'
import { quoteName } from '../../src/ports/tables/tables.ts'

/** SELECT of all columns of a table, null but for those given as SQL. */
export function rowsOf(table: FixedTable, given: Readonly<Record<string, string>>, from = ''): string {
  const list = TABLES[table].columns.map(
    (column) => `CAST(${given[column.name] ?? 'NULL'} AS ${column.type}) AS ${quoteName(column.name)}`,
  )
  return `SELECT ${list.join(', ')} ${from}`
}
