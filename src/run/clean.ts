import { existsSync, readdirSync, statSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sitePaths } from '../model/campaign.ts'
import { TABLES, type TableName } from '../model/tables.ts'
import { mergeOutputs } from '../results/results.ts'
import type { RunContext } from './context.ts'
import { type Lease, takeLease } from './lease.ts'

export interface CleanReport {
  readonly arrays: number
  readonly cached: number
  readonly parts: number
  readonly freed_bytes: number
}

/** Logs of the newest arrays stay under this, so that `logs` and `show` go on working for what a person still looks at. */
const KEEP_BYTES = 1e9

/** Longer than any commit is being made. */
const STRAY_KEEP_SEC = 3600

/**
 * Frees what no live work needs: directories of ended arrays beyond the newest `keepBytes`, programs and fetched inputs in the site's cache
 * that no live array names, old parts of tables. Never touches outputs, nothing of arrays that are live, and no array that holds the only
 * copy of an output of `publish: table`. Throws RUN_LOCKED while a run goes on: what it has just staged is in no table yet.
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
  const { arrays, cache } = sitePaths(context.paths.scratch, context.campaignId)
  const guard = () => lease.guard()
  // Contents of `publish: table` lie in the directories of arrays until they are merged, and for good where they could not be.
  await mergeOutputs(tables, { root: context.paths.root, guard })
  const liveIds = await liveArrayIds(context)
  const unmerged = await unmergedArrays(context, arrays)
  const freed = { arrays: 0, cached: 0, bytes: 0 }
  const free = async (path: string, bytes: number) => {
    await guard()
    await rm(path, { recursive: true, force: true })
    freed.bytes += bytes
  }
  let kept = 0
  const ended = (existsSync(arrays) ? readdirSync(arrays) : [])
    .filter((id) => !liveIds.has(id) && !unmerged.has(id))
    .sort()
    .reverse()
  for (const id of ended) {
    const bytes = treeBytes(join(arrays, id))
    if (!all && kept + bytes <= keepBytes) {
      kept += bytes
      continue
    }
    await free(join(arrays, id), bytes)
    freed.arrays++
  }
  // Live arrays run programs from the cache; without any, all of it can be staged again.
  if (liveIds.size === 0 && existsSync(cache)) {
    for (const name of readdirSync(cache)) {
      await free(join(cache, name), treeBytes(join(cache, name)))
      freed.cached++
    }
  }
  let parts = 0
  for (const table of [...Object.keys(TABLES), 'merged'] as TableName[]) {
    // What no version has listed may be about to be: `add` and requests need no lease.
    const { deleted, freedBytes } = await tables.maintain(
      table,
      all ? { keepSec: 0, strayKeepSec: STRAY_KEEP_SEC } : {},
    )
    parts += deleted
    freed.bytes += freedBytes
  }
  return { arrays: freed.arrays, cached: freed.cached, parts, freed_bytes: freed.bytes }
}

async function liveArrayIds({ tables }: RunContext): Promise<ReadonlySet<string>> {
  await tables.view('batches')
  const live = await tables.sql.rows<{ array_id: string }>(
    "select distinct array_id from batches where state in ('staged', 'submitted')",
  )
  return new Set(live.map(({ array_id }) => array_id))
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

function treeBytes(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) return 0
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + treeBytes(join(path, name)), 0)
}
