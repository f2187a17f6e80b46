import { FloeError } from '../model/errors.ts'
import type { Adding, JobFile } from './adding.ts'
import { flatColumns, flatForm } from './flat-form.ts'
import { Spool } from './spool.ts'

/**
 * Reads the first sheet of a workbook, which is held in memory. A formula counts as the value that was saved with it; a date is ISO text, with
 * its time when it has one.
 */
export async function readXlsx(adding: Adding, file: JobFile): Promise<void> {
  const { readSheet } = await import('read-excel-file/node')
  const rows = await readSheet(file.path).catch((cause: Error) => {
    throw new FloeError('JOB_FILE_INVALID', `${file.name} cannot be read as a workbook: ${cause.message}`, {
      hint: 'Save it as .xlsx, or as CSV.',
      details: { file: file.name },
      cause,
    })
  })
  const spool = new Spool(adding, file)
  const [headings, ...jobs] = rows
  if (headings) {
    const columns = flatColumns(
      file.name,
      headings.map((cell) => cellText(cell) ?? ''),
    )
    for (const [at, cells] of jobs.entries()) {
      if (cells.every((cell) => cell === null)) continue
      if (spool.push(at + 2, flatForm(columns, cells.map(cellText)))) await spool.flush()
    }
  }
  await spool.end()
}

function cellText(cell: unknown): string | null {
  if (cell === null || cell === undefined) return null
  if (!(cell instanceof Date)) return String(cell)
  const text = cell.toISOString()
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text.replace(/\.000Z$/, 'Z')
}
