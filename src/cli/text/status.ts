import type { SiteAtWork, StateCounts, StatusReport } from '../../floe.ts'
import { formatCount, formatCounted, formatSeconds, formatShare } from '../../model/format.ts'
import { JOB_STATES } from '../../model/verdict.ts'
import { renderTable, visible } from './table.ts'

export interface Named {
  readonly name: string
}

/** Counts by state; only states that have jobs are shown. */
export function renderStatus(status: StatusReport, { name }: Named): string {
  if (status.jobs === 0) return `${visible(name)} has no jobs yet; \`floe add FILE\` puts some in.\n`
  return [
    `${visible(name)}: ${formatCounted(status.jobs, 'job')}, ${formatShare(status.succeeded, status.jobs)} succeeded\n`,
    renderCounts(status, status.classes),
    bySite(status),
    atWork(status),
    status.runner === null ? '' : `  A run is going on: process ${status.runner.pid} on ${status.runner.host}.\n`,
  ].join('')
}

/** What the run that is going on waits for. */
function atWork({ at_work: work }: StatusReport): string {
  if (work === null) return ''
  const { beside = [], ...first } = work
  if (beside.length > 0) return [first, ...beside].map(atSite).join('')
  return first.site === 'local' || first.tasks_running + first.tasks_queued === 0 ? '' : atSite(first)
}

function atSite(work: SiteAtWork): string {
  const limit = work.tasks_max === null ? '' : ` (limit ${formatCount(work.tasks_max)})`
  const tasks = `  ${visible(work.site)}: running ${formatCounted(work.tasks_running, 'task')} · queued ${formatCount(work.tasks_queued)}${limit} · next look in ${formatSeconds(work.next_look_sec)}\n`
  return work.waiting === null ? tasks : `${tasks}  waiting: ${visible(work.waiting)}\n`
}

/** Said when there is more than one site. */
function bySite({ sites }: StatusReport): string {
  const rows = Object.entries(sites).map(([site, counts]) => [`at ${site}`, list(counts)])
  const columns = [{ title: '' }, { title: '', max: 120 }]
  return rows.length < 2 ? '' : renderTable(columns, rows, { titles: false, indent: '  ' })
}

export function renderCounts(
  counts: StateCounts & { jobs: number },
  classes: Readonly<Record<string, number>>,
): string {
  const rows = JOB_STATES.filter((state) => counts[state] > 0).map((state) => [
    state,
    formatCount(counts[state]),
    formatShare(counts[state], counts.jobs),
    state === 'failed' ? list(classes) : '',
  ])
  const columns = [
    { title: '' },
    { title: '', align: 'right' as const },
    { title: '', align: 'right' as const },
    { title: '', max: 120 },
  ]
  return renderTable(columns, rows, { titles: false, indent: '  ' })
}

/** `memory 38, app 3`, the most first. */
export const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1))
    .map(([name, count]) => `${visible(name)} ${formatCount(count)}`)
    .join(', ')
