import { afterAll, beforeAll, expect, it } from 'vitest'
import { Place } from '../cli/place.ts'
import { openCampaignAt } from './campaign-at.ts'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { dataNodesOn, type HdfsSite, startHdfs } from './hdfs.ts'
import { until } from './machine.ts'

/* A cluster whose six nodes, of two slots each, are data nodes on three racks: where tasks run, and what was read from where. */

const NODES = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6']
const FILES = 60
const FILE_BYTES = 1_000_000

describeSite('tasks beside their data', { timeout: 600_000 }, () => {
  let hdfs: HdfsSite
  let slurm: SlurmSite
  beforeAll(async () => {
    ;[hdfs, slurm] = await Promise.all([
      startHdfs({ dataNodes: 0 }),
      startSlurm({ nodes: NODES.length, cpus: 2, accounting: false }),
    ])
    await dataNodesOn(slurm, NODES, hdfs)
    await hdfs.nameNode.ask(`mkdir /tmp/in && cd /tmp/in
      for at in $(seq ${FILES}); do head -c ${FILE_BYTES} /dev/urandom >"$at.bin"; done
      /start.sh fs -mkdir -p /data && /start.sh fs -put /tmp/in/* /data/`)
  })
  afterAll(async () => {
    // Its name node is on the network of the other.
    await hdfs?.stop()
    await slurm?.stop()
  })

  /** A campaign of a job a file, of which two make a task. */
  async function open(place: Place, script: string) {
    const authority = hdfs.url.replace('webhdfs://', '')
    const more = `    data_nodes_of: [${authority}]
hdfs:
  namenode: {user: alice, hosts: ${JSON.stringify(hdfs.hosts)}}
`
    const campaign = await openCampaignAt(slurm, { connector: 'slurm', more, place, settings: 'batch: {jobs: 2}\n' })
    const files = Array.from({ length: FILES }, (_, at) => at + 1)
    const jobs = files.map((at) => ({
      data: { input: [`${hdfs.url}/data/${at}.bin`], output: [`sum/${at}`] },
      ...{ executable: 'sh', arguments: ['-c', script] },
    }))
    place.file('jobs.json', JSON.stringify(Object.fromEntries(jobs.map((job, at) => [`job${at + 1}`, job]))))
    expect(await campaign.run('add', place.path('jobs.json'))).toMatchObject({ status: 0 })
    return campaign
  }

  it('run where their inputs lie, and say what was read from where', async () => {
    const place = new Place()
    try {
      const campaign = await open(place, 'cksum <"$FLOE_INPUT_1" >"$FLOE_OUTPUT_1"')
      const plan = JSON.parse((await campaign.run('plan', '--site', 'frost', '--json')).stdout)
      expect(plan).toMatchObject({ tasks: FILES / 2, bytes_to_nodes: FILES * FILE_BYTES })
      expect(plan.bytes_local + plan.bytes_rack + plan.bytes_remote).toBe(FILES * FILE_BYTES)
      const { stdout, stderr } = await campaign.follow().told
      expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: FILES, failed: 0, lost: 0 })
      const [read] = await campaign.query<{ here: number; all: number }>(
        'select sum(bytes_local)::double as here, sum(bytes_local + bytes_rack + bytes_remote)::double as "all" from attempts',
      )
      expect(read!.all).toBe(FILES * FILE_BYTES)
      // Each file lies on two of six nodes; tasks at random would find a third beside them. Some come too late on a busy machine.
      expect(read!.here).toBeGreaterThan((read!.all * 2) / 3)
      console.log(`${read!.here} of ${read!.all} bytes were read from the own node`)
      const shown = JSON.parse((await campaign.run('show', 'job1', '--json')).stdout)
      expect(shown.attempts).toMatchObject([{ verdict: 'succeeded', evidence: 'record' }])
    } finally {
      place.close()
    }
  })

  it('lose nothing and run once when a node dies with its claims', async () => {
    const place = new Place()
    try {
      const campaign = await open(place, 'sleep 3; cksum <"$FLOE_INPUT_1" >"$FLOE_OUTPUT_1"')
      const { told } = campaign.follow()
      await until(async () => (await slurm.login.ask('squeue -h -t R -w c6 -o %i')) !== '', {
        what: 'a task runs on c6',
      })
      await slurm.machine('c6').kill()
      // Slurm sends what was there again after two minutes; an administrator may say: now.
      const sent = 'squeue -h -r -t PD -o "%i %r" | sed -n "s/ BeginTime$//p"'
      const again = await until(() => slurm.login.ask(sent), { what: 'tasks of c6 are to run again', waitMs: 180_000 })
      await slurm.controller.ask(
        again
          .split('\n')
          .map((id) => `scontrol update JobId=${id} StartTime=now`)
          .join('\n'),
      )
      const { stdout, stderr } = await told
      expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: FILES, failed: 0, lost: 0 })
      expect(
        await campaign.query('select count(*)::int as n, count(distinct job_id)::int as jobs from results'),
      ).toEqual([{ n: FILES, jobs: FILES }])
    } finally {
      place.close()
    }
  })
})
