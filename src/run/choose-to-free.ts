/* What `clean` takes away from a site: pure. */

export interface Freeable {
  readonly name: string
  readonly bytes: number
  readonly usedAtSec: number
  /** It stays. */
  readonly isNeeded: boolean
}

export interface FreeChoice {
  readonly arrays: readonly Freeable[]
  readonly cached: readonly Freeable[]
  /** Bytes beyond what was to be kept, all of them needed. */
  readonly overBytes: number
}

/** Logs of the newest arrays stay under this, so that `logs` and `show` go on working for what a person still looks at. */
const LOGS_BYTES = 1e9

/** With `keepBytes` the least recently used of all goes first until no more is left than that; without, logs beyond a gigabyte, and the whole cache. */
export function chooseToFree({
  arrays,
  cached,
  keepBytes,
}: {
  readonly arrays: readonly Freeable[]
  readonly cached: readonly Freeable[]
  readonly keepBytes: number | null
}): FreeChoice {
  if (keepBytes === null) {
    const [logs, staged] = [oldestFirst(arrays), cached.filter(({ isNeeded }) => !isNeeded)]
    return { arrays: beyond(logs, bytesOf(logs) - LOGS_BYTES).freed, cached: staged, overBytes: 0 }
  }
  const all = [...arrays, ...cached]
  const { freed, missing } = beyond(oldestFirst(all), bytesOf(all) - keepBytes)
  const isFreed = new Set(freed)
  const needed = bytesOf(all.filter(({ isNeeded }) => isNeeded))
  return {
    arrays: arrays.filter((one) => isFreed.has(one)),
    cached: cached.filter((one) => isFreed.has(one)),
    // Who wants all of it gone knows that some is needed.
    overBytes: keepBytes > 0 ? Math.min(missing, needed) : 0,
  }
}

export const bytesOf = (list: readonly Freeable[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0)

function oldestFirst(list: readonly Freeable[]): Freeable[] {
  return list
    .filter(({ isNeeded }) => !isNeeded)
    .sort((a, b) => a.usedAtSec - b.usedAtSec || (a.name < b.name ? -1 : 1))
}

function beyond(list: readonly Freeable[], bytes: number): { freed: Freeable[]; missing: number } {
  const freed: Freeable[] = []
  let missing = bytes
  for (const one of list) {
    if (missing <= 0) break
    freed.push(one)
    missing -= one.bytes
  }
  return { freed, missing: Math.max(0, missing) }
}
