import { expect, test } from 'vitest'
import { began, onceEach, open, openScene, type Scene, until, withWaits } from './scene.ts'

/* A node on which nothing works is free again at once: it would eat a whole campaign. */

/** Works everywhere but on these nodes. */
const failsOn = (...nodes: string[]) =>
  `case $SLURMD_NODENAME in ${nodes.join('|')}) echo no module called cdo >&2; false ;; esac`

async function scened(jobs: number, rest: object, nodes: readonly string[] = ['c3', 'c1', 'c2']): Promise<Scene> {
  const scene = await openScene('slurm', { slots: 1 })
  scene.fake.nodes = nodes
  withWaits(scene.place, { jobs, waits: false, ...rest })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  return scene
}

const submissions = ({ fake }: Scene) => fake.calls.filter(({ command }) => command === 'sbatch')

test('a node where setup fails is left out, by what waits too, and no job pays for it', async () => {
  const scene = await openScene('slurm', { slots: 1 })
  const { place, fake } = scene
  fake.nodes = ['c3', 'c1']
  withWaits(place, { jobs: 12, setup: failsOn('c3') })
  await scene.run(['add', place.path('jobs.ndjson')])
  // The good one is busy, so all the rest goes to the bad one.
  const run = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1', '--json'])
  await until('a job runs', () => Object.keys(began(place)).length > 0)
  await until('it is said', async () => {
    const { at_work } = await scene.json<{ at_work: { waiting: string | null } | null }>('status')
    return at_work?.waiting?.match(
      /^node c3 could not work: setup ended with exit 1: no module called cdo; \d+ tasks; left out for an hour$/,
    )
  })
  open(place)
  const { stderr, stdout } = await run.end
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toMatchObject({ succeeded: 12, failed: 0, lost: 0 })
  expect(began(place)).toEqual(onceEach(12))
  const rows = await scene.rows(
    `select distinct verdict, class, rule, next, node, started_at is null as unbegun from attempts where verdict <> 'succeeded'`,
  )
  expect(rows).toBe(
    'verdict,class,rule,next,node,unbegun\nlost,node,the node could not work: setup ended with exit 1: no module called cdo,retry,c3,true\n',
  )
  const last = submissions(scene).at(-1)!
  if (submissions(scene).length > 1) expect(last.words).toContain('--exclude=c3')
})

test('a job whose few tasks meet the bad node each time goes elsewhere in the end', async () => {
  const scene = await scened(1, { setup: failsOn('c3') })
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 1, lost: 0 })
  expect(submissions(scene).map(({ words }) => words.includes('--exclude=c3'))).toEqual([false, false, true])
  expect(await scene.rows('select try, verdict, next from attempts order by try')).toBe(
    'try,verdict,next\n1,lost,retry\n2,lost,retry\n3,succeeded,done\n',
  )
})

test.each(['pbs', 'sge'])('where no node can be left out what failed is sent again: %s', async (scheduler) => {
  const scene = await openScene(scheduler)
  const { place, fake } = scene
  // As of a file server that is away for a moment.
  const setup = `n=$(cat '${place.path('tries')}' 2>/dev/null || echo 0); echo $((n + 1)) >'${place.path('tries')}'; [ "$n" -ge 2 ]`
  withWaits(place, { jobs: 1, waits: false, setup })
  await scene.run(['add', place.path('jobs.ndjson')])
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 1, failed: 0, lost: 0 })
  expect(fake.jobs).toHaveLength(3)
  expect(await scene.rows('select try, class, next from attempts order by try')).toBe(
    'try,class,next\n1,node,retry\n2,node,retry\n3,,done\n',
  )
})

