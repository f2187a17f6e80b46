import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { localTransport } from '../../../connectors/transport/local.ts'
import { type ReserveAsked, reserveTasks } from '../../../src/dispatch/reserve.ts'
import { scratchShell } from '../../../src/dispatch/scratch-shell.ts'
import { sitePaths } from '../../../src/model/campaign.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'floe-reserve-'))
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const folder = () => join(scratch, 'floe', 'reserved')
const take = (campaign: string, asked: Partial<ReserveAsked> = {}) =>
  reserveTasks(scratchShell(localTransport(), { scratch, site: 'frost' }), sitePaths(scratch, campaign), {
    ...{ open: 0, wanted: 100, max: 10, takes: true },
    ...asked,
  })

/** What a campaign said, so many seconds ago. */
function said(campaign: string, { open, wants = 0, ago = 0 }: { open: number; wants?: number; ago?: number }) {
  mkdirSync(folder(), { recursive: true })
  writeFileSync(join(folder(), campaign), `${open} ${wants} ${Math.floor(Date.now() / 1000) - ago}\n`)
}

test('one that is alone takes all, and gives back what ended', async () => {
  expect(await take('a', { wanted: 4 })).toEqual({ granted: 4, others: 0, campaigns: 0 })
  expect(await take('a', { open: 4 })).toEqual({ granted: 6, others: 0, campaigns: 0 })
  expect(await take('b')).toEqual({ granted: 0, others: 10, campaigns: 1 })
  await take('a', { open: 2, wanted: 0, takes: false })
  expect(await take('b')).toEqual({ granted: 8, others: 2, campaigns: 1 })
  await take('a', { open: 0, wanted: 0, takes: false })
  expect(readdirSync(folder()).filter((name) => !name.startsWith('.'))).toEqual(['b'])
})

test('many at once have no more together than is allowed', async () => {
  const names = Array.from({ length: 12 }, (_, at) => `c${at}`)
  const answers = await Promise.all(names.map((name) => take(name, { wanted: 3 })))
  const granted = answers.reduce((sum, one) => sum + one.granted, 0)
  expect(granted).toBeGreaterThan(0)
  expect(granted).toBeLessThanOrEqual(10)
})

test('while another one wants some each takes its share alone', async () => {
  said('b', { open: 1, wants: 1 })
  expect(await take('a')).toMatchObject({ granted: 5 })
  expect(await take('a', { open: 5 })).toMatchObject({ granted: 0 })
  said('b', { open: 1 })
  expect(await take('a', { open: 5 })).toMatchObject({ granted: 4 })
  // It went away without a word.
  said('b', { open: 1, wants: 1, ago: 1000 })
  expect(await take('a', { open: 5 })).toMatchObject({ granted: 4 })
})

test('a handful is left until it makes a larger array, unless no more is wanted', async () => {
  said('b', { open: 2 })
  expect(await take('a', { open: 6 })).toMatchObject({ granted: 0 })
  expect(await take('a', { open: 6, wanted: 2 })).toMatchObject({ granted: 2 })
})

test('what was said long ago, or by a clock that was wrong, or is no such word, counts no more', async () => {
  said('b', { open: 9, ago: 90_000 })
  said('c', { open: 9, ago: -90_000 })
  writeFileSync(join(folder(), 'd'), 'of another version\n')
  writeFileSync(join(folder(), 'e'), '')
  expect(await take('a')).toEqual({ granted: 10, others: 0, campaigns: 0 })
  expect(existsSync(join(folder(), 'b'))).toBe(false)
  said('b', { open: 9, ago: 80_000 })
  expect(await take('f', { wanted: 1, max: 10 })).toMatchObject({ granted: 0, others: 19 })
})

test('where nothing can be written it is as if alone', async () => {
  mkdirSync(join(scratch, 'floe'), { recursive: true })
  writeFileSync(folder(), '')
  expect(await take('a')).toEqual({ granted: 10, others: 0, campaigns: 0 })
  expect(readFileSync(folder(), 'utf8')).toBe('')
})
