import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FixedTable, TABLES } from '../../src/model/tables.ts'
import type { Files } from '../../src/ports/files/files.ts'
import type { Tables } from '../../src/ports/tables/tables.ts'
import { readByRules } from './delta-rules.ts'
import { rowsOf } from './rows.ts'

const jobs = (from: number, to: number) =>
  rowsOf(
    'jobs',
    {
      job_id: `'job' || i`,
      job_key: 'i',
      revision: '1',
      arguments: `['--n', i::VARCHAR, NULL]`,
      outputs: `[{'path': 'out/' || i, 'optional': i % 2 = 0}]`,
      environment: `MAP {'LANG': 'C', 'N': i::VARCHAR}`,
      resources: `{'cpus': 1, 'memory_bytes': 2000000000, 'walltime_sec': 0.5, 'gpus': 0, 'nodes': 1}`,
      bucket: 'i % 4',
      withdrawn: 'false',
      added_at: `TIMESTAMPTZ '2026-11-21 08:00:00.123456+00'`,
    },
    `FROM range(${from}, ${to}) r(i)`,
  )
const attempts = (key: number) => rowsOf('attempts', { job_id: `'job${key}'`, job_key: String(key), try: '1' })

export interface TablesPlace {
  readonly open: () => Promise<Tables>
  /** Paths of all parts that are kept, live or not. */
  readonly parts: (table: string) => Promise<string[]>
  close(): Promise<void>
}

export interface TablesFolder extends Pick<TablesPlace, 'open' | 'close'> {
  /** Directory of the campaign, in `files`. */
  readonly root: string
  readonly files: Files
  /** A folder of `files` on this machine's disk. */
  readonly onDisk: (folder: string) => Promise<string>
  /** Makes a file one of 1970. */
  readonly age: (path: string) => Promise<void>
}

