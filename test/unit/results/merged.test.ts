import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { parquetMetadata } from 'hyparquet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mergedView, mergeOutputs } from '../../../src/results/merged.ts'
import { type Campaign, openCampaign, type Published, stopAfter } from './merged-campaign.ts'

let campaign: Campaign
beforeEach(async () => {
  campaign = await openCampaign()
})
afterEach(async () => {
  await campaign.tables.close()
  rmSync(campaign.root, { recursive: true, force: true })
})

const merge = (options: { filesMax?: number } = {}) =>
  mergeOutputs(campaign.tables, { root: campaign.root, ...options })
const view = async (sql = 'select * exclude (output, job_digest) from merged order by all') => {
  await mergedView(campaign.tables)
  return campaign.rows(sql)
}
const types = async () => {
  const { schema } = await campaign.tables.snapshot('merged')
  return Object.fromEntries(schema.slice(3).map(({ name, type }) => [name, type]))
}

test('outputs become one typed table that grows, with labels joined', async () => {
  await campaign.addJobs([
    { id: 'a', labels: { sector: 'kara', month: '1982-01' } },
    { id: 'b', labels: { month: '1982-02' } },
  ])
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: 'day,speed,calm\n1982-01-01,3.5,true\n1982-01-02,4,false\n' },
    { job: 'a', output: 'a.png', content: 'no table' },
  ])
  expect(await merge()).toEqual({ outputs: 1, rows: 2, skipped: 0, conflicts: [], unreadable: [] })
  expect(await types()).toEqual({ day: 'DATE', speed: 'DOUBLE', calm: 'BOOLEAN' })
  await campaign.publish([{ job: 'b', output: 'b.ndjson', content: '{"speed":7,"day":"1982-02-01","sector":"own"}\n' }])
  expect(await merge()).toMatchObject({ outputs: 1, rows: 1 })
  expect(await merge()).toMatchObject({ outputs: 0, rows: 0 })
  expect(await view()).toEqual([
    { job_id: 'a', month: '1982-01', day: '1982-01-01', speed: 3.5, calm: true, sector: null },
    { job_id: 'a', month: '1982-01', day: '1982-01-02', speed: 4, calm: false, sector: null },
    { job_id: 'b', month: '1982-02', day: '1982-02-01', speed: 7, calm: null, sector: 'own' },
  ])
})

test('a column is the widest that its files have, whatever their order; a number is no text, a fraction no integer', async () => {
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: 'n,x,big,code,when\n1,1,9007199254740993,007,1982-01-01\n' },
    { job: 'b', output: 'b.csv', content: 'n,x,big,code,when\n2,1.5,2,x7,1982-01-01T12:30:00+01:00\n' },
    { job: 'c', output: 'c.csv', content: 'n,x,big,code,when\n3,1e3,3,"a,b",1982-01-02 06:00\n' },
    { job: 'd', output: 'd.csv', content: 'n,x,big,code,when\nNA,,,,\n' },
  ])
  await campaign.addJobs(['a', 'b', 'c', 'd'].map((id) => ({ id })))
  expect(await merge()).toEqual({ outputs: 4, rows: 4, skipped: 0, conflicts: [], unreadable: [] })
  expect(await types()).toEqual({
    n: 'BIGINT',
    x: 'DOUBLE',
    big: 'BIGINT',
    code: 'VARCHAR',
    when: 'TIMESTAMP WITH TIME ZONE',
  })
  const at = (text: string) => Date.parse(text) * 1000
  expect(await view()).toEqual([
    { job_id: 'a', n: 1, x: 1, big: 9007199254740993n, code: '007', when: at('1982-01-01T00:00:00Z') },
    { job_id: 'b', n: 2, x: 1.5, big: 2, code: 'x7', when: at('1982-01-01T11:30:00Z') },
    { job_id: 'c', n: 3, x: 1000, big: 3, code: 'a,b', when: at('1982-01-02T06:00:00Z') },
    { job_id: 'd', n: null, x: null, big: null, code: null, when: null },
  ])
})

