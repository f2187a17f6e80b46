import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CampaignAt, openCampaignAt } from './campaign-at.ts'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'

/* Disks without room, on a real Slurm: the scratch that all share, and /tmp of one node. No job is blamed, each has one result. */

const SCRATCH_FILL = '/scratch/fill'

describeSite('full disks on Slurm', { timeout: 300_000 }, () => {
  let site: SlurmSite
  beforeAll(async () => {
    site = await startSlurm({ nodes: 3, scratchMb: 300, tmpMb: 1100, config: { MinJobAge: '5' } })
  })
  afterAll(() => site?.stop())

  const alice = (script: string) => site.login.ask(script, 'alice')
  const starts = async (name: string): Promise<string[]> =>
    (await alice(`cat /scratch/alice/${name}.starts 2>/dev/null; :`)).split('\n').filter(Boolean).sort()
  const running = (name: string, count: number) =>
    until(async () => new Set(await starts(name)).size >= count, { what: `${count} jobs of ${name} run` })
  const fillScratch = () => site.login.ask(`cat /dev/zero >${SCRATCH_FILL} 2>/dev/null; :`)

  /** Jobs that note their start, do something, and write an output of a megabyte. */
  async function open(
    name: string,
    { count, script, more = '' }: { count: number; script: string; more?: string },
  ): Promise<CampaignAt> {
    // There already, with room for its lines: where it is told on a full disk, that is no part of the job.
    await alice(`touch /scratch/alice/${name}.starts`)
    const campaign = await openCampaignAt(site, {
      ...{ connector: 'slurm', interval: '1s', settings: 'batch: {jobs: 4}\n', more },
    })
    const text = `echo "$FLOE_JOB" >>/scratch/alice/${name}.starts; ${script}; head -c 1000000 /dev/zero >"$FLOE_OUTPUT_1"`
    campaign.place.jobs(
      'jobs.ndjson',
      Array.from({ length: count }, (_, at) => ({
        ...{ id: `${name}${String(at).padStart(2, '0')}`, executable: '/bin/sh', arguments: ['-c', text] },
        data: { output: [`${name}/${at}.bin`] },
      })),
    )
    await campaign.run('add', campaign.place.path('jobs.ndjson'))
    return campaign
  }
  const classes = (campaign: CampaignAt) =>
    campaign.query<{ class: string }>('select distinct class from attempts where class is not null order by 1')
  async function oneResultEach(campaign: CampaignAt, count: number): Promise<void> {
    expect(
      await campaign.query(
        `select count(*)::integer as n, count(distinct job_id)::integer as jobs, min(size_bytes)::integer as bytes from results`,
      ),
    ).toEqual([{ n: count, jobs: count, bytes: 1_000_000 }])
  }

  it('the scratch, before anything is staged and while tasks run: said, and gone on with', async () => {
    const campaign = await open('scratch', { count: 24, script: 'sleep 1.5' })
    await fillScratch()
    const before = await campaign.run('run', '--site', 'frost')
    expect(before.status).toBe(1)
    expect(before.stderr).toMatch(/^floe: Could not .* alice@127\.0\.0\.1.*no space (is )?left on (the )?device/im)
    expect(before.stderr).toMatch(
      /^ {2}do +Free some space there \(`floe clean`\) and run again; what was carried stays\./m,
    )
    expect(await alice('sacct -n -X')).toBe('')
    await site.login.ask(`rm ${SCRATCH_FILL}`)

    const { told } = campaign.follow()
    await running('scratch', 8)
    await fillScratch()
    const { status, stderr, stdout } = await told
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(JSON.parse(stderr.trim().split('\n').at(-1)!)).toMatchObject({
      code: 'DISK_FULL',
      message: 'The scratch directory /scratch/alice of frost is full: No space left on device.',
      hint: expect.stringContaining('Make room there'),
    })
    const begun = new Set(await starts('scratch'))
    await site.login.ask(`rm ${SCRATCH_FILL}`)
    const again = await campaign.run('run', '--site', 'frost', '--json')
    expect(JSON.parse(again.stdout || '{}'), again.stderr).toMatchObject({ succeeded: 24, failed: 0, lost: 0 })
    await oneResultEach(campaign, 24)
    expect(await classes(campaign)).toEqual([{ class: 'node' }])
    // What ran again had begun before there was no room, and had no verdict.
    const all = await starts('scratch')
    const twice = all.filter((job, at) => all[at - 1] === job)
    for (const job of twice) expect(begun).toContain(job)
    expect(new Set(twice).size).toBe(twice.length)
  })

  it('/tmp of a node; and what a killed runner left there', async () => {
    await Promise.all([tmpFull(), runnerKilled()])
  })

  async function tmpFull(): Promise<void> {
    const campaign = await open('tmp', { count: 32, script: 'sleep 1.5', more: '    options: [--exclude=c1]\n' })
    const { told } = campaign.follow()
    await running('tmp', 6)
    await site.machine('c2').ask('cat /dev/zero >/tmp/fill 2>/dev/null; :')
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 32, failed: 0, lost: 0 })
    await oneResultEach(campaign, 32)
    expect(await classes(campaign)).toEqual([{ class: 'node' }])
    const met = await campaign.query<{ job_id: string; node: string; rule: string }>(
      "select job_id, node, rule from attempts where class = 'node' and started_at is not null",
    )
    expect(met.length).toBeGreaterThan(0)
    for (const { node, rule } of met) {
      expect(node).toBe('c2')
      expect(rule).toMatch(/^the node's disk is full: \S+ [kM]?B left of 1\.15 GB at \/tmp; exit/)
    }
    expect((await campaign.run('show', met[0]!.job_id)).stdout).toMatch(/the node's disk is full.*class node/)
  }

  async function runnerKilled(): Promise<void> {
    const node = site.machine('c1')
    const campaign = await open('killed', { count: 3, script: 'sleep 3', more: '    options: [--nodelist=c1]\n' })
    const { told } = campaign.follow()
    await running('killed', 1)
    const left = await until(() => node.ask('ls /tmp | grep ^floe-; :'), { what: 'its directory is there' })
    const [, pid] = /^floe-a000001-0\.1-(\d+)-\d+-[0-9a-f]{8}$/.exec(left)!
    await node.ask(`kill -9 ${pid}`)
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 3, failed: 0, lost: 0 })
    expect(await node.ask('ls /tmp | grep ^floe-; :')).toBe('')
  }
})
