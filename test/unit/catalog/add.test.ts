import { appendFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AddReport, addJobFiles, request } from '../../../src/catalog/catalog.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables } from '../../../src/ports/tables/tables.ts'
import { type Small, smallCampaign } from './campaign.ts'

let small: Small
beforeEach(async () => {
  small = await smallCampaign()
})
afterEach(() => small.close())

type Job = Readonly<Record<string, unknown>>

const job = (id: string, more: Job = {}): Job => ({
  id,
  data: { input: [`in/${id}.csv`], output: [`out/${id}.csv`] },
  executable: './prg.sh',
  ...more,
})

const place = (name: string): string => join(small.root, name)

function write(name: string, jobs: readonly (Job | string)[]): string {
  const lines = jobs.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)))
  writeFileSync(place(name), `${lines.join('\n')}\n`)
  return place(name)
}

const add = (paths: readonly string[], tables = small.tables, onProgress = () => {}): Promise<AddReport> =>
  addJobFiles(tables, paths, {
    onProgress,
    campaign: small.root,
    outputs: place('outputs'),
    cache: place('.floe'),
    clock: systemClock,
  })

async function rows(columns: string, table: 'jobs' | 'files' = 'jobs') {
  await small.tables.view(table, undefined, 'told')
  return small.tables.sql.rows(`SELECT ${columns} FROM told ORDER BY ALL`)
}

const versions = async () => [(await small.tables.head('jobs')).version, (await small.tables.head('files')).version]

test('a file that grows while it is read is not added, and nothing is changed', async () => {
  const before = await versions()
  const file = write('jobs.ndjson', [job('a')])
  const growing = add([file], small.tables, () => appendFileSync(file, `${JSON.stringify(job('b'))}\n`))
  await expect(growing).rejects.toMatchObject({
    code: 'JOB_FILE_INVALID',
    message: expect.stringContaining('changed while it was read'),
  })
  expect(await versions()).toEqual(before)
  expect(await add([file])).toMatchObject({ added: 2, rejected: 0 })
})

