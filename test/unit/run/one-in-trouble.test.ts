import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Connector } from '../../../connectors/connector.ts'
import { FloeError } from '../../../src/model/errors.ts'
import { encodeRecord } from '../../../src/model/record.ts'
import { type RunContext, runCampaign } from '../../../src/run/run.ts'
import { beside, grid, madeCampaign } from '../../fakes/campaign.ts'
import { queueing } from '../../fakes/queueing.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

/* Trouble of one of two sites stops that one alone, whatever it was asked. */

const refused = (what: string) => new FloeError('SUBMIT_REFUSED', `rime refused ${what}.`)

/** Two sites, the second with a queue in which nothing moves until it is let. */
async function scene(at: (site: RunContext['site']) => Partial<RunContext['site']> = () => ({})) {
  const [here, rime] = [scriptedConnector(), queueing()]
  const made = await madeCampaign(grid(12), here, 'batch: {jobs: 3}')
  const [site] = beside(made, rime.connector).beside!
  const context: RunContext = { ...made, beside: [{ ...site!, ...at(site!) }] }
  return { here, rime, context }
}

test('a cancel that it refuses', async () => {
  const { here, rime, context } = await scene()
  let refusals = 0
  const cancel: Connector['cancel'] = async () => {
    refusals++
    throw refused('a cancel')
  }
  const [site] = context.beside!
  const both = { ...context, beside: [{ ...site!, connector: async () => ({ ...rime.connector, cancel }) }] }
  const { tables } = context
  let isAsked = false
  const onProgress = async () => {
    if (refusals > 0) return void rime.begin()
    if (isAsked || rime.looks() === 0) return
    isAsked = true
    await tables.view('plan', undefined, 'p')
    await tables.view('batches', undefined, 'b')
    await tables.commit('requests', {
      operation: 'cancel',
      select: `select p.job_id as request_id, 1 as seq, 'cancel' as action, p.job_id, p.job_key, p.revision, 0 as after_try, 'me' as who, null as why, now() as asked_at
        from p join b on p.plan_id = b.plan_id and p.position >= b.position_from and p.position < b.position_to where b.site = 'rime'`,
    })
  }
  const report = await runCampaign(both, { onProgress: () => void onProgress() })
  expect(here.runs.size).toBe(6)
  expect(report.counts.pending + report.counts.queued + report.counts.running).toBe(0)
  expect(report.unused).toEqual([{ site: 'rime', why: 'rime refused a cancel.' }])
  await context.tables.close()
})

test('limits that it does not tell any more', async () => {
  let asked = 0
  const { rime, context } = await scene(({ limits }) => ({
    async limits() {
      // One that looks for `status` is not to end what others do.
      if (++asked > 2) throw refused('to tell its limits')
      return limits()
    },
  }))
  const onProgress = () => {
    if (asked > 3) void rime.begin()
  }
  const report = await runCampaign(context, { onProgress })
  expect(report.counts).toMatchObject({ succeeded: 12 })
  await context.tables.close()
})

test('a disk on which nothing can be noted any more', async () => {
  const release = async () => {
    throw new FloeError('DISK_FULL', 'The scratch of rime is full.')
  }
  const [here, there] = [scriptedConnector(), scriptedConnector()]
  const context = beside(await madeCampaign(grid(12), here, ''), there, { release })
  const report = await runCampaign(context)
  expect(report.counts).toMatchObject({ succeeded: 12 })
  expect(report.unused).toEqual([{ site: 'rime', why: 'The scratch of rime is full.' }])
  await context.tables.close()
})

test('tasks that end again and again without deciding anything, which others do not make good', async () => {
  const [here, scripted] = [scriptedConnector(), scriptedConnector()]
  const submitted: string[] = []
  const idle: Connector = {
    ...scripted,
    async submit({ name, directory, count }) {
      submitted.push(name)
      const line = encodeRecord({ v: 1, at: 1, event: 'task ended', reason: 'drained', message: null, jobs: 0 })
      for (let task = 0; task < count; task++) appendFileSync(join(directory, 'records', `${task}.1`), line)
      return name
    },
  }
  const context = beside(await madeCampaign(grid(200), here), idle)
  const report = await runCampaign(context)
  expect(report.counts).toMatchObject({ succeeded: 200 })
  expect(submitted).toHaveLength(4)
  expect(report.unused).toEqual([{ site: 'rime', why: '3 times all tasks ended without deciding a job.' }])
  await context.tables.close()
})
