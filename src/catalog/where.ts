import { FloeError } from '../model/errors.ts'
import type { Sql } from '../ports/tables/tables.ts'
import { VIEW_NAMES } from './views.ts'

/** A node of DuckDB's parsed statement as json_serialize_sql gives it. */
export type Node = { readonly [key: string]: unknown }

const HINT =
  'For example --where "labels[\'month\'] = \'1982-01\' and tries > 1"; `floe query "describe jobs"` shows the columns.'

/**
 * Lets one SQL expression over the columns of view `jobs` through and throws SQL_INVALID, with DuckDB's words, on all else: several
 * statements, a clause behind the expression, a function that reads files, a table that is none of the campaign's views.
 */
export async function checkWhere(sql: Sql, where: string): Promise<void> {
  const parsed = await parse(sql, `SELECT 1 WHERE ${where}\n`, where)
  const bare = await parse(sql, 'SELECT 1 WHERE true\n', 'true')
  const [statement, ...more] = parsed
  const node = statement?.node as Node | undefined
  if (!node || more.length > 0 || shapeOf(node) !== shapeOf(bare[0]!.node as Node)) {
    throw invalid(where, 'it is more than one expression')
  }
  if (hasParameter(node)) throw invalid(where, 'it has a parameter')
  refuseReading(node.where_clause, where)
}

async function parse(sql: Sql, text: string, where: string): Promise<readonly Node[]> {
  const parsed = await parseSelects(sql, text)
  if (typeof parsed === 'string') throw invalid(where, parsed)
  return parsed
}

/** The statements of a text as DuckDB's parser sees them, all of them SELECT and its like; its words when they are not. Runs nothing. */
export async function parseSelects(sql: Sql, text: string): Promise<readonly Node[] | string> {
  if (text.includes('\0')) return 'it holds a NUL character'
  const [row] = await sql.rows<{ tree: string }>('SELECT json_serialize_sql(?::VARCHAR)::VARCHAR AS tree', [text])
  const tree = JSON.parse(row!.tree) as { error: boolean; error_message?: string; statements?: Node[] }
  return tree.error ? (tree.error_message ?? 'it cannot be parsed') : (tree.statements ?? [])
}

/** Whether a parsed statement wants values that nobody can give. */
export function hasParameter(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false
  return (value as Node).class === 'PARAMETER' || Object.values(value).some(hasParameter)
}

/** All of a statement but its condition and the places in the text. */
function shapeOf(node: Node): string {
  return JSON.stringify(node, (key, value) => (key === 'where_clause' || key === 'query_location' ? undefined : value))
}

const READERS = 'it may read the views of the campaign only'

function refuseReading(value: unknown, where: string): void {
  if (Array.isArray(value)) {
    for (const element of value) refuseReading(element, where)
    return
  }
  if (value === null || typeof value !== 'object') return
  const node = value as Node
  if (node.type === 'TABLE_FUNCTION' && !isHarmless(node)) throw invalid(where, READERS)
  if (node.type === 'BASE_TABLE') {
    const name = String(node.table_name)
    const isOurs = VIEW_NAMES.includes(name.toLowerCase()) && !node.schema_name && !node.catalog_name
    if (!isOurs) throw invalid(where, `${READERS}, not ${name}`)
  }
  for (const child of Object.values(node)) refuseReading(child, where)
}

const HARMLESS = ['unnest', 'range', 'generate_series']

function isHarmless(node: Node): boolean {
  return HARMLESS.includes(String((node.function as Node | undefined)?.function_name).toLowerCase())
}

function invalid(where: string, what: string): FloeError {
  return new FloeError('SQL_INVALID', `--where ${where}: ${what}`, { hint: HINT, details: { where } })
}

/** An error of DuckDB over a `where`: its first words only, because the text around it is ours. Every other error as it is. */
export function whereInvalid(cause: unknown, where: string | undefined): unknown {
  if (where === undefined || !isOfSql(cause)) return cause
  return invalid(where, cause.message.split('\n\nLINE ')[0]!)
}

/** An error of DuckDB over SQL that a person wrote, in DuckDB's words. Every other error as it is. */
export function sqlInvalid(cause: unknown, sql: string): unknown {
  if (!isOfSql(cause)) return cause
  const message = cause.message.replace(/^Failed to extract statements: /, '').trim()
  return new FloeError('SQL_INVALID', message, { details: { sql }, cause })
}

const OF_SQL =
  /^(Failed to extract statements: )?(Parser|Binder|Catalog|Conversion|Invalid Input|Out of Range|Permission|Not implemented|Syntax) Error/

function isOfSql(cause: unknown): cause is Error {
  return cause instanceof Error && !(cause instanceof FloeError) && OF_SQL.test(cause.message)
}
