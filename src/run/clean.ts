import type { Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import { TABLES, type TableName } from '../model/tables.ts'
import { mergeOutputs } from '../results/results.ts'
import { bringOutputs } from './bring.ts'
import type { RunContext } from './context.ts'
import { type Lease, takeLease } from './lease.ts'

/** What was freed at one site. */
export interface SiteCleaned {
  readonly site: string
  readonly arrays: number
  readonly cached: number
  readonly freed_bytes: number
  /** Why something stays that could go, or why the site was left alone; null: nothing did. */
  readonly kept: string | null
}

export interface CleanReport {
  readonly arrays: number
  readonly cached: number
  readonly parts: number
  readonly freed_bytes: number
  /** Each site with work of this campaign; this machine is `local`. */
  readonly sites: readonly SiteCleaned[]
}

/** Logs of the newest arrays of a site stay under this, so that `logs` and `show` go on working for what a person still looks at. */
const KEEP_BYTES = 1e9

/** Longer than any commit is being made. */
const STRAY_KEEP_SEC = 3600

/** Arrays of this campaign at all sites, by what `batches` says. */
interface Arrays {
  readonly live: ReadonlySet<string>
  readonly sites: readonly string[]
}

/**
 * Frees what no live work needs, here and at each site of the campaign: directories of ended arrays beyond the newest `keepBytes`, what
 * was carried into the cache of a site where nothing is under way, old parts of tables. Never touches outputs, nothing of arrays that are
 * live, and no array that holds the only copy of an output of `publish: table`. A site that does not answer is left as it is.
 */
export async function cleanCampaign(
  context: RunContext,
  wishes: { keepBytes?: number; all?: boolean } = {},
): Promise<CleanReport> {
  const lease = takeLease(context.paths.root, context.clock, 'clean')
  try {
    return await cleanUnder(lease, context, wishes)
  } finally {
    lease.release()
  }
}

async function cleanUnder(
  lease: Lease,
  context: RunContext,
  { keepBytes = KEEP_BYTES, all = false }: { keepBytes?: number; all?: boolean },
): Promise<CleanReport> {
  const { tables } = context
  // Contents of `publish: table` lie in the directories of arrays until they are merged, and for good where they could not be.
  const guard = () => lease.guard()
  await mergeOutputs(tables, { root: context.paths.root, bring: bringOutputs(context), guard })
  const arrays = await arraysOf(context)
  const sites: SiteCleaned[] = []
  for (const name of arrays.sites) {
    const wish = { keepBytes: all ? 0 : keepBytes, arrays, guard }
    sites.push(await cleanLeniently(name, async () => cleanSite(context, await context.openSite(name), wish)))
  }
  let [parts, partBytes] = [0, 0]
  for (const table of [...Object.keys(TABLES), 'merged'] as TableName[]) {
    // What no version has listed may be about to be: `add` and requests need no lease.
    const { deleted, freedBytes } = await tables.maintain(
      table,
      all ? { keepSec: 0, strayKeepSec: STRAY_KEEP_SEC } : {},
    )
    parts += deleted
    partBytes += freedBytes
  }
  const sum = (of: (site: SiteCleaned) => number): number => sites.reduce((total, site) => total + of(site), 0)
  return {
    arrays: sum((site) => site.arrays),
    cached: sum((site) => site.cached),
    parts,
    freed_bytes: partBytes + sum((site) => site.freed_bytes),
    sites,
  }
}

async function arraysOf({ tables }: RunContext): Promise<Arrays> {
  await tables.view('batches')
  const rows = await tables.sql.rows<{ array_id: string; site: string; is_live: boolean }>(
    `select array_id, any_value(site) as site, bool_or(state in ('staged', 'submitted')) as is_live
     from batches where array_id is not null group by array_id`,
  )
  return {
    live: new Set(rows.filter(({ is_live }) => is_live).map(({ array_id }) => array_id)),
    sites: [...new Set(['local', ...rows.map(({ site }) => site)])],
  }
}

async function cleanLeniently(name: string, clean: () => Promise<SiteCleaned>): Promise<SiteCleaned> {
  try {
    return await clean()
  } catch (error) {
    if (!(error instanceof FloeError)) throw error
    return { site: name, arrays: 0, cached: 0, freed_bytes: 0, kept: `left as it is: ${error.message}` }
  }
}

async function cleanSite(
  context: RunContext,
  site: Site,
  { keepBytes, arrays, guard }: { keepBytes: number; arrays: Arrays; guard: () => Promise<void> },
): Promise<SiteCleaned> {
  const usage = await site.usage()
  const unmerged = await unmergedArrays(context, site.paths.arrays)
  // One that no table knows was being made by a process that died: the lease keeps a living one away.
  const ended = [...usage.arrays.keys()]
    .filter((id) => !arrays.live.has(id) && !unmerged.has(id))
    .sort()
    .reverse()
  const removed: string[] = []
  let [kept, freed] = [0, 0]
  for (const id of ended) {
    const bytes = usage.arrays.get(id)!
    if (keepBytes > 0 && kept + bytes <= keepBytes) kept += bytes
    else {
      removed.push(id)
      freed += bytes
    }
  }
  // Live arrays run programs from the cache; without any, all of it can be staged again.
  const needed = neededBy({ isLive: arrays.live.size > 0, isShared: usage.isShared })
  const cache = usage.cached > 0 && needed === null
  await guard()
  await site.remove(removed, { cache })
  return {
    site: site.name,
    arrays: removed.length,
    cached: cache ? usage.cached : 0,
    freed_bytes: freed + (cache ? usage.cacheBytes : 0),
    kept: usage.cached > 0 ? needed : null,
  }
}

function neededBy({ isLive, isShared }: { isLive: boolean; isShared: boolean }): string | null {
  if (isLive) return 'the cache stays: work is under way'
  return isShared ? 'the cache stays: other campaigns of yours have arrays there' : null
}

/** Ids of arrays with contents that are in no file and not in the merged table: no table by their name, unreadable, or of other types. */
async function unmergedArrays({ tables }: RunContext, arrays: string): Promise<ReadonlySet<string>> {
  if ((await tables.view('results')).parts.length === 0) return new Set()
  const merged = await tables.view('merged')
  const rest = merged.parts.length === 0 ? '' : 'anti join merged m using (job_digest, output)'
  const rows = await tables.sql.rows<{ array_id: string }>(
    `select distinct split_part(pack[len($1) + 2:], '/', 1) as array_id
     from (from results where url is null qualify row_number() over (partition by output order by published_at desc) = 1) r ${rest}
     where starts_with(pack, $1 || '/')`,
    [arrays],
  )
  return new Set(rows.map(({ array_id }) => array_id))
}
