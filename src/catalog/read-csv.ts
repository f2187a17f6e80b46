import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { type CsvError, parse } from 'csv-parse'
import { FloeError } from '../model/errors.ts'
import type { Adding, JobFile } from './adding.ts'
import { type FlatColumn, flatColumn, flatColumns, flatForm } from './flat-form.ts'
import type { Fault, GivenJob } from './given.ts'
import { fileChunks, LINE_MAX } from './lines.ts'
import { notUtf8, tooLongFault } from './read-ndjson.ts'
import { Spool } from './spool.ts'

interface CsvRecord {
  readonly record: readonly Buffer[]
  readonly info: { readonly lines: number }
}

/** A cell beyond this is taken for the rest of the file, behind a quote that nobody closed. */
const CELL_MAX = 256e6

const endless = (name: string, line: number): FloeError =>
  new FloeError('JOB_FILE_INVALID', `${name}:${line}: a cell of more than ${CELL_MAX / 1e6} MB begins in this row`, {
    hint: 'A quote is not closed there; close it and add the file again.',
    details: { file: name, line },
  })

/**
 * Reads CSV (RFC 4180; quoted cells may hold newlines) or TSV row by row; memory holds one row and a page. Where the comma is a decimal sign,
 * spreadsheets separate the columns of a CSV by `;` and put a list, which holds `;` itself, in quotes: that is read as well.
 */
export const readCsv = async (adding: Adding, file: JobFile): Promise<void> =>
  readDelimited(adding, file, await separatorOf(file.path))
export const readTsv = (adding: Adding, file: JobFile): Promise<void> => readDelimited(adding, file, '\t')

/** By the names of columns in the first line: another than the comma when there is no comma, and it parts the line so that some mean something. */
async function separatorOf(path: string): Promise<string> {
  for await (const bytes of fileChunks(path)) {
    const line =
      bytes
        .toString('utf8')
        .split(/[\r\n]+/)
        .find((one) => one !== '') ?? ''
    const parts = (one: string) => line.split(one).some((name) => flatColumn(name.replaceAll('"', '')) !== undefined)
    if (line.includes(',')) return ','
    return [';', '\t'].find((one) => line.includes(one) && parts(one)) ?? ','
  }
  return ','
}

/** Pieces that stay as they are while the parser keeps them; it would turn cells into texts if it met the byte order mark itself. */
async function* ownChunks(adding: Adding, { path }: JobFile): AsyncGenerator<Buffer> {
  for await (const bytes of fileChunks(path, adding.signal)) yield Buffer.from(bytes)
}

async function readDelimited(adding: Adding, file: JobFile, delimiter: string): Promise<void> {
  const spool = new Spool(adding, file)
  const skipped: { line: number; fault: Fault }[] = []
  let before = 0
  const parser = Readable.from(ownChunks(adding, file))
    .on('error', (error) => parser.destroy(error))
    .pipe(
      parse({
        delimiter,
        encoding: null,
        info: true,
        // Beyond its limit csv-parse 7 loses its place, and with it all later rows: rows are measured when they are whole.
        max_record_size: CELL_MAX,
        relax_column_count: true,
        skip_empty_lines: true,
        skip_records_with_error: true,
        on_skip: (error) => {
          if (error?.code === 'CSV_MAX_RECORD_SIZE') parser.destroy(endless(file.name, before + 1))
          else if (error) skipped.push({ line: Number(error.lines ?? 0), fault: csvFault(error) })
        },
      }),
    )
  let columns: readonly FlatColumn[] | undefined
  for await (const { record, info } of parser as AsyncIterable<CsvRecord>) {
    adding.throwIfAborted()
    const line = before + 1
    before = info.lines
    if (columns === undefined) {
      columns = flatColumns(
        file.name,
        record.map((cell) => cell.toString('utf8')),
        line,
      )
      continue
    }
    if (spool.push(line, rowForm(columns, record))) await spool.flush()
  }
  for (const { line, fault } of skipped) if (spool.push(line, fault)) await spool.flush()
  await spool.end()
}

function rowForm(columns: readonly FlatColumn[], record: readonly Buffer[]): GivenJob | Fault {
  const bytes = record.reduce((sum, cell) => sum + cell.length + 1, 0)
  if (bytes > LINE_MAX) return tooLongFault(bytes)
  const bad = record.find((cell) => !isUtf8(cell))
  if (bad) return notUtf8(Buffer.concat(record.flatMap((cell, at) => (at === 0 ? [cell] : [Buffer.from(','), cell]))))
  const cells = record.map((cell) => cell.toString('utf8'))
  if (cells.length === columns.length) return flatForm(columns, cells)
  const id = columns.findIndex(({ path }) => path[0] === 'id')
  return {
    job: cells[id] ?? null,
    value: cells.join(','),
    reason: `${cells.length} cells where the first line names ${columns.length} columns`,
    hint: 'write a cell for each column, empty if need be; quote a cell that holds the separator',
  }
}

function csvFault(error: CsvError): Fault {
  return {
    job: null,
    value: null,
    reason: `no CSV: ${error.message.replace(/ at line \d+.*$/s, '')}`,
    hint: 'quote a cell that holds quotes, and double the quotes in it',
  }
}
