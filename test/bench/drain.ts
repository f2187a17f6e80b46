import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SlurmSite, startSlurm } from '../containers/clusters.ts'
import { until } from '../containers/machine.ts'
import { sweep } from '../containers/owner.ts'
import { count, floe, freshCampaign, type Ground, jobsFor } from './ground.ts'
import { measure } from './measure.ts'
import { CALLS, CPUS, callsOf, countCalls, describeTo, type Followed } from './sites.ts'

/*
 * A million jobs that do nothing, given to a Slurm of the limits that it ships with: until all are submitted, and until all are done. Beside it
 * what somebody would write: a loop of sbatch, a thousand jobs each. Needs an engine for containers, and the better part of an hour.
 */

const JOBS_PER_BATCH = 1000

export async function benchDrain(ground: Ground): Promise<void> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  await sweep()
  ground.tell('starting a Slurm')
  const site = await startSlurm({ nodes: 1, cpus: CPUS, limits: 'shipped' })
  try {
    await countCalls(site)
    process.env.XDG_CONFIG_HOME = join(ground.scratch, 'config')
    await describeTo(process.env.XDG_CONFIG_HOME, site)
    await drain(ground, site)
  } finally {
    await site.stop()
  }
}

async function drain(ground: Ground, site: SlurmSite): Promise<void> {
  const jobs = jobsFor(ground, 1_000_000)
  const campaign = await freshCampaign(ground, 'drain')
  const file = join(ground.scratch, 'drain.ndjson')
  const job = (at: number) => `{"id":"j${at}","executable":"/bin/true","arguments":["${at}"]}\n`
  writeFileSync(file, Array.from({ length: jobs }, (_, at) => job(at)).join(''))
  await measure({ argv: floe(ground, campaign, ['add', file]) })
  await site.login.ask(`: >${CALLS}`)
  ground.tell('floe run --site frost')
  const program = join(ground.programs, 'follow-site.js')
  const { stdout, peakBytes } = await measure({
    argv: [process.execPath, program, join(ground.root, 'dist', 'floe.js'), campaign, 'frost', String(JOBS_PER_BATCH)],
    sampleMs: 1000,
  })
  const told = JSON.parse(stdout) as Followed
  if (told.succeeded !== jobs) throw new Error(`${told.succeeded} of ${jobs} jobs succeeded`)
  ground.tell(`commands: ${JSON.stringify(await callsOf(site))}`)
  ground.tell('a loop of sbatch')
  const byHand = await loop(site, jobs)
  const work = `${count(jobs)} jobs that do nothing, on Slurm over SSH`
  const none = { baseline: [], baselineName: null, must: { of: 'value' } } as const
  const each = {
    baselineName: `a loop of sbatch, ${JOBS_PER_BATCH} jobs each`,
    must: { of: 'ratio', most: 1 },
  } as const
  ground.print({
    ...{ work: `${work}: all submitted`, unit: 's', ours: [told.submittedSec ?? told.wallSec] },
    ...{ baseline: [byHand.submittedSec], ...each },
  })
  ground.print({
    ...{ work: `${work}: all done`, unit: 's', ours: [told.wallSec], baseline: [byHand.drainedSec], ...each },
  })
  ground.print({ work: `${work}: CPU of the coordinator`, unit: 's', ours: [told.cpuSec], ...none })
  ground.print({ work: `${work}: memory of the coordinator`, unit: 'bytes', ours: [peakBytes], ...none })
}

async function loop({ login }: SlurmSite, jobs: number): Promise<{ submittedSec: number; drainedSec: number }> {
  const tasks = Math.ceil(jobs / JOBS_PER_BATCH)
  const script = `#!/bin/sh\ni=0\nwhile [ $i -lt ${Math.min(jobs, JOBS_PER_BATCH)} ]; do /bin/true $i; i=$((i + 1)); done\n`
  await login.ask(`printf '%s' '${script}' >/scratch/alice/loop.sh`, 'alice')
  const started = performance.now()
  const sec = () => (performance.now() - started) / 1000
  // One core each: a job is one process.
  const submit = '/usr/bin/sbatch --parsable --cpus-per-task=1 --output=/dev/null /scratch/alice/loop.sh'
  await login.ask(`for i in $(seq ${tasks}); do ${submit} >/dev/null || exit 1; done`, 'alice')
  const submittedSec = sec()
  const isOver = async () => (await login.ask('/usr/bin/squeue -h --me | wc -l', 'alice')) === '0'
  await until(isOver, { what: 'all have ended', waitMs: 7_200_000, everyMs: 500 })
  return { submittedSec, drainedSec: sec() }
}
