import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stateFacts } from '../../src/catalog/catalog.ts'
import { floe, freshCampaign, type Ground, withTables } from './ground.ts'
import { makeHalfDone } from './half-done.ts'
import { type Beside, beside, measure } from './measure.ts'

export interface HalfRun {
  readonly campaign: string
  readonly jobs: number
  readonly succeeded: number
}

/** A campaign in the middle of its run whose other half sleeps for `sleepSec` a job on two slots once `floe run` comes. */
export async function makeHalfRun(
  ground: Ground,
  { name, jobs, sleepSec }: { name: string; jobs: number; sleepSec: number },
): Promise<HalfRun> {
  const campaign = await freshCampaign(ground, name)
  writeFileSync(join(campaign, 'floe.yaml'), 'slots: 2\n')
  await withTables(campaign, async (tables) => {
    await makeHalfDone(tables, { jobs, publications: 20 })
    const [shown, files] = [await tables.view('jobs', undefined, 'made'), await tables.snapshot('files')]
    await tables.commit('jobs', {
      operation: 'sleep',
      remove: shown.parts,
      select: `SELECT * REPLACE ('/bin/sleep' AS executable, ['${sleepSec}'] AS arguments, [] AS inputs, [] AS input_names, [] AS outputs) FROM made`,
    })
    await tables.commit('files', { operation: 'need none', remove: files.parts })
    const before = await tables.view('batches', undefined, 'made_batches')
    const ended = "SELECT * FROM made_batches WHERE state = 'ended'"
    await tables.commit('batches', {
      operation: 'wait for a plan',
      remove: before.parts,
      select: ended,
      facts: await stateFacts(tables, { batches: ended }),
    })
  })
  const { succeeded } = await statusOf(ground, campaign)
  return { campaign, jobs, succeeded }
}

/** Starts `floe run` and waits until jobs of this run are at work. */
export async function runBeside(ground: Ground, { campaign, succeeded }: HalfRun): Promise<Beside> {
  const running = beside({ argv: floe(ground, campaign, ['run', '--quiet']) })
  try {
    for (;;) {
      if (running.isOver()) throw new Error(`floe run ended early: ${running.stderr().trim()}`)
      const now = await statusOf(ground, campaign)
      if (now.running > 0 || now.succeeded > succeeded) return running
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  } catch (error) {
    await running.stop()
    throw error
  }
}

/** Takes away this machine's cache, but for where a live SQL session spills to. */
export function dropCache(campaign: string): void {
  const cache = join(campaign, '.floe')
  for (const name of readdirSync(cache)) {
    if (!name.startsWith('spill-')) rmSync(join(cache, name), { recursive: true, force: true })
  }
}

async function statusOf(ground: Ground, campaign: string): Promise<{ running: number; succeeded: number }> {
  const { stdout } = await measure({ argv: floe(ground, campaign, ['status', '--json']) })
  return JSON.parse(stdout)
}
