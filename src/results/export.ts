import { open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { quoteName, quoteText, type Tables } from '../ports/tables/tables.ts'
import { arrowBytes } from './export-arrow.ts'
import { mergedView } from './merged.ts'

export type ExportFormat = 'csv' | 'tsv' | 'ndjson' | 'parquet' | 'arrow' | 'arrows'

/** What COPY of DuckDB writes; the rest goes through Arrow. `arrow` is the file form (Feather 2), `arrows` the stream. */
const COPY: Partial<Record<ExportFormat, string>> = {
  csv: 'FORMAT csv, HEADER true',
  tsv: "FORMAT csv, HEADER true, DELIM '\t'",
  ndjson: 'FORMAT json',
  parquet: 'FORMAT parquet, COMPRESSION zstd',
}

const BY_SUFFIX: Readonly<Record<string, ExportFormat>> = {
  csv: 'csv',
  tsv: 'tsv',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  parquet: 'parquet',
  pq: 'parquet',
  arrow: 'arrow',
  feather: 'arrow',
  ipc: 'arrow',
  arrows: 'arrows',
}

/** The format that a file's name asks for; `.csv.gz`, `.tsv.gz` and `.ndjson.gz` are packed. Throws USAGE for a name that says nothing. */
export function exportFormat(file: string): ExportFormat {
  const format = BY_SUFFIX[/\.(\w+?)(?:\.gz)?$/.exec(file.toLowerCase())?.[1] ?? '']
  if (format && !(isGzip(file) && !isText(format))) return format
  throw new FloeError('USAGE', `the name ${file} does not say which format is wanted`, {
    hint: 'Let it end in .csv, .tsv, .ndjson (each also with .gz), .parquet, .arrow or .arrows, or name a format.',
  })
}

const isGzip = (file: string): boolean => /\.gz$/i.test(file)
const isText = (format: ExportFormat): boolean => format === 'csv' || format === 'tsv' || format === 'ndjson'

export interface Exported {
  readonly file: string
  readonly format: ExportFormat
  readonly rows: number
  readonly columns: readonly string[]
}

/**
 * Writes the merged table, as the view `merged` shows it, into a file: whole or not at all, the rows of a job together and in their order.
 * Without rows it has a header only. Throws NOTHING_SELECTED when no output was merged yet. Bounded in memory; sorts by spilling.
 */
export async function exportResults(
  tables: Tables,
  { file, format = exportFormat(file), signal }: { file: string; format?: ExportFormat; signal?: AbortSignal },
): Promise<Exported> {
  const { select, columns } = await selectMerged(tables, format)
  const path = resolve(file)
  const aside = `${path}.${process.pid}.part`
  try {
    const copy = COPY[format]
    if (copy === undefined) {
      const rows = { select, columns, isFile: format === 'arrow' }
      await writeAll(aside, arrowBytes(tables.sql, rows), signal)
    } else {
      const compression = isText(format) ? `, COMPRESSION ${isGzip(file) ? 'gzip' : 'none'}` : ''
      await tables.sql.run(`COPY (${select}) TO ${quoteText(aside)} (${copy}${compression})`)
    }
    if (signal?.aborted) throw new FloeError('INTERRUPTED', `stopped before ${file} was written`)
    await settle(aside)
    await rename(aside, path)
  } catch (cause) {
    await rm(aside, { force: true })
    throw explain(cause, { path, signal })
  }
  const [count] = await tables.sql.rows<{ n: number }>('SELECT count(*) AS n FROM merged')
  return { file: path, format, rows: count!.n, columns: columns.map(({ name }) => name) }
}

/**
 * The same as bytes, for standard output: `csv` (the default), `tsv`, `ndjson` or `arrows`. While it is being read, no other SQL runs in this
 * session.
 */
export async function* streamResults(
  tables: Tables,
  { format = 'csv' }: { format?: ExportFormat } = {},
): AsyncGenerator<string | Uint8Array> {
  if (format === 'parquet' || format === 'arrow') {
    throw new FloeError('USAGE', `${format} cannot be written to standard output`, {
      hint: 'Name a file with -o FILE.',
    })
  }
  const { select, columns } = await selectMerged(tables, format)
  if (format === 'arrows') {
    yield* arrowBytes(tables.sql, { select, columns, isFile: false })
    return
  }
  const delimiter = format === 'tsv' ? '\t' : ','
  if (format !== 'ndjson') yield `${columns.map(({ name }) => quoteField(name, delimiter)).join(delimiter)}\n`
  const line = format === 'ndjson' ? 'CAST(to_json(r) AS VARCHAR)' : csvLine(columns, delimiter)
  const source = format === 'ndjson' ? `(${select}) r` : `(${select})`
  for await (const rows of tables.sql.stream<{ line: string }>(`SELECT ${line} AS line FROM ${source}`)) {
    yield `${rows.map((row) => row.line).join('\n')}\n`
  }
}

export interface Selected {
  readonly select: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

async function selectMerged(tables: Tables, format: ExportFormat): Promise<Selected> {
  const view = await mergedView(tables)
  if (!view.isThere) throw await nothingThere(tables)
  // A map has no column type in CSV and none that all readers of Arrow share.
  const hasMaps = format === 'ndjson' || format === 'parquet'
  const columns = view.columns.map((column) =>
    column.type.startsWith('MAP') && !hasMaps
      ? { ...column, type: 'VARCHAR', isMap: true }
      : { ...column, isMap: false },
  )
  const list = columns.map(({ name, isMap }) =>
    isMap ? `CAST(to_json(${quoteName(name)}) AS VARCHAR) AS ${quoteName(name)}` : quoteName(name),
  )
  return { select: `SELECT ${list.join(', ')} FROM _merged_rows ORDER BY ${view.order}`, columns }
}

async function nothingThere({ sql }: Tables): Promise<FloeError> {
  const [found] = await sql.rows<{ n: number; example: string | null }>(
    'SELECT count(*) AS n, min(output) AS example FROM _merged_results',
  )
  const hint =
    found!.n === 0
      ? 'No job has published an output yet: `floe run` runs them, `floe status` shows how far they are.'
      : `Outputs that end in .csv, .tsv, .ndjson, .jsonl or .parquet are merged; none of the ${found!.n} published so far could be (${found!.example}).`
  return new FloeError('NOTHING_SELECTED', 'there is no merged table yet', { hint })
}

/** One line of CSV as SQL: RFC 4180, a null is nothing, an empty text is "". */
function csvLine(columns: Selected['columns'], delimiter: string): string {
  const special = quoteText(`["\\n\\r${delimiter === '\t' ? '\\t' : delimiter}]`)
  const fields = columns.map(({ name, type }) => {
    const text = `CAST(${quoteName(name)} AS VARCHAR)`
    if (type !== 'VARCHAR') return `coalesce(${text}, '')`
    return `CASE WHEN ${text} IS NULL THEN '' WHEN ${text} = '' OR regexp_matches(${text}, ${special}) THEN '"' || replace(${text}, '"', '""') || '"' ELSE ${text} END`
  })
  return fields.join(` || ${quoteText(delimiter)} || `)
}

const quoteField = (name: string, delimiter: string): string =>
  /["\n\r]/.test(name) || name.includes(delimiter) ? `"${name.replaceAll('"', '""')}"` : name

// A loop, not `pipeline`: when that fails it does not wait for the query to end, and the next statement would be refused.
async function writeAll(
  path: string,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const handle = await open(path, 'w')
  try {
    for await (const bytes of source) {
      if (signal?.aborted) return
      await handle.writeFile(bytes)
    }
  } finally {
    await handle.close()
  }
}

async function settle(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function explain(cause: unknown, { path, signal }: { path: string; signal: AbortSignal | undefined }): unknown {
  if (cause instanceof FloeError) return cause
  if (signal?.aborted) return new FloeError('INTERRUPTED', `stopped before ${path} was written`)
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') return new FloeError('DISK_FULL', `no room for ${path}`, { cause })
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'EISDIR') {
    return new FloeError('NOT_WRITABLE', `${path} cannot be written: ${message}`, { cause })
  }
  if (code === 'ENOENT' || /no such file or directory|cannot open file/i.test(message)) {
    return new FloeError('USAGE', `${path} cannot be written: the folder ${dirname(path)} is not there`, {
      hint: 'Make the folder first.',
      cause,
    })
  }
  return cause
}
