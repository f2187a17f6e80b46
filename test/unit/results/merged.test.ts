import { rmSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mergedView, mergeOutputs } from '../../../src/results/merged.ts'
import { type Campaign, openCampaign } from './merged-campaign.ts'

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
