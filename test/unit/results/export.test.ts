import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { tableFromIPC } from 'apache-arrow'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ExportFormat, exportFormat, exportResults, streamResults } from '../../../src/results/export.ts'
import { mergeOutputs } from '../../../src/results/merged.ts'
import { type Campaign, openCampaign } from './merged-campaign.ts'

let campaign: Campaign
beforeEach(async () => {
  campaign = await openCampaign()
})
afterEach(async () => {
  await campaign.tables.close()
  rmSync(campaign.root, { recursive: true, force: true })
})

const path = (name: string) => join(campaign.root, name)
const text = (name: string) => readFileSync(path(name), 'utf8')

async function fill(): Promise<void> {
  await campaign.addJobs([{ id: 'a', labels: { sector: 'kara' } }, { id: 'b' }])
  await campaign.publish([
    {
      job: 'b',
      output: 'b.csv',
      content: 'n,x,day,at,ok,s\n9007199254740993,-0.5,1969-12-31,1969-12-31 23:59:59.5,false,"a ""b"",\nc"\n',
    },
    { job: 'a', output: 'a.csv', content: 'n,x,day,at,ok,s\n1,2,1982-01-01,1982-01-01 06:00,true,é\n2,,,,,\n' },
  ])
  await mergeOutputs(campaign.tables, { root: campaign.root })
}

const HEADER = 'job_id,sector,n,x,day,at,ok,s,output,job_digest'
const CSV = [
  HEADER,
  'a,kara,1,2.0,1982-01-01,1982-01-01 06:00:00+00,true,é,a.csv,digest-of-a',
  'a,kara,2,,,,,,a.csv,digest-of-a',
  'b,,9007199254740993,-0.5,1969-12-31,1969-12-31 23:59:59.5+00,false,"a ""b"",\nc",b.csv,digest-of-b',
  '',
].join('\n')

async function streamed(format?: ExportFormat): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of streamResults(campaign.tables, format ? { format } : {})) {
    chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  }
  return Buffer.concat(chunks)
}

test('CSV is the same in a file, packed and as a stream', async () => {
  await fill()
  const exported = await exportResults(campaign.tables, { file: path('out.csv') })
  expect(exported).toEqual({ file: path('out.csv'), format: 'csv', rows: 3, columns: HEADER.split(',') })
  expect(text('out.csv')).toBe(CSV)
  await exportResults(campaign.tables, { file: path('out.csv.gz') })
  expect(gunzipSync(readFileSync(path('out.csv.gz'))).toString()).toBe(CSV)
  expect((await streamed()).toString()).toBe(CSV)
  await exportResults(campaign.tables, { file: path('out.tsv') })
  expect((await streamed('tsv')).toString()).toBe(text('out.tsv'))
})

test('NDJSON and Parquet', async () => {
  await fill()
  await exportResults(campaign.tables, { file: path('out.ndjson') })
  const lines = text('out.ndjson').trim().split('\n')
  expect(lines).toHaveLength(3)
  expect(JSON.parse(lines[0]!)).toMatchObject({ job_id: 'a', sector: 'kara', n: 1, x: 2, ok: true, s: 'é' })
  expect((await streamed('ndjson')).toString().trim().split('\n')).toEqual(lines)
  await exportResults(campaign.tables, { file: path('out.parquet') })
  expect(await campaign.rows(`select column_type from (describe select * from '${path('out.parquet')}')`)).toEqual(
    [
      'VARCHAR',
      'VARCHAR',
      'BIGINT',
      'DOUBLE',
      'DATE',
      'TIMESTAMP WITH TIME ZONE',
      'BOOLEAN',
      'VARCHAR',
      'VARCHAR',
      'VARCHAR',
    ].map((type) => ({ column_type: type })),
  )
})

test('Arrow, file and stream, with its own types', async () => {
  await fill()
  await exportResults(campaign.tables, { file: path('out.arrow') })
  await exportResults(campaign.tables, { file: path('out.arrows') })
  expect(readFileSync(path('out.arrow')).subarray(0, 6).toString()).toBe('ARROW1')
  for (const bytes of [readFileSync(path('out.arrow')), readFileSync(path('out.arrows')), await streamed('arrows')]) {
    const table = tableFromIPC(bytes)
    expect(table.schema.fields.map(({ type }) => String(type))).toEqual([
      ...['Utf8', 'Utf8', 'Int64', 'Float64', 'Date32<DAY>', 'Timestamp<MICROSECOND, UTC>', 'Bool'],
      ...['Utf8', 'Utf8', 'Utf8'],
    ])
    expect(table.toArray().map((row) => row!.toJSON())).toMatchObject([
      { job_id: 'a', sector: 'kara', n: 1n, x: 2, day: Date.parse('1982-01-01'), ok: true, s: 'é' },
      { job_id: 'a', sector: 'kara', n: 2n, x: null, day: null, at: null, ok: null, s: null },
      {
        job_id: 'b',
        sector: null,
        n: 9007199254740993n,
        x: -0.5,
        day: -86_400_000,
        at: -500,
        ok: false,
        s: 'a "b",\nc',
      },
    ])
  }
})

