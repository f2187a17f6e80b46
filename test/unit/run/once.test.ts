import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { type RunContext, runCampaign } from '../../../src/run/run.ts'
import { madeCampaign } from '../../fakes/campaign.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

/* `run --once` from cron: each look is a process of its own. */

const EVERY_MS = 600_000

/** A campaign whose first task vanishes at its job, and a scheduler that lists nothing of it. */
async function vanished() {
  let vanished = false
  const scripted = scriptedConnector(() => {
    if (vanished) return {}
    vanished = true
    return 'vanish'
  })
  let now = Date.UTC(2026, 0, 1)
  const clock = { ...systemClock, now: () => now, ticks: () => now }
  const made = await madeCampaign([{ id: 'job0', outputs: ['o'] }], { ...scripted, status: async () => [] })
  const context: RunContext = { ...made, clock }
  const lost = async () => {
    await context.tables.view('attempts')
    return (await context.tables.sql.rows("from attempts where verdict = 'lost'")).length
  }
  return {
    context,
    lost,
    async look(afterMs = EVERY_MS) {
      now += afterMs
      await runCampaign(context, { once: true })
    },
  }
}

test('a task that is missing is given up after some looks, not at once and not never', async () => {
  const { context, look, lost } = await vanished()
  const seen: number[] = []
  for (let call = 0; call < 8; call++) {
    await look()
    seen.push(await lost())
  }
  // Submitted and missed, missed for three more looks, given up.
  expect(seen).toEqual([0, 0, 0, 1, 1, 1, 1, 1])
  expect((await runCampaign(context, {})).counts).toMatchObject({ succeeded: 1 })
  await context.tables.close()
})

test('what is kept of it may be deleted, which only delays', async () => {
  const { context, look, lost } = await vanished()
  for (let call = 0; call < 6; call++) {
    await look()
    rmSync(`${context.paths.cache}/looks.local.json`, { force: true })
  }
  expect(await lost()).toBe(0)
  for (let call = 0; call < 4; call++) await look()
  expect(await lost()).toBe(1)
  await context.tables.close()
})

test('a clock that jumps between two looks gives up nothing', async () => {
  const { context, look, lost } = await vanished()
  await look()
  await look(24 * 3_600_000)
  await look(-48 * 3_600_000)
  expect(await lost()).toBe(0)
  await context.tables.close()
})
