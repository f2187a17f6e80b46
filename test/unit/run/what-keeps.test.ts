import { expect, test } from 'vitest'
import { keptText } from '../../../src/run/what-keeps.ts'

const paths = { cache: '/s/floe/cache', campaign: '/s/floe/campaigns/mine', arrays: '/s/floe/campaigns/mine/arrays' }
const by = (...readers: string[]) =>
  readers.map((reader) => {
    const [campaign, array] = reader.split(' ') as [string, string]
    return { campaign, array }
  })
const content = (bytes: number, ...readers: string[]) => ({
  ...{ name: 'c', bytes, usedAtSec: 1, neededBy: by(...readers) },
})
const own = { name: 'a000009', bytes: 1e6, usedAtSec: 1, isNeeded: true }
const nothing = {
  cached: [],
  arrays: [],
  others: new Map<string, number>(),
  overBytes: 0,
  untold: { arrays: new Set<string>(), why: null },
}

test('nothing is said where nothing stays, or other campaigns have room', () => {
  expect(keptText(paths, nothing)).toBe(null)
  expect(keptText(paths, { ...nothing, arrays: [own], others: new Map([['x', 5e6]]) })).toBe(null)
})

test('what this campaign keeps needs no names', () => {
  expect(keptText(paths, { ...nothing, cached: [content(1e6, 'mine a000001')] })).toBe(
    '1 cached file needed by work under way',
  )
})

test('who keeps more than the quota is named, the largest first, with arrays', () => {
  const cached = [content(4e9, 'gone a000001', 'gone a000002', 'mine a000001'), content(1e9, 'gone a000001')]
  const text = keptText(paths, { ...nothing, cached, arrays: [own], others: new Map([['big', 7e9]]), overBytes: 2e9 })
  expect(text).toMatch(
    /^2\.00 GB more than was to be kept: work under way needs it, .*: big 7\.00 GB, gone 5\.00 GB \(a000001, a000002\), this one 4\.00 GB \(a000001\)\. /,
  )
  expect(text).toContain('/s/floe/campaigns')
})

test('of many the first are named', () => {
  const readers = ['a', 'b', 'c', 'd', 'e'].map((letter) => `gone a00000${letter.charCodeAt(0) - 96}`)
  const others = new Map(['v', 'w', 'x', 'y'].map((name, at) => [name, 9e9 - at]))
  const text = keptText(paths, { ...nothing, cached: [content(1e12, ...readers)], others, overBytes: 1 })
  expect(text).toContain('gone 1')
  expect(text).toContain('(a000001, a000002, a000003, 2 more), v')
  expect(text).toContain(', 2 more. ')
})

test('arrays with events that nobody got are kept, and why', () => {
  const untold = { arrays: new Set(['a000001', 'a000002']), why: 'Could not send to topic t: refused' }
  expect(keptText(paths, { ...nothing, untold })).toBe(
    '2 ended arrays kept until their status events are told: Could not send to topic t: refused',
  )
})