test('a file that is at odds with most others is left out and named, in this call and later ones', async () => {
  const content = (x: string) => `speed,place\n${x},kara\n`
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: content('1.5') },
    { job: 'b', output: 'b.csv', content: content('calm') },
    { job: 'c', output: 'c.csv', content: content('2') },
  ])
  const conflict = { output: 'b.csv', column: 'speed', found: 'VARCHAR', wanted: 'DOUBLE' }
  expect(await merge()).toEqual({ outputs: 2, rows: 2, skipped: 1, conflicts: [conflict], unreadable: [] })
  expect(await merge()).toMatchObject({ outputs: 0, skipped: 1, conflicts: [conflict] })
  await campaign.publish([{ job: 'd', output: 'd.ndjson', content: '{"speed":"2","place":[1]}\n{"speed":1}\n' }])
  const second = { output: 'd.ndjson', column: 'speed', found: 'VARCHAR', wanted: 'DOUBLE' }
  expect(await merge()).toMatchObject({ outputs: 0, rows: 0, skipped: 2, conflicts: [conflict, second] })
  rmSync(join(campaign.root, '.floe/merged'), { recursive: true })
  await campaign.publish([{ job: 'e', output: 'e.csv', content: content('3') }])
  expect(await merge()).toMatchObject({ outputs: 1, rows: 1, skipped: 2, conflicts: [conflict, second] })
  // The program is corrected, and its new result takes the place of the old.
  await campaign.publish([{ job: 'b', output: 'b.csv', content: content('0'), jobDigest: 'new' }], { tryNumber: 2 })
  expect(await merge()).toMatchObject({ outputs: 1, rows: 1, skipped: 1, conflicts: [second] })
})

test('a stored column becomes wider by rewriting the parts, unless a value would be rounded', async () => {
  const ids = ['a', 'b', 'c', 'd']
  await campaign.addJobs(ids.map((id) => ({ id })))
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: 'x,big,day\n1,9007199254740993,1982-01-01\n' },
    { job: 'b', output: 'b.csv', content: 'x,big,day\n2,1,1982-01-02\n' },
  ])
  await merge()
  expect(await types()).toEqual({ x: 'BIGINT', big: 'BIGINT', day: 'DATE' })
  await campaign.publish([{ job: 'c', output: 'c.csv', content: 'x,day\n2.5,1982-01-03 12:00:00\n' }])
  await campaign.publish([{ job: 'd', output: 'd.csv', content: 'big\n1.5\n' }])
  expect(await merge()).toEqual({
    outputs: 1,
    rows: 1,
    skipped: 1,
    conflicts: [{ output: 'd.csv', column: 'big', found: 'DOUBLE', wanted: 'BIGINT' }],
    unreadable: [],
  })
  expect(await types()).toEqual({ x: 'DOUBLE', big: 'BIGINT', day: 'TIMESTAMP WITH TIME ZONE' })
  const at = (text: string) => Date.parse(text) * 1000
  expect(await view()).toEqual([
    { job_id: 'a', x: 1, big: 9007199254740993n, day: at('1982-01-01T00:00:00Z') },
    { job_id: 'b', x: 2, big: 1, day: at('1982-01-02T00:00:00Z') },
    { job_id: 'c', x: 2.5, big: null, day: at('1982-01-03T12:00:00Z') },
  ])
})

test('files without rows give columns, no rows; what cannot be read is named and the rest is merged', async () => {
  await campaign.publish([
    { job: 'a', output: 'empty.csv', content: '' },
    { job: 'b', output: 'header.csv', content: 'x,later\n' },
    { job: 'c', output: 'good.csv', content: 'x\n1\n' },
    { job: 'd', output: 'ragged.csv', content: 'x,y\n1,2\n3\n' },
    { job: 'e', output: 'quote.csv', content: 'x,y\n"1,2\n' },
    { job: 'f', output: 'latin.csv', content: Buffer.from('x\n1\n\xe9\n', 'latin1') },
    { job: 'g', output: 'numbers.csv', content: '1,2\n3,4\n' },
    { job: 'h', output: 'torn.ndjson', content: '{"x":1}\n{"x":\n' },
    { job: 'i', output: 'bad.parquet', content: 'PAR1 not really' },
    { job: 'j', output: 'good.tsv', content: 'x\ty\r\n2\ta b\r\n' },
    { job: 'k', output: 'bad.csv.gz', content: 'not packed' },
    { job: 'l', output: 'wide.csv', content: 'x,y\n1,2\n3,4,5\n' },
    { job: 'm', output: 'odd.csv', content: 'x,y\n1,"a"b\n' },
  ])
  const merged = await merge()
  expect(merged).toMatchObject({ outputs: 2, rows: 2, skipped: 9, conflicts: [] })
  expect(Object.fromEntries(merged.unreadable.map(({ output, reason }) => [output, reason]))).toEqual({
    'ragged.csv': 'a row has 1 columns, its header 2: 3',
    'wide.csv': 'a row has 3 columns, its header 2: 3,4,5',
    'quote.csv': 'a quote in it is never closed',
    'latin.csv': 'it is not UTF-8',
    'numbers.csv': 'its first line names no columns: 1,2',
    'torn.ndjson': 'line 2 is not a JSON object: {"x":',
    'bad.parquet': 'No magic bytes found at end of the file',
    'bad.csv.gz': expect.stringContaining('incorrect header check'),
    'odd.csv': expect.stringContaining('a row cannot be read'),
  })
  expect((await mergedView(campaign.tables)).columns.map(({ name }) => name)).toEqual([
    'job_id',
    'x',
    'y',
    'later',
    'output',
    'job_digest',
  ])
  await campaign.publish([{ job: 'n', output: 'n.csv', content: 'later\n1.5\n' }])
  expect(await merge()).toMatchObject({ outputs: 1, rows: 1, skipped: 9 })
  expect(await types()).toEqual({ x: 'BIGINT', y: 'VARCHAR', later: 'DOUBLE' })
})

