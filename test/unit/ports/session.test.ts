import { existsSync, readdirSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Row, type Tables } from '../../../src/ports/tables/tables.ts'
import { temporaryFolder } from '../../conformance/files.ts'

let place: ReturnType<typeof temporaryFolder>
let tables: Tables
beforeEach(async () => {
  place = temporaryFolder()
  tables = await openTables({ root: place.root, cache: `${place.root}/.floe`, clock: systemClock })
})
afterEach(async () => {
  await tables.close()
  await place.close()
})

const collect = async <T>(chunks: AsyncIterable<readonly T[]>) => {
  const all: T[] = []
  for await (const chunk of chunks) all.push(...chunk)
  return all
}

it('gives values of JavaScript', async () => {
  const [row] =
    await tables.sql.rows(`SELECT 1::BIGINT AS i, 9007199254740993::BIGINT AS big, 1.5::DECIMAL(9,1) AS d, true AS b,
    TIMESTAMPTZ '2026-11-21 08:00:00.000001+00' AS t, [1, NULL] AS l, {'x': 1, 'y': [{'z': 'q'}]} AS s, MAP {'k': 2} AS m, NULL AS n,
    DATE '2026-11-21' AS day, sum(1) AS total`)
  expect(row).toEqual({
    i: 1,
    big: 9007199254740993n,
    d: 1.5,
    b: true,
    t: 1795248000000001,
    l: [1, null],
    s: { x: 1, y: [{ z: 'q' }] },
    m: { k: 2 },
    n: null,
    day: '2026-11-21',
    total: 1,
  })
})

it('binds parameters by their type', async () => {
  const values = [1, 2 ** 40, 1.5, 'x', true, null, ['a', null], [1, 2 ** 40], { a: 1 }, 9007199254740993n]
  const [row] = await tables.sql.rows(`SELECT ${values.map((_, at) => `$${at + 1} AS v${at}`).join(', ')}`, values)
  expect(Object.values(row!)).toEqual(values)
  expect(await tables.sql.rows('SELECT i FROM range(5) r(i) ORDER BY i LIMIT ?', [2])).toEqual([{ i: 0 }, { i: 1 }])
  expect(await tables.sql.rows('SELECT len(?::VARCHAR[]) AS n', [[]])).toEqual([{ n: 0 }])
})

it('streams rows and columns', async () => {
  const rows = await collect(tables.sql.stream('SELECT i FROM range(10000) r(i) ORDER BY i'))
  expect(rows).toHaveLength(10_000)
  expect(rows[9999]).toEqual({ i: 9999 })
  const chunks = []
  for await (const columns of tables.sql.columns(`SELECT i, i::INTEGER AS j, i / 2 AS d, i::VARCHAR AS s,
    CASE WHEN i <> 3000 THEN i END AS n FROM range(5000) r(i) ORDER BY i`)) {
    chunks.push(columns)
  }
  const [first] = chunks
  expect(first![0]).toBeInstanceOf(BigInt64Array)
  expect(first![1]).toBeInstanceOf(Int32Array)
  expect(first![2]).toBeInstanceOf(Float64Array)
  expect(first![3]![7]).toBe('7')
  const nulls = chunks.flatMap((columns) => Array.from(columns[4]!)).filter((value) => value === null)
  expect(nulls).toHaveLength(1)
  expect(chunks.flatMap((columns) => Array.from(columns[1]!))).toEqual(Array.from({ length: 5000 }, (_, i) => i))
})

it('says so when a statement is sent into an open stream, and goes on after it', async () => {
  await expect(async () => {
    for await (const _ of tables.sql.stream('SELECT i FROM range(100000) r(i)')) await tables.sql.run('SELECT 1')
  }).rejects.toMatchObject({ code: 'BUG' })
  for await (const _ of tables.sql.stream('SELECT i FROM range(100000) r(i)')) break
  expect(await tables.sql.rows('SELECT 1 AS a')).toEqual([{ a: 1 }])
})

it('loads rows of all types in chunks', async () => {
  const columns = [
    { name: 'i', type: 'BIGINT' },
    { name: 'a b', type: 'VARCHAR' },
    { name: 'l', type: 'STRUCT(x INTEGER, y VARCHAR[])[]' },
    { name: 'm', type: 'MAP(VARCHAR, DOUBLE)' },
    { name: 't', type: 'TIMESTAMPTZ' },
    { name: 'b', type: 'BOOLEAN' },
  ]
  const row = (i: number): Row =>
    i % 3 === 0
      ? { i, 'a b': null, l: null, m: null, t: null, b: null }
      : { i, 'a b': `it's ${i}`, l: [{ x: i, y: ['q', null] }], m: { k: i / 2 }, t: 1.7e15 + i, b: i % 2 === 0 }
  const given = Array.from({ length: 5000 }, (_, i) => row(i))
  expect(await tables.sql.load('loaded', columns, [given.slice(0, 1), [], given.slice(1)])).toBe(5000)
  expect(await tables.sql.rows('SELECT * FROM loaded ORDER BY i')).toEqual(given)
  expect(await tables.sql.load('loaded', columns, [])).toBe(0)
  expect(await tables.sql.rows('SELECT count(*) AS n FROM loaded')).toEqual([{ n: 0 }])
})

it('prepares without running', async () => {
  const described = await tables.sql.describe('SELECT 1 AS a, [2.5::DOUBLE] AS b; CREATE TABLE made (x INTEGER)')
  expect(described.map(({ kind }) => kind)).toEqual(['SELECT', 'CREATE'])
  expect(described[0]!.columns).toEqual([
    { name: 'a', type: 'INTEGER' },
    { name: 'b', type: 'DOUBLE[]' },
  ])
  await expect(tables.sql.rows('FROM made')).rejects.toThrow(/made/)
})

it('leaves no spill folder and makes nothing before the first statement', async () => {
  expect(existsSync(`${place.root}/.floe`)).toBe(false)
  await tables.sql.run('SELECT 1')
  await tables.close()
  expect(readdirSync(`${place.root}/.floe`)).toEqual([])
  await expect(tables.sql.run('SELECT 1')).rejects.toMatchObject({ code: 'BUG' })
})

it('spills to disk instead of using more memory, behind the fence too', async () => {
  const small = await openTables({
    root: place.root,
    cache: `${place.root}/.floe`,
    clock: systemClock,
    memoryBytes: 6e7,
  })
  const heavy =
    'SELECT count(*) AS n FROM (SELECT i, sha256(i::VARCHAR) AS h FROM range(1000000) r(i) ORDER BY h OFFSET 10)'
  expect(await small.sql.rows(heavy)).toEqual([{ n: 999_990 }])
  const fenced = await small.fence(async () => {})
  expect(await fenced.sql.rows(heavy)).toEqual([{ n: 999_990 }])
  await fenced.close()
  await small.close()
})

it.each([
  "FROM read_text('/etc/hostname')",
  "COPY (SELECT 1) TO '/tmp/floe-fence.csv'",
  "ATTACH '/tmp/floe-fence.db'",
  'SET threads = 1',
  'SET enable_external_access = true',
  'INSTALL httpfs',
  "SELECT * FROM glob('/etc/*')",
])('fences off: %s', async (sql) => {
  const fenced = await tables.fence(async ({ view }) => {
    await view('attempts')
  })
  expect(await fenced.sql.rows('SELECT count(*) AS n FROM attempts')).toEqual([{ n: 0 }])
  await expect(fenced.sql.run(sql)).rejects.toThrow(/Permission|locked|disabled/)
  await fenced.close()
})
