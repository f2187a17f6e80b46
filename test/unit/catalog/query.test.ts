import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type QueryOptions, queryReadOnly } from '../../../src/catalog/query.ts'
import type { Row } from '../../../src/ports/tables/tables.ts'
import { addJobs, planJobs, type Small, smallCampaign } from './campaign.ts'

let small: Small
beforeAll(async () => {
  small = await smallCampaign()
  await addJobs(small.tables, 3)
  await planJobs(small.tables, { j1: 'submitted', j2: 'cut' })
})
afterAll(() => small.close())

async function query(sql: string, options?: QueryOptions): Promise<{ columns: unknown; rows: Row[] }> {
  const answer = await queryReadOnly(small.tables, sql, options)
  const rows: Row[] = []
  try {
    for await (const chunk of answer.rows) rows.push(...chunk)
  } finally {
    await answer.close()
  }
  return { columns: answer.columns, rows }
}

it('answers with columns and rows', async () => {
  expect(await query("SELECT job_id, [1.5] AS l FROM jobs WHERE job_id = 'j2'")).toEqual({
    columns: [
      { name: 'job_id', type: 'VARCHAR' },
      { name: 'l', type: 'DECIMAL(2,1)[]' },
    ],
    rows: [{ job_id: 'j2', l: [1.5] }],
  })
  expect((await query('FROM jobs WHERE false')).rows).toEqual([])
  expect((await query('FROM plan ORDER BY 1')).rows).toEqual([
    { job_id: 'j1', batch_id: 1 },
    { job_id: 'j2', batch_id: 2 },
  ])
})

it.each(['jobs', 'files', 'plan', 'batches', 'attempts', 'results', 'requests', 'merged'])('shows %s', async (view) => {
  await expect(query(`FROM ${view}`)).resolves.toBeDefined()
  expect((await query(`DESCRIBE ${view}`)).rows.length).toBeGreaterThan(0)
})

it.each([
  'WITH a AS (SELECT 1 AS x) FROM a',
  'VALUES (1)',
  'SUMMARIZE jobs',
  'SHOW TABLES',
  'SELECT 1 -- end',
  '/* a */ SELECT 1;',
])('reads: %s', async (sql) => {
  expect((await query(sql)).rows.length).toBeGreaterThan(0)
})

const inside = () => join(small.root, 'tables', 'stolen.csv')
it.each([
  () => '',
  () => '-- nothing',
  () => ';',
  () => 'SELEC 1',
  () => 'SELECT 1; SELECT 2',
  () => 'SELECT 1; DROP VIEW jobs',
  () => `COPY (SELECT 1) TO '${inside()}'`,
  () => `EXPLAIN ANALYZE COPY (SELECT 1) TO '${inside()}'`,
  () => `EXPORT DATABASE '${inside()}'`,
  () => `ATTACH '${inside()}'`,
  () => "CREATE TABLE t AS SELECT * FROM read_text('/etc/hostname')",
  () => "SELECT * FROM read_text('/etc/hostname')",
  () => "SELECT * FROM '/etc/hostname'",
  () => "SELECT * FROM glob('/etc/*')",
  () => `SELECT * FROM read_text('${small.root}/tables/../.floe')`,
  () => 'SET enable_external_access = true',
  () => 'INSTALL httpfs',
  () => "LOAD 'x'",
  () => 'PREPARE x AS SELECT 1',
  () => 'CALL pragma_version()',
  () => 'SELECT nothing FROM jobs',
  () => 'SELECT ?',
  () => 'SELECT job_id::INTEGER FROM jobs',
])('refuses all but reading the campaign (%#)', async (sql) => {
  await expect(query(sql())).rejects.toMatchObject({ code: 'SQL_INVALID' })
  expect(existsSync(inside())).toBe(false)
})

it('leaves the session of the campaign as it is', async () => {
  await query('SELECT 1')
  await small.tables.sql.run('SET threads = 1')
  await expect(small.tables.sql.rows("SELECT count(*) AS n FROM read_text('/etc/hostname')")).resolves.toBeDefined()
})

it('knows what is running, and takes further views', async () => {
  const live = { running: [{ job_key: 1, revision: 1 }], ended: [] }
  expect((await query("SELECT state FROM jobs WHERE job_id = 'j1'", { live })).rows).toEqual([{ state: 'running' }])
  let calls = 0
  const prepare: QueryOptions['prepare'] = async ({ sql }) => {
    calls += 1
    await sql.run("CREATE OR REPLACE TEMP VIEW merged AS SELECT 'x' AS sector")
  }
  expect((await query('FROM merged', { prepare })).rows).toEqual([{ sector: 'x' }])
  await query('FROM jobs', { prepare })
  expect(calls).toBe(1)
})
