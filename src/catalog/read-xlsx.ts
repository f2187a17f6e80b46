import { FloeError } from '../model/errors.ts'
import type { Adding, JobFile } from './adding.ts'
import { flatColumns, flatForm } from './flat-form.ts'
import { excerpt, type Fault } from './given.ts'
import { Spool } from './spool.ts'
import { type Uncomputed, uncomputedFormulas } from './xlsx-formulas.ts'

/**
 * Reads the first sheet of a workbook, which is held in memory. A formula counts as the value that was saved with it, and its row is wrong when
 * none was; a date is ISO text, with its time when it has one.
 */
export async function readXlsx(adding: Adding, file: JobFile): Promise<void> {
  const uncomputed = await uncomputedFormulas(file.path)
  const rows = await sheetRows(file, uncomputed)
  const spool = new Spool(adding, file)
  const [headings, ...jobs] = rows
  if (headings) {
    refuseUncomputed(file, uncomputed.get(1))
    const columns = flatColumns(
      file.name,
      headings.map((cell) => cellText(cell) ?? ''),
    )
    const id = columns.findIndex(({ path }) => path[0] === 'id')
    // Rows that hold nothing but such formulas are not among those that were read.
    const last = [...uncomputed.keys()].reduce((a, b) => Math.max(a, b), rows.length)
    for (let line = 2; line <= last; line++) {
      const cells = jobs[line - 2] ?? []
      const formula = uncomputed.get(line)
      if (!formula && cells.every((cell) => cell === null)) continue
      const texts = cells.map(cellText)
      const form = formula ? uncomputedFault(formula, texts[id] ?? null) : flatForm(columns, texts)
      if (spool.push(line, form)) await spool.flush()
    }
  }
  await spool.end()
}

async function sheetRows(file: JobFile, uncomputed: ReadonlyMap<number, Uncomputed>) {
  const { readSheet } = await import('read-excel-file/node')
  return readSheet(file.path).catch((cause: Error) => {
    // Of some cells without a value the reader makes an error that tells a person nothing.
    if (/VALUE_MISSING/.test(cause.message)) refuseUncomputed(file, uncomputed.values().next().value)
    throw new FloeError('JOB_FILE_INVALID', `${file.name} cannot be read as a workbook: ${cause.message}`, {
      hint: 'Save it as .xlsx, or as CSV.',
      details: { file: file.name },
      cause,
    })
  })
}

const COMPUTE = 'open the file in a spreadsheet program and save it, or write the value itself'
const withoutValue = ({ cell }: Uncomputed) => `cell ${cell} holds a formula that was saved without its value`

function refuseUncomputed(file: JobFile, formula: Uncomputed | undefined): void {
  if (!formula) return
  const hint = `${COMPUTE[0]!.toUpperCase()}${COMPUTE.slice(1)}.`
  const details = { file: file.name, line: formula.line }
  throw new FloeError('JOB_FILE_INVALID', `${file.name}:${formula.line}: ${withoutValue(formula)}`, { hint, details })
}

const uncomputedFault = (formula: Uncomputed, job: string | null): Fault => ({
  job,
  value: excerpt(`=${formula.formula}`),
  reason: withoutValue(formula),
  hint: COMPUTE,
})

function cellText(cell: unknown): string | null {
  if (cell === null || cell === undefined) return null
  if (!(cell instanceof Date)) return String(cell)
  const text = cell.toISOString()
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text.replace(/\.000Z$/, 'Z')
}
