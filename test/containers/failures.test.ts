import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { Place } from '../cli/place.ts'
import { type CampaignAt, type Following, openCampaignAt } from './campaign-at.ts'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'

/* What befalls jobs on a real Slurm, through `floe run` over SSH. Jobs note each start in a file, so that what ran twice is seen. */

const STARTS = '/scratch/alice/starts'
interface Wish {
  readonly id: string
  readonly script: string
  readonly setup?: string
  readonly resources?: { readonly memory?: string; readonly walltime?: string }
}
/** Jobs of sh that note their start. */
const jobsOf = (wishes: readonly Wish[], notes: string): object[] =>
  wishes.map(({ id, script, ...more }) => ({
    ...{ id, ...more, executable: '/bin/sh', arguments: ['-c', `echo "$FLOE_JOB $$" >>${notes}; ${script}`] },
  }))
/** Where the campaign of a deaf runner is alone, and what it notes. */
const DEAF_NODE = 'c3'
const DEAF_STARTS = '/scratch/alice/deaf'
const many = (name: string, count: number, script: string): Wish[] =>
  Array.from({ length: count }, (_, at) => ({ id: `${name}${String(at).padStart(2, '0')}`, script }))

interface Attempt {
  readonly job_id: string
  readonly try: number
  readonly verdict: string
  readonly class: string | null
  readonly rule: string
  readonly evidence: string
  readonly node: string | null
}

