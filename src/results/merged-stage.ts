import { FloeError } from '../model/errors.ts'
import { quoteName, quotePath, quoteText, type Sql } from '../ports/tables/tables.ts'
import { columnNames, shorten } from './merged-csv.ts'
import type { Gathered, Gathering, ParquetFile, Refusal } from './merged-files.ts'
import type { ContentType, Source } from './merged-types.ts'

/** A temporary table of rows as they were found: `no` (of the output), `output_row`, and columns c0, c1, … */
export interface Staged {
  readonly table: string
  readonly columns: readonly { readonly name: string; readonly source: Source }[]
}

export interface Staging {
  readonly staged: readonly Staged[]
  readonly refusals: readonly Refusal[]
}

/**
 * Loads what was gathered into temporary tables. An output with a single wrong row is refused whole. `gatherAgain` is asked for
 * parts of a gathering that DuckDB would not read as a whole, until the output that is to blame stands alone.
 */
export async function stageOutputs(
  sql: Sql,
  gathering: Gathering,
  gatherAgain: (outputs: readonly number[]) => Promise<Gathering>,
): Promise<Staging> {
  const stage = new Stage(sql, gatherAgain)
  await stage.take(gathering)
  return stage
}

/** What DuckDB says, without its prefix and the path of a file that may be a temporary one. */
const firstLine = (cause: unknown): string =>
  shorten(
    String((cause as Error).message)
      .split('\n')[0]!
      .replace(/^[\w ]*Error: /, '')
      .replace(/(file )?['"]\/[^'"]*['"]/, 'the file'),
  )
const REJECTS = '_merge_rejects'
const LINE_BYTES = 16 * 2 ** 20

class Stage implements Staging {
  readonly staged: Staged[] = []
  readonly refusals: Refusal[] = []
  readonly #sql: Sql
  readonly #gatherAgain: (outputs: readonly number[]) => Promise<Gathering>

  constructor(sql: Sql, gatherAgain: (outputs: readonly number[]) => Promise<Gathering>) {
    this.#sql = sql
    this.#gatherAgain = gatherAgain
  }

  async take({ texts, parquet, refusals }: Gathering): Promise<void> {
    this.refusals.push(...refusals)
    for (const text of texts) {
      if (text.kind === 'csv') await this.#csv(text)
      else await this.#ndjson(text)
    }
    await this.#parquet(parquet)
  }

