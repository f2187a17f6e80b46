import type { EventBoard, RelayReport } from '../../floe.ts'
import { formatCount, formatCounted } from '../../model/format.ts'
import { VERDICTS } from '../../model/verdict.ts'
import { renderTable, visible } from './table.ts'

interface Skipped {
  readonly newer: number
  readonly foreign: number
}

/** Lines of a board of events. */
export function renderBoard(
  board: EventBoard,
  { columns, skipped, waiting }: { columns: number; skipped: Skipped; waiting: string | null },
): readonly string[] {
  const { rows, failures } = board
  const trouble = waiting === null ? [] : [renderWaiting(waiting).trimEnd()]
  if (rows.length === 0) return ['waiting for events', ...trouble].map((line) => line.slice(0, columns - 1))
  const titles = ['campaign', 'site', 'tasks', 'running', ...VERDICTS, 'last event (UTC)']
  const table = renderTable(
    titles.map((title, at) => ({
      title,
      align: at > 1 && at < titles.length - 1 ? ('right' as const) : ('left' as const),
    })),
    rows.map(({ campaign, site, tasks, running, verdicts, last }) => [
      campaign.slice(0, 8),
      site,
      ...[tasks, running, ...VERDICTS.map((verdict) => verdicts[verdict])].map(formatCount),
      last.slice(0, 19).replace('T', ' '),
    ]),
  )
  const failed = failures.map(({ job, rule }) => `  ${visible(job)}: ${visible(rule)}`)
  const passed = renderSkipped(skipped)
  return [
    ...table.trimEnd().split('\n'),
    ...(failed.length > 0 ? ['newest without success:', ...failed] : []),
    ...(passed === '' ? [] : [passed.trimEnd()]),
    ...trouble,
  ].map((line) => line.slice(0, columns - 1))
}

/** One line now and then, where nothing can be drawn over. */
export function renderBoardLine({ rows }: EventBoard): string {
  const sum = (of: (row: EventBoard['rows'][number]) => number): string =>
    formatCount(rows.reduce((total, row) => total + of(row), 0))
  const verdicts = VERDICTS.map((verdict) => `${sum((row) => row.verdicts[verdict])} ${verdict}`)
  return `running ${sum(({ running }) => running)}; ${verdicts.join(', ')}\n`
}

/** What was passed over, when something was. */
export function renderSkipped({ newer, foreign }: Skipped): string {
  const told = [
    newer > 0 ? `${formatCounted(newer, 'event')} of a newer floe` : '',
    foreign > 0
      ? `${formatCounted(foreign, 'message')} that ${foreign === 1 ? 'is no event' : 'are no events'} of floe`
      : '',
  ].filter(Boolean)
  return told.length === 0 ? '' : `passed over: ${told.join(', ')}\n`
}

/** Null: nothing is waited for any more. */
export const renderWaiting = (waiting: string | null): string =>
  waiting === null ? 'connected again\n' : `${waiting}; it is tried again until it does\n`

export function renderRelayLine({ site, topic, sent, waiting }: RelayReport): string {
  return `${site}: ${formatCounted(sent, 'event')} to ${topic}${waiting === null ? '' : `; ${waiting}`}\n`
}

export function renderRelay(report: RelayReport): string {
  const { damaged } = report
  const lines = damaged === 0 ? '' : `  ${formatCounted(damaged, 'record line')} could not be read\n`
  return `${renderRelayLine(report)}${lines}`
}
