import { join } from 'node:path'
import { sitePaths } from '../model/campaign.ts'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import { quoteText, type Tables } from '../ports/tables/tables.ts'
import { CAMPAIGN_FILE, type CampaignPlace, identityOf, localQueue, toText } from './identity.ts'

export interface Relocation {
  readonly place: CampaignPlace
  readonly tables: Tables
  readonly files: Files
  readonly clock: Clock
  /** Scratch of the local site, below which arrays lie. */
  readonly scratch: string
}

/** Of the names in a campaign's directory. */
export const isLease = (name: string): boolean => name === 'lease.json' || name.startsWith('.lease.')

/**
 * Makes a copy a campaign of its own: a new id, results that point to its own outputs, no live arrays: what runs there belongs to the
 * original, and jobs that had no verdict when the copy was made wait again. The original is not touched. Stopped midway, it can be
 * called again: campaign.json is written last.
 */
export async function forkCampaign({ place, tables, files, clock, scratch }: Relocation): Promise<CampaignPlace> {
  const file = identityOf(place.root, { id: clock.uuid(), clock })
  await forgetArrays(tables)
  await pointResults(tables, { from: place.file.path, to: place.root })
  for (const name of await files.names(place.root)) {
    if (isLease(name)) await files.remove(join(place.root, name))
  }
  await files.remove(localQueue(scratch))
  // Logs and kept sandboxes of the copied attempts stay readable under the new id.
  const [before, after] = [sitePaths(scratch, place.file.id).campaign, sitePaths(scratch, file.id).campaign]
  if (await files.entry(before)) await files.rename(before, after)
  await files.write(join(place.root, CAMPAIGN_FILE), toText(file))
  return { root: place.root, file }
}

/**
 * Says that a campaign now lies here: the same id, results that point to where the outputs are now. Record files came along and are read
 * by the next run; what had not ended when it was moved counts as lost and is tried again.
 */
export async function adoptCampaign({ place, tables, files, clock, scratch }: Relocation): Promise<CampaignPlace> {
  const file = { ...identityOf(place.root, { id: place.file.id, clock }), made_at: place.file.made_at }
  await pointResults(tables, { from: place.file.path, to: place.root })
  await files.remove(localQueue(scratch))
  await files.write(join(place.root, CAMPAIGN_FILE), toText(file))
  return { root: place.root, file }
}

async function forgetArrays(tables: Tables): Promise<void> {
  const snapshot = await tables.view('batches')
  const [live] = await tables.sql.rows<{ n: number }>(
    "select count(*)::integer as n from batches where state in ('cut', 'staged', 'submitted')",
  )
  if (live!.n === 0) return
  await tables.commit('batches', {
    operation: 'fork',
    expect: snapshot.version,
    remove: snapshot.parts,
    select: `select * replace (
        case when state in ('cut', 'staged', 'submitted') then 'dropped' else state end as state,
        case when state in ('cut', 'staged', 'submitted') then now() else updated_at end as updated_at)
      from batches`,
  })
}

async function pointResults(tables: Tables, { from, to }: { from: string; to: string }): Promise<void> {
  if (from === to) return
  const snapshot = await tables.view('results')
  const [old] = await tables.sql.rows<{ n: number }>(
    'select count(*)::integer as n from results where starts_with(url, $1)',
    [`${from}/`],
  )
  if (old!.n === 0) return
  const prefix = quoteText(`${from}/`)
  await tables.commit('results', {
    operation: 'point results to where the campaign lies',
    expect: snapshot.version,
    remove: snapshot.parts,
    select: `select * replace (case when starts_with(url, ${prefix})
        then ${quoteText(`${to}/`)} || substr(url, length(${prefix}) + 1) else url end as url) from results`,
  })
}
