import type { RequestReport } from '../../floe.ts'
import { formatCount, formatCounted } from '../../model/format.ts'

const DONE: Readonly<Record<RequestReport['action'], string>> = {
  retry: 'will be run again; `floe run` does it',
  cancel: 'cancelled; those that run are being stopped',
  hold: 'held; `floe release` lets them go',
  release: 'released',
  remove: 'removed from the catalog',
}

/** What was left as it is says something only when it was chosen by hand. */
export function renderRequest(
  { action, jobs, under_way, untold, skipped }: RequestReport,
  { all }: { all: boolean },
): string {
  const left = Object.entries(skipped).map(([state, count]) => `${formatCount(count)} ${state}`)
  const rest = all || left.length === 0 ? '' : `  left as they are: ${left.join(', ')}\n`
  const live =
    action === 'hold' && under_way > 0
      ? `  under way already, and run on: ${formatCount(under_way)}; \`floe cancel\` stops them\n`
      : ''
  const later = untold.map((site) => `  no run is going on: \`floe run --site ${site}\` tells ${site}\n`).join('')
  return `${formatCounted(jobs, 'job')} ${DONE[action]}.\n${live}${later}${rest}`
}
