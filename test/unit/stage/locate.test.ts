import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { FloeError } from '../../../src/model/errors.ts'
import { jobKeySql } from '../../../src/model/job-key.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Tables } from '../../../src/ports/tables/tables.ts'
import { isAtSql, locateInputs } from '../../../src/stage/stage.ts'

const open: Tables[] = []
afterEach(async () => {
  for (const tables of open.splice(0)) await tables.close()
})

const HOUR_MS = 3600 * 1000

/** One job that names all these inputs, of which table `files` knows a size. */
async function campaign(urls: readonly string[]): Promise<Tables> {
  const root = mkdtempSync(join(tmpdir(), 'floe-locate-'))
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock })
  open.push(tables)
  const list = `[${urls.map((url) => `'${url}'`).join(', ')}]`
  await tables.commit('jobs', {
    operation: 'test',
    select: `select 'j' as job_id, ${jobKeySql("'j'")} as job_key, 1 as revision, 1 as bucket, ${list} as inputs, ${[
      ...['spec_digest', 'executable', 'arguments', 'input_names', 'outputs', 'files', 'file_names', 'environment'],
      ...['setup', 'container', 'stdin', 'stdout', '"check"', 'resources', 'labels', 'priority', 'site', 'parent'],
      ...['after', 'cache', 'publish', 'input_hash', 'withdrawn', 'added_at', 'source'],
    ]
      .map((name) => `null as ${name}`)
      .join(', ')}`,
  })
  await tables.commit('files', {
    operation: 'test',
    select: `select unnest(${list}) as url, 'input' as kind, 5 as size_bytes, now() as mtime, null as digest, null as digest_kind,
      false as missing, null as sites, null as hosts, now() as seen_at, null as nodes, null as nodes_at`,
  })
  await tables.view('jobs', undefined, 'jobs_rows')
  await tables.sql.run('create or replace temp table runnable as select job_id, job_key, revision from jobs_rows')
  return tables
}

const nodesIn = async (tables: Tables): Promise<Record<string, unknown>> => {
  await tables.view('files')
  const rows = await tables.sql.rows<{ url: string; nodes: string | null }>(
    'select url, to_json(nodes)::varchar as nodes from files order by url',
  )
  return Object.fromEntries(rows.map(({ url, nodes }) => [url.replace(/^.*\//, ''), nodes && JSON.parse(nodes)]))
}

it('asks once a day where inputs of its HDFS lie, and once more for what did not answer', async () => {
  const tables = await campaign([
    ...['webhdfs://nn:9870/a', 'webhdfs://nn/b', 'webhdfs://nn:9870/empty', 'webhdfs://nn:9870/gone'],
    ...['webhdfs://nn:9870/sick', 'webhdfs://other:9870/c', '/data/d'],
  ])
  let asked: string[] = []
  let now = Date.now()
  const nodes = async (url: string) => {
    asked.push(url.replace(/^.*\//, ''))
    if (url.endsWith('/sick')) throw new FloeError('HDFS_UNREACHABLE', 'away')
    if (url.endsWith('/gone')) return undefined
    return new Map<string, number>(
      url.endsWith('/empty')
        ? []
        : [
            ['/r1/dn1', 5],
            ['/r2/dn "2"', 3],
          ],
    )
  }
  const locate = async () => {
    asked = []
    await locateInputs(tables, {
      at: isAtSql('url', ['nn:9870']),
      clock: { ...systemClock, now: () => now },
      stores: { nodes },
    })
    return asked.sort()
  }
  expect(await locate()).toEqual(['a', 'b', 'empty', 'gone', 'sick'])
  const both = { '/r1/dn1': 5, '/r2/dn "2"': 3 }
  expect(await nodesIn(tables)).toEqual({
    ...{ a: both, b: both, empty: {}, gone: null, sick: null },
    c: null,
    d: null,
  })
  expect(await locate()).toEqual(['gone', 'sick'])
  now += 25 * HOUR_MS
  expect(await locate()).toEqual(['a', 'b', 'empty', 'gone', 'sick'])
})

it('leaves the plan alone when HDFS does not answer, or is slow', async () => {
  const urls = Array.from({ length: 100 }, (_, at) => `webhdfs://nn:9870/${at}`)
  const tables = await campaign(urls)
  const at = isAtSql('url', ['nn'])
  let asked = 0
  const away = async () => {
    asked++
    throw new FloeError('HDFS_UNREACHABLE', 'away')
  }
  await locateInputs(tables, { at, clock: systemClock, stores: { nodes: away } })
  expect(asked).toBeLessThan(30)
  // Its time is over at once.
  const clock = { ...systemClock, sleep: async () => {} }
  await locateInputs(tables, { at, clock, stores: { nodes: () => new Promise(() => {}) } })
  expect(Object.values(await nodesIn(tables)).every((nodes) => nodes === null)).toBe(true)
})

it('goes on behind files that may not be looked at', async () => {
  const closed = Array.from({ length: 50 }, (_, at) => `webhdfs://nn:9870/closed/${at}`)
  const tables = await campaign([...closed, 'webhdfs://nn:9870/open'])
  const nodes = async (url: string) => {
    if (url.includes('/closed/')) throw new FloeError('NOT_WRITABLE', 'Permission denied')
    return new Map([['/r1/dn1', 5]])
  }
  await locateInputs(tables, { at: isAtSql('url', ['nn:9870']), clock: systemClock, stores: { nodes } })
  expect((await nodesIn(tables)).open).toEqual({ '/r1/dn1': 5 })
})

it.each([
  ['webhdfs://nn:9870/a', true],
  ['webhdfs://nn/a', true],
  ['webhdfs://nn:9871/a', false],
  ['swebhdfs://nn/a', false],
  ['webhdfs://any:1234/a', true],
  ['webhdfs://any/a', true],
  ['webhdfs://other:9870/nn:9870', false],
  ['/nn:9870/a', false],
  ['https://nn:9870/a', false],
])('%s is there: %s', async (url, there) => {
  const tables = await campaign([url])
  await tables.view('files')
  const [row] = await tables.sql.rows<{ there: boolean }>(
    `select ${isAtSql('url', ['nn:9870', 'any'])} as there from files`,
  )
  expect(row!.there).toBe(there)
})