describe('what comes into the tables', () => {
  test('urls, names, digests, bucket, source', async () => {
    const inputs = [
      'in/./a.csv',
      '../up/b.csv',
      '/abs//c.csv',
      'https://example.org/d.csv?x=1',
      'era5:1982/e.nc',
      'tree/',
      'swebhdfs://nn:9871/h/50%25 ?x#.csv',
      'webhdfs://nn/zarr/',
    ]
    await add([
      write('jobs.ndjson', [job('j', { data: { input: inputs, output: ['./o//1.csv', 'maps/'] }, files: ['lib.py'] })]),
    ])
    const [row] = await rows('* EXCLUDE (added_at)')
    const base = small.root
    expect(row).toMatchObject({
      job_id: 'j',
      revision: 1,
      executable: `${base}/prg.sh`,
      inputs: [
        `${base}/in/a.csv`,
        `${base.slice(0, base.lastIndexOf('/'))}/up/b.csv`,
        '/abs/c.csv',
        'https://example.org/d.csv?x=1',
        'era5:1982/e.nc',
        `${base}/tree/`,
        'swebhdfs://nn:9871/h/50%25 ?x#.csv',
        'webhdfs://nn/zarr/',
      ],
      input_names: ['in/a.csv', 'b.csv', 'c.csv', 'd.csv', '1982/e.nc', 'tree', '50%25 ?x#.csv', 'zarr'],
      outputs: [
        { path: 'o/1.csv', optional: false },
        { path: 'maps/', optional: false },
      ],
      files: [`${base}/lib.py`],
      file_names: ['lib.py'],
      resources: { cpus: 1, memory_bytes: null, walltime_sec: null, gpus: 0, nodes: 1 },
      cache: true,
      publish: 'files',
      priority: 0,
      withdrawn: false,
      source: `${place('jobs.ndjson')}:1`,
    })
    const { createHash } = await import('node:crypto')
    const md5 = (text: string) => createHash('md5').update(text).digest('hex')
    const told = row as { inputs: string[]; input_hash: string; bucket: number; job_key: bigint; spec_digest: string }
    expect(told.input_hash).toBe(md5([...told.inputs].sort().join('\n')))
    expect(told.bucket).toBe(Number(BigInt(`0x${told.input_hash}`) % 64n))
    expect(BigInt(told.job_key)).toBe(Buffer.from(md5('j'), 'hex').readBigUInt64LE(8) >> 1n)
    expect(told.spec_digest).toMatch(/^[0-9a-f]{32}$/)
  })

  test('each file once, with what is declared', async () => {
    const declared = { url: '/data/a.nc', size_bytes: 12, digest: 'a'.repeat(64) }
    await add([
      write('jobs.ndjson', [
        job('j1', { data: { input: [declared, '/data/b.nc'] }, files: ['/lib/x.py'] }),
        job('j2', { data: { input: ['/data/a.nc', '/data/b.nc'] }, executable: 'https://example.org/p' }),
      ]),
    ])
    expect(await rows('url, kind, size_bytes, digest, digest_kind', 'files')).toEqual(
      [
        {
          url: '/data/a.nc',
          kind: 'input',
          size_bytes: 12,
          digest: `sha256:${'a'.repeat(64)}`,
          digest_kind: 'declared',
        },
        { url: '/data/b.nc', kind: 'input', size_bytes: null, digest: null, digest_kind: null },
        { url: '/lib/x.py', kind: 'file', size_bytes: null, digest: null, digest_kind: null },
        { url: place('prg.sh'), kind: 'program', size_bytes: null, digest: null, digest_kind: null },
        { url: 'https://example.org/p', kind: 'program', size_bytes: null, digest: null, digest_kind: null },
      ].sort((a, b) => (a.url < b.url ? -1 : 1)),
    )
  })
})

