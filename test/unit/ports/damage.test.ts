import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Tables } from '../../../src/ports/tables/tables.ts'
import { readByRules } from '../../conformance/delta-rules.ts'
import { temporaryFolder } from '../../conformance/files.ts'
import { rowsOf } from '../../conformance/rows.ts'
import { bundle } from '../../property/delta-bundle.ts'

let place: ReturnType<typeof temporaryFolder>
let folder: string
const opened: Tables[] = []
const open = async () => {
  const tables = await openTables({ root: place.root, cache: join(place.root, '.floe'), clock: systemClock })
  opened.push(tables)
  return tables
}
const attempts = (key: number) => rowsOf('attempts', { job_id: `'job${key}'`, job_key: String(key), try: '1' })
const fill = async (commits: number) => {
  const tables = await open()
  for (let i = 0; i < commits; i++) await tables.commit('attempts', { select: attempts(i), operation: 'x' })
  return tables
}
const log = (version: number) => join(folder, '_delta_log', `${String(version).padStart(20, '0')}.json`)
const part = () => join(folder, readdirSync(folder).filter((name) => name.endsWith('.parquet'))[0]!)
const refused = (path: string) =>
  expect.objectContaining({ code: 'TABLE_DAMAGED', message: expect.stringContaining(path), details: { path } })

beforeEach(() => {
  place = temporaryFolder()
  folder = join(place.root, 'tables/attempts')
})
afterEach(async () => {
  for (const tables of opened.splice(0)) await tables.close()
  await place.close()
})

describe.each(['read before', 'opened anew'])('a damaged log, %s', (when) => {
  const reader = async () => {
    const filled = await fill(3)
    return when === 'read before' ? filled : open()
  }

  it.each([
    ['is empty', () => ''],
    ['is cut in a line', (text: string) => text.slice(0, -20)],
    ['is cut behind its first line', (text: string) => `${text.split('\n')[0]}\n`],
    ['is garbage', () => '\0\0\0\0'],
    ['is JSON of something else', () => '[1]\n'],
  ])('names the commit that %s', async (_, spoil) => {
    const tables = await reader()
    writeFileSync(log(3), spoil(readFileSync(log(2), 'utf8')))
    await expect(tables.snapshot('attempts')).rejects.toEqual(refused(log(3)))
    await expect(tables.view('attempts')).rejects.toEqual(refused(log(3)))
    await expect(tables.commit('attempts', { select: attempts(9), operation: 'x' })).rejects.toEqual(refused(log(3)))
  })

  it('names a version that is missing in the middle', async () => {
    const tables = await reader()
    writeFileSync(log(4), readFileSync(log(2)))
    await expect(tables.snapshot('attempts')).rejects.toEqual(refused(log(3)))
  })
})

it('names the first commit when it is gone, and a commit that was there before', async () => {
  const tables = await fill(3)
  rmSync(log(2))
  await expect(tables.snapshot('attempts')).rejects.toEqual(refused(log(2)))
  rmSync(log(0))
  await expect((await open()).snapshot('attempts')).rejects.toEqual(refused(log(0)))
})

it.each(['read before', 'opened anew'])(
  'does not take a table whose log was deleted for an empty one, %s',
  async (when) => {
    const filled = await fill(3)
    const tables = when === 'read before' ? filled : await open()
    for (const path of [join(folder, '_delta_log'), join(place.root, 'tables/jobs/_delta_log')]) {
      const table = path.includes('jobs') ? 'jobs' : 'attempts'
      if (table === 'jobs') await filled.commit('jobs', { select: rowsOf('jobs', { bucket: '1' }), operation: 'x' })
      rmSync(path, { recursive: true })
      const gone = { code: 'TABLE_DAMAGED', details: { path }, message: expect.stringContaining('part-') }
      const cure = { hint: expect.stringMatching(new RegExp(`backup.*remove .*tables/${table}`)) }
      await expect(tables.head(table)).rejects.toMatchObject({ ...gone, ...cure })
      await expect(tables.snapshot(table)).rejects.toMatchObject({ code: 'TABLE_DAMAGED' })
      await expect((await open()).snapshot(table)).rejects.toMatchObject({ ...gone, ...cure })
      const commit = { select: rowsOf(table, table === 'jobs' ? { bucket: '1' } : {}), operation: 'x' }
      await expect(tables.commit(table, commit)).rejects.toMatchObject({ code: 'TABLE_DAMAGED' })
      expect(existsSync(path)).toBe(false)
    }
    rmSync(folder, { recursive: true })
    expect(await (await open()).snapshot('attempts')).toMatchObject({ version: -1, parts: [] })
  },
)

