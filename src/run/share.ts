/* Which site takes which share of jobs that are alike: pure. */

/** A site that could take more. */
export interface Room {
  readonly site: string
  /** Jobs that it runs at once. */
  readonly slots: number
  /** Seconds until it has done what it has, and begins what comes now. */
  readonly busySec: number
}

/** Jobs that are alike. */
export interface Group {
  readonly jobs: number
  /** Of one job. */
  readonly seconds: number
  /** Where they can run. */
  readonly sites: readonly Choice[]
}

/** A room for a group. */
export interface Choice {
  readonly site: string
  /** Seconds until what a job reads is there; such carrying goes one after the other. */
  readonly carrySec: number
}

/** The jobs of a group from one share of it to another, 0 to 1, go to a site. */
export interface Part {
  readonly group: number
  readonly site: string
  readonly from: number
  readonly to: number
}

/**
 * Shares jobs out so that the sites end together, as far as it can be foretold. Those that can run in few places come first, so that the others
 * fill up what is left. A group that can run nowhere gets no part.
 */
export function shareOut(groups: readonly Group[], rooms: readonly Room[]): Part[] {
  const slots = new Map(rooms.map((room) => [room.site, Math.max(1, room.slots)]))
  const endSec = new Map(rooms.map(({ site, busySec }) => [site, busySec]))
  const choices = (group: number) => groups[group]!.sites.filter(({ site }) => slots.has(site))
  const inTurn = groups
    .map((_, group) => group)
    .sort((a, b) => choices(a).length - choices(b).length || groups[b]!.jobs - groups[a]!.jobs || a - b)
  const parts: Part[] = []
  for (const group of inTurn) {
    const { jobs, seconds } = groups[group]!
    const sites = choices(group).map(({ site, carrySec }) => {
      const eachSec = seconds / slots.get(site)! + carrySec
      return { site, slots: seconds / eachSec, endSec: endSec.get(site)! }
    })
    const work = jobs * seconds
    if (sites.length === 0 || work <= 0) continue
    const level = levelOf(sites, work)
    let done = 0
    for (const { site, slots: wide, endSec: from } of sites) {
      const share = Math.max(0, level - from) * wide
      if (share <= 0) continue
      parts.push({ group, site, from: done / work, to: Math.min(1, (done + share) / work) })
      done += share
      endSec.set(site, level)
    }
  }
  return parts
}

/** Work that waits at a site and moves as a whole, or not. */
export interface Piece {
  /** Seconds of its jobs, one after the other. */
  readonly work: number
  /** Where else it can be done. */
  readonly sites: readonly Choice[]
}

/** Which of the `pieces`, in the order in which a site begins them, others would have done sooner: the last ones first. */
export function soonerElsewhere(pieces: readonly Piece[], own: Room, others: readonly Room[]): number[] {
  const endSec = new Map(others.map(({ site, busySec }) => [site, busySec]))
  const slots = new Map(others.map((room) => [room.site, Math.max(1, room.slots)]))
  let before = own.busySec
  const ownEnds = pieces.map(({ work }) => (before += work / Math.max(1, own.slots)))
  const moved: number[] = []
  for (let at = pieces.length - 1; at >= 0; at--) {
    const { work, sites } = pieces[at]!
    let [best, first] = [ownEnds[at]!, undefined as string | undefined]
    for (const { site, carrySec } of sites) {
      const end = (endSec.get(site) ?? Number.POSITIVE_INFINITY) + carrySec + work / (slots.get(site) ?? 1)
      if (end < best) [best, first] = [end, site]
    }
    if (first === undefined) continue
    endSec.set(first, best)
    moved.push(at)
  }
  return moved
}

/** When all that take part, each as fast as so many slots are, have done the work, if it is poured onto those that end first. */
function levelOf(sites: readonly { readonly slots: number; readonly endSec: number }[], work: number): number {
  const rising = [...sites].sort((a, b) => a.endSec - b.endSec)
  let [wide, filled] = [0, 0]
  for (const [at, { slots, endSec }] of rising.entries()) {
    wide += slots
    filled += slots * endSec
    const level = (work + filled) / wide
    if (level <= (rising[at + 1]?.endSec ?? Number.POSITIVE_INFINITY)) return level
  }
  return Number.POSITIVE_INFINITY
}
