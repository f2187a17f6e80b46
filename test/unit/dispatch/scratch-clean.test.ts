import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { localTransport } from '../../../connectors/transport/local.ts'
import { removeFrom, usageOf } from '../../../src/dispatch/scratch-clean.ts'
import { scratchShell } from '../../../src/dispatch/scratch-shell.ts'
import { sitePaths } from '../../../src/model/campaign.ts'

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string]

function scratch() {
  const root = mkdtempSync(join(tmpdir(), "floe scratch's-"))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const paths = sitePaths(root, 'mine')
  mkdirSync(paths.cache, { recursive: true })
  for (const name of [A, B]) writeFileSync(join(paths.cache, name), 'x'.repeat(5000))
  mkdirSync(join(paths.cache, C))
  writeFileSync(join(paths.cache, C, 'file'), 'y')
  writeFileSync(join(paths.cache, `${C}.whole`), '1')
  const needs = (campaign: string, file: 'needs' | 'needed', names: readonly string[]) => {
    const folder = join(root, 'floe/campaigns', campaign, 'arrays/a000001')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, file), names.map((name) => `${name}\n`).join(''))
    return join(folder, file)
  }
  return { paths, needs, run: scratchShell(localTransport(), { scratch: root, site: 'frost' }) }
}

test('what is in the cache has its size, its last use, and whether an array needs it', async () => {
  const { paths, needs, run } = scratch()
  for (const name of [A, B, C]) utimesSync(join(paths.cache, name), 100, 100)
  needs('other', 'needs', [A])
  utimesSync(needs('mine', 'needed', [A, B]), 200, 200)
  const { arrays, cached, others } = await usageOf(run, paths)
  expect([...arrays.keys()]).toEqual(['a000001'])
  expect([...others.keys()]).toEqual(['other'])
  expect(others.get('other')).toBeGreaterThan(0)
  const found = Object.fromEntries(cached.map(({ name, ...rest }) => [name[0], rest]))
  expect(found).toMatchObject({
    a: { neededBy: [{ campaign: 'other', array: 'a000001' }] },
    b: { neededBy: [], usedAtSec: 200 },
    c: { neededBy: [], usedAtSec: 100 },
  })
  expect(found.a!.usedAtSec).toBeGreaterThan(200)
  expect(found.b!.bytes).toBeGreaterThanOrEqual(5000)
})

test('what an array came to need since it was looked at goes back', async () => {
  const { paths, needs, run } = scratch()
  needs('other', 'needs', [B])
  const back = await removeFrom(run, paths, { ids: [], cached: [A, B, C] })
  expect([...back]).toEqual([B])
  const there = [A, B, C, `${A}.leaving`, `${B}.leaving`, `${C}.whole`].map((name) =>
    existsSync(join(paths.cache, name)),
  )
  expect(there).toEqual([false, true, false, false, false, false])
})

test('what was carried again while it was gone stays as it is, a folder too', async () => {
  const { paths, needs, run } = scratch()
  needs('other', 'needs', [B, C])
  const carrying: typeof run = (script, ...rest) =>
    run(script.replace('needed=" $(', `mkdir ${C}; echo new >${C}/file; echo new >${B}\n needed=" $(`), ...rest)
  expect([...(await removeFrom(carrying, paths, { ids: [], cached: [B, C] }))]).toEqual([B, C])
  expect(readFileSync(join(paths.cache, B), 'utf8')).toBe('new\n')
  expect(readFileSync(join(paths.cache, C, 'file'), 'utf8')).toBe('new\n')
  expect(readdirSync(join(paths.cache, C))).toEqual(['file'])
  expect(readdirSync(paths.cache).sort()).toEqual([A, B, C, `${C}.whole`])
})

test('names that are none of ours are left alone', async () => {
  const { paths, run } = scratch()
  mkdirSync(join(paths.arrays, 'a000001'), { recursive: true })
  await removeFrom(run, paths, { ids: ['..', '', 'a1'], cached: ['../campaigns', '', '*'] })
  expect(existsSync(join(paths.arrays, 'a000001'))).toBe(true)
  expect(existsSync(join(paths.cache, A))).toBe(true)
})