  #next(): string {
    return `_merge_stage_${this.staged.length}`
  }

  async #csv(text: Gathered): Promise<void> {
    const table = this.#next()
    if (!(await this.#readText(text, table))) return
    this.staged.push({ table, columns: text.columns.map((name) => ({ name, source: 'text' })) })
  }

  /** False when its outputs were refused, or taken apart and staged. */
  async #readText(text: Gathered, table: string): Promise<boolean> {
    try {
      await this.#dropRejects()
      await this.#sql.run(`CREATE OR REPLACE TEMP TABLE ${table} AS ${selectText(text)}`)
    } catch (cause) {
      if (cause instanceof FloeError) throw cause
      // For some quotes DuckDB 1.5.6 gives up on the whole file: "The CSV Parser state machine reached an invalid state".
      const { outputs } = text
      if (outputs.length === 1) {
        this.refusals.push({ no: outputs[0]!, reason: firstLine(cause), isLasting: true })
        return false
      }
      const half = outputs.length >> 1
      await this.take(await this.#gatherAgain(outputs.slice(0, half)))
      await this.take(await this.#gatherAgain(outputs.slice(half)))
      return false
    }
    await this.#refuseRejected(text, table)
    return true
  }

  async #dropRejects(): Promise<void> {
    await this.#sql.run(`DROP TABLE IF EXISTS ${REJECTS}`)
    await this.#sql.run(`DROP TABLE IF EXISTS ${REJECTS}_scan`)
  }

  async #refuseRejected(text: Gathered, table: string): Promise<void> {
    const no = text.no === null ? `try_cast(split_part(csv_line, ${quoteText(text.delimiter)}, 1) AS INTEGER)` : text.no
    const rejected = await this.#sql.rows<{ no: number; line: string; message: string }>(
      `SELECT ${no} AS no, min_by(csv_line, line) AS line, min_by(error_message, line) AS message FROM ${REJECTS} GROUP BY ALL HAVING count(*) > 0`,
    )
    const extra = text.no === null ? 2 : 0
    for (const { no: which, line, message } of rejected) {
      const own = extra === 0 ? line : line.split(text.delimiter).slice(extra).join(text.delimiter)
      const counts = /Expected Number of Columns: (\d+) Found: (\d+)/.exec(message)
      const why = counts
        ? `a row has ${Number(counts[2]) - extra} columns, its header ${Number(counts[1]) - extra}`
        : `a row cannot be read (${shorten(message)})`
      this.refusals.push({ no: which, reason: `${why}: ${shorten(own)}`, isLasting: true })
    }
    await this.#drop(table, rejected)
  }

  async #drop(table: string, outputs: readonly { no: number }[]): Promise<void> {
    if (outputs.length === 0) return
    await this.#sql.run(`DELETE FROM ${table} WHERE no IN (${outputs.map(({ no }) => no).join(', ')})`)
  }

  async #ndjson(text: Gathered): Promise<void> {
    const lines = '_merge_lines'
    if (!(await this.#readText(text, lines))) return
    const sql = this.#sql
    const wrong = await sql.rows<{ no: number; row: number; line: string }>(
      `SELECT no, min(output_row)::INTEGER AS row, min_by(c0, output_row) AS line FROM ${lines} WHERE json_type(CASE WHEN json_valid(c0) THEN c0 END) IS DISTINCT FROM 'OBJECT' GROUP BY no`,
    )
    for (const { no, row, line } of wrong) {
      const reason = `line ${row + 1} is not a JSON object: ${shorten(line ?? '')}`
      this.refusals.push({ no, reason, isLasting: true })
    }
    await this.#drop(lines, wrong)
    const keys = await sql.rows<{ key: string }>(
      `SELECT key FROM (SELECT no, output_row, unnest(json_keys(c0)) AS key, generate_subscripts(json_keys(c0), 1) AS place FROM ${lines}) GROUP BY key ORDER BY min({no: no, output_row: output_row, place: place})`,
    )
    const names = columnNames(keys.map(({ key }) => key))
    const table = this.#next()
    const values = keys.map(({ key }, at) => `, json_extract(c0, ${quoteText(pointer(key))}) AS c${at}`)
    await sql.run(`CREATE OR REPLACE TEMP TABLE ${table} AS SELECT no, output_row${values.join('')} FROM ${lines}`)
    this.staged.push({ table, columns: names.map((name) => ({ name, source: 'json' })) })
  }

  /** Parquet files of one schema are read together, each column as the nearest type that the merged table knows. */
  async #parquet(files: readonly ParquetFile[]): Promise<void> {
    if (files.length === 0) return
    const sql = this.#sql
    const found = await this.#schemas(files)
    for (const group of found) {
      const paths = group.files.map(({ path }) => path)
      await sql.load(
        '_merge_paths',
        [
          { name: 'path', type: 'VARCHAR' },
          { name: 'no', type: 'INTEGER' },
        ],
        [group.files.map(({ path, no }) => ({ path, no }))],
      )
      const columns = group.columns.map(({ name, type }, at) => ({ ...sourceOf(`s.${quoteName(name)}`, type), at }))
      const names = columnNames(group.columns.map(({ name }) => name))
      const table = this.#next()
      const values = columns.map(({ sql: value, at }) => `, ${value} AS c${at}`).join('')
      try {
        await sql.run(
          `CREATE OR REPLACE TEMP TABLE ${table} AS SELECT p.no, s.file_row_number AS output_row${values} FROM read_parquet(${parquetPaths(paths)}, filename = true, file_row_number = true, hive_partitioning = false) s JOIN _merge_paths p ON p.path = s.filename`,
        )
        this.staged.push({ table, columns: columns.map(({ source, at }) => ({ name: names[at]!, source })) })
      } catch (cause) {
        if (cause instanceof FloeError) throw cause
        if (files.length === 1) this.refusals.push({ no: files[0]!.no, reason: firstLine(cause), isLasting: true })
        else for (const file of group.files) await this.#parquet([file])
      }
    }
  }

  async #schemas(files: readonly ParquetFile[]): Promise<ParquetGroup[]> {
    const sql = this.#sql
    try {
      const rows = await sql.rows<{ paths: string[] }>(
        `SELECT list(file_name) AS paths FROM (SELECT file_name, string_agg(concat_ws(chr(31), name, type, type_length, num_children, converted_type, scale, "precision", logical_type), chr(30)) AS form FROM parquet_schema(${parquetPaths(files.map(({ path }) => path))}) GROUP BY file_name) GROUP BY form ORDER BY min(file_name)`,
      )
      const byPath = new Map(files.map((file) => [file.path, file]))
      const groups: ParquetGroup[] = []
      for (const { paths } of rows) {
        const columns = await sql.rows<{ column_name: string; column_type: string }>(
          `DESCRIBE SELECT * FROM read_parquet(${parquetPaths(paths.slice(0, 1))}, hive_partitioning = false)`,
        )
        groups.push({
          files: paths.map((path) => byPath.get(path)!),
          columns: columns.map((column) => ({ name: column.column_name, type: column.column_type })),
        })
      }
      return groups
    } catch (cause) {
      if (cause instanceof FloeError) throw cause
      if (files.length === 1) {
        this.refusals.push({ no: files[0]!.no, reason: firstLine(cause), isLasting: true })
        return []
      }
      const half = files.length >> 1
      return [...(await this.#schemas(files.slice(0, half))), ...(await this.#schemas(files.slice(half)))]
    }
  }
}

