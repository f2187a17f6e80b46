import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Place } from '../cli/place.ts'
import { type CampaignAt, openCampaignAt } from './campaign-at.ts'
import { startGridEngine, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import type { Site } from './site.ts'

/* The campaign of the demo on real clusters over SSH. Nothing is installed there: floe brings its own Node and runner. */

const WINDS = join(import.meta.dirname, '../../jobs/examples/winds/jobs.yaml')
/** Two that do not succeed, beside the 1,056 that do. */
const FAILING = [
  { id: 'exits', executable: '/bin/sh', arguments: ['-c', 'echo "no ice" >&2; exit 7'], data: { output: ['no.csv'] } },
  { id: 'unchecked', executable: '/bin/sh', arguments: ['-c', 'echo a > made.txt'], check: 'test -s other' },
]
/** Rows as they are on any site: without times, places, and what packs jobs into tasks. */
const ROWS = [
  'select * exclude (output) from merged order by job_id',
  `select job_id, job_key, revision, try, job_digest, verdict, class, rule, evidence, next, superseded, exit_code, signal,
     cpus, memory_bytes, walltime_sec, reused_from from attempts order by job_id, try`,
  `select job_digest, job_id, job_key, revision, output, pack, offset_bytes, size_bytes, digest, "check" from results
     order by job_id, output`,
]

const SITES: readonly { name: string; connector: 'slurm' | 'sge'; start: () => Promise<Site>; asks: string }[] = [
  {
    name: 'Slurm with accounting',
    connector: 'slurm',
    start: () => startSlurm({ nodes: 2 }),
    asks: 'sacct -X -n -o JobID | grep -c .',
  },
  {
    name: 'Slurm as shipped, which keeps no accounts',
    connector: 'slurm',
    start: () => startSlurm({ nodes: 1, accounting: false, limits: 'shipped' }),
    asks: 'squeue -h -r -t all -o %i | grep -c .',
  },
  {
    name: 'Grid Engine',
    connector: 'sge',
    start: () => startGridEngine(),
    asks: 'qacct -o alice -j "*" | grep -c ^taskid',
  },
]

describeSite('the campaign of the demo', { timeout: 300_000 }, () => {
  const here = new Place()
  const local: string[] = []
  let file = ''

  beforeAll(async () => {
    file = here.jobs('failing.ndjson', FAILING).path('failing.ndjson')
    await here.run(['init', 'here'])
    await here.run(['-C', 'here', 'add', WINDS, file])
    expect(await here.json('-C', 'here', 'run')).toMatchObject({ succeeded: 1056, failed: 2, merged_rows: 1056 })
    for (const sql of ROWS) local.push((await here.run(['-C', 'here', 'query', sql, '--csv'])).stdout)
    expect(local.map((rows) => rows.trimEnd().split('\n').length)).toEqual([1057, 1059, 1057])
  }, 300_000)
  afterAll(() => here.close())

  for (const { name, connector, start, asks } of SITES) {
    it(`has the rows of this machine on ${name}`, async () => {
      const site = await start()
      try {
        const campaign = await openCampaignAt(site, { connector })
        await campaign.run('add', WINDS, file)
        const { told } = campaign.follow()
        const { stdout, stderr } = await told
        expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 1056, failed: 2, merged_rows: 1056 })
        expect(await rowsOf(campaign)).toEqual(local)
        await everyTaskOnce(campaign, { asked: Number(await site.login.ask(asks, 'alice')) })
        const again = await campaign.run('run', '--site', 'frost', '--json')
        expect(JSON.parse(again.stdout)).toMatchObject({ succeeded: 1056, decided: { succeeded: 0, failed: 0 } })
      } finally {
        await site.stop()
      }
    })
  }
})

async function rowsOf(campaign: CampaignAt): Promise<string[]> {
  const rows: string[] = []
  for (const sql of ROWS) rows.push((await campaign.run('query', sql, '--csv')).stdout)
  return rows
}

/** What the scheduler ran is what floe knows of, and each node was used. */
async function everyTaskOnce(campaign: CampaignAt, { asked }: { asked: number }): Promise<void> {
  const [found] = await campaign.query<{ tasks: number; again: number }>(
    `select count(distinct array_id || ' ' || task)::integer as tasks, max(task_attempt)::integer as again
     from attempts where site = 'frost'`,
  )
  expect(found).toEqual({ tasks: asked, again: 1 })
}
