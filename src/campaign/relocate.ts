import { join } from 'node:path'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Files } from '../ports/files/files.ts'
import { quoteText, type Tables, type TablesOptions } from '../ports/tables/tables.ts'
import {
  CAMPAIGN_FILE,
  type CampaignFile,
  type CampaignPlace,
  identityAt,
  localQueue,
  locate,
  toText,
} from './identity.ts'
import { foreignArrays, leasesOf, pathsHere, tablesOptions } from './whereabouts.ts'

export interface Relocation {
  readonly place: CampaignPlace
  readonly tables: Tables
  /** Of this machine. */
  readonly files: Files
  readonly clock: Clock
}

/** Of the names in a campaign's directory. */
export const isLease = (name: string): boolean =>
  name === 'lease.json' || name.startsWith('.lease.') || /^lease-\d+\.json$/.test(name)

/** Makes a copy a campaign of its own, or says that one was moved to where it lies. Throws USAGE when it was neither. */
export async function relocateCampaign(
  action: 'forked' | 'adopted',
  { openTables, ...means }: Omit<Relocation, 'tables'> & { openTables: (options: TablesOptions) => Promise<Tables> },
): Promise<CampaignPlace> {
  const { place, clock } = means
  const where = await locate(place)
  const tables = await openTables(await tablesOptions(place, clock))
  try {
    if (where === 'here') {
      if (action === 'adopted' && (await adoptForeign(place, tables, clock))) return place
      throw new FloeError('USAGE', `${place.root} was neither copied nor moved.`, {
        hint: '`floe run` runs it as it is.',
      })
    }
    return await (action === 'forked' ? forkCampaign : adoptCampaign)({ ...means, tables })
  } finally {
    await tables.close()
  }
}

/**
 * Makes a copy a campaign of its own: a new id, results that point to its own outputs, no live arrays: what runs there belongs to the
 * original, and jobs that had no verdict when the copy was made wait again. The original is not touched. Stopped midway, it can be
 * called again: campaign.json is written last.
 */
export async function forkCampaign({ place, tables, files, clock }: Relocation): Promise<CampaignPlace> {
  const { store, root } = place
  const file = await identityAt(place, { id: clock.uuid(), clock })
  await forgetArrays(tables)
  await pointResults(tables, { from: place.file.path, to: root })
  const [there, folder] = store ? [store.files, store.path] : [files, root]
  for (const name of await there.names(folder)) {
    if (isLease(name)) await there.remove(join(folder, name))
  }
  // Of a campaign elsewhere the scratch of this machine is the original's.
  if (!store) {
    const { scratch } = pathsHere(place)
    await files.remove(localQueue(scratch))
    // Logs and kept sandboxes of the copied attempts stay readable under the new id.
    const [before, after] = [sitePaths(scratch, place.file.id).campaign, sitePaths(scratch, file.id).campaign]
    if (await files.entry(before)) await files.rename(before, after)
  }
  await there.write(join(folder, CAMPAIGN_FILE), toText(file))
  return { ...place, file }
}

/**
 * Says that a campaign now lies here: the same id, results that point to where the outputs are now. Record files came along and are read
 * by the next run; what had not ended when it was moved counts as lost and is tried again.
 */
async function adoptCampaign({ place, tables, files, clock }: Relocation): Promise<CampaignPlace> {
  const { store, root } = place
  const file: CampaignFile = { ...(await identityAt(place, { id: place.file.id, clock })), made_at: place.file.made_at }
  await pointResults(tables, { from: place.file.path, to: root })
  if (!store) await files.remove(localQueue(pathsHere(place).scratch))
  await (store?.files ?? files).write(join(store?.path ?? root, CAMPAIGN_FILE), toText(file))
  return { ...place, file }
}

/** Gives up what the local site of another machine had under way: those jobs wait again. False: there is no such thing. */
async function adoptForeign(place: CampaignPlace, tables: Tables, clock: Clock): Promise<boolean> {
  if (!place.store) return false
  const { arrays } = await foreignArrays(place, tables)
  if (arrays.length === 0) return false
  const { dropArrays } = await import('../run/run.ts')
  const lease = await (await leasesOf(place, clock)).take()
  try {
    await dropArrays(tables, arrays, () => lease.guard())
  } finally {
    await lease.release()
  }
  return true
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
