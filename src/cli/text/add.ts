import type { AddReport } from '../../floe.ts'
import { formatCount, formatCounted, formatSeconds } from '../../model/format.ts'
import { renderTable, visible } from './table.ts'
import { near } from './words.ts'

const SHOWN = 3

export function renderAdd(report: AddReport): string {
  const read = report.files.map(
    ({ path, jobs, elapsed_sec }) =>
      `${visible(path)}: ${formatCounted(jobs, 'job')} read in ${formatSeconds(elapsed_sec)}\n`,
  )
  return [...read, `  ${counts(report)}\n`, rejects(report)].join('')
}

function counts({ added, unchanged, replaced, rejected, rejects_file }: AddReport): string {
  const parts = [`added ${formatCount(added)}`]
  if (unchanged > 0) parts.push(`unchanged ${formatCount(unchanged)}`)
  if (replaced > 0) parts.push(`replaced ${formatCount(replaced)}`)
  if (rejected > 0)
    parts.push(`rejected ${formatCount(rejected)}${rejects_file === null ? '' : ` → ${visible(near(rejects_file))}`}`)
  return parts.join(' · ')
}

function rejects({ rejected, rejects: first }: AddReport): string {
  if (rejected === 0) return ''
  const shown = first.slice(0, SHOWN)
  const title = rejected > shown.length ? `rejected, first ${shown.length} of ${formatCount(rejected)}:` : 'rejected:'
  // The line comes last in the first column: cut, it would be the line that is lost.
  const columns = [
    { title: '', max: 1000 },
    { title: '', max: 30 },
    { title: '', max: 200 },
    { title: '', max: 200 },
  ]
  const rows = shown.map((row) => [`${row.file}:${row.line}`, row.job ?? '', row.reason, row.hint])
  return `\n${title}\n${renderTable(columns, rows, { titles: false, indent: '  ' })}`
}