interface ParquetGroup {
  readonly files: readonly ParquetFile[]
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

const parquetPaths = (paths: readonly string[]): string => `[${paths.map(quotePath).join(', ')}]`

const pointer = (key: string): string => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`

/** A Parquet column as one of ours: integers as BIGINT (those that may not fit as text, to be looked at), lists and structs as JSON text. */
function sourceOf(x: string, type: string): { source: Source; sql: string } {
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER)$/.test(type)) return cast(x, 'BIGINT')
  if (/^(FLOAT|DOUBLE|DECIMAL.*)$/.test(type)) return cast(x, 'DOUBLE')
  if (/^(UBIGINT|HUGEINT|UHUGEINT)$/.test(type)) return { source: 'text', sql: `CAST(${x} AS VARCHAR)` }
  if (type === 'BOOLEAN' || type === 'DATE' || type === 'VARCHAR') return cast(x, type)
  if (type === 'TIMESTAMP WITH TIME ZONE') return cast(x, 'TIMESTAMPTZ')
  if (/^TIMESTAMP(_S|_MS|_NS)?$/.test(type)) {
    return { source: 'TIMESTAMPTZ', sql: `timezone('UTC', CAST(${x} AS TIMESTAMP))` }
  }
  const isNested = /[[(]/.test(type)
  return { source: 'VARCHAR', sql: isNested ? `CAST(to_json(${x}) AS VARCHAR)` : `CAST(${x} AS VARCHAR)` }
}

const cast = (x: string, type: ContentType) => ({ source: type, sql: `CAST(${x} AS ${type})` })

function selectText(text: Gathered): string {
  const isNumbered = text.no === null
  const places = text.kind === 'csv' ? text.columns.map((_, at) => `c${at}`) : ['c0']
  const names = isNumbered ? ['no', 'output_row', ...places] : places
  const types = names.map((name) => `${quoteText(name)}: ${quoteText(typeOfPlace(name))}`).join(', ')
  const quote = text.kind === 'csv' ? '"' : ''
  const options = [
    'auto_detect = false',
    'header = false',
    `delim = ${quoteText(text.delimiter)}`,
    `quote = ${quoteText(quote)}`,
    `escape = ${quoteText(quote)}`,
    `columns = {${types}}`,
    `skip = ${text.skipLines}`,
    `compression = ${quoteText(text.isGzip ? 'gzip' : 'none')}`,
    `max_line_size = ${LINE_BYTES}`,
    // 16 lines by default, 256 MB here.
    `buffer_size = ${2 * LINE_BYTES}`,
    'store_rejects = true',
    `rejects_table = '${REJECTS}'`,
    `rejects_scan = '${REJECTS}_scan'`,
    // The number of a row is its place in the file, which only one thread can tell.
    ...(isNumbered ? [] : ['parallel = false']),
  ]
  const numbers = isNumbered ? '' : `${text.no}::INTEGER AS no, row_number() OVER () - 1 AS output_row, `
  return `SELECT ${numbers}* FROM read_csv(${quotePath(text.path)}, ${options.join(', ')})`
}

function typeOfPlace(name: string): string {
  return name === 'no' ? 'INTEGER' : name === 'output_row' ? 'BIGINT' : 'VARCHAR'
}
