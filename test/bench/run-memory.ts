import { rmSync } from 'node:fs'
import { count, type Ground, jobsFor } from './ground.ts'
import { makeHalfRun, runBeside } from './half-run.ts'
import { residentBytes } from './measure.ts'

const STEADY_SEC = 20

/**
 * Live memory of `floe run` by the size of the campaign. Both runs have half of their jobs done and the other half planned, two at work that
 * sleep. The smallest resident size of the coordinator over some seconds is taken, so that garbage not yet collected counts little.
 */
export async function benchMemory(ground: Ground): Promise<void> {
  const [small, large] = [jobsFor(ground, 150_000), jobsFor(ground, 1_500_000)]
  const [slopes, least, peaks]: [number[], number[], number[]] = [[], [], []]
  for (let turn = 0; turn < Math.min(2, ground.turns); turn++) {
    const before = await liveBytes(ground, small)
    const after = await liveBytes(ground, large)
    slopes.push((after.live - before.live) / (large - small))
    least.push(after.live)
    peaks.push(after.peak)
  }
  const mega = (values: readonly number[]) => `${(Math.max(...values) / 1e6).toFixed(0)} MB`
  ground.print({
    work: `live memory of run, a job from ${count(small)} to ${count(large)}, half done`,
    unit: 'bytes',
    ours: slopes,
    baseline: [],
    baselineName: null,
    must: { of: 'value', most: 200 },
    note: `least resident size in ${STEADY_SEC} s of looking; ${mega(least)} at ${count(large)}, ${mega(peaks)} at its most`,
  })
}

async function liveBytes(ground: Ground, jobs: number): Promise<{ live: number; peak: number }> {
  ground.tell(`making a campaign of ${count(jobs)}, half done`)
  const half = await makeHalfRun(ground, { name: 'half', jobs, sleepSec: 100_000 })
  const run = await runBeside(ground, half)
  try {
    let live = Number.POSITIVE_INFINITY
    const until = performance.now() + (ground.shrink > 1 ? 1 : STEADY_SEC) * 1000
    while (performance.now() < until) {
      live = Math.min(live, residentBytes(run.pid))
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    if (run.isOver()) throw new Error(`floe run ended early: ${run.stderr().trim()}`)
    return { live, peak: residentBytes(run.pid, 'VmHWM') }
  } finally {
    await run.stop()
    rmSync(half.campaign, { recursive: true, force: true })
  }
}
