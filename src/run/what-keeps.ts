import { posix } from 'node:path'
import type { CachedContent, SiteUsage } from '../dispatch/dispatch.ts'
import type { SitePaths } from '../model/campaign.ts'
import { formatBytes, formatCounted } from '../model/format.ts'
import { bytesOf, type Freeable } from './choose-to-free.ts'
import type { Untold } from './telling.ts'

/* What `clean` says of what it leaves at a site: pure. */

export interface Kept {
  /** Contents of the cache that stay since something reads them. */
  readonly cached: readonly CachedContent[]
  /** Arrays of this campaign that stay for its work. */
  readonly arrays: readonly Freeable[]
  readonly others: SiteUsage['others']
  readonly overBytes: number
  readonly untold: Untold
}

interface Holding {
  bytes: number
  readonly arrays: Set<string>
}

const NAMED_MAX = 3

/** Null: nothing stays that could go. */
export function keptText(paths: SitePaths, kept: Kept): string | null {
  const { arrays, why } = kept.untold
  const untold =
    arrays.size === 0
      ? []
      : [
          `${formatCounted(arrays.size, 'ended array')} kept until ${arrays.size === 1 ? 'its' : 'their'} status events are told: ${why}`,
        ]
  const needed = neededText(paths, kept)
  return [...untold, ...(needed === null ? [] : [needed])].join('. ') || null
}

/** With the campaigns that keep it, the largest first, so that a person can end them or delete what is left of them; null: nothing stays. */
function neededText({ campaign }: SitePaths, kept: Kept): string | null {
  const [own, campaigns] = [posix.basename(campaign), posix.dirname(campaign)]
  const isOver = kept.overBytes > 0
  if (!isOver && kept.cached.length === 0) return null
  const text = isOver
    ? `${formatBytes(kept.overBytes)} more than was to be kept: work under way needs it, or other campaigns have it`
    : `${formatCounted(kept.cached.length, 'cached file')} needed by work under way`
  const holdings = [...holdingsOf(own, isOver ? kept : { ...kept, arrays: [], others: new Map() })]
  const isOthers = holdings.some(([name]) => name !== own)
  if (!isOthers) return text
  const named = holdings
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([name, { bytes, arrays }]) => `${name === own ? 'this one' : name} ${formatBytes(bytes)}${listed(arrays)}`)
  const rest = named.length - NAMED_MAX
  const list = [...named.slice(0, NAMED_MAX), ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
  return `${text}. By campaign: ${list}. Run or clean those, or delete the folder of one that is no more in ${campaigns}`
}

/** What several campaigns read counts for each. */
function holdingsOf(own: string, { cached, arrays, others }: Kept): Map<string, Holding> {
  const holdings = new Map<string, Holding>()
  const hold = (name: string, bytes: number, ids: readonly string[] = []): void => {
    const holding = holdings.get(name) ?? { bytes: 0, arrays: new Set() }
    holding.bytes += bytes
    for (const id of ids) holding.arrays.add(id)
    holdings.set(name, holding)
  }
  for (const { bytes, neededBy } of cached) {
    const arraysOf = (name: string) => neededBy.filter(({ campaign }) => campaign === name).map(({ array }) => array)
    for (const name of new Set(neededBy.map(({ campaign }) => campaign))) hold(name, bytes, arraysOf(name))
  }
  if (arrays.length > 0) hold(own, bytesOf(arrays))
  for (const [name, bytes] of others) hold(name, bytes)
  return holdings
}

const listed = (arrays: ReadonlySet<string>): string => {
  if (arrays.size === 0) return ''
  const more = arrays.size > NAMED_MAX ? `, ${arrays.size - NAMED_MAX} more` : ''
  return ` (${[...arrays].slice(0, NAMED_MAX).join(', ')}${more})`
}