it('takes parts of a first commit that is under way, or was killed, for no table', async () => {
  const tables = await fill(1)
  const [name] = readdirSync(folder).filter((one) => one.endsWith('.parquet'))
  rmSync(log(0))
  writeFileSync(join(folder, '_delta_log', '.first-7'), '')
  expect(await (await open()).head('attempts')).toMatchObject({ version: -1 })
  const after = await open()
  await after.commit('attempts', { select: attempts(1), operation: 'x' })
  expect(await after.snapshot('attempts')).toMatchObject({
    version: 0,
    parts: [{ path: expect.not.stringMatching(name!) }],
  })
  expect(readdirSync(join(folder, '_delta_log'))).toEqual([`${'0'.repeat(20)}.json`, '.first-7'].sort())
  await tables.close()
})

it('names a checkpoint that cannot be read', async () => {
  await fill(101)
  const [name] = readdirSync(join(folder, '_delta_log')).filter((one) => one.endsWith('.checkpoint.parquet'))
  const path = join(folder, '_delta_log', name!)
  truncateSync(path, 100)
  await expect((await open()).snapshot('attempts')).rejects.toEqual(refused(path))
})

it('names a part that is missing', async () => {
  const tables = await fill(3)
  const path = part()
  rmSync(path)
  const read = async () => {
    await tables.view('attempts')
    return tables.sql.rows('SELECT count(*) AS n FROM attempts')
  }
  await expect(read()).rejects.toEqual(refused(path))
})

it.each([0, 3, 50, 2000])('names a part that is cut to %d bytes', async (bytes) => {
  const tables = await fill(3)
  const path = part()
  truncateSync(path, bytes)
  const read = async () => {
    await tables.view('attempts')
    return tables.sql.rows('SELECT max(job_id) AS n, max(job_key) AS k FROM attempts')
  }
  await expect(read()).rejects.toEqual(refused(path))
})

it('names a part whose content is spoiled', async () => {
  const tables = await fill(1)
  const path = part()
  const content = readFileSync(path)
  content.fill(0x5a, 4, content.length - 1500)
  writeFileSync(path, content)
  const read = async () => {
    await tables.view('attempts')
    return tables.sql.rows('FROM attempts')
  }
  await expect(read()).rejects.toMatchObject({ code: 'TABLE_DAMAGED' })
})

it('does not read a table that wants a newer reader', async () => {
  const tables = await fill(1)
  writeFileSync(
    log(1),
    '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"]}}\n',
  )
  await expect(tables.snapshot('attempts')).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
})

it('takes over from other writers: a commit without a newline at its end and without facts', async () => {
  const tables = await fill(1)
  await tables.commit('attempts', { operation: 'x', facts: { a: 1 } })
  writeFileSync(log(2), '{"commitInfo":{"timestamp":1,"operation":"WRITE","engineInfo":"delta-rs"}}')
  expect(await tables.head('attempts')).toMatchObject({ version: 2, rowsVersion: 2 })
  expect(await tables.snapshot('attempts')).toMatchObject({
    version: 2,
    facts: { a: 1 },
    factsVersion: 1,
    rowsVersion: 2,
  })
})

it('says NOT_WRITABLE where it may not write', async () => {
  if (process.getuid?.() === 0) return
  mkdirSync(join(place.root, 'tables'), { mode: 0o500 })
  const tables = await open()
  await expect(tables.commit('attempts', { select: attempts(1), operation: 'x' })).rejects.toMatchObject({
    code: 'NOT_WRITABLE',
  })
})

// A limit on the size of files stands for a full disk: the write fails in the middle of a part or of the log.
it.each([1, 8, 64])(
  'says DISK_FULL and leaves the old version whole when files may have %d blocks only',
  async (blocks) => {
    await fill(2)
    const script = await bundle(new URL('../../property/delta-writer.ts', import.meta.url))
    const shell = `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$@"`
    const answer = execFileSync('sh', ['-c', shell, process.execPath, script, place.root, 'big', '200000'], {
      encoding: 'utf8',
    })
    expect(JSON.parse(answer)).toMatchObject({ code: 'DISK_FULL' })
    expect(await readByRules(folder)).toMatchObject({ version: 1, parts: expect.objectContaining({ length: 2 }) })
    expect(readdirSync(folder).filter((name) => name.endsWith('.parquet'))).toHaveLength(2)
  },
)
