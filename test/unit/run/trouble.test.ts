import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ArraySpec, ConnectorError } from '../../../connectors/connector.ts'
import { sitePaths } from '../../../src/model/campaign.ts'
import { type RunContext, runCampaign } from '../../../src/run/run.ts'
import { connectedBy, madeCampaign } from '../../fakes/campaign.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

const jobs = (count: number) => Array.from({ length: count }, (_, at) => ({ id: `job${at}`, outputs: [`out/${at}`] }))

const no = (kind: 'refused' | 'wait' | 'unreadable') => {
  const command = { tried: 'qsub', exit: 1, said: 'no' }
  return new ConnectorError(kind, 'no', 'Ask for less.', undefined, kind === 'unreadable' ? undefined : command)
}

const arrayThere = ({ paths, campaignId }: RunContext, id: string) =>
  existsSync(join(sitePaths(paths.scratch, campaignId).arrays, id))

test('an array that the scheduler refused is gone, and its jobs are planned anew', async () => {
  const connector = scriptedConnector()
  const context = await madeCampaign(jobs(3), connector)
  const refusing = connectedBy(context, async () => ({ ...connector, submit: () => Promise.reject(no('refused')) }))
  await expect(runCampaign(refusing)).rejects.toMatchObject({ code: 'SUBMIT_REFUSED', hint: 'Ask for less.' })
  expect(arrayThere(context, 'a000001')).toBe(false)
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 3 })
  expect(connector.submitted).toEqual([expect.stringContaining('a000002')])
  await context.tables.close()
})

test('one whose answer was not understood stays as it is staged', async () => {
  const connector = scriptedConnector()
  const context = await madeCampaign(jobs(3), connector)
  const odd = connectedBy(context, async () => ({ ...connector, submit: () => Promise.reject(no('unreadable')) }))
  await expect(runCampaign(odd)).rejects.toMatchObject({ code: 'SUBMIT_UNREADABLE' })
  expect(arrayThere(context, 'a000001')).toBe(true)
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 3 })
  expect(connector.submitted).toEqual([expect.stringContaining('a000001')])
  await context.tables.close()
})

test('an empty site that has no room for an array gets smaller ones', async () => {
  const connector = scriptedConnector()
  const context = await madeCampaign(jobs(5), connector, 'batch: {jobs: 1}')
  const submit = (array: ArraySpec) => (array.count > 2 ? Promise.reject(no('wait')) : connector.submit(array))
  const waits = new Set<string | null>()
  const onProgress = ({ waiting }: { waiting: string | null }) => void waits.add(waiting)
  const report = await runCampaign(
    connectedBy(context, async () => ({ ...connector, submit })),
    { onProgress },
  )
  expect(report.counts).toMatchObject({ succeeded: 5 })
  for (const [job, count] of connector.runs) expect(count, job).toBe(1)
  expect([...waits].join()).toContain('Ask for less.')
  await context.tables.close()
})

test('a run that was taken over submits nothing more', async () => {
  const connector = scriptedConnector()
  const context = await madeCampaign(jobs(3), connector)
  const path = join(context.paths.root, 'lease.json')
  const shape: RunContext['site']['shape'] = async (terms) => {
    const lease = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...lease, epoch: lease.epoch + 1 }))
    return context.site.shape(terms)
  }
  await expect(runCampaign({ ...context, site: { ...context.site, shape } })).rejects.toMatchObject({
    code: 'RUN_LOCKED',
  })
  expect(connector.submitted).toEqual([])
  await context.tables.close()
})