describe('adding again', () => {
  test('the same changes nothing and commits nothing', async () => {
    const path = write('jobs.ndjson', [job('a'), job('b')])
    expect(await add([path])).toMatchObject({ added: 2, unchanged: 0, replaced: 0, rejected: 0 })
    const before = await versions()
    expect(await add([path])).toMatchObject({ added: 0, unchanged: 2, replaced: 0, rejected: 0 })
    expect(await versions()).toEqual(before)
  })

  test('another text is a new revision, in its bucket or another; the others stay', async () => {
    const many = Array.from({ length: 200 }, (_, n) => job(`j${n}`))
    await add([write('jobs.ndjson', many)])
    const before = await versions()
    const old = await rows('job_id, spec_digest')
    const moved = job('j5', { data: { input: ['elsewhere.csv'], output: ['out/j5.csv'] } })
    const changed = many.map((one, n) => (n === 5 ? moved : n === 7 ? { ...one, arguments: ['x'] } : one))
    expect(await add([write('jobs.ndjson', [...changed, job('new')])])).toMatchObject({
      added: 1,
      unchanged: 198,
      replaced: 2,
    })
    expect(await versions()).toEqual(before.map((version) => version + 1))
    const now = await rows('job_id, revision, spec_digest, inputs[1] AS input')
    expect(now).toHaveLength(201)
    expect(now.filter(({ revision }) => revision === 2).map(({ job_id }) => job_id)).toEqual(['j5', 'j7'])
    expect(now.find(({ job_id }) => job_id === 'j5')!.input).toBe(place('elsewhere.csv'))
    const same = now.filter(({ job_id }) => !['j5', 'j7', 'new'].includes(String(job_id)))
    expect(same.map(({ job_id, spec_digest }) => ({ job_id, spec_digest }))).toEqual(
      old.filter(({ job_id }) => !['j5', 'j7'].includes(String(job_id))),
    )
  })

  test('a job that clashes takes no other job of its bucket along; no part is left over', async () => {
    const many = Array.from({ length: 300 }, (_, n) => job(`j${n}`))
    const twice = many.slice(0, 3).map((one) => ({ ...one, arguments: ['again'] }))
    const report = await add([write('jobs.ndjson', [...many, ...twice])])
    expect(report).toMatchObject({ added: 300, rejected: 3 })
    expect(await rows('job_id, arguments')).toEqual(
      many
        .map(({ id }) => ({ job_id: id, arguments: null }))
        .sort((a, b) => (String(a.job_id) < String(b.job_id) ? -1 : 1)),
    )
    const { parts } = await small.tables.snapshot('jobs')
    const there = readdirSync(place('tables/jobs'), { recursive: true }).map(String)
    expect(there.filter((name) => name.endsWith('.parquet')).sort()).toEqual(parts.map(({ path }) => path).sort())
    expect(there.filter((name) => name.includes('.first-'))).toEqual([])
  })

  test('what was withdrawn comes back as a new revision', async () => {
    const path = write('jobs.ndjson', [job('a'), job('b')])
    await add([path])
    await request(
      small.tables,
      { action: 'remove', selection: { jobs: ['a'] }, who: 'me@here' },
      { nowMs: 1, uuid: 'u' },
    )
    expect(await add([path])).toMatchObject({ added: 1, unchanged: 1, replaced: 0 })
    expect(await rows('job_id, revision, withdrawn')).toEqual([
      { job_id: 'a', revision: 2, withdrawn: false },
      { job_id: 'b', revision: 1, withdrawn: false },
    ])
  })

  test('two at once: both are in', async () => {
    const other = await openTables({ root: small.root, cache: place('.floe'), clock: systemClock })
    try {
      await add([write('first.ndjson', [job('a'), job('x')])])
      const paths = [write('b.ndjson', [job('b'), job('x', { arguments: ['b'] })]), write('c.ndjson', [job('c')])]
      await Promise.all([add([paths[0]!]), add([paths[1]!], other)])
      expect((await rows('job_id, revision')).map(({ job_id, revision }) => `${job_id} ${revision}`)).toEqual([
        'a 1',
        'b 1',
        'c 1',
        'x 2',
      ])
    } finally {
      await other.close()
    }
  })
})