test('only current results are seen: not withdrawn, of the present revision, of the latest success', async () => {
  await campaign.addJobs([{ id: 'a', revision: 2 }, { id: 'b', withdrawn: true }, { id: 'c' }])
  const one = (job: string, x: number, more = {}) => ({ job, output: `${job}.csv`, content: `x\n${x}\n`, ...more })
  await campaign.publish([one('a', 1), one('b', 2), one('c', 3)])
  await merge()
  expect(await view()).toEqual([{ job_id: 'c', x: 3 }])
  await campaign.publish([one('a', 10, { revision: 2, jobDigest: 'a2' }), one('c', 30, { jobDigest: 'c2' })], {
    tryNumber: 2,
  })
  await merge()
  expect(await view()).toEqual([
    { job_id: 'a', x: 10 },
    { job_id: 'c', x: 30 },
  ])
  expect(await campaign.rows('select count(*) as n from _merged_content')).toEqual([{ n: 5 }])
})

test('a result never gets the content of the file that took its place', async () => {
  await campaign.addJobs([{ id: 'a' }, { id: 'b' }])
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: 'x\n1\n' },
    { job: 'b', output: 'b.csv', content: 'x\n1\n' },
  ])
  writeFileSync(join(campaign.root, 'outputs/a.csv'), 'x\n2\n')
  rmSync(join(campaign.root, 'outputs/b.csv'))
  expect(await merge()).toEqual({
    outputs: 0,
    rows: 0,
    skipped: 2,
    conflicts: [],
    unreadable: [
      { output: 'a.csv', reason: 'its file was changed after it was published' },
      { output: 'b.csv', reason: 'its file is no longer there' },
    ],
  })
  const { version } = await campaign.tables.snapshot('merged')
  expect(await merge()).toMatchObject({ outputs: 0, skipped: 2 })
  expect((await campaign.tables.snapshot('merged')).version).toBe(version)
  writeFileSync(join(campaign.root, 'outputs/b.csv'), 'x\n1\n')
  expect(await merge()).toMatchObject({ outputs: 1, skipped: 1 })
  await campaign.publish([{ job: 'a', output: 'a.csv', content: 'x\n2\n', jobDigest: 'a2' }], { tryNumber: 2 })
  expect(await merge()).toEqual({ outputs: 1, rows: 1, skipped: 0, conflicts: [], unreadable: [] })
  expect(await view()).toEqual([
    { job_id: 'a', x: 2 },
    { job_id: 'b', x: 1 },
  ])
})

test('packed outputs, packed text, comments, quotes, names of columns', async () => {
  const content = 'speed (m/s),"a ""b""",output,,Speed (m/s)\n1,"two\nlines",3,4,5\n'
  const pack = join(campaign.root, 'outputs/t.tar')
  mkdirSync(join(campaign.root, 'outputs'))
  writeFileSync(pack, `${'#'.repeat(512)}${content}more`)
  await campaign.publish([
    { job: 'a', output: 'a.csv', content, pack: { path: 't.tar', offset: 512 } },
    { job: 'd', output: 'd.csv', content: '', pack: { path: join(campaign.root, 'never-made'), offset: 0 } },
    { job: 'b', output: 'b.csv.gz', content: gzipSync('speed_m/s\n7\n') },
    { job: 'c', output: 'c.csv', content: '# made by numpy\n# speed_m/s;z\n1.5;2\n' },
  ])
  expect(await merge()).toMatchObject({ outputs: 3, skipped: 0 })
  await campaign.addJobs(['a', 'b', 'c'].map((id) => ({ id })))
  const none = { 'a_"b"': null, output_1: null, column4: null, 'Speed_m/s_1': null, z: null }
  expect(await view('select * exclude (output, job_digest) from merged order by job_id')).toEqual([
    { job_id: 'a', 'speed_m/s': 1, 'a_"b"': 'two\nlines', output_1: 3, column4: 4, 'Speed_m/s_1': 5, z: null },
    { job_id: 'b', 'speed_m/s': 7, ...none },
    { job_id: 'c', 'speed_m/s': 1.5, ...none, z: 2 },
  ])
})

