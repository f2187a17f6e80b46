import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FloeError } from '../../../src/model/errors.ts'
import { planCampaign, type RunContext, runCampaign } from '../../../src/run/run.ts'
import { beside, grid, madeCampaign } from '../../fakes/campaign.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

/** Jobs by the site that their only verdict is from. */
async function decidedAt({ tables }: RunContext) {
  await tables.view('attempts')
  const rows = await tables.sql.rows<{ site: string; jobs: number; tries: number }>(
    "select site, count(distinct job_id)::integer as jobs, count(*)::integer as tries from attempts where verdict = 'succeeded' group by all order by 1",
  )
  for (const { jobs, tries } of rows) expect(tries).toBe(jobs)
  return Object.fromEntries(rows.map(({ site, jobs }) => [site, jobs]))
}

async function twoSites(
  count: number,
  { yaml = '', at = {} }: { yaml?: string; at?: Partial<RunContext['site']> } = {},
) {
  const [here, there] = [scriptedConnector(), scriptedConnector()]
  const context = beside(await madeCampaign(grid(count), here, yaml), there, at)
  return { here, there, context }
}

const away = async (): Promise<never> => {
  throw new FloeError('SITE_UNREACHABLE', 'rime does not answer.')
}

test('jobs are shared out over the sites by what they run at once, and each runs at one', async () => {
  const { here, there, context } = await twoSites(60, { at: { slots: 4 } })
  const plan = await planCampaign(context)
  expect(plan).toMatchObject({
    jobs: 60,
    shares: [
      { site: 'local', jobs: 20 },
      { site: 'rime', jobs: 40 },
    ],
  })
  const report = await runCampaign(context)
  expect(report).toMatchObject({ counts: { succeeded: 60 }, tally: { succeeded: 60 }, unused: [], elsewhere: [] })
  expect(await decidedAt(context)).toEqual({ local: 20, rime: 40 })
  const ran = [...here.runs, ...there.runs]
  expect(new Set(ran.map(([job]) => job)).size).toBe(60)
  expect(ran.every(([, count]) => count === 1)).toBe(true)
  await context.tables.close()
})

test('a site that does not answer stops nothing: the other does its work', async () => {
  const { there, context } = await twoSites(12, { at: { limits: away } })
  const report = await runCampaign(context)
  expect(report).toMatchObject({ counts: { succeeded: 12 }, unused: [{ site: 'rime', why: 'rime does not answer.' }] })
  expect(there.submitted).toEqual([])
  await context.tables.close()
})

test('what was cut for a site that goes away is cut for the other', async () => {
  const { context } = await twoSites(12)
  await planCampaign(context)
  const [rime] = context.beside!
  const report = await runCampaign({ ...context, beside: [{ ...rime!, limits: away }] })
  expect(report.counts).toMatchObject({ succeeded: 12 })
  expect(await decidedAt(context)).toEqual({ local: 12 })
  await context.tables.close()
})

test('when no site answers the run ends as with one', async () => {
  const { context } = await twoSites(3, { at: { limits: away } })
  const none = { ...context, site: { ...context.site, limits: away } }
  await expect(runCampaign(none)).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' })
  await context.tables.close()
})

test('jobs go where what they ask for, and their programs, are', async () => {
  const isSmall: RunContext['site']['misfit'] = async ({ memory_bytes }) =>
    (memory_bytes ?? 0) > 1000 ? 'too much' : undefined
  const probe: NonNullable<RunContext['site']['probe']> = async (program) =>
    program === '/bin/here' ? 'not found' : undefined
  const [here, there] = [scriptedConnector(), scriptedConnector()]
  const jobs = grid(12).map((job, at) => ({
    ...job,
    ...(at < 3 && { memoryBytes: 2000 }),
    ...(at > 8 && { executable: '/bin/here' }),
  }))
  const made = await madeCampaign(jobs, here)
  const context = beside({ ...made, site: { ...made.site, misfit: isSmall, probe: async () => undefined } }, there, {
    probe,
  })
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 12 })
  for (const at of [0, 1, 2]) expect(there.runs.has(`job000${at}`)).toBe(true)
  for (const at of [9, 10, 11]) expect(here.runs.has(`job00${String(at).padStart(2, '0')}`)).toBe(true)
  await context.tables.close()
})