/** What each implementation of Tables keeps. */
export function tablesConformance(name: string, make: () => Promise<TablesPlace>): void {
  describe(`tables: ${name}`, () => {
    let place: TablesPlace
    let tables: Tables
    const partsThere = (table: string) => place.parts(table)
    const read = async (table: FixedTable | 'merged') => {
      const { version, parts } = await tables.view(table)
      return { version, parts, rows: await tables.sql.rows(`FROM ${table}`) }
    }
    const keys = async (table: FixedTable = 'attempts') => {
      await tables.view(table)
      const rows = await tables.sql.rows<{ k: number }>(`SELECT job_key AS k FROM ${table} ORDER BY k`)
      return rows.map(({ k }) => k)
    }
    beforeEach(async () => {
      place = await make()
      tables = await place.open()
    })
    afterEach(async () => {
      await tables.close()
      await place.close()
    })

    it('adopts parts of a draft, and discards those that no version lists', async () => {
      const draft = await tables.draft('jobs', jobs(0, 40))
      expect(draft).toMatchObject({ count: 40, adds: { length: 4 } })
      const [row] = await tables.sql.rows<{ n: number }>(`SELECT count(DISTINCT row) AS n FROM ${draft.rows}`)
      expect(row!.n).toBe(40)
      expect((await tables.snapshot('jobs')).version).toBe(-1)
      const adopt = draft.adds.filter(({ partitionValues }) => partitionValues.bucket !== '0')
      const select = `SELECT * FROM (${jobs(0, 12)}) WHERE bucket = 0`
      await tables.commit('jobs', { adopt, select, operation: 'add' })
      await tables.discard('jobs', draft)
      expect(await partsThere('jobs')).toHaveLength(4)
      expect(await keys('jobs')).toEqual(Array.from({ length: 40 }, (_, i) => i).filter((i) => i % 4 !== 0 || i < 12))
      expect((await read('jobs')).parts).toHaveLength(4)
      const unused = await tables.draft('files', rowsOf('files', { url: "'a'" }))
      await tables.discard('files', unused)
      expect(await partsThere('files')).toEqual([])
    })

    it('shows a table that is not there as typed and empty', async () => {
      for (const table of Object.keys(TABLES) as FixedTable[]) {
        const snapshot = await tables.view(table)
        expect(snapshot).toMatchObject({ version: -1, parts: [], schema: [], facts: {} })
        const described = await tables.sql.rows<{ column_name: string }>(`DESCRIBE ${table}`)
        expect(described.map((row) => row.column_name)).toEqual(TABLES[table].columns.map((column) => column.name))
        expect(await tables.sql.rows(`FROM ${table}`)).toEqual([])
      }
      await tables.view('merged')
      expect(await tables.sql.rows('FROM merged')).toEqual([])
    })

    it('names the parts that hold certain rows', async () => {
      for (const key of [1, 2, 3]) await tables.commit('attempts', { select: attempts(key), operation: 'a' })
      const snapshot = await tables.snapshot('attempts')
      await tables.sql.run('CREATE TEMP TABLE wanted AS SELECT 2 AS job_key UNION ALL SELECT 7')
      const held = await tables.holding(snapshot, 'wanted', ['job_key'])
      expect(held).toHaveLength(1)
      await tables.commit('attempts', { remove: held, operation: 'b' })
      expect(await keys()).toEqual([1, 3])
      expect(await tables.holding(await tables.snapshot('merged'), 'wanted', ['job_digest'])).toEqual([])
    })

    it('casts to the declared types and refuses what cannot be cast, leaving nothing', async () => {
      const wrong = rowsOf('attempts', { job_key: '1' }).replace('CAST(1 AS BIGINT)', "'many'")
      await expect(tables.commit('attempts', { select: wrong, operation: 'x' })).rejects.toThrow(/many/)
      expect(await tables.snapshot('attempts')).toMatchObject({ version: -1 })
      expect(await partsThere('attempts')).toEqual([])
      const wide = rowsOf('attempts', { job_key: '1' }).replace('CAST(1 AS BIGINT)', '1::DECIMAL(22,1)')
      await tables.commit('attempts', { select: wide, operation: 'x' })
      expect((await read('attempts')).rows[0]!.job_key).toBe(1)
    })

    it('commits without rows, and rows that are none', async () => {
      expect(await tables.commit('attempts', { select: `${attempts(1)} WHERE false`, operation: 'x' })).toBe(0)
      expect(await tables.commit('attempts', { facts: { n: 1 }, operation: 'x' })).toBe(1)
      expect(await read('attempts')).toMatchObject({ version: 1, parts: [], rows: [] })
      expect(await keys()).toEqual([])
    })

    it('recognises a repeated publish', async () => {
      const commit = { select: attempts(1), operation: 'x', txn: { appId: 'run', version: 7 } }
      expect(await tables.commit('attempts', commit)).toBe(0)
      expect(await tables.commit('attempts', commit)).toBeUndefined()
      expect(await tables.commit('attempts', { ...commit, txn: { appId: 'run', version: 6 } })).toBeUndefined()
      const other = await place.open()
      expect(await other.commit('attempts', commit)).toBeUndefined()
      expect((await other.snapshot('attempts')).txns.get('run')).toBe(7)
      await other.close()
      expect(await tables.commit('attempts', { ...commit, txn: { appId: 'run', version: 8 } })).toBe(1)
      expect(await partsThere('attempts')).toHaveLength(2)
    })

    it('takes parts out, and conflicts when they are gone or the version is another', async () => {
      await tables.commit('attempts', { select: attempts(1), operation: 'x' })
      const old = await tables.snapshot('attempts')
      await tables.commit('attempts', { select: attempts(2), remove: old.parts, operation: 'rewrite', expect: 0 })
      expect(await keys()).toEqual([2])
      const again = { select: attempts(3), remove: old.parts, operation: 'rewrite' }
      await expect(tables.commit('attempts', again)).rejects.toMatchObject({ code: 'TABLE_CONFLICT' })
      const late = { select: attempts(3), expect: 0, operation: 'x' }
      await expect(tables.commit('attempts', late)).rejects.toMatchObject({ code: 'TABLE_CONFLICT' })
      await expect(tables.commit('files', { facts: {}, expect: 3, operation: 'x' })).rejects.toMatchObject({
        code: 'TABLE_CONFLICT',
      })
      expect(await read('attempts')).toMatchObject({ version: 1 })
      expect(await partsThere('attempts')).toHaveLength(2)
    })

    it('lets an append through that another commit overtook, and stops a removal', async () => {
      await tables.commit('attempts', { select: attempts(1), operation: 'x' })
      const other = await place.open()
      const overtake = (key: number) => async () => {
        await other.commit('attempts', { select: attempts(key), operation: 'y' })
      }
      let first = true
      const once = (act: () => Promise<void>) => async () => {
        if (!first) return
        first = false
        await act()
      }
      expect(await tables.commit('attempts', { select: attempts(2), operation: 'x', guard: once(overtake(3)) })).toBe(2)
      expect(await keys()).toEqual([1, 2, 3])
      first = true
      const { parts } = await tables.snapshot('attempts')
      const rewriteElsewhere = once(async () => {
        await other.commit('attempts', { select: attempts(4), remove: parts.slice(0, 1), operation: 'y' })
      })
      const rewrite = { select: attempts(5), remove: parts, operation: 'x', guard: rewriteElsewhere }
      await expect(tables.commit('attempts', rewrite)).rejects.toMatchObject({ code: 'TABLE_CONFLICT' })
      expect(await keys()).toEqual([2, 3, 4])
      expect(await partsThere('attempts')).toHaveLength(4)
      await other.close()
    })

    it('stops before anything is seen when the guard throws', async () => {
      const guard = async () => {
        throw new Error('the lease is lost')
      }
      await expect(tables.commit('attempts', { select: attempts(1), operation: 'x', guard })).rejects.toThrow(/lease/)
      expect(await tables.snapshot('attempts')).toMatchObject({ version: -1 })
      expect(await partsThere('attempts')).toEqual([])
    })

    it('carries facts on and knows whether rows changed since', async () => {
      await tables.commit('attempts', { select: attempts(1), operation: 'x', facts: { counts: { a: 1 } } })
      expect(await tables.head('attempts')).toEqual({
        version: 0,
        facts: { counts: { a: 1 } },
        factsVersion: 0,
        rowsVersion: 0,
      })
      await tables.commit('attempts', { select: attempts(2), operation: 'x' })
      expect(await tables.head('attempts')).toEqual({
        version: 1,
        facts: { counts: { a: 1 } },
        factsVersion: 0,
        rowsVersion: 1,
      })
      await tables.commit('attempts', { operation: 'x', facts: { counts: { a: 2 } } })
      expect(await tables.head('attempts')).toEqual({
        version: 2,
        facts: { counts: { a: 2 } },
        factsVersion: 2,
        rowsVersion: 1,
      })
      const { facts, factsVersion, rowsVersion } = await tables.snapshot('attempts')
      expect({ facts, factsVersion, rowsVersion }).toEqual({
        facts: { counts: { a: 2 } },
        factsVersion: 2,
        rowsVersion: 1,
      })
      expect(await tables.head('files')).toEqual({ version: -1, facts: {}, factsVersion: -1, rowsVersion: -1 })
    })

    it('lets merged have new columns, refuses another type, but not in a full rewrite', async () => {
      const merged = (columns: string, schema: { name: string; type: string }[]) => ({
        select: `SELECT ${columns}`,
        schema,
        operation: 'merge',
      })
      const [a, b] = [
        { name: 'a', type: 'BIGINT' },
        { name: 'B b', type: 'VARCHAR' },
      ]
      await tables.commit('merged', merged('1 AS a', [a]))
      await tables.commit('merged', merged(`2 AS a, 'x' AS "B b"`, [a, b]))
      await tables.view('merged')
      expect(await tables.sql.rows('FROM merged ORDER BY a')).toEqual([
        { a: 1, 'B b': null },
        { a: 2, 'B b': 'x' },
      ])
      const wider = merged('a::DOUBLE AS a, "B b"', [{ name: 'a', type: 'DOUBLE' }, b])
      await expect(
        tables.commit('merged', { ...wider, select: `SELECT 1.5 AS a, 'y' AS "B b"` }),
      ).rejects.toMatchObject({
        code: 'NOT_SUPPORTED',
        message: expect.stringContaining('column a'),
      })
      const { parts } = await tables.view('merged')
      await tables.commit('merged', { ...wider, select: `${wider.select} FROM merged`, remove: parts })
      const snapshot = await tables.view('merged')
      expect(snapshot.schema).toEqual([{ name: 'a', type: 'DOUBLE' }, b])
      expect(await tables.sql.rows('SELECT typeof(a) AS t FROM merged LIMIT 1')).toEqual([{ t: 'DOUBLE' }])
      expect((await read('merged')).rows).toHaveLength(2)
    })
  })
}

