import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ListOptions, listJobs } from '../../../src/catalog/selection.ts'
import type { Row } from '../../../src/ports/tables/tables.ts'
import { addJobs, attempt, planJobs, type Small, select, smallCampaign } from './campaign.ts'

let small: Small
beforeAll(async () => {
  small = await smallCampaign()
  const { tables } = small
  await addJobs(tables, 9)
  await planJobs(tables, { j4: 'submitted', j5: 'cut' })
  const attempts = [
    attempt('j1', 1, 'succeeded'),
    attempt('j2', 1, 'failed'),
    attempt('j3', 1, 'failed', { next: 'retry' }),
    attempt('j6', 1, 'lost'),
    attempt('j7', 1, 'failed', { next: 'hold' }),
  ]
  await tables.commit('attempts', { operation: 'x', select: select('attempts', attempts) })
  const asked = select('requests', [
    { job_id: 'j8', action: 'cancel', after_try: 0, seq: 1 },
    { job_id: 'j9', action: 'hold', after_try: 0, seq: 2 },
  ])
  await tables.commit('requests', { operation: 'x', select: asked })
  await tables.commit('files', { operation: 'x', select: select('files', [{ url: 'in5', missing: true }]) })
})
afterAll(() => small.close())

async function list(options: ListOptions): Promise<Row[]> {
  const rows: Row[] = []
  for await (const chunk of listJobs(small.tables, options)) rows.push(...chunk)
  return rows
}
const names = async (options: ListOptions) => (await list(options)).map((row) => row.job_id)

it.each([
  ['pending', ['j3', 'j5']],
  ['held', ['j7', 'j9']],
  ['queued', ['j4']],
  ['running', []],
  ['succeeded', ['j1']],
  ['failed', ['j2']],
  ['cancelled', ['j8']],
  ['lost', ['j6']],
] as const)('lists the %s jobs, by page or all', async (state, wanted) => {
  expect(await names({ state })).toEqual(wanted)
  expect(await names({ state, limit: 10 })).toEqual(wanted)
})

it('lists by names, several states, expression, and all of them at once', async () => {
  expect(await names({})).toHaveLength(9)
  expect(await names({ jobs: ['j2', 'j9', 'no'] })).toEqual(['j2', 'j9'])
  expect(await names({ jobs: [] })).toEqual([])
  expect(await names({ state: ['failed', 'lost'] })).toEqual(['j2', 'j6'])
  expect(await names({ state: ['failed', 'pending'] })).toEqual(['j2', 'j3', 'j5'])
  expect(await names({ state: [] })).toEqual([])
  expect(await names({ where: 'missing' })).toEqual(['j5'])
  expect(await names({ where: "tries > 0 and class = 'app' -- by a person" })).toEqual(['j2', 'j3', 'j7'])
  expect(await names({ jobs: ['j2', 'j3'], state: 'failed', where: 'true or false' })).toEqual(['j2'])
  const alike = 'exists (from attempts a where a.job_id = jobs.job_id and a.verdict = state)'
  expect(await names({ where: alike })).toEqual(['j1', 'j2', 'j6'])
  expect(await names({ state: 'failed', where: "(select count(*) from jobs where state = 'succeeded') = 1" })).toEqual([
    'j2',
  ])
})

it('pages', async () => {
  expect(await names({ limit: 3, offset: 2 })).toEqual(['j3', 'j4', 'j5'])
  expect(await names({ limit: 0 })).toEqual([])
  await expect(names({ limit: 1.5 })).rejects.toMatchObject({ code: 'USAGE' })
})

it('gives the columns asked for', async () => {
  expect(await list({ jobs: ['j2'], columns: ['job_id', 'state', 'missing'], limit: 1 })).toEqual([
    { job_id: 'j2', state: 'failed', missing: false },
  ])
  const [all] = await list({ jobs: ['j2'], columns: ['*'], limit: 1 })
  const [streamed] = await list({ jobs: ['j2'], columns: ['*'] })
  expect(all).toMatchObject({ job_id: 'j2', inputs: ['in2'], class: 'app', tries: 1 })
  expect(all).toEqual(streamed)
})

describe('an expression', () => {
  it.each([
    'true) or (true',
    'true; drop view jobs',
    'true union select 1',
    'true limit 1',
    'true group by all',
    'true order by 1',
    'true qualify true',
    'true having true',
    'true /*',
    'select 1',
    '',
    ' ',
    '-- nothing',
    'job_id =',
    "job_id = 'a",
    '$1 = 1',
    'job_id = ?',
    'nothing = 1',
    'tries = tries + now()',
    'job_id\0',
    "exists (from read_csv('/etc/passwd'))",
    "exists (from '/etc/passwd')",
    "exists (from read_text('/etc/passwd'))",
    "exists (from glob('/*'))",
    'exists (from duckdb_settings())',
    'exists (from information_schema.tables)',
    'exists (from memory.main.jobs)',
    'cast(job_id as integer) = 1',
  ])('that is none, or reads files, is refused: %j', async (where) => {
    await expect(names({ where })).rejects.toMatchObject({ code: 'SQL_INVALID' })
    await expect(names({ where, limit: 1 })).rejects.toMatchObject({ code: 'SQL_INVALID' })
  })

  it('is quoted in the error with the words of DuckDB and not with our SQL', async () => {
    const error = await names({ where: 'stat = 1' }).catch((cause: Error) => cause)
    expect((error as Error).message).toMatch(/^--where stat = 1: .*"stat" not found.*"state"/s)
    expect((error as Error).message).not.toMatch(/SELECT|LINE/)
  })
})
