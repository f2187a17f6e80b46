import type { JsonRow, RowStream } from '../floe.ts'
import type { Json } from '../model/json.ts'
import type { Terminal } from './terminal.ts'
import { csvLine } from './text/csv.ts'
import { columnWidths, renderTable } from './text/table.ts'

export interface RowsWish {
  readonly terminal: Terminal
  readonly csv: boolean
  /** Rows that are shown; the stream may have more. */
  readonly most?: number
}

/** Rows that decide the widths of a table's columns; what comes later is set to them. */
const MEASURED = 2000

/** Writes a stream of rows: a table for people, CSV, or one JSON object a line. Holds one chunk, or the first rows of a table. */
export async function writeRows(stream: RowStream, wish: RowsWish): Promise<{ rows: number; more: boolean }> {
  const { terminal, csv, most = Number.POSITIVE_INFINITY } = wish
  const write = csv ? csvWriter(stream, terminal) : terminal.json ? jsonWriter(terminal) : tableWriter(stream, terminal)
  let rows = 0
  let more = false
  try {
    for await (const chunk of stream.rows) {
      const shown = chunk.slice(0, most - rows)
      more = shown.length < chunk.length
      rows += shown.length
      await write(shown)
      if (more) break
    }
    await write(undefined)
  } finally {
    await stream.close()
  }
  return { rows, more }
}

/** Takes chunks, and `undefined` at the end. */
type Writer = (chunk: readonly JsonRow[] | undefined) => Promise<void>

const jsonWriter =
  (terminal: Terminal): Writer =>
  async (chunk) => {
    if (chunk && chunk.length > 0) await terminal.out(chunk.map((row) => `${JSON.stringify(row)}\n`).join(''))
  }

function csvWriter({ columns }: RowStream, terminal: Terminal): Writer {
  const names = columns.map(({ name }) => name)
  let started = false
  return async (chunk) => {
    if (!started) await terminal.out(csvLine(names))
    started = true
    if (chunk)
      await terminal.out(chunk.map((row) => csvLine(names.map((name) => cellText(row[name] ?? null)))).join(''))
  }
}

function tableWriter({ columns }: RowStream, terminal: Terminal): Writer {
  let waiting: string[][] = []
  let widths: number[] | undefined
  const shapes = columns.map(({ name, type }) => ({
    title: name,
    align: isNumber(type) ? ('right' as const) : ('left' as const),
  }))
  const flush = async () => {
    if (waiting.length === 0 && widths !== undefined) return
    const text = renderTable(shapes, waiting, { titles: widths === undefined, ...(widths && { widths }) })
    widths ??= columnWidths(shapes, waiting)
    waiting = []
    await terminal.out(text)
  }
  return async (chunk) => {
    for (const row of chunk ?? []) waiting.push(columns.map(({ name }) => cellText(row[name] ?? null)))
    if (chunk === undefined || waiting.length >= MEASURED) await flush()
  }
}

const isNumber = (type: string): boolean => /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL.*)$/i.test(type)

/** A value in a table or in CSV: lists of texts joined by `;`, as job files have them; what is nested as JSON. */
function cellText(value: Json): string {
  if (value === null) return ''
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value) && value.every((element) => typeof element === 'string' && !element.includes(';'))) {
    return value.join(';')
  }
  return JSON.stringify(value)
}