/** Files of `era5`, which rime alone sees. */
const ERA5 = {
  roots: { era5: '/nowhere/era5' },
  elsewhere: {
    has: (path: string) => path.startsWith('/nowhere/era5/'),
    see: async (paths: readonly string[]) => paths.map(() => ({ sizeBytes: 5, mtimeUs: 1 })),
    digests: async (paths: readonly string[]) => paths.map(() => 'sha256:00'),
    isBare: async () => false,
  },
}

test('jobs go where their inputs are: to the one site that sees them, else where little is to be carried', async () => {
  const [here, there] = [scriptedConnector(), scriptedConnector()]
  const jobs = grid(20).map((job, at) => ({ ...job, inputs: at < 4 ? [`era5:${at}.nc`] : [`big${at}.csv`] }))
  const made = await madeCampaign(jobs, here)
  for (let at = 4; at < 20; at++) truncateSync(join(made.data, `big${at}.csv`), 1e9)
  const place: RunContext['site']['place'] = ({ path }) => path
  const context = beside({ ...made, settings: { ...made.settings, digest: 'size_mtime' } }, there, { ...ERA5, place })
  expect(await planCampaign(context)).toMatchObject({ jobs: 20, missing: 0 })
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 20 })
  for (const at of [0, 1, 2, 3]) expect(there.runs.has(`job000${at}`)).toBe(true)
  // Rime would have to wait 50 s for each of the others.
  expect(there.runs.size).toBeLessThan(7)
  await context.tables.close()
})

test('what no site can run is said as with one', async () => {
  const misfit = async () => 'more than there is'
  const { context } = await twoSites(3, { at: { misfit } })
  const tight = { ...context, site: { ...context.site, misfit } }
  await expect(runCampaign(tight)).rejects.toMatchObject({ code: 'SUBMIT_REFUSED' })
  await context.tables.close()
})

test('a run at one of them leaves the work of the other alone; the next at both takes it up', async () => {
  const { there, context } = await twoSites(20)
  const held = { ...there, submit: async () => 'held', status: async () => [] }
  const [rime] = context.beside!
  const both = { ...context, beside: [{ ...rime!, connector: async () => held, submit: async () => 'held' }] }
  await runCampaign(both, { once: true })
  const { beside: _, ...alone } = context
  const report = await runCampaign(alone)
  expect(report.elsewhere).toMatchObject([{ site: 'rime', jobs: 10 }])
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 20 })
  const { local, rime: atRime } = await decidedAt(context)
  expect(local! + atRime!).toBe(20)
  await context.tables.close()
})

test('a job that needs more memory than a site has is not given to it once more', async () => {
  const isSmall: RunContext['site']['misfit'] = async ({ memory_bytes }) =>
    (memory_bytes ?? 0) > 1000 ? 'too much' : undefined
  const clamped: RunContext['site']['clamped'] = async (terms) => ({
    ...terms,
    memory_bytes: Math.min(1000, terms.memory_bytes ?? 1000),
  })
  const here = scriptedConnector()
  const there = scriptedConnector(() => ({ verdict: 'failed', class: 'memory' }))
  const jobs = grid(12).map((job) => ({ ...job, memoryBytes: 800 }))
  const made = await madeCampaign(jobs, here, 'policy: {memory: {tries: 3}}\nstop_when_failed: 1')
  const context = beside(made, there, { misfit: isSmall, clamped })
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 12 })
  expect([...there.runs.values()]).toEqual(Array.from({ length: there.runs.size }, () => 1))
  expect(there.runs.size).toBeGreaterThan(0)
  await context.tables.close()
})