/** What each implementation of Tables over a folder of parts and logs keeps. */
export function tablesInFolder(name: string, make: () => Promise<TablesFolder>): void {
  const parts = async ({ root, files }: TablesFolder, table: string) =>
    (await pathsBelow(files, join(root, 'tables', table))).filter((path) => /part-.*\.parquet$/.test(path))
  tablesConformance(name, async () => {
    const place = await make()
    return { open: place.open, close: () => place.close(), parts: (table) => parts(place, table) }
  })

  describe(`tables: ${name}`, () => {
    let place: TablesFolder
    let tables: Tables
    const folder = (table: string) => join(place.root, 'tables', table)
    const allThere = (table: string) => pathsBelow(place.files, folder(table))
    const partsThere = (table: string) => parts(place, table)
    const byRules = async (table: string) => readByRules(await place.onDisk(folder(table)))
    const age = async (paths: readonly string[]) => {
      for (const path of paths) await place.age(path)
    }
    const keys = async (table: FixedTable = 'attempts') => {
      await tables.view(table)
      const rows = await tables.sql.rows<{ k: number }>(`SELECT job_key AS k FROM ${table} ORDER BY k`)
      return rows.map(({ k }) => k)
    }
    beforeEach(async () => {
      place = await make()
      tables = await place.open()
    })
    afterEach(async () => {
      await tables.close()
      await place.close()
    })

    it('leaves neither parts nor the mark of a first commit behind a draft that was discarded', async () => {
      const unused = await tables.draft('files', rowsOf('files', { url: "'a'" }))
      expect((await allThere('files')).filter((path) => /part-|first/.test(path))).toHaveLength(2)
      await tables.discard('files', unused)
      expect((await allThere('files')).filter((path) => /part-|first/.test(path))).toEqual([])
    })

    it('writes parts that others read: nested, partitioned, with statistics', async () => {
      expect(await tables.commit('jobs', { select: jobs(0, 1000), operation: 'add' })).toBe(0)
      const { parts, rows } = await byRules('jobs')
      expect(parts).toHaveLength(4)
      expect(rows).toHaveLength(1000)
      expect(rows.find((row) => row.job_id === 'job7')).toMatchObject({
        job_key: 7n,
        arguments: ['--n', '7', null],
        outputs: [{ path: 'out/7', optional: false }],
        environment: { LANG: 'C', N: '7' },
        resources: { cpus: 1, memory_bytes: 2_000_000_000n, walltime_sec: 0.5, gpus: 0, nodes: 1 },
        bucket: 3,
        withdrawn: false,
        setup: null,
      })
      const snapshot = await tables.view('jobs')
      expect(snapshot.parts.map((part) => part.partitionValues.bucket).sort()).toEqual(['0', '1', '2', '3'])
      expect(snapshot.parts.map((part) => part.rows)).toEqual([250, 250, 250, 250])
      const [row] = await tables.sql.rows("SELECT *, typeof(bucket) AS t FROM jobs WHERE job_id = 'job7'")
      expect(row).toMatchObject({ t: 'INTEGER', bucket: 3, added_at: 1795248000123456, environment: { N: '7' } })
    })

    it('writes a checkpoint each 100 commits; commits behind it may go', async () => {
      for (let i = 0; i < 205; i++) {
        const txn = i % 50 === 0 ? { txn: { appId: 'run', version: i } } : {}
        const { parts } = i % 20 === 19 ? await tables.snapshot('attempts') : { parts: [] }
        await tables.commit('attempts', {
          select: attempts(i),
          operation: 'x',
          remove: parts.slice(0, 1),
          facts: { i },
          ...txn,
        })
      }
      const log = join(folder('attempts'), '_delta_log')
      expect((await place.files.names(log)).filter((name) => name.includes('checkpoint.parquet'))).toHaveLength(2)
      const before = await byRules('attempts')
      await age((await place.files.names(log)).map((name) => join(log, name)))
      await tables.maintain('attempts')
      const left = (await place.files.names(log)).filter((name) => /^\d+\.json$/.test(name))
      expect(left.length).toBeLessThan(10)
      const after = await byRules('attempts')
      const sorted = (rows: readonly Record<string, unknown>[]) => rows.map((row) => row.job_id).sort()
      expect(sorted(after.rows)).toEqual(sorted(before.rows))
      const other = await place.open()
      const snapshot = await other.view('attempts')
      expect(snapshot).toMatchObject({ facts: { i: 204 }, factsVersion: 204 })
      expect(snapshot.txns.get('run')).toBe(200)
      expect(await other.sql.rows('SELECT count(*) AS n FROM attempts')).toEqual([{ n: before.rows.length }])
      expect(await other.commit('attempts', { select: attempts(999), operation: 'x' })).toBe(snapshot.version + 1)
      await other.close()
    })

    it('joins small parts without changing a row, then deletes what nobody lists', async () => {
      for (let i = 0; i < 12; i++)
        await tables.commit('jobs', { select: jobs(i * 4, i * 4 + 4), operation: 'add', facts: { i } })
      const before = await keys('jobs')
      const first = await tables.maintain('jobs')
      expect(first).toEqual({ compacted: 48, deleted: 0, freedBytes: 0 })
      expect((await tables.snapshot('jobs')).parts).toHaveLength(4)
      expect(await tables.head('jobs')).toMatchObject({
        version: 12,
        facts: { i: 11 },
        factsVersion: 11,
        rowsVersion: 11,
      })
      expect(await keys('jobs')).toEqual(before)
      await place.files.write(join(folder('jobs'), 'bucket=1', 'part-orphan.parquet'), 'half')
      expect(await tables.maintain('jobs')).toMatchObject({ deleted: 0 })
      await age(await partsThere('jobs'))
      expect(await tables.maintain('jobs', { keepSec: 3600 })).toMatchObject({ deleted: 1 })
      await new Promise((done) => setTimeout(done, 5))
      expect(await tables.maintain('jobs', { keepSec: 0 })).toMatchObject({ compacted: 0, deleted: 48 })
      expect(await keys('jobs')).toEqual(before)
      await byRules('jobs')
    })

    it('keeps the parts that a view of this session reads', async () => {
      await tables.commit('attempts', { select: attempts(1), operation: 'x' })
      const { parts } = await tables.view('attempts')
      await tables.commit('attempts', { select: attempts(2), remove: parts, operation: 'x' })
      await age(await partsThere('attempts'))
      await new Promise((done) => setTimeout(done, 5))
      expect(await tables.maintain('attempts', { keepSec: 0 })).toMatchObject({ deleted: 0 })
      expect(await tables.sql.rows('SELECT job_key FROM attempts')).toEqual([{ job_key: 1 }])
      expect(await keys()).toEqual([2])
      expect(await tables.maintain('attempts', { keepSec: 0 })).toMatchObject({ deleted: 1 })
    })
  })
}

async function pathsBelow(files: Files, folder: string): Promise<string[]> {
  const entries = await files.list(folder)
  const found = entries.map(({ name, kind }) =>
    kind === 'folder' ? pathsBelow(files, join(folder, name)) : [join(folder, name)],
  )
  return (await Promise.all(found)).flat()
}
