import { expect, test } from 'vitest'
import { chooseToFree, type Freeable } from '../../../src/run/choose-to-free.ts'

const one = (name: string, bytes: number, usedAtSec: number, isNeeded = false): Freeable => ({
  ...{ name, bytes, usedAtSec, isNeeded },
})
const chosen = (choice: ReturnType<typeof chooseToFree>) => ({
  arrays: choice.arrays.map(({ name }) => name),
  cached: choice.cached.map(({ name }) => name),
  overBytes: choice.overBytes,
})

const arrays = [one('a000001', 100, 10), one('a000002', 100, 30), one('a000003', 50, 40, true)]
const cached = [one('old', 200, 5, true), one('mid', 200, 20), one('new', 300, 50)]

test.each([
  ['room enough', 950, [], [], 0],
  ['the least recently used of all goes first', 900, ['a000001'], [], 0],
  ['and then the next, arrays and contents alike', 600, ['a000001', 'a000002'], ['mid'], 0],
  ['what is needed stays, and is told', 100, ['a000001', 'a000002'], ['mid', 'new'], 150],
  ['all of it', 0, ['a000001', 'a000002'], ['mid', 'new'], 0],
])('%s', (_, keepBytes, goneArrays, goneCached, overBytes) => {
  expect(chosen(chooseToFree({ arrays, cached, keepBytes }))).toEqual({
    arrays: goneArrays,
    cached: goneCached,
    overBytes,
  })
})

test('without a quota the newest gigabyte of logs stays, and of the cache what is needed', () => {
  const logs = [one('a000001', 6e8, 1), one('a000002', 6e8, 2), one('a000003', 9e8, 3, true)]
  expect(chosen(chooseToFree({ arrays: logs, cached, keepBytes: null }))).toEqual({
    ...{ arrays: ['a000001'], cached: ['mid', 'new'], overBytes: 0 },
  })
})
