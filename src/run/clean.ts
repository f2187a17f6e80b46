import type { Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import { TABLES, type TableName } from '../model/tables.ts'
import type { Tables } from '../ports/tables/tables.ts'
import { mergeOutputs } from '../results/results.ts'
import { bringOutputs } from './bring.ts'
import { bytesOf, chooseToFree, type Freeable } from './choose-to-free.ts'
import type { RunContext } from './context.ts'
import type { Lease } from './lease.ts'
import { tellRest } from './telling.ts'
import { tryFolder } from './try.ts'
import { isTrying } from './trying.ts'
import { keptText } from './what-keeps.ts'

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

/** Longer than any commit is being made. */
const STRAY_KEEP_SEC = 3600

/** Arrays of this campaign at all sites, by what `batches` says. */
interface Arrays {
  readonly live: ReadonlySet<string>
  readonly over: readonly string[]
  readonly sites: readonly string[]
}

interface CleanWishes {
  /** Only this site; else all of the campaign, and its tables. */
  readonly site?: string
  /** What floe may keep at each site, oldest first to go; absent: `quota` of the site, else the newest logs. */
  readonly keepBytes?: number
  /** Nothing is kept that no live work needs. */
  readonly all?: boolean
}

/**
 * Frees what no live work needs, here and at each site of the campaign: directories of ended arrays, contents of caches, old parts of
 * tables. Never touches outputs, nothing that an array which is not over reads, of whatever campaign, nor what `floe try` runs from, and no
 * array that holds the only copy of an output of `publish: table`, or events that Kafka has not got. A site that does not answer is left as it is, unless it was named.
 */
export async function cleanCampaign(context: RunContext, wishes: CleanWishes = {}): Promise<CleanReport> {
  const lease = await context.leases.take('clean')
  try {
    return await cleanUnder(lease, context, wishes)
  } finally {
    await lease.release()
  }
}

async function cleanUnder(lease: Lease, context: RunContext, wishes: CleanWishes): Promise<CleanReport> {
  const { tables } = context
  // Contents of `publish: table` lie in the directories of arrays until they are merged, and for good where they could not be.
  const guard = () => lease.guard()
  await mergeOutputs(tables, { root: context.paths.root, bring: bringOutputs(context), guard })
  const arrays = await arraysOf(context)
  const sites: SiteCleaned[] = []
  for (const name of wishes.site === undefined ? arrays.sites : [wishes.site]) {
    const clean = async () => cleanSite(context, await context.openSite(name), { wishes, arrays, guard })
    sites.push(await (wishes.site === undefined ? cleanLeniently(name, clean) : clean()))
  }
  const { parts, bytes } = wishes.site === undefined ? await cleanTables(tables, wishes.all) : { parts: 0, bytes: 0 }
  const sum = (of: (site: SiteCleaned) => number): number => sites.reduce((total, site) => total + of(site), 0)
  return {
    arrays: sum((site) => site.arrays),
    cached: sum((site) => site.cached),
    parts,
    freed_bytes: bytes + sum((site) => site.freed_bytes),
    sites,
  }
}

async function cleanTables(tables: Tables, all = false): Promise<{ parts: number; bytes: number }> {
  let [parts, bytes] = [0, 0]
  for (const table of [...Object.keys(TABLES), 'merged'] as TableName[]) {
    // What no version has listed may be about to be: `add` and requests need no lease.
    const { deleted, freedBytes } = await tables.maintain(
      table,
      all ? { keepSec: 0, strayKeepSec: STRAY_KEEP_SEC } : {},
    )
    parts += deleted
    bytes += freedBytes
  }
  return { parts, bytes }
}

async function arraysOf({ tables }: RunContext): Promise<Arrays> {
  await tables.view('batches')
  const rows = await tables.sql.rows<{ array_id: string; site: string; is_live: boolean }>(
    `select array_id, any_value(site) as site, bool_or(state in ('staged', 'submitted')) as is_live
     from batches where array_id is not null group by array_id`,
  )
  const ids = (live: boolean) => rows.filter(({ is_live }) => is_live === live).map(({ array_id }) => array_id)
  return {
    live: new Set(ids(true)),
    over: ids(false),
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
  { wishes, arrays, guard }: { wishes: CleanWishes; arrays: Arrays; guard: () => Promise<void> },
): Promise<SiteCleaned> {
  const unmerged = await unmergedArrays(context, site.paths.arrays)
  const untold = await tellRest({ ...context, site }, site.name === 'local' ? arrays.over : [])
  await guard()
  await site.release(arrays.over)
  const usage = await site.usage()
  const isInUse = site.name === 'local' && (arrays.live.size > 0 || isTrying(tryFolder(context), context.clock))
  const cached = usage.cached.map((content) => ({ ...content, isNeeded: isInUse || content.neededBy.length > 0 }))
  // One that no table knows was being made by a process that died: the lease keeps a living one away.
  const own = [...usage.arrays].map(([id, { bytes, usedAtSec }]) => {
    return { name: id, bytes, usedAtSec, isNeeded: [arrays.live, unmerged, untold.arrays].some((ids) => ids.has(id)) }
  })
  const others = [...usage.others].map(([name, bytes]) => ({ name, bytes, usedAtSec: 0, isNeeded: true }))
  const choice = chooseToFree({
    arrays: [...own, ...others],
    cached,
    keepBytes: wishes.all ? 0 : (wishes.keepBytes ?? site.quotaBytes),
  })
  await guard()
  const names = (list: readonly Freeable[]) => list.map(({ name }) => name)
  const back = await site.remove(names(choice.arrays), names(choice.cached))
  const gone = choice.cached.filter(({ name }) => !back.has(name))
  const freed = [...choice.arrays, ...gone]
  return {
    site: site.name,
    arrays: choice.arrays.length,
    cached: gone.length,
    freed_bytes: bytesOf(freed),
    kept: keptText(site.paths, {
      cached: cached.filter(({ name, isNeeded }) => isNeeded || back.has(name)),
      arrays: own.filter(({ isNeeded }) => isNeeded),
      ...{ others: usage.others, overBytes: choice.overBytes, untold },
    }),
  }
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
