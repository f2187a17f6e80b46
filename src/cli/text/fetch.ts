import type { FetchReport } from '../../floe.ts'
import { formatBytes, formatCount, formatCounted } from '../../model/format.ts'
import { visible } from './table.ts'

const LISTED = 3

export function renderFetch(
  { fetched, bytes, directory, skipped, missing, missing_outputs }: FetchReport,
  { isElsewhere }: { isElsewhere: boolean },
): string {
  if (fetched + skipped + missing === 0) return 'Nothing to fetch: none of these outputs lies at another site.\n'
  const here = skipped === 0 ? '' : `  here already: ${formatCount(skipped)}\n`
  const named = missing_outputs.slice(0, LISTED).map(visible).join(', ')
  const gone =
    missing === 0
      ? ''
      : `  not there any more as they were published: ${formatCount(missing)}, e.g. ${named}; \`floe retry\` makes them again\n`
  // Of a campaign that does not lie on this machine nobody would look there.
  const where = isElsewhere ? `  in ${visible(directory)}\n` : ''
  return `Fetched ${formatCounted(fetched, 'output')}, ${formatBytes(bytes)}.\n${where}${here}${gone}`
}