test('Parquet files of several schemas', async () => {
  const files: Published[] = []
  const parquet = async (job: string, select: string) => {
    const path = join(campaign.root, `${job}.parquet`)
    await campaign.tables.sql.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
    files.push({ job, output: `${job}.parquet`, content: readFileSync(path) })
  }
  await parquet(
    'a',
    "select 1::int as n, 1.25::decimal(9,2) as d, timestamp '1982-01-01 00:00:00' as t, [1,2] as l, '1' as s",
  )
  await parquet(
    'b',
    "select 5::ubigint as n, 2::float as d, timestamptz '1982-01-02 00:00:00Z' as t, ['x'] as l, 'y' as s",
  )
  await parquet('c', 'select 7::bigint as n where false')
  await parquet('d', 'select i::smallint as n, null as d from range(3) t(i)')
  await campaign.publish(files)
  await campaign.addJobs(['a', 'b', 'c', 'd'].map((id) => ({ id })))
  expect(await merge()).toMatchObject({ outputs: 3, rows: 5, skipped: 0 })
  const at = (text: string) => Date.parse(text) * 1000
  expect(await view()).toEqual([
    { job_id: 'a', n: 1, d: 1.25, t: at('1982-01-01T00:00:00Z'), l: '[1,2]', s: '1' },
    { job_id: 'b', n: 5, d: 2, t: at('1982-01-02T00:00:00Z'), l: '["x"]', s: 'y' },
    ...[0, 1, 2].map((n) => ({ job_id: 'd', n, d: null, t: null, l: null, s: null })),
  ])
})

test('large files are read in place and keep their order', async () => {
  const lines = Array.from({ length: 700_000 }, (_, at) => `${at},${at / 2}`)
  const csv = `# long\nn,half\n${lines.join('\n')}\n`
  const json = `${Array.from({ length: 500_000 }, (_, at) => `{"n":${at},"half":${at / 2}}`).join('\n')}\n`
  expect(Math.min(csv.length, json.length)).toBeGreaterThan(8 * 2 ** 20)
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: csv },
    { job: 'b', output: 'b.jsonl', content: json },
    { job: 'c', output: 'c.csv.gz', content: gzipSync(csv.repeat(1)) },
  ])
  await campaign.addJobs(['a', 'b', 'c'].map((id) => ({ id })))
  expect(await merge()).toMatchObject({ outputs: 3, rows: 1_900_000, skipped: 0 })
  await mergedView(campaign.tables)
  expect(
    await campaign.rows(
      'select job_id, count(*) as n, bool_and(n = output_row and half = n / 2) as ok, count(distinct output_row) as places from _merged_rows group by 1 order by 1',
    ),
  ).toEqual([
    { job_id: 'a', n: 700_000, ok: true, places: 700_000 },
    { job_id: 'b', n: 500_000, ok: true, places: 500_000 },
    { job_id: 'c', n: 700_000, ok: true, places: 700_000 },
  ])
})

test('one file that DuckDB refuses does not keep its neighbours out', async () => {
  const outputs = Array.from({ length: 30 }, (_, at) => ({
    job: `j${at}`,
    output: `${at}.csv`,
    content: at === 17 ? 'x,y\n1,"a\rb" c\n"\r' : `x,y\n${at},"b"\n`,
  }))
  await campaign.publish(outputs)
  expect(await merge()).toMatchObject({ outputs: 29, rows: 29, skipped: 1, unreadable: [{ output: '17.csv' }] })
})

test('stopped anywhere, the next call ends with each row once', async () => {
  const outputs = Array.from({ length: 12 }, (_, at) => ({
    job: `j${at}`,
    output: `${at}.csv`,
    content: at < 6 ? `x\n${at}\n${at}\n` : `x,y\n${at}.5,${at}\n`,
  }))
  await campaign.publish(outputs)
  await campaign.addJobs(outputs.map(({ job }) => ({ id: job })))
  const options = { root: campaign.root, filesMax: 3, bytesMax: 1 }
  for (let calls = 1; ; calls++) {
    // Each statement and each commit of the merge is once where it stops, before and after the deed.
    let left = calls
    const stopping = stopAfter(campaign.tables, () => {
      left -= 1
      if (left <= 0) throw new Error('stopped')
    })
    const isDone = await mergeOutputs(stopping, options).then(
      () => true,
      () => false,
    )
    await mergedView(campaign.tables)
    const [row] = await campaign.rows(
      'select count(*) as n, count(distinct (job_id, output, output_row)) as different from _merged_rows',
    )
    expect(row!.n).toBe(row!.different)
    if (isDone) break
    calls += 2
  }
  expect(await merge()).toMatchObject({ rows: 0, skipped: 0 })
  const rows = await view(
    'select job_id, list(x order by x) as x, any_value(y) as y from merged group by 1 order by length(job_id), 1',
  )
  expect(rows).toEqual(
    outputs.map(({ job }, at) => ({ job_id: job, x: at < 6 ? [at, at] : [at + 0.5], y: at < 6 ? null : at })),
  )
})