test('what shows on every node stops the run, with what the nodes said', async () => {
  const scene = await scened(6, { setup: 'echo no module called cdo >&2; false' })
  const { status, stderr } = await scene.run(['run', '--quiet', '--site', 'frost', '--jobs-per-batch', '1'])
  expect({ status, stderr }).toMatchInlineSnapshot(`
    {
      "status": 1,
      "stderr": "floe: The node c3 of frost could not work: setup ended with exit 1: no module called cdo. The same at c1, c2.
      do        Correct \`setup:\` of the jobs and add them again; when it is right, ask the site about its nodes. Nothing is lost.
    ",
    }
  `)
  expect(submissions(scene).length).toBeLessThan(4)
  expect(await scene.json('status')).toMatchObject({ pending: 6, failed: 0, lost: 0 })
})

test('a setup that fails where those of others work is the fault of its jobs', async () => {
  const scene = await openScene('slurm', { slots: 1 })
  const { place, fake } = scene
  fake.nodes = ['c1', 'c2', 'c3']
  withWaits(place, { jobs: 40, waits: false })
  await scene.run(['add', place.path('jobs.ndjson')])
  place.jobs('odd.ndjson', [
    { id: 'odd', executable: './wait.sh', arguments: ['odd'], data: { output: ['odd'] }, setup: 'false' },
  ])
  await scene.run(['add', place.path('odd.ndjson')])
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '2')).toMatchObject({
    succeeded: 40,
    failed: 1,
  })
  const rows = await scene.rows("select class, next from attempts where job_id = 'odd' order by try desc limit 1")
  expect(rows).toBe('class,next\nlaunch,give up\n')
})

test('each way in which a node cannot work is told, and no job pays for it', async () => {
  const ways: Readonly<Record<string, readonly [RegExp, (script: string) => string]>> = {
    b1: [/does not see DIR\/scratch\/floe\S+$/, (script) => script.replace('cd /', 'cd /none/')],
    b2: [
      /cannot write to DIR\/scratch\/floe\S+ \(FAILED, exit 73\)/,
      (script) => script.replace('>>tasks.log', '>>none/tasks.log'),
    ],
    b3: [
      /could not work: ENOTDIR.*\/etc\/passwd/,
      (script) => script.replace('#!/bin/sh', '#!/bin/sh\nTMPDIR=/etc/passwd/none; export TMPDIR'),
    ],
    b4: [/ends tasks before they begin \(FAILED, exit 127\)/, (script) => script.replace('exec /', 'exec /none/')],
  }
  const scene = await scened(10, {}, [...Object.keys(ways), 'c1'])
  scene.fake.noise.onNode = (script, node) => ways[node]?.[1](script) ?? script
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '1')).toMatchObject({ succeeded: 10, lost: 0 })
  const rows = await scene.rows(
    "select node, class, bool_and(started_at is null) as unbegun, min(rule) as rule from attempts where verdict <> 'succeeded' group by all order by node",
  )
  const told = scene.place.masked(rows).trim().split('\n').slice(1)
  expect(told).toEqual(
    Object.entries(ways).map(([node, [why]]) => expect.stringMatching(`^${node},node,true,"?the node ${why.source}`)),
  )
})

test('a scratch on which no node can write stops the run, and show says what came of its tasks', async () => {
  const scene = await scened(2, {})
  scene.fake.noise.onNode = (script) => script.replace('>>tasks.log', '>>none/tasks.log')
  const { status, stderr } = await scene.run(['run', '--site', 'frost', '--jobs-per-batch', '1'])
  expect(status).toBe(1)
  expect(scene.place.masked(stderr)).toMatch(
    /^floe: The node c\d of frost cannot write to DIR\/scratch\/floe\/campaigns\/UUID\/arrays \(FAILED, exit 73\)\. The same at c\d.*\.\n {2}do +Make room there, and see that nodes may write;/m,
  )
  expect((await scene.run(['run', '--site', 'frost', '--json'])).stderr).toContain('"code":"DISK_FULL"')
  expect((await scene.run(['show', 'j0'])).stdout).toContain(
    '(FAILED, exit 73)  ← decided: lost, class node; then retry',
  )
})
