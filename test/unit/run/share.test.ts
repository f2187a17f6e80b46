import { describe, expect, test } from 'vitest'
import { type Group, type Piece, type Room, shareOut, soonerElsewhere } from '../../../src/run/share.ts'

const room = (site: string, slots: number, busySec = 0): Room => ({ site, slots, busySec })
const group = (jobs: number, ...sites: string[]): Group => ({
  ...{ jobs, seconds: 10 },
  sites: sites.map((site) => ({ site, carrySec: 0 })),
})

/** Jobs that each site takes. */
function taken(groups: readonly Group[], rooms: readonly Room[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { group: at, site, from, to } of shareOut(groups, rooms))
    sums[site] = Math.round((sums[site] ?? 0) + (to - from) * groups[at]!.jobs)
  return sums
}

describe('shares', () => {
  test('follow what the sites run at once', () => {
    expect(taken([group(60, 'a', 'b')], [room('a', 4), room('b', 2)])).toEqual({ a: 40, b: 20 })
  })

  test('are such that the sites end together', () => {
    // a is busy for 100 s: b does 100 s of work on 2 slots first.
    expect(taken([group(60, 'a', 'b')], [room('a', 2, 100), room('b', 2)])).toEqual({ a: 20, b: 40 })
    expect(taken([group(10, 'a', 'b')], [room('a', 2, 100), room('b', 2)])).toEqual({ b: 10 })
  })

  test('of jobs that can run in one place come first; the others fill up', () => {
    const groups = [group(40, 'a', 'b'), group(40, 'a')]
    expect(taken(groups, [room('a', 2), room('b', 2)])).toEqual({ a: 40, b: 40 })
  })

  test('are smaller where inputs have to be carried first', () => {
    const sites = [
      { site: 'a', carrySec: 10 },
      { site: 'b', carrySec: 0 },
    ]
    // A job in 15 s at a, in 5 s at b.
    expect(taken([{ jobs: 40, seconds: 10, sites }], [room('a', 2), room('b', 2)])).toEqual({ a: 10, b: 30 })
  })

  test('of jobs that can run nowhere there are none', () => {
    expect(shareOut([group(4, 'c'), group(4)], [room('a', 1)])).toEqual([])
  })

  test('are whole: each job has one place', () => {
    const groups = [group(7, 'a', 'b', 'c'), group(1, 'b', 'c'), group(1000, 'a', 'c')]
    const parts = shareOut(groups, [room('a', 3, 7), room('b', 16, 90), room('c', 1)])
    for (const [at] of groups.entries()) {
      const own = parts.filter(({ group: of }) => of === at)
      expect(own[0]!.from).toBe(0)
      expect(own.at(-1)!.to).toBeCloseTo(1)
      for (const [n, { from }] of own.entries()) if (n > 0) expect(from).toBe(own[n - 1]!.to)
    }
  })
})

describe('what waits moves', () => {
  const piece = (work: number, ...sites: string[]): Piece => ({
    work,
    sites: sites.map((site) => ({ site, carrySec: 0 })),
  })
  const pieces = (count: number) => Array.from({ length: count }, () => piece(10, 'b'))

  test('as far as others would have done it sooner, the last first', () => {
    expect(soonerElsewhere(pieces(6), room('a', 1), [room('b', 1)])).toEqual([5, 4, 3])
    expect(soonerElsewhere(pieces(6), room('a', 1, 1000), [room('b', 1)])).toEqual([5, 4, 3, 2, 1, 0])
    expect(soonerElsewhere(pieces(6), room('a', 1), [room('b', 1, 1000)])).toEqual([])
    expect(soonerElsewhere(pieces(6), room('a', 1), [room('b', 1, 45)])).toEqual([5])
  })

  test('to the site that is first, if it can run there', () => {
    const some = [piece(10, 'b'), piece(10, 'b', 'c'), piece(10), piece(10, 'c')]
    expect(soonerElsewhere(some, room('a', 1, 100), [room('b', 1)])).toEqual([1, 0])
    expect(soonerElsewhere(some, room('a', 1, 100), [room('b', 1), room('c', 1)])).toEqual([3, 1, 0])
  })

  test('not where carrying takes longer than waiting', () => {
    const far: Piece = { work: 10, sites: [{ site: 'b', carrySec: 60 }] }
    expect(soonerElsewhere([far], room('a', 1, 50), [room('b', 1)])).toEqual([])
    expect(soonerElsewhere([far], room('a', 1, 70), [room('b', 1)])).toEqual([0])
  })
})