test('Arrow of many rows comes in batches that are whole', async () => {
  const rows = 150_000
  const lines = Array.from({ length: rows }, (_, at) => `${at},${at % 7 === 0 ? '' : at / 4},t${at}`)
  await campaign.addJobs([{ id: 'a' }])
  await campaign.publish([{ job: 'a', output: 'a.csv', content: `n,x,s\n${lines.join('\n')}\n` }])
  await mergeOutputs(campaign.tables, { root: campaign.root })
  await exportResults(campaign.tables, { file: path('out.arrow') })
  const table = tableFromIPC(readFileSync(path('out.arrow')))
  expect(table.numRows).toBe(rows)
  expect(table.batches.length).toBeGreaterThan(1)
  const [n, x, s] = ['n', 'x', 's'].map((name) => table.getChild(name)!)
  const isRight = (at: number) =>
    n!.get(at) === BigInt(at) && x!.get(at) === (at % 7 === 0 ? null : at / 4) && s!.get(at) === `t${at}`
  expect(Array.from({ length: rows }, (_, at) => at).filter((at) => !isRight(at))).toEqual([])
})

test('without rows a file has a header only', async () => {
  await campaign.addJobs([{ id: 'a' }])
  await campaign.publish([{ job: 'a', output: 'a.csv', content: 'x,y\n' }])
  await mergeOutputs(campaign.tables, { root: campaign.root })
  const columns = 'job_id,x,y,output,job_digest'
  for (const name of ['out.csv', 'out.arrow', 'out.arrows', 'out.parquet']) {
    expect(await exportResults(campaign.tables, { file: path(name) })).toMatchObject({
      rows: 0,
      columns: columns.split(','),
    })
  }
  expect(text('out.csv')).toBe(`${columns}\n`)
  expect((await streamed()).toString()).toBe(`${columns}\n`)
  for (const name of ['out.arrow', 'out.arrows']) {
    const table = tableFromIPC(readFileSync(path(name)))
    expect([table.numRows, table.schema.names]).toEqual([0, columns.split(',')])
  }
})

test('without a merged table it says why', async () => {
  const exporting = () => exportResults(campaign.tables, { file: path('out.csv') })
  await expect(exporting()).rejects.toMatchObject({
    code: 'NOTHING_SELECTED',
    hint: expect.stringContaining('floe run'),
  })
  await campaign.publish([{ job: 'a', output: 'a.png', content: 'x' }])
  await expect(exporting()).rejects.toMatchObject({ code: 'NOTHING_SELECTED', hint: expect.stringContaining('a.png') })
  await expect(streamed()).rejects.toMatchObject({ code: 'NOTHING_SELECTED' })
})

test('a file that cannot be written leaves nothing behind and keeps the old one', async () => {
  await fill()
  for (const name of ['none/out.csv', 'none/out.arrow']) {
    await expect(exportResults(campaign.tables, { file: path(name) })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('is not there'),
    })
  }
  await exportResults(campaign.tables, { file: path('out.arrow') })
  const signal = AbortSignal.abort()
  for (const name of ['out.arrow', 'out.csv']) {
    await expect(exportResults(campaign.tables, { file: path(name), signal })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    })
  }
  expect(readdirSync(campaign.root).filter((name) => name.startsWith('out.'))).toEqual(['out.arrow'])
  expect(tableFromIPC(readFileSync(path('out.arrow'))).numRows).toBe(3)
  expect(await campaign.rows('select count(*) as n from merged')).toEqual([{ n: 3 }])
})

test('the suffix tells the format', () => {
  const formats = ['a.csv', 'a.CSV.gz', 'a.b.tsv', 'x.jsonl', 'x.parquet', 'x.feather', 'x.arrows'].map(exportFormat)
  expect(formats).toEqual(['csv', 'csv', 'tsv', 'ndjson', 'parquet', 'arrow', 'arrows'])
  for (const name of ['out', 'out.xlsx', 'out.parquet.gz', 'csv']) {
    expect(() => exportFormat(name)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  }
})
