import { expect, test } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { type RunContext, runCampaign } from '../../../src/run/run.ts'
import { beside, grid, type MadeJob, madeCampaign } from '../../fakes/campaign.ts'
import { queueing } from '../../fakes/queueing.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

/* Work that waits at one site while another one has room. */

async function scene(
  jobs: readonly MadeJob[],
  at: (site: RunContext['site']) => Partial<RunContext['site']> = () => ({}),
  fate?: Parameters<typeof scriptedConnector>[0],
) {
  const [here, rime] = [scriptedConnector(fate), queueing()]
  const made = await madeCampaign(jobs, here, 'batch: {jobs: 3}')
  const [site] = beside(made, rime.connector).beside!
  const rhythm = { ...site!.rhythm, turnMs: 10, watchMs: 20 }
  const context: RunContext = { ...made, beside: [{ ...site!, rhythm, ...at(site!) }] }
  const runs = () => {
    const all = [...here.runs, ...rime.runs]
    expect(new Set(all.map(([job]) => job)).size).toBe(all.length)
    return all.map(([, count]) => count)
  }
  return { here, rime, context, runs }
}

test('what has waited too long at one site is sealed there and runs at the other', async () => {
  const { here, rime, context, runs } = await scene(grid(24))
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 24 })
  expect(here.runs.size).toBe(24)
  expect(runs().every((count) => count === 1)).toBe(true)
  expect(rime.cancelled.length).toBeGreaterThan(0)
  // Too late: those tasks do nothing any more.
  await rime.begin()
  expect(rime.runs.size).toBe(0)
  await context.tables.close()
})

test('a task that begins just then is left to end; the others of its array move', async () => {
  const { rime, context, runs } = await scene(grid(24), ({ seal }) => ({
    async seal(...asked) {
      await rime.begin(1)
      return seal(...asked)
    },
  }))
  expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 24 })
  expect(rime.runs.size).toBeGreaterThan(0)
  expect(rime.cancelled).not.toContain(0)
  expect(runs()).toEqual(Array.from({ length: 24 }, () => 1))
  await context.tables.close()
})

/** A site that gives a job 1 kB of memory. */
const small = (site: RunContext['site']): RunContext['site'] => ({
  ...site,
  misfit: async ({ memory_bytes }) => ((memory_bytes ?? 0) > 1000 ? 'too much' : undefined),
})

test('what only a busy site can run keeps no other work from moving away from it', async () => {
  const jobs = grid(24).map((job) => ({ ...job, memoryBytes: 800 }))
  let hasFailed = false
  const { here, rime, context } = await scene(jobs, undefined, () => {
    if (hasFailed) return {}
    hasFailed = true
    return { verdict: 'failed', class: 'memory' }
  })
  const onProgress = () => {
    if (here.runs.size === 24 || rime.looks() > 300) void rime.begin()
  }
  const report = await runCampaign({ ...context, site: small(context.site) }, { onProgress })
  expect(report.counts).toMatchObject({ succeeded: 24 })
  expect(here.runs.size).toBe(24)
  expect(rime.runs.size).toBe(1)
  await context.tables.close()
})

test('what could run nowhere else keeps its place', async () => {
  const jobs = grid(12).map((job, at) => ({ ...job, ...(at < 6 && { memoryBytes: 2000 }) }))
  const { rime, context, runs } = await scene(jobs)
  const tight = { ...context, site: small(context.site) }
  const onProgress = () => {
    if (rime.looks() > 90) void rime.begin()
  }
  expect((await runCampaign(tight, { onProgress })).counts).toMatchObject({ succeeded: 12 })
  for (const at of [0, 1, 2, 3, 4, 5]) expect(rime.runs.has(`job000${at}`)).toBe(true)
  expect(rime.cancelled).toEqual([])
  expect(runs()).toEqual(Array.from({ length: 12 }, () => 1))
  await context.tables.close()
})

test('of batches that are cut for a busy site those move that can', async () => {
  const jobs = grid(48).map((job, at) => ({ ...job, ...(at < 12 && { memoryBytes: 2000 }) }))
  const limits = async () => ({ planBelow: 2, refillBelow: 2, openMax: 2, arrayMax: 2, arraysMax: 9 })
  const { here, rime, context, runs } = await scene(jobs, () => ({ limits }))
  const onProgress = () => {
    if (here.runs.size === 36 || rime.looks() > 300) void rime.begin()
  }
  const report = await runCampaign({ ...context, site: small(context.site) }, { onProgress })
  expect(report.counts).toMatchObject({ succeeded: 48 })
  expect([here.runs.size, rime.runs.size]).toEqual([36, 12])
  expect(runs().every((count) => count === 1)).toBe(true)
  await context.tables.close()
})

test('it moves also when each look is a process of its own', async () => {
  const { here, rime, context, runs } = await scene(grid(24))
  let now = Date.UTC(2026, 0, 1)
  const clock = { ...systemClock, now: () => now, ticks: () => now }
  const seen: number[] = []
  for (let look = 0; look < 12; look++) {
    now += 600_000
    await runCampaign({ ...context, clock }, { once: true })
    seen.push(here.runs.size)
  }
  // Not at once: it takes some looks, however far they are apart.
  expect(seen.slice(0, 4)).toEqual([12, 12, 12, 12])
  expect(seen.at(-1)).toBe(24)
  expect(rime.cancelled.length).toBeGreaterThan(0)
  expect(runs().every((count) => count === 1)).toBe(true)
  await context.tables.close()
})
