/** How one CSV or TSV file is written: its delimiter, the names of its columns, and where its rows begin. */
export interface CsvForm {
  readonly delimiter: string
  readonly columns: readonly string[]
  /** Characters before the first row. */
  readonly bodyFrom: number
  /** Lines before the first row. */
  readonly skipLines: number
}

export type CsvHead = CsvForm | { readonly problem: string } | 'empty'

const DELIMITERS = [',', ';', '\t', '|'] as const
const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$/
const DATE = /^\s*\d{4}-\d\d-\d\d([ T].*)?$/

/** Names that the merged table and its view need for themselves; a content column of that name gets a number. */
const RESERVED = ['job_digest', 'output', 'output_row', 'job_id']

/**
 * Reads the head of a CSV file: the first line that is neither blank nor a comment (#) names the columns. numpy.savetxt writes the names as
 * a comment, so a comment with as many fields as the numbers under it is the header too. A file without names is a problem, not a guess.
 */
export function parseHead(text: string, isTsv: boolean): CsvHead {
  const top = readTop(text, isTsv)
  if (top === undefined) return 'empty'
  const { comment, record, delimiter, start, skipped } = top
  const isLast = text.slice(record.next).trim() === ''
  const isHeader = !record.fields.every(isValue) && !(isLast && record.fields.some((field) => NUMBER.test(field)))
  if (isHeader) {
    const skipLines = skipped + countLines(text.slice(start, record.next))
    return { delimiter, columns: columnNames(record.fields), bodyFrom: record.next, skipLines }
  }
  const names = comment === undefined ? undefined : readRecord(comment, 0, delimiter).fields
  if (names && names.length === record.fields.length && !names.every(isValue)) {
    return { delimiter, columns: columnNames(names), bodyFrom: start, skipLines: skipped }
  }
  return { problem: `its first line names no columns: ${shorten(text.slice(start, record.next))}` }
}

function readTop(text: string, isTsv: boolean) {
  let start = text.startsWith('\uFEFF') ? 1 : 0
  let skipped = 0
  let comment: string | undefined
  for (;;) {
    if (start >= text.length) return undefined
    const newline = text.indexOf('\n', start)
    const line = text.slice(start, newline < 0 ? text.length : newline).trim()
    if (line !== '' && !line.startsWith('#')) {
      const delimiter = isTsv ? '\t' : delimiterOf(line)
      return { comment, record: readRecord(text, start, delimiter), delimiter, start, skipped }
    }
    if (line !== '') comment = line.replace(/^#+\s*/, '')
    if (newline < 0) return undefined
    start = newline + 1
    skipped += 1
  }
}

const isValue = (field: string): boolean => field.trim() === '' || NUMBER.test(field) || DATE.test(field)

function delimiterOf(line: string): string {
  const bare = line.replace(/"[^"]*"/g, '')
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length - 1)
  const most = Math.max(...counts)
  return most === 0 ? ',' : DELIMITERS[counts.indexOf(most)]!
}

const countLines = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0)

export const shorten = (text: string): string => {
  const line = text.trim().replace(/\s+/g, ' ')
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

function readRecord(text: string, from: number, delimiter: string): { fields: string[]; next: number } {
  const end = recordEnd(text, from, delimiter)
  const fields: string[] = []
  let at = from
  let field = ''
  while (at < end) {
    if (field.trim() === '' && text[at] === '"') {
      const close = closingQuote(text, at)
      field = text.slice(at + 1, close).replaceAll('""', '"')
      at = close + 1
    } else if (text[at] === delimiter) {
      fields.push(field)
      field = ''
      at += 1
    } else {
      field += text[at]
      at += 1
    }
  }
  fields.push(field)
  return { fields: fields.map((name) => name.trim()), next: Math.min(end + 1, text.length) }
}

/** Where a record's newline is, or the end of the text. A quote opens only at the beginning of a field, as in RFC 4180. */
function recordEnd(text: string, from: number, delimiter: string): number {
  let at = from
  let opens = true
  for (; at < text.length; at++) {
    const sign = text[at]
    if (sign === '"' && opens) {
      at = closingQuote(text, at)
      opens = false
    } else if (sign === '\n') return at
    else opens = sign === delimiter || (opens && sign === ' ')
  }
  return Math.min(at, text.length)
}

function closingQuote(text: string, open: number): number {
  for (let at = open + 1; ; at++) {
    at = text.indexOf('"', at)
    if (at < 0) return text.length
    if (text[at + 1] !== '"') return at
    at += 1
  }
}

/**
 * The rows of a file, each with the number of its file and its own number in front, so that the rows of thousands of files can lie in one.
 * `undefined` when a quote is never closed: such a file would swallow its neighbour.
 */
export function numberRows(body: string, file: number, delimiter: string): string | undefined {
  const text = body.includes('\r') ? body.replaceAll('\r\n', '\n') : body
  const rows: string[] = []
  if (!text.includes('"')) {
    for (const line of text.split('\n')) {
      if (line !== '') rows.push(`${file}${delimiter}${rows.length}${delimiter}${line}`)
    }
  } else {
    for (let from = 0; from < text.length; ) {
      const end = recordEnd(text, from, delimiter)
      if (end === text.length && isOpen(text, from, delimiter)) return undefined
      if (end > from) rows.push(`${file}${delimiter}${rows.length}${delimiter}${text.slice(from, end)}`)
      from = end + 1
    }
  }
  return rows.length === 0 ? '' : `${rows.join('\n')}\n`
}

/** Whether the last record of a text ends inside quotes. */
function isOpen(text: string, from: number, delimiter: string): boolean {
  let opens = true
  for (let at = from; at < text.length; at++) {
    if (text[at] === '"' && opens) {
      at = closingQuote(text, at)
      if (at >= text.length) return true
      opens = false
    } else opens = text[at] === delimiter || (opens && text[at] === ' ')
  }
  return false
}

/**
 * Names that Delta takes: Spark refuses ` ,;{}()=`, tabs and newlines in them, so runs of these become `_`. Nameless columns are called by their
 * place; a name that is taken, in whatever case, gets a number.
 */
export function columnNames(raw: readonly string[]): string[] {
  const taken = new Set(RESERVED)
  return raw.map((name, at) => {
    const clean = name.replace(/^[\s,;{}()=\0]+|[\s,;{}()=\0]+$/g, '').replace(/[\s,;{}()=\0]+/g, '_')
    const wanted = clean === '' ? `column${at + 1}` : clean
    let free = wanted
    for (let count = 1; taken.has(free.toLowerCase()); count++) free = `${wanted}_${count}`
    taken.add(free.toLowerCase())
    return free
  })
}