describe('rejects', () => {
  const told = ({ firstRejects }: AddReport) =>
    firstRejects.map(({ line, job: id, reason }) => `${line} ${id}: ${reason}`)

  test('of jobs that share outputs the first stays, and who is only in the way of a rejected one', async () => {
    const out = (id: string, ...output: string[]) => job(id, { data: { output } })
    const report = await add([
      write('j.ndjson', [out('a', '1', '2'), out('b', '2', '3'), out('c', '3', '4'), out('d', './4/')]),
    ])
    expect((await rows('job_id')).map(({ job_id }) => job_id)).toEqual(['a', 'c'])
    expect(told(report)).toEqual([
      `2 b: output 2 is also written by a, ${place('j.ndjson')}:1`,
      `4 d: output 4 is also written by c, ${place('j.ndjson')}:3`,
    ])
  })

  test('an input that a job of this campaign writes, by name, below a directory, or by a glob', async () => {
    const reads = (id: string, input: string) => job(id, { data: { input: [`outputs/${input}`] } })
    const report = await add([
      write('j.ndjson', [
        job('w', { data: { output: ['plain.csv', 'tree/', 'many/*.nc'] } }),
        reads('a', 'plain.csv'),
        reads('b', 'tree/deep/x'),
        reads('c', 'many/1.nc'),
        reads('d', 'other.csv'),
      ]),
    ])
    expect(told(report)).toEqual(
      ['plain.csv', 'tree/deep/x', 'many/1.nc'].map(
        (path, at) => `${at + 2} ${'abc'[at]}: not supported yet: input ${place('outputs')}/${path} is an output of w`,
      ),
    )
    expect((await rows('job_id')).map(({ job_id }) => job_id)).toEqual(['d', 'w'])
  })

  test('an output behind a link that leads out of the campaign', async () => {
    mkdirSync(place('outputs/sub'), { recursive: true })
    symlinkSync('/tmp', place('outputs/sub/away'))
    symlinkSync(place('outputs/sub'), place('outputs/inside'))
    const report = await add([
      write('j.ndjson', [job('a', { data: { output: ['sub/away/x'] } }), job('b', { data: { output: ['inside/x'] } })]),
    ])
    expect(told(report)).toEqual(['1 a: output sub/away/x leaves the campaign through a symbolic link'])
  })

  test('two inputs of one name; the same input twice is none', async () => {
    const reads = (id: string, ...input: string[]) => job(id, { data: { input } })
    const report = await add([
      write('j.ndjson', [
        reads('a', '/x/a.csv', 'https://e.org/a.csv'),
        reads('b', '/x/a.csv', '/x/a.csv'),
        reads('c', '/x/a.csv', '/y/b.csv', '/z/a.csv'),
        reads('d', '/x/a.csv', '/y/b.csv', '/x/a.csv'),
        job('e', { data: { input: ['/x/o.csv'], output: ['o.csv'] } }),
      ]),
    ])
    expect(told(report)).toEqual([
      '1 a: two inputs would both be called a.csv',
      '3 c: two inputs would both be called a.csv',
      '5 e: output o.csv has the name of an input',
    ])
  })

  test('lines are those of the file, blank lines and rejects or not', async () => {
    const report = await add([
      write('j.ndjson', [job('a'), '', '   ', job('b', { nonsense: 1 }), '', job('c'), '{"id":']),
    ])
    expect(report.files).toMatchObject([{ jobs: 4 }])
    expect(report.firstRejects.map(({ line }) => line)).toEqual([4, 7])
    expect((await rows('source')).map(({ source }) => String(source).replace(/.*:/, ''))).toEqual(['1', '6'])
  })

  test('the file holds what is rejected as of the last add of each file', async () => {
    const wrong = { id: 'w' }
    const [one, two] = [write('1.ndjson', [wrong, job('a')]), write('2.ndjson', [job('b'), wrong])]
    const first = await add([one, two])
    const names = () =>
      readFileSync(first.rejectsFile!, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).file.slice(-8))
    expect(names()).toEqual(['1.ndjson', '2.ndjson'])
    write('1.ndjson', [job('a')])
    expect((await add([one])).rejectsFile).toBeUndefined()
    expect(names()).toEqual(['2.ndjson'])
    write('2.ndjson', [job('b')])
    await add([two])
    expect(() => names()).toThrow(/ENOENT/)
  })

  test('lists that SQL would take for texts, and values of the wrong form', async () => {
    const report = await add([
      write('j.ndjson', [
        job('a', { arguments: ['{"x":1}', '[1]', '{}'] }),
        job('b', { arguments: [{ x: 1 }] }),
        job('c', { data: 'x' }),
        job('d', { labels: { a: [1] } }),
        job('e', { data: { input: 'one.csv' } }),
        job('f', { setup: null, labels: { n: 1.5, m: 7, x: null } }),
        job('g', { labels: { n: 1.5, m: 7 } }),
      ]),
    ])
    expect(report.firstRejects.map(({ job: id }) => id)).toEqual(['b', 'c', 'd'])
    expect(await rows('job_id, arguments, inputs[1] AS input, labels')).toMatchObject([
      { job_id: 'a', arguments: ['{"x":1}', '[1]', '{}'] },
      { job_id: 'e', input: place('one.csv') },
      { job_id: 'f', labels: { n: '1.5', m: '7' } },
      { job_id: 'g', labels: { n: '1.5', m: '7' } },
    ])
  })
})
