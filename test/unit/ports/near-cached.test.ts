import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { diskFiles } from '../../../src/ports/files/disk.ts'
import type { Near } from '../../../src/ports/tables/near.ts'
import { cachedNear } from '../../../src/ports/tables/near-cached.ts'
import { temporaryFolder } from '../../conformance/files.ts'

/* Parts of tables that lie elsewhere: a cache of bounded size, from which nothing in use goes. */

let place: ReturnType<typeof temporaryFolder>
let fetched: string[]
const opened: Near[] = []
beforeEach(() => {
  place = temporaryFolder()
  fetched = []
})
afterEach(async () => {
  for (const near of opened.splice(0)) await near.close()
  await place.close()
})

const cache = () => join(place.root, 'cache')
const kept = () => readdirSync(join(cache(), 'parts'))
async function open(keepBytes?: number): Promise<Near> {
  const files = diskFiles()
  const fetch: typeof files.fetch = (path, local) => {
    fetched.push(path.slice(path.lastIndexOf('/') + 1))
    return files.fetch(path, local)
  }
  const root = join(place.root, 'there')
  const near = await cachedNear({
    ...{ files: { ...files, fetch }, root, url: 'test', cache: cache() },
    ...(keepBytes !== undefined && { keepBytes }),
  })
  opened.push(near)
  return near
}
function there(name: string, content: string) {
  mkdirSync(join(place.root, 'there/jobs'), { recursive: true })
  writeFileSync(join(place.root, 'there/jobs', name), content)
  return { path: name, sizeBytes: content.length }
}
const read = (near: Near, name: string) => readFileSync(join(near.root, 'jobs', name), 'utf8')

it('carries each part once, for all sessions and whoever asks at the same time', async () => {
  const [a, b] = [there('a', 'one'), there('b', 'two')]
  const first = await open()
  await Promise.all([first.bring('jobs', [a, b]), first.bring('jobs', [a])])
  await first.bring('jobs', [a])
  const second = await open()
  await second.bring('jobs', [b, a])
  expect(fetched.sort()).toEqual(['a', 'b'])
  expect([read(first, 'a'), read(second, 'a'), read(second, 'b')]).toEqual(['one', 'one', 'two'])
  await first.close()
  expect(read(second, 'a')).toBe('one')
  await second.close()
  expect(readdirSync(cache())).toEqual(['parts'])
})

it('gives what was written there to the tables, and has it at hand', async () => {
  const near = await open()
  mkdirSync(join(near.root, 'jobs/bucket=1'), { recursive: true })
  writeFileSync(join(near.root, 'jobs/bucket=1/part'), 'rows')
  writeFileSync(join(near.root, 'jobs/temporary'), 'all')
  await near.place('jobs', [{ name: 'bucket=1/part' }, { name: 'temporary', as: '_delta_log/1.checkpoint' }])
  expect(readFileSync(join(place.root, 'there/jobs/bucket=1/part'), 'utf8')).toBe('rows')
  expect(readFileSync(join(place.root, 'there/jobs/_delta_log/1.checkpoint'), 'utf8')).toBe('all')
  const other = await open()
  await other.bring('jobs', [{ path: 'bucket=1/part', sizeBytes: 4 }, { path: '_delta_log/1.checkpoint' }])
  expect([fetched, read(other, '_delta_log/1.checkpoint')]).toEqual([[], 'all'])
  await near.drop('jobs', ['bucket=1/part'])
  expect(existsSync(join(near.root, 'jobs/bucket=1/part'))).toBe(false)
  expect(existsSync(join(place.root, 'there/jobs/bucket=1/part'))).toBe(false)
})

it('keeps within its size; the least recently used go, and what is in use can still be read', async () => {
  const parts = ['a', 'b', 'c', 'd'].map((name) => there(name, name.repeat(100)))
  const near = await open(250)
  await near.bring('jobs', parts.slice(0, 2))
  for (const name of kept()) utimesSync(join(cache(), 'parts', name), 1, 1)
  const other = await open(250)
  await other.bring('jobs', [parts[1]!])
  await near.bring('jobs', [parts[2]!])
  expect(kept()).toHaveLength(2)
  expect(read(near, 'a')).toBe('a'.repeat(100))
  await other.bring('jobs', [parts[1]!, parts[2]!])
  // Two that are asked for together come in any order.
  expect([...fetched].sort()).toEqual(['a', 'b', 'c'])
  const third = await open(250)
  await third.bring('jobs', [parts[0]!])
  expect([...fetched].sort()).toEqual(['a', 'a', 'b', 'c'])
  expect(kept()).toHaveLength(2)
})

it('names the part that is missing, or has another length than the log says, and tries again', async () => {
  const near = await open()
  const a = there('a', 'one')
  rmSync(join(place.root, 'there/jobs/a'))
  await expect(near.bring('jobs', [a])).rejects.toMatchObject({
    code: 'TABLE_DAMAGED',
    message: expect.stringContaining('there/jobs/a'),
  })
  there('a', 'on')
  await expect(near.bring('jobs', [a])).rejects.toMatchObject({ code: 'TABLE_DAMAGED' })
  there('a', 'one')
  await near.bring('jobs', [a])
  expect([read(near, 'a'), kept().length]).toEqual(['one', 1])
})

it('removes what sessions left that were killed, and nothing of live ones', async () => {
  const dead = spawnSync('true').pid
  const folder = (host: string, pid: number) => join(cache(), `near.${host}.${pid}.uuid`)
  const [killed, elsewhere, old] = [folder(hostname(), dead), folder('other.host', dead), folder('third', dead)]
  for (const path of [killed, elsewhere, old]) mkdirSync(path, { recursive: true })
  utimesSync(old, 1, 1)
  const near = await open()
  await open()
  expect([killed, elsewhere, old, near.root].map((path) => existsSync(path))).toEqual([false, true, false, true])
})
