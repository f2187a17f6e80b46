import type { Clock } from '../ports/clock.ts'
import type { BadNodes, BadNodesMemory } from './bad-nodes.ts'
import { readCacheFile, writeCacheFile } from './cache-file.ts'
import type { ArrayLooks, LiveArray } from './live-array.ts'
import type { Moving, WaitsMemory } from './moving.ts'

/*
 * .floe/looks.<site>.json: what a run has seen of a site and no table says: since when tasks are missing from the scheduler's replies, which
 * nodes are bad, and what waits. For the next run, since one that looks once (`run --once`) would never or always decide. One object: {"v": 2, "site", "at",
 * "arrays": {array id: …}, "nodes", "waits"}; times are ages in milliseconds at "at". Nothing rests on it; without it a decision takes longer.
 */
interface Kept {
  readonly v: 2
  readonly site: string
  /** Milliseconds since 1970. */
  readonly at: number
  readonly arrays: Readonly<Record<string, ArrayLooks>>
  readonly nodes: BadNodesMemory
  readonly waits: WaitsMemory
}

export interface Looking {
  readonly site: string
  readonly arrays: ReadonlyMap<string, LiveArray>
  readonly nodes: BadNodes
  readonly waits: Pick<Moving, 'memory' | 'recall'>
  /** Nobody looked in between, so no more than this counts as missing: it takes some looks, however far they are apart. */
  readonly unseenMaxMs: number
}

const fileOf = (site: string): string => `looks.${encodeURIComponent(site)}.json`

export function keepLooks(cache: string, { now, ticks }: Clock, { site, arrays, nodes, waits }: Looking): void {
  const open = [...arrays.values()].filter(({ over }) => !over)
  const kept: Kept = {
    ...{ v: 2, site, at: now(), nodes: nodes.memory, waits: waits.memory },
    arrays: Object.fromEntries(open.map((array) => [array.id, array.looksAt(ticks())])),
  }
  writeCacheFile(cache, fileOf(site), kept)
}

export function recallLooks(cache: string, { now, ticks }: Clock, looking: Looking): void {
  const { site, arrays, nodes, waits, unseenMaxMs } = looking
  const kept = readCacheFile(cache, fileOf(site)) as Kept | null | undefined
  if (kept?.v !== 2 || kept.site !== site) return
  const unseenMs = Math.max(0, now() - kept.at)
  nodes.recall(kept.nodes, unseenMs)
  waits.recall(kept.waits, unseenMs)
  for (const [id, looks] of Object.entries(kept.arrays))
    arrays.get(id)?.recallLooks(looks, ticks() - Math.min(unseenMs, unseenMaxMs))
}