describeSite('failures on Slurm', { timeout: 300_000 }, () => {
  let site: SlurmSite
  /** A campaign whose task runs out of time while the other tests run: walltimes are whole minutes. */
  let deaf: { campaign: CampaignAt; following: Following } | undefined
  beforeAll(async () => {
    site = await startSlurm({
      nodes: 3,
      config: { MinJobAge: '5', SlurmdTimeout: '8', AuthInfo: 'cred_expire=10', UnkillableStepTimeout: '10' },
    })
    deaf = await startDeaf()
  })
  afterAll(async () => {
    deaf?.following.child.kill()
    deaf?.campaign.place.close()
    await site?.stop()
  })
  beforeEach(() => alice(`rm -f ${STARTS}`).then(() => {}))

  const alice = (script: string) => site.login.ask(script, 'alice')

  async function open(
    wishes: readonly Wish[],
    { notes = STARTS, ...rest }: { notes?: string; settings?: string; more?: string; place?: Place } = {},
  ): Promise<CampaignAt> {
    const campaign = await openCampaignAt(site, { connector: 'slurm', ...rest })
    campaign.place.jobs('jobs.ndjson', jobsOf(wishes, notes))
    await campaign.run('add', campaign.place.path('jobs.ndjson'))
    return campaign
  }
  const attempts = (campaign: CampaignAt) =>
    campaign.query<Attempt>('select * from attempts where not superseded order by job_id, try')
  const show = async (campaign: CampaignAt, job: string) => (await campaign.run('show', job)).stdout
  /** Starts of each job that has one. */
  async function starts(name: string, notes = STARTS): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    for (const [, job] of (await alice(`cat ${notes} 2>/dev/null; :`)).matchAll(/^(\S+) \d+$/gm))
      if (job!.startsWith(name)) counts.set(job!, (counts.get(job!) ?? 0) + 1)
    return counts
  }
  const running = (name: string, count: number, notes = STARTS) =>
    until(async () => (await starts(name, notes)).size >= count, {
      what: `${count} jobs of ${name} run`,
      waitMs: 90_000,
    })
  const idOf = ({ place }: CampaignAt): string => JSON.parse(place.read('c/campaign.json')).id
  const directoryOf = (campaign: CampaignAt) => `/scratch/alice/floe/campaigns/${idOf(campaign)}/arrays/a000001`
  /** Tasks of a campaign that run. */
  async function tasks(campaign: CampaignAt): Promise<{ id: string; node: string }[]> {
    const lines = (await alice("squeue -h -r --me -t R -o '%j|%F_%K|%N'")).split('\n')
    return lines
      .filter((line) => line.startsWith(`floe-${idOf(campaign).slice(0, 8)}-`))
      .map((line) => {
        const [, task = '', node = ''] = line.split('|')
        return { id: task, node }
      })
  }

  it('over its memory or its walltime: ended by the runner, in that class', async () => {
    const grows = 'exec awk \'BEGIN { s = "ice of the arctic"; while (1) s = s s }\''
    const campaign = await open(
      [
        { id: 'grows', script: grows, resources: { memory: '64MB' } },
        { id: 'sleeps', script: 'sleep 600', resources: { walltime: '2s' } },
        ...many('small', 3, 'sleep 0.1'),
      ],
      { settings: 'policy: {memory: {tries: 1}, walltime: {tries: 1}}\nstop_when_failed: 1\n' },
    )
    const { stdout, stderr } = await campaign.follow().told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 3, failed: 2 })
    const [grown, slept] = await attempts(campaign)
    expect(grown).toMatchObject({ job_id: 'grows', verdict: 'failed', class: 'memory', evidence: 'record' })
    expect(await show(campaign, 'grows')).toMatch(/class memory[\s\S]*64/)
    expect(slept).toMatchObject({ job_id: 'sleeps', verdict: 'failed', class: 'walltime', evidence: 'record' })
    expect(await show(campaign, 'sleeps')).toMatch(/record +ran longer than its 2 s .*class walltime/)
  })

  it('its node gone: what had a verdict does not run again', async () => {
    const campaign = await open(many('gone', 12, 'sleep 2'), {
      settings: 'batch: {jobs: 4}\n',
      more: `    options: [--no-requeue, --exclude=${DEAF_NODE}]\n`,
    })
    const { told } = campaign.follow()
    await running('gone', 6)
    const held = await tasks(campaign)
    const { node } = held[0]!
    await site.machine(node).kill()
    const { stdout, stderr } = await told
    await site.machine(node).start()
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 12 })
    const all = await attempts(campaign)
    const lost = all.filter(({ class: why }) => why === 'node')
    expect(lost.length).toBeGreaterThan(0)
    for (const { verdict, rule, evidence } of lost) {
      expect({ verdict, evidence }).toEqual({ verdict: 'lost', evidence: 'accounting' })
      expect(rule).toMatch(/^its node failed \(NODE_FAIL/)
    }
    expect(await show(campaign, lost[0]!.job_id)).toMatch(/accounting its node failed \(NODE_FAIL.*class node/)
    const counts = await starts('gone')
    // Some had ended on the node that died; each of them started once.
    const before = all.filter((one) => one.verdict === 'succeeded' && one.node === node)
    expect(before.length).toBeGreaterThan(0)
    for (const { job_id } of before) expect(counts.get(job_id), job_id).toBe(1)
    // A job that had just started may be in no record yet: one for each task that the node held, no more.
    const twice = [...counts].filter(([, count]) => count > 1)
    expect(twice.length).toBeLessThanOrEqual(held.filter((task) => task.node === node).length)
    expect(twice.every(([, count]) => count === 2)).toBe(true)
  })

  it('a node on which nothing works: it is left out, and no job is blamed', async () => {
    const node = 'c1'
    // As /tmp of the node would be, full or without permission for anybody.
    const setup = `[ "$(hostname)" != ${node} ] || { echo "no module here" >&2; false; }`
    const wishes = many('elsewhere', 24, 'sleep 1').map((wish) => ({ ...wish, setup }))
    const campaign = await open(wishes, { settings: 'batch: {jobs: 2}\n' })
    const { stdout, stderr } = await campaign.follow().told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 24 })
    const all = await attempts(campaign)
    const barred = all.filter(({ verdict }) => verdict !== 'succeeded')
    for (const { class: why, rule } of barred) {
      expect(why).toBe('node')
      expect(rule).toMatch(/setup/)
    }
    expect(all.filter(({ verdict }) => verdict === 'succeeded').every((one) => one.node !== node)).toBe(true)
    const counts = await starts('elsewhere')
    expect([...counts.values()]).toEqual(Array(24).fill(1))
    // The node took as many tasks as it has cores before anything was heard of it, and none afterwards.
    expect(barred.length).toBeGreaterThan(0)
    expect(new Set(barred.map(({ job_id }) => job_id)).size).toBe(barred.length)
  })

  it('queued again by Slurm: what had a verdict does not run again, what ran does', async () => {
    const campaign = await open(many('again', 8, 'sleep 2'), { settings: 'batch: {jobs: 4}\n' })
    const { told } = campaign.follow()
    await running('again', 4)
    const [task] = await tasks(campaign)
    await site.login.ask(`scontrol requeue ${task!.id}`)
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 8 })
    const all = await attempts(campaign)
    expect(all.map(({ verdict }) => verdict)).toEqual(Array(8).fill('succeeded'))
    // Its runner was told, sealed, and gave back the job that ran: that one alone started twice. The task that Slurm began again left at once.
    const twice = [...(await starts('again'))].filter(([, count]) => count > 1)
    expect(twice.length).toBeLessThanOrEqual(1)
    expect(twice.every(([, count]) => count === 2)).toBe(true)
  })

  it('cancelled by hand: tasks give back what they run, and others take it', async () => {
    const campaign = await open(many('cancel', 16, 'sleep 3'), { settings: 'batch: {jobs: 4}\n' })
    const { told } = campaign.follow()
    await running('cancel', 4)
    const [task] = await tasks(campaign)
    await alice(`scancel ${task!.id}`)
    await running('cancel', 8)
    await alice(`scancel ${task!.id.replace(/_.*/, '')}`)
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 16 })
    const counts = [...(await starts('cancel'))]
    expect(counts.length).toBe(16)
    // A task that is told to end gives back the job that ran, and one that began between that job's end and its own TERM.
    expect(counts.filter(([, count]) => count > 1).length).toBeLessThanOrEqual(2 * 4)
    expect((await attempts(campaign)).map(({ verdict }) => verdict)).toEqual(Array(16).fill('succeeded'))
  })

  it('the controller restarted while floe asks it', async () => {
    const campaign = await open(many('restart', 12, 'sleep 4'), { settings: 'batch: {jobs: 4}\n' })
    const { told } = campaign.follow()
    await running('restart', 3)
    // Younger jobs would be forgotten.
    await site.controller.ask('sleep 6')
    await site.controller.kill()
    await site.controller.start()
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 12 })
    await onceEach(campaign)
  })

  it('submitted by hand as well: no job runs twice, whoever is first', async () => {
    // Time for a hand to be faster.
    const campaign = await open(many('doubled', 8, 'sleep 2'), {
      settings: 'batch: {jobs: 2}\n',
      more: '    options: [--begin=now+8]\n',
    })
    const { told } = campaign.follow()
    const directory = directoryOf(campaign)
    const own = await until(async () => (await site.login.run(`cat ${directory}/id`, 'alice')).stdout.trim(), {
      what: 'floe submitted',
    })
    const byHand = (nonce: string) =>
      alice(`cd ${directory} && name=$(squeue -h -j ${own} -o %j | head -n 1) && sed "s/$(cat tried)/${nonce}/g" script |
        sbatch --parsable --job-name="$name" --array=0-3 --chdir=/ --output=/dev/null --export=NONE --time=60`)
    const first = await byHand('first-by-hand')
    await running('doubled', 4)
    const late = await byHand('late-by-hand')
    const { stdout, stderr } = await told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 8, failed: 0 })
    await onceEach(campaign)
    expect(await show(campaign, 'doubled07')).toContain(first)
    const natives = await campaign.query("select distinct native_id from attempts where verdict = 'succeeded'")
    expect(natives).toEqual([{ native_id: first }])
    const rows = [own, first, late].flatMap((id) => [0, 1, 2, 3].map((task) => `${id}_${task}|COMPLETED|0:0`))
    await until(
      async () =>
        (await alice(`sacct -n -X -P -j ${own},${first},${late} -o JobID,State,ExitCode`)).split('\n').sort().join() ===
        rows.sort().join(),
      { what: 'accounting has all three', waitMs: 60_000 },
    )
    await onceEach(campaign)
  })

  /** A runner that hangs in a file system, so that it neither drains nor hears a signal. */
  async function startDeaf() {
    const long = `[ -e ${DEAF_STARTS}.again ] || { touch ${DEAF_STARTS}.again; sleep 600; }`
    const wishes = [...many('deaf-a', 2, 'sleep 0.5'), { id: 'deaf-b', script: long }, ...many('deaf-c', 2, 'true')]
    const campaign = await open(wishes, {
      ...{ notes: DEAF_STARTS, place: new Place() },
      settings: 'batch: {jobs: 5}\n',
      more: `    options: [--nodelist=${DEAF_NODE}]\n    task: {walltime: 1m}\n`,
    })
    const following = campaign.follow()
    await running('deaf-b', 1, DEAF_STARTS)
    // Nobody writes into it, so whoever opens it to read waits for ever.
    await alice(`sleep 1; mkfifo ${directoryOf(campaign)}/cancel`)
    return { campaign, following }
  }

  it('over the walltime of its task, deaf: ended by Slurm, class walltime by its accounts', async () => {
    const { campaign, following } = deaf!
    const { stdout, stderr } = await following.told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 5, failed: 0, lost: 0 })
    const all = await attempts(campaign)
    const before = all.filter(({ try: nth, verdict }) => nth === 1 && verdict === 'succeeded')
    expect(before.map(({ job_id }) => job_id)).toEqual(['deaf-a00', 'deaf-a01', 'deaf-c00', 'deaf-c01'])
    const [ended] = all.filter(({ verdict }) => verdict !== 'succeeded')
    expect(ended).toMatchObject({ job_id: 'deaf-b', verdict: 'failed', class: 'walltime', evidence: 'accounting' })
    expect(await show(campaign, 'deaf-b')).toMatch(
      /accounting the scheduler ended its task at its walltime \(TIMEOUT.*class walltime/,
    )
    // What came behind it went into a later array; the job itself was given more time.
    const [first, ...later] = await campaign.query<{ array_id: string; jobs: string; walltime: number }>(
      `select array_id, string_agg(job_id, ' ' order by job_id) as jobs, max(walltime_sec)::integer as walltime
       from attempts where verdict = 'succeeded' group by array_id order by array_id`,
    )
    expect(first!.jobs).toBe('deaf-a00 deaf-a01')
    expect(later.map(({ jobs }) => jobs).sort()).toEqual(['deaf-b', 'deaf-c00 deaf-c01'])
    expect(later.find(({ jobs }) => jobs === 'deaf-b')!.walltime).toBe(120)
    const counts = [...(await starts('deaf', DEAF_STARTS))].sort()
    expect(counts).toEqual([
      ['deaf-a00', 1],
      ['deaf-a01', 1],
      ['deaf-b', 2],
      ['deaf-c00', 1],
      ['deaf-c01', 1],
    ])
    expect(await alice('sacct -n -X -P -o State')).toContain('TIMEOUT')
  })

  async function onceEach(campaign: CampaignAt): Promise<void> {
    const jobs = await campaign.query<{ job_id: string }>('select job_id from jobs order by 1')
    const counts = await starts(jobs[0]!.job_id.replace(/\d+$/, ''))
    expect([...counts].sort()).toEqual(jobs.map(({ job_id }) => [job_id, 1]))
  }
})
