import type { SiteRow, SitesReport } from '../../floe.ts'
import { renderTable, visible } from './table.ts'
import { near } from './words.ts'

const COLUMNS = ['site', 'scheduler', 'where', 'scratch', 'queue', 'checked'].map((title) => ({ title }))

export function renderSites({ file, exists, sites }: SitesReport): string {
  const table = renderTable(COLUMNS, sites.map(rowOf))
  return exists ? table : `${table}\n${howTo(near(file))}`
}

const rowOf = (site: SiteRow): string[] => [
  site.name,
  site.version ?? site.connector,
  site.where,
  site.scratch ?? 'of the campaign',
  site.queue ?? '–',
  site.checked_at === null ? '–' : `${dateOf(site.checked_at)}${site.usable === false ? ', not usable' : ''}`,
]

/** `21 Nov 2026`. */
export const dateOf = (iso: string): string =>
  new Date(iso).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })

const howTo = (file: string): string => `There is no ${visible(file)}. Clusters are named in it, like this:

  sites:
    frost:
      connector: slurm            # slurm, pbs, sge, local or simulated
      ssh: alice@login.frost      # without it: commands run on this machine
      scratch: /scratch/alice     # seen by login and compute nodes

Then \`chmod 600 ${visible(file)}\` and \`floe doctor frost\`.
`
