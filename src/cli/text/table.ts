/** Columns of text under each other. */

export interface TableColumn {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** Longer cells are cut with an ellipsis. */
  readonly max?: number
}

export interface TableWish {
  readonly titles?: boolean
  readonly indent?: string
  /** As `columnWidths` gave them for earlier rows of the same table. */
  readonly widths?: readonly number[]
}

const CELL_MAX = 60

const cell = (text: string | undefined, { max = CELL_MAX }: TableColumn): string => cut(visible(text ?? ''), max)

export function columnWidths(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  { titles = true } = {},
): number[] {
  return columns.map((column, at) =>
    rows.reduce(
      (widest, row) => Math.max(widest, textWidth(cell(row[at], column))),
      titles ? textWidth(visible(column.title)) : 0,
    ),
  )
}

/** Lines of equal columns, two spaces between them, none at the end of a line. Control characters are shown as escapes. */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  { titles = true, indent = '', widths }: TableWish = {},
): string {
  const cells = rows.map((row) => columns.map((column, at) => cell(row[at], column)))
  const heads = columns.map(({ title }) => visible(title))
  const set = widths ?? columnWidths(columns, rows, { titles })
  const line = (row: readonly string[]) =>
    `${indent}${row
      .map((cell, at) => (columns[at]!.align === 'right' ? padStart(cell, set[at]!) : padEnd(cell, set[at]!)))
      .join('  ')}`.trimEnd()
  return [...(titles ? [line(heads)] : []), ...cells.map(line)].map((text) => `${text}\n`).join('')
}

const CONTROL = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** Names come from job files: a newline or an escape sequence in one must not move the cursor. */
export const visible = (text: string): string =>
  text.replace(CONTROL, (sign) => {
    const escaped = JSON.stringify(sign).slice(1, -1)
    return escaped === sign ? `\\u${sign.codePointAt(0)!.toString(16).padStart(4, '0')}` : escaped
  })

const segmenter = new Intl.Segmenter('en')
const WIDE =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u

/** Columns of a terminal that a text takes. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += WIDE.test(segment) ? 2 : 1
  return width
}

function cut(text: string, max: number): string {
  if (textWidth(text) <= max) return text
  let kept = ''
  let width = 0
  for (const { segment } of segmenter.segment(text)) {
    width += textWidth(segment)
    if (width > max - 1) break
    kept += segment
  }
  return `${kept}…`
}

export const padEnd = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - textWidth(text)))
const padStart = (text: string, width: number): string => ' '.repeat(Math.max(0, width - textWidth(text))) + text
