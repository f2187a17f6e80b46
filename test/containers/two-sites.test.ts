import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPlace } from '../cli/place.ts'
import { openCampaignAt } from './campaign-at.ts'
import { type GridEngineSite, type SlurmSite, startGridEngine, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import type { Site } from './site.ts'

/* One campaign on two clusters at once: `frost`, of Slurm, and `rime`, of Grid Engine. */

const BOTH = ['--site', 'frost', '--site', 'rime']
const NAMES = Array.from({ length: 24 }, (_, at) => `j${at}`)

describeSite('one campaign on Slurm and Grid Engine', { timeout: 300_000 }, () => {
  let slurm: SlurmSite
  let gridengine: GridEngineSite

  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 1, accounting: false, limits: 'shipped' })
    gridengine = await startGridEngine({ nodes: 1 })
  }, 300_000)
  afterAll(async () => {
    await slurm?.stop()
    await gridengine?.stop()
  })

  async function campaign() {
    const place = openPlace()
    const settings = 'batch: {jobs: 2}\n'
    const at = await openCampaignAt(slurm, { connector: 'slurm', settings, place })
    const sites = { frost: await settingOf(slurm, 'slurm'), rime: await settingOf(gridengine, 'sge') }
    place.file('config/floe/sites.yaml', JSON.stringify({ sites }), 0o600)
    const jobs = NAMES.map((id) => ({
      ...{ id, executable: '/bin/sh', data: { output: [`${id}.txt`] } },
      arguments: ['-c', `echo ${id} >>/scratch/alice/began; echo ${id} >"$FLOE_OUTPUT_1"`],
    }))
    await at.run('add', place.jobs('jobs.ndjson', jobs).path('jobs.ndjson'))
    for (const { login } of [slurm, gridengine]) await login.ask('rm -f /scratch/alice/began', 'alice')
    return at
  }

  /** Each job began once, at one of them, and has one result. Answers how many began at each. */
  async function everyJobOnce(at: Awaited<ReturnType<typeof campaign>>): Promise<number[]> {
    const began = await Promise.all(
      [slurm, gridengine].map(async ({ login }) =>
        (await login.ask('cat /scratch/alice/began 2>/dev/null; :', 'alice')).split('\n').filter(Boolean),
      ),
    )
    expect(began.flat().sort()).toEqual([...NAMES].sort())
    const results = await at.query<{ job_id: string }>('select job_id from results order by 1')
    expect(results.map(({ job_id }) => job_id)).toEqual([...NAMES].sort())
    return began.map(({ length }) => length)
  }

  it('runs each job at one of them', async () => {
    const at = await campaign()
    const { stdout, stderr } = await at.run('run', ...BOTH, '--json')
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 24, unused: [], elsewhere: [] })
    expect(Math.min(...(await everyJobOnce(at)))).toBeGreaterThan(0)
  })

  it('moves what waits in a queue that stands still to the other', async () => {
    const at = await campaign()
    await gridengine.login.ask("qmod -d '*'")
    try {
      const { stdout, stderr } = await at.run('run', ...BOTH, '--json')
      expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 24, elsewhere: [] })
      expect(await everyJobOnce(at)).toEqual([24, 0])
      expect((await gridengine.login.ask('qstat -u alice', 'alice')).trim()).toBe('')
    } finally {
      await gridengine.login.ask("qmod -e '*'")
    }
  })
})

async function settingOf(site: Site, connector: 'slurm' | 'sge') {
  const { host, port, user, identityFile, knownHostsFile } = await site.ssh()
  return {
    ...{ connector, scratch: '/scratch/alice', interval: '1s' },
    ssh: { to: `${user}@${host}`, port, identity: identityFile, known_hosts: knownHostsFile, agent: 'none' },
  }
}