test('two that merge at once publish each row once', async () => {
  await campaign.publish(
    Array.from({ length: 20 }, (_, at) => ({ job: `j${at}`, output: `${at}.csv`, content: `x\n${at}\n` })),
  )
  const other = await openCampaign(campaign.root)
  try {
    const done = await Promise.all([merge(), mergeOutputs(other.tables, { root: campaign.root })])
    expect(done.map(({ rows }) => rows).sort((a, b) => a - b)).toEqual([0, 20])
  } finally {
    await other.tables.close()
  }
})

test('what a killed merge left in the cache goes, what a living one has there stays', async () => {
  await campaign.publish([{ job: 'a', output: 'a.csv', content: 'x\n1\n' }])
  const cache = join(campaign.root, '.floe')
  // No process has a number that large.
  const dead = join(cache, `merge-${hostname()}-4999999-AbCdEf`)
  const alive = join(cache, `merge-${hostname()}-${process.ppid}-AbCdEf`)
  for (const folder of [dead, alive]) mkdirSync(folder)
  await merge()
  expect(readdirSync(cache).filter((name) => name.startsWith('merge-'))).toEqual([basename(alive)])
})

test('there is no merged table while no output looks like one; results may come later', async () => {
  expect(await merge()).toEqual({ outputs: 0, rows: 0, skipped: 0, conflicts: [], unreadable: [] })
  await campaign.publish([{ job: 'a', output: 'a.png', content: 'x' }])
  expect(await merge()).toMatchObject({ outputs: 0 })
  expect((await campaign.tables.snapshot('merged')).version).toBe(-1)
  expect((await mergedView(campaign.tables)).isThere).toBe(false)
  expect(await campaign.rows('select * from merged')).toEqual([])
})

test('of many labels the most used become columns, and all of them a map', async () => {
  const labels = Object.fromEntries(Array.from({ length: 70 }, (_, at) => [`l${at}`, 'v']))
  await campaign.addJobs([
    { id: 'a', labels },
    { id: 'b', labels: { l69: 'w', output: 'hidden' } },
  ])
  await campaign.publish([{ job: 'b', output: 'b.csv', content: 'x\n1\n' }])
  await merge()
  const { columns } = await mergedView(campaign.tables)
  expect(columns).toHaveLength(64 + 1 + 4)
  expect(await campaign.rows('select l69, labels, output from merged')).toEqual([
    { l69: 'w', labels: { l69: 'w', output: 'hidden' }, output: 'b.csv' },
  ])
})

test('a file with too many columns is left out', async () => {
  const names = Array.from({ length: 1001 }, (_, at) => `c${at}`)
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: `${names.join()}\n${names.map(() => 1).join()}\n` },
    { job: 'b', output: 'b.csv', content: 'x\n1\n' },
  ])
  expect(await merge()).toMatchObject({ outputs: 1, skipped: 1, unreadable: [{ output: 'a.csv' }] })
})

test('the parts are plain Parquet of the types that the log gives', async () => {
  await campaign.publish([
    { job: 'a', output: 'a.csv', content: 'n,x,day,at,ok,s\n1,.5,1982-01-01,1982-01-01 06:00,true,é\n' },
  ])
  await merge()
  const { parts, schema } = await campaign.tables.snapshot('merged')
  const file = readFileSync(join(campaign.root, 'tables/merged', parts[0]!.path))
  const metadata = parquetMetadata(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer)
  expect(metadata.num_rows).toBe(1n)
  const columns = metadata.schema.slice(1)
  expect(columns.map(({ name }) => name)).toEqual(schema.map(({ name }) => name))
  expect(columns.slice(3).map(({ type, converted_type }) => [type, converted_type])).toEqual([
    ['INT64', 'INT_64'],
    ['DOUBLE', undefined],
    ['INT32', 'DATE'],
    ['INT64', 'TIMESTAMP_MICROS'],
    ['BOOLEAN', undefined],
    ['BYTE_ARRAY', 'UTF8'],
  ])
})
