import { FloeError } from '../model/errors.ts'
import { quoteName, quotePath, quoteText } from '../ports/tables/tables.ts'
import type { Adding, JobFile } from './adding.ts'
import { flatColumn } from './flat-form.ts'
import { GIVEN, type GivenColumn } from './given.ts'
import { hintFor, JOB_KEYS, RESOURCE_KEYS } from './keys.ts'

interface Column {
  readonly name: string
  readonly type: string
}

/** SQL for a column of a job, and which. */
interface Part {
  readonly column: GivenColumn
  readonly sql: string
}

/**
 * Reads Parquet by SQL alone. Columns are named as in CSV; lists may be lists or texts separated by `;`, maps may be maps, structs or columns
 * `labels.month`; `data` and `resources` may be structs. Bytes without a logical type count as UTF-8 text.
 */
export async function readParquet(adding: Adding, file: JobFile): Promise<void> {
  const from = `read_parquet(${quotePath(file.path)}, binary_as_string = true)`
  const [described] = await adding.sql.describe(`SELECT * FROM ${from}`).catch((cause: Error) => {
    throw new FloeError('JOB_FILE_INVALID', `${file.name} cannot be read as Parquet: ${cause.message.split('\n')[0]}`, {
      hint: 'Write the file again.',
      details: { file: file.name },
      cause,
    })
  })
  const parts = described!.columns.flatMap((column) => partsOf(file.name, column))
  const byColumn = new Map<GivenColumn, string[]>()
  for (const { column, sql } of parts) byColumn.set(column, [...(byColumn.get(column) ?? []), sql])
  for (const wanted of ['id', 'executable'] as const) {
    if (!byColumn.has(wanted)) throw invalid(file.name, `no column \`${wanted}\``, `Add a column \`${wanted}\`.`)
  }
  const list = [...byColumn].map(([column, sqls]) => `${merged(file.name, column, sqls)} AS ${quoteName(column)}`)
  await adding.insert(file, { columns: new Set(byColumn.keys()), select: `SELECT ${list.join(', ')} FROM ${from}` })
}

const invalid = (file: string, message: string, hint: string) =>
  new FloeError('JOB_FILE_INVALID', `${file}: ${message}`, { hint, details: { file } })

const isMap = (column: GivenColumn): boolean => GIVEN[column].startsWith('MAP')
const isList = (column: GivenColumn): boolean => GIVEN[column].endsWith('[]')

/** Several columns make one map; anything else is given once. */
function merged(file: string, column: GivenColumn, sqls: readonly string[]): string {
  if (sqls.length === 1) return sqls[0]!
  if (!isMap(column)) throw invalid(file, `two columns mean \`${column}\``, 'Keep one of them.')
  return `map_concat(${sqls.join(', ')})`
}

/** Fields of a struct type, as DuckDB prints it. */
function fieldsOf(type: string): Column[] | undefined {
  const inner = /^STRUCT\((.*)\)$/s.exec(type)?.[1]
  if (inner === undefined) return undefined
  const fields: Column[] = []
  let depth = 0
  let from = 0
  let quoted = false
  for (let at = 0; at <= inner.length; at++) {
    const char = inner[at]
    if (char === '"') quoted = !quoted
    if (quoted) continue
    if (char === '(') depth++
    if (char === ')') depth--
    if (at < inner.length && (char !== ',' || depth > 0)) continue
    const [, plain, escaped, of] = /^\s*(?:(\w+)|"((?:[^"]|"")*)")\s+(.*)$/s.exec(inner.slice(from, at))!
    fields.push({ name: plain ?? escaped!.replaceAll('""', '"'), type: of! })
    from = at + 1
  }
  return fields
}

function partsOf(file: string, { name, type }: Column): Part[] {
  const sql = quoteName(name)
  const fields = fieldsOf(type)
  if (fields) {
    return fields.flatMap((field) =>
      partOf(file, `${name}.${field.name}`, { sql: `${sql}.${quoteName(field.name)}`, type: field.type }),
    )
  }
  return partOf(file, name, { sql, type })
}

function partOf(file: string, name: string, { sql, type }: { sql: string; type: string }): Part[] {
  const known = flatColumn(name)
  if (!known) throw invalid(file, `unknown column \`${name}\``, hintFor(name, [...JOB_KEYS, ...RESOURCE_KEYS]))
  const [first, second] = known.path as [string, string?]
  const key = first === 'input' || first === 'output' ? `${first}s` : first === 'resources' ? second! : first
  const column = key as GivenColumn
  if (second !== undefined && isMap(column)) {
    const one = `MAP {${quoteText(second)}: CAST(${sql} AS VARCHAR)}`
    return [{ column, sql: `CASE WHEN ${sql} IS NULL THEN MAP {} ELSE ${one} END` }]
  }
  if (isMap(column)) {
    if (type.startsWith('MAP')) return [{ column, sql: `CAST(${sql} AS MAP(VARCHAR, VARCHAR))` }]
    const pairs = `list_transform(${splitSql(sql)}, lambda p: {'k': split_part(p, '=', 1), 'v': substr(p, strpos(p || '=', '=') + 1)})`
    return [{ column, sql: `CASE WHEN ${sql} IS NULL THEN NULL ELSE map_from_entries(${pairs}) END` }]
  }
  if (!isList(column)) return [{ column, sql: `nullif(CAST(${sql} AS VARCHAR), '')` }]
  if (!type.endsWith('[]')) return [{ column, sql: splitSql(sql) }]
  return listParts(column, { sql, type })
}

/** A list of texts, or of {url, size_bytes, digest} and {path, optional}. */
function listParts(column: GivenColumn, { sql, type }: { sql: string; type: string }): Part[] {
  const fields = fieldsOf(type.slice(0, -2))
  if (!fields) return [{ column, sql: `CAST(${sql} AS VARCHAR[])` }]
  const names = new Set(fields.map(({ name }) => name))
  const each = (field: string, as: string) => `list_transform(${sql}, lambda x: CAST(x.${field} AS ${as}))`
  if (column === 'outputs') {
    const optional = names.has('optional') ? [{ column: 'optionals' as const, sql: each('optional', 'BOOLEAN') }] : []
    return [{ column, sql: each('path', 'VARCHAR') }, ...optional]
  }
  return [
    { column, sql: each('url', 'VARCHAR') },
    ...(names.has('size_bytes') ? [{ column: 'input_sizes' as const, sql: each('size_bytes', 'BIGINT') }] : []),
    ...(names.has('digest') ? [{ column: 'input_digests' as const, sql: each('digest', 'VARCHAR') }] : []),
  ]
}

/** As in CSV: separated by `;`, or a list in JSON. */
const splitSql = (sql: string): string =>
  `CASE WHEN starts_with(CAST(${sql} AS VARCHAR), '[') AND json_valid(CAST(${sql} AS VARCHAR)) THEN from_json(CAST(${sql} AS VARCHAR), '["VARCHAR"]') ELSE ${separated(sql)} END`
const separated = (sql: string): string =>
  `list_filter(list_transform(string_split(CAST(${sql} AS VARCHAR), ';'), lambda x: trim(x)), lambda x: x <> '')`
