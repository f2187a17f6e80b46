import { afterAll, beforeAll, expect, it } from 'vitest'
import { openCampaignAt } from './campaign-at.ts'
import { type GridEngineSite, startGridEngine } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'

/* What the tests of connectors take for granted of the Grid Engine in containers. */

describeSite('Grid Engine', () => {
  let site: GridEngineSite
  beforeAll(async () => {
    site = await startGridEngine()
  })
  afterAll(() => site?.stop())

  const alice = (script: string) => site.login.ask(`cd /scratch/alice && ${script}`, 'alice')
  const submit = (script: string, options = '') =>
    alice(`echo '${script}' | qsub -terse -cwd -j y -o out. ${options}`).then((text) => text.split('.')[0]!)
  /** Task → failed, exit_status. */
  const ended = (id: string, count: number) =>
    until(
      async () => {
        const { stdout } = await site.login.run(`qacct -j ${id}`, 'alice')
        const found = [...stdout.matchAll(/^taskid +(\w+)[\s\S]*?^failed +(.*?) *$[\s\S]*?^exit_status +(\d+)/gm)]
        return found.length === count && new Map(found.map(([, task, failed, exit]) => [task!, `${failed}, ${exit}`]))
      },
      { what: `qacct knows ${count} tasks` },
    )

  it('runs each task of an array once, on several nodes, with a scratch that all share', async () => {
    const id = await submit('hostname > ran.$SGE_TASK_ID; test $SGE_TASK_ID != 2 || exit 7', '-t 1-40')
    const tasks = await ended(id, 40)
    expect(tasks.get('1')).toBe('0, 0')
    expect(tasks.get('2')).toBe('0, 7')
    expect(new Set((await alice('cat ran.*')).split('\n')).size).toBe(2)
    expect(await site.machine('c2').ask('ls /scratch/alice | grep -c ran.')).toBe('40')
  })

  it('shows waiting and running tasks as XML, and accounts for deleted ones', async () => {
    const id = await submit('sleep 60', '-t 1-30 -tc 2')
    const xml = await until(
      async () => {
        const text = await alice('qstat -xml')
        return text.match(/<state>r<\/state>/g)?.length === 2 && text
      },
      { what: 'two tasks run' },
    )
    expect(xml).toContain('<tasks>3-30:1</tasks>')
    await alice(`qdel ${id}`)
    const tasks = await ended(id, 2)
    expect([...tasks.values()]).toEqual(Array(2).fill('100 : assumedly after job, 137'))
    expect((await site.login.run(`qstat -j ${id}`, 'alice')).exit).toBe(1)
  })

  it('knows a queue with a time limit, and ends what exceeds its own', async () => {
    expect(await alice('qconf -sq short.q')).toMatch(/^h_rt +00:05:00$/m)
    const id = await submit('sleep 600', '-l h_rt=3')
    // Which of the two daemons looks first decides what is said.
    expect([...(await ended(id, 1)).values()][0]).toMatch(
      /^(100 : assumedly after job|37 +: qmaster enforced .*), 137$/,
    )
  })

  it('goes on after its master was killed', async () => {
    const id = await submit('sleep 4; touch after.$SGE_TASK_ID', '-t 1-4')
    await until(async () => (await alice('qstat -s r')).match(/ r /g)?.length === 4, { what: 'all tasks run' })
    await site.master.kill()
    expect((await site.login.run('timeout 5 qstat', 'alice')).exit).not.toBe(0)
    await site.master.start()
    const tasks = await ended(id, 4)
    expect([...tasks.values()]).toEqual(Array(4).fill('0, 0'))
    expect(await alice('ls after.*')).toBe('after.1\nafter.2\nafter.3\nafter.4')
  })

  it('keeps the tasks of a campaign from a node on which nothing works', async () => {
    const setup = '[ "$(hostname)" != c1 ] || { echo "no module here" >&2; false; }'
    const campaign = await openCampaignAt(site, { connector: 'sge', settings: 'batch: {jobs: 1}\n' })
    const { place } = campaign
    // More than run at once.
    const jobs = Array.from({ length: 36 }, (_, at) => ({
      id: `j${at}`,
      setup,
      executable: '/bin/sh',
      arguments: ['-c', 'echo "$FLOE_JOB" >>/scratch/alice/starts; sleep 1'],
    }))
    place.jobs('jobs.ndjson', jobs)
    await campaign.run('add', place.path('jobs.ndjson'))
    const { stdout, stderr } = await campaign.follow().told
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 36, failed: 0, lost: 0 })
    const rows = await campaign.query<{ node: string; class: string | null; rule: string; n: number }>(
      'select node, class, rule, count(*)::integer as n from attempts group by all order by node',
    )
    expect(rows).toEqual([
      {
        node: 'c1',
        class: 'node',
        rule: expect.stringMatching(/^the node could not work: setup .*no module here/),
        n: expect.any(Number),
      },
      { node: 'c2', class: null, rule: 'exit 0', n: 36 },
    ])
    expect(await alice('sort starts | uniq -d')).toBe('')
    // What was sent when that was known went elsewhere.
    const accounts = (await alice("qacct -o alice -j '*'")).split(/^=+$/m)
    const kept = accounts.filter((record) => /^category .*hostname=!\(c1\|c1\.\*\)/m.test(record))
    expect(kept.length).toBeGreaterThan(0)
    expect(kept.map((record) => /^hostname +(\S+)/m.exec(record)?.[1])).toEqual(kept.map(() => 'c2'))
  })
})
