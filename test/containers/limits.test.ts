import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CampaignAt, openCampaignAt } from './campaign-at.ts'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { deafen } from './deaf.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'

/* What a Slurm has too little of: time of a task, space on scratch. */

interface Attempt {
  readonly verdict: string
  readonly array_id: string
  readonly rule: string
}

describeSite('limits of a Slurm', { timeout: 400_000 }, () => {
  let site: SlurmSite
  beforeAll(async () => {
    site = await startSlurm({ nodes: 1, scratchMb: 300, config: { MinJobAge: '5' } })
  })
  afterAll(() => site?.stop())

  async function open(jobs: readonly object[], more = ''): Promise<CampaignAt> {
    const campaign = await openCampaignAt(site, { connector: 'slurm', settings: 'batch: {jobs: 6}\n', more })
    campaign.place.jobs('jobs.ndjson', jobs)
    await campaign.run('add', campaign.place.path('jobs.ndjson'))
    return campaign
  }
  const sleeping = (name: string, count: number, sec: number | string) =>
    Array.from({ length: count }, (_, at) => ({
      ...{ id: `${name}${at}`, executable: '/bin/sh' },
      arguments: ['-c', `echo "$FLOE_JOB" >>/scratch/alice/starts; sleep ${sec} 0`],
    }))
  const starts = async (name: string): Promise<string[]> =>
    (await site.login.ask('cat /scratch/alice/starts 2>/dev/null; :')).split('\n').filter((job) => job.startsWith(name))

  it('over its walltime: ended by Slurm where the runner does not hear, drained before it where it does', async () => {
    const minute = '    task: {walltime: 1m}\n'
    // It sleeps for as long as it takes the first time, and not at all the second.
    const jobs = sleeping('deaf', 2, '$([ "$(grep -c "$FLOE_JOB" /scratch/alice/starts)" -gt 1 ] || echo 300)')
    const deaf = (await open(jobs, minute)).follow()
    await until(async () => (await starts('deaf')).length > 0, { what: 'a job runs', waitMs: 60_000 })
    expect(await deafen(site.machine('c1'))).toBe(1)
    const drains = (await open(sleeping('drains', 5, 15), minute)).follow()

    const drained = await drains.told
    expect(JSON.parse(drained.stdout || '{}'), drained.stderr).toMatchObject({ succeeded: 5 })
    const all = await drains.campaign.query<Attempt>('select * from attempts order by job_id')
    expect(all.map(({ verdict }) => verdict)).toEqual(Array(5).fill('succeeded'))
    expect(new Set(all.map(({ array_id }) => array_id)).size).toBe(2)
    // What the end of the task cut short began once more.
    expect((await starts('drains')).length).toBeLessThanOrEqual(6)

    const ended = await deaf.told
    expect(JSON.parse(ended.stdout || '{}'), ended.stderr).toMatchObject({ succeeded: 2 })
    const [first, again] = await deaf.campaign.query<Attempt>(
      "select * from attempts where job_id = 'deaf0' order by try",
    )
    expect(first).toMatchObject({ verdict: 'failed', class: 'walltime', evidence: 'accounting', next: 'retry' })
    expect(first!.rule).toMatch(/^the scheduler ended its task at its walltime \(TIMEOUT/)
    expect(again).toMatchObject({ verdict: 'succeeded', try: 2 })
    const { stdout } = await deaf.campaign.run('show', 'deaf0')
    expect(stdout).toMatch(/accounting the scheduler ended its task at its walltime \(TIMEOUT.*class walltime/)
  })

  it('no space left on scratch: says so, and goes on when there is', async () => {
    const campaign = await open(
      Array.from({ length: 12 }, (_, at) => ({
        ...{ id: `fills${at}`, executable: '/bin/sh', data: { output: [`fill/${at}`] } },
        arguments: ['-c', `sleep 1; head -c 100000 /dev/zero >fill${at} && mkdir -p fill && mv fill${at} fill/${at}`],
      })),
    )
    const { told } = campaign.follow()
    await until(async () => (await site.login.run('ls /scratch/alice/floe/campaigns/*/outputs/fill/0')).exit === 0, {
      what: 'a job has ended',
      waitMs: 60_000,
    })
    await site.login.run('cat /dev/zero >/scratch/filler')
    const full = await told
    await site.login.ask('rm /scratch/filler')
    console.log(
      full,
      await campaign.query('select job_id, try, verdict, class, rule, evidence from attempts order by 1'),
      (await campaign.run('show', 'fills3')).stdout,
    )
    const after = await campaign.follow().told
    console.log(after)
    expect(JSON.parse(after.stdout || '{}'), after.stderr).toMatchObject({ succeeded: 12 })
  })
})
