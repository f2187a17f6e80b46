import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { count, floe, type Ground, jobsFor, peaks, seconds } from './ground.ts'
import { makeHalfRun, runBeside } from './half-run.ts'
import { type Measured, measure } from './measure.ts'

/** A coordinator is killed in the middle of a campaign, and all that this machine keeps beside the tables is gone: one look of the next. */
export async function benchRecovery(ground: Ground): Promise<void> {
  const jobs = jobsFor(ground, 1_500_000)
  ground.tell(`making a campaign of ${count(jobs)}, half done`)
  const half = await makeHalfRun(ground, { name: 'recovered', jobs, sleepSec: 100_000 })
  const found: Measured[] = []
  try {
    for (let turn = 0; turn < ground.turns; turn++) {
      const run = await runBeside(ground, half)
      try {
        process.kill(run.pid, 'SIGKILL')
        rmSync(join(half.campaign, '.floe'), { recursive: true, force: true })
        // Some of its jobs have failed for good.
        found.push(await measure({ argv: floe(ground, half.campaign, ['run', '--once', '--quiet']), exits: [0, 3] }))
      } finally {
        await run.stop()
      }
    }
  } finally {
    rmSync(half.campaign, { recursive: true, force: true })
  }
  ground.print({
    ...{ work: `run --once after kill -9 and rm -rf .floe, ${count(jobs)}, half done`, unit: 's' },
    ...{ ours: seconds(found), baseline: [], baselineName: null, must: { of: 'value', most: 15 } },
    note: `${(Math.max(...peaks(found)) / 1e6).toFixed(0)} MB at its most`,
  })
}
