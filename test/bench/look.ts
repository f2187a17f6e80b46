import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { count, floe, type Ground, interleave, jobsFor, seconds } from './ground.ts'
import { dropCache, makeHalfRun, runBeside } from './half-run.ts'
import { measure } from './measure.ts'

/** Verbs that look, on a campaign that is half done, while a run starts jobs, reads records and publishes. */
export async function benchLook(ground: Ground): Promise<void> {
  const jobs = jobsFor(ground, 1_500_000)
  ground.tell(`making a campaign of ${count(jobs)}, half done`)
  const half = await makeHalfRun(ground, { name: 'half', jobs, sleepSec: ground.shrink > 1 ? 0.5 : 0.01 })
  const { campaign } = half
  const run = await runBeside(ground, half)
  try {
    const verb = (...line: string[]) => ({
      before: () => dropCache(campaign),
      call: () => ({ argv: floe(ground, campaign, line) }),
    })
    const tried = `job${Math.floor(jobs / 2 / 20) * 20 - 20}`
    const { status, show, list, node } = await interleave(ground.turns * 3, {
      status: verb('status'),
      show: verb('show', tried),
      list: verb('jobs', '--state', 'failed', '--limit', '50'),
      node: { call: () => ({ argv: [process.execPath, '-e', '0'] }) },
    })
    const program = join(ground.programs, 'warm-status.js')
    const warm = await measure({
      argv: [process.execPath, program, join(ground.root, 'dist', 'floe.js'), campaign, '50'],
    })
    if (run.isOver()) throw new Error(`floe run ended before the measurement did: ${run.stderr().trim()}`)
    const baseline = { unit: 's' as const, baseline: seconds(node), baselineName: 'node -e 0' }
    const most = (value: number) => ({ of: 'value' as const, most: value })
    const of = `of ${count(jobs)}, half done, while a run writes`
    ground.print({ work: `status ${of}`, ...baseline, ours: seconds(status), must: most(0.5) })
    ground.print({
      ...{ work: `status ${of}, in a warm process`, ...baseline, ours: JSON.parse(warm.stdout) as number[] },
      ...{ baseline: [], baselineName: null, must: most(0.02) },
    })
    ground.print({ work: `show ${tried} ${of}`, ...baseline, ours: seconds(show), must: most(1) })
    ground.print({ work: `jobs --state failed ${of}`, ...baseline, ours: seconds(list), must: most(1) })
  } finally {
    await run.stop()
    rmSync(campaign, { recursive: true, force: true })
  }
}
