import { expect, test } from 'vitest'
import type { ArraySpec, Connector } from '../../../connectors/connector.ts'
import { type RunContext, runCampaign } from '../../../src/run/run.ts'
import { beside, grid, type MadeJob, madeCampaign } from '../../fakes/campaign.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

/* Work that waits at one site while another one has room. */

/** A scheduler with a queue in which nothing moves; its tasks run when they are let. */
function queueing() {
  const scripted = scriptedConnector()
  const queued = new Map<string, ArraySpec>()
  const cancelled: number[] = []
  let looks = 0
  const connector: Connector = {
    ...scripted,
    async submit(array) {
      queued.set(array.name, array)
      return array.name
    },
    async status(arrays) {
      looks++
      const waiting = new Map([...arrays].filter(([id]) => !scripted.submitted.includes(id)))
      return [
        ...(await scripted.status(arrays)),
        ...[...waiting].flatMap(([id, count]) =>
          Array.from({ length: count }, (_, index) => ({ id, index, state: 'queued' as const, reason: null })),
        ),
      ]
    },
    async cancel(_, indices = []) {
      cancelled.push(...indices)
    },
  }
  return {
    ...{ connector, cancelled, runs: scripted.runs },
    looks: () => looks,
    /** Lets so many tasks of each array run. */
    async begin(tasks = Number.POSITIVE_INFINITY) {
      for (const array of queued.values()) await scripted.submit({ ...array, count: Math.min(tasks, array.count) })
    },
  }
}

async function scene(
  jobs: readonly MadeJob[],
  at: (site: RunContext['site']) => Partial<RunContext['site']> = () => ({}),
) {
  const [here, rime] = [scriptedConnector(), queueing()]
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

test('what could run nowhere else keeps its place', async () => {
  const jobs = grid(12).map((job, at) => ({ ...job, ...(at < 6 && { memoryBytes: 2000 }) }))
  const { rime, context, runs } = await scene(jobs)
  const misfit: RunContext['site']['misfit'] = async ({ memory_bytes }) => (memory_bytes ? 'too much' : undefined)
  const tight = { ...context, site: { ...context.site, misfit } }
  const onProgress = () => {
    if (rime.looks() > 90) void rime.begin()
  }
  expect((await runCampaign(tight, { onProgress })).counts).toMatchObject({ succeeded: 12 })
  for (const at of [0, 1, 2, 3, 4, 5]) expect(rime.runs.has(`job000${at}`)).toBe(true)
  expect(rime.cancelled).toEqual([])
  expect(runs()).toEqual(Array.from({ length: 12 }, () => 1))
  await context.tables.close()
})
