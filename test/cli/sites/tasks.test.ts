import { expect, test } from 'vitest'
import type { FakeSge } from '../../fakes/scheduler/sge.ts'
import type { FakeSlurm } from '../../fakes/scheduler/slurm.ts'
import { began, onceEach, openScene, type Scene } from './scene.ts'

/* Jobs as clusters know them: tasks with a walltime, several cores, GPUs. */

async function added(scene: Scene, program: string, jobs: readonly object[]): Promise<void> {
  const { place } = scene
  place.program('prg.sh', `echo "$FLOE_JOB" >>'${place.path('ran')}'\n${program}`)
  place.jobs(
    'jobs.ndjson',
    jobs.map((job, at) => ({
      ...{ id: `j${at}`, executable: './prg.sh', arguments: [`${at}`], data: { output: [`o/${at}.txt`] } },
      ...job,
    })),
  )
  const { stderr } = await scene.run(['add', place.path('jobs.ndjson')])
  expect(stderr).toBe('')
}

test('a task drains before its walltime, and the rest of its batch goes into later ones', async () => {
  const scene = await openScene('slurm', { site: '    task: {walltime: 9s}\n' })
  await added(
    scene,
    'sleep 1; echo "$1" >"$FLOE_OUTPUT_1"',
    Array.from({ length: 8 }, () => ({})),
  )
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '8')).toMatchObject({ succeeded: 8, failed: 0 })
  expect(scene.fake.jobs.length).toBeGreaterThan(1)
  const rows = await scene.rows(
    'select count(distinct array_id) > 1 as several, count(*) as verdicts, max(try) as tries from attempts',
  )
  expect(rows).toBe('several,verdicts,tries\ntrue,8,1\n')
  // One that was under way when its task drained began anew.
  expect(Object.keys(began(scene.place))).toHaveLength(8)
})

test('a job that had a whole task and was not done has failed for walltime, and asks for more the next time', async () => {
  const scene = await openScene('slurm', { site: '    task: {walltime: 8s}\n' })
  await added(scene, 'sleep 7; echo "$1" >"$FLOE_OUTPUT_1"', [{}])
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 1, failed: 0 })
  expect(await scene.rows('select try, class, rule, next, walltime_sec from attempts order by try')).toBe(
    `try,class,rule,next,walltime_sec
1,walltime,"ran as long as a task may, 8 s; it names no walltime of its own",retry,8
2,,exit 0,done,16
`,
  )
})

test('a walltime over the limit of the queue is found before anything is submitted', async () => {
  const scene = await openScene('slurm', { site: '    queue: main\n' })
  ;(scene.fake as FakeSlurm).walltimeMax = '30:00'
  await added(scene, 'echo "$1" >"$FLOE_OUTPUT_1"', [{}, { resources: { walltime: '2h' } }, {}])
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  expect({ status, stderr }).toMatchInlineSnapshot(`
    {
      "status": 2,
      "stderr": "floe: Job j1 asks frost for a walltime of 2 h: the queue main gives a task at most 30 min, of which 28 min are for a job.
      do        Ask for less in \`resources:\` of the job and add it again, or set another \`queue:\` of frost in sites.yaml.
    ",
    }
  `)
  expect((await scene.run(['plan', '--site', 'frost'])).stderr).toBe(stderr)
  expect(scene.fake.jobs).toHaveLength(0)
  await scene.run(['hold', 'j1'])
  // What floe itself would give a task is no reason to fail.
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 2, held: 1 })
  const { words } = scene.fake.calls.find(({ command }) => command === 'sbatch')!
  expect(words).toContain('--time=30')
})

test('a task of four cores runs four jobs of one core at once', async () => {
  const scene = await openScene('slurm', { site: '    task: {cpus: 4}\n', slots: 1 })
  const { place } = scene
  // Each waits for the three others, and fails without them.
  const all = `[ "$(wc -l <'${place.path('ran')}')" -ge 4 ]`
  const program = `for k in $(seq 200); do ${all} && break; sleep 0.1; done\necho "$1" >"$FLOE_OUTPUT_1"; ${all}`
  await added(
    scene,
    program,
    Array.from({ length: 4 }, () => ({})),
  )
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '4')).toMatchObject({ succeeded: 4 })
  expect(scene.fake.jobs[0]!.tasks).toHaveLength(1)
  expect(scene.fake.calls.find(({ command }) => command === 'sbatch')!.words).toContain('--cpus-per-task=4')
  expect(await scene.rows('select count(distinct slot) as slots from attempts')).toBe('slots\n4\n')
  expect(began(place)).toEqual(onceEach(4))
})

test('each slot sees GPUs of its own', async () => {
  const scene = await openScene('slurm', { site: '    task: {cpus: 4}\n', slots: 1 })
  const { place } = scene
  place.file('ran', '')
  const wait = `for k in $(seq 200); do [ "$(wc -l <'${place.path('ran')}')" -ge 2 ] && break; sleep 0.1; done`
  const resources = { cpus: 2, gpus: 2 }
  await added(
    scene,
    `${wait}\nprintf 'devices\\n"%s"\\n' "$CUDA_VISIBLE_DEVICES" >"$FLOE_OUTPUT_1"`,
    [0, 1].map((at) => ({ resources, data: { output: [`o/${at}.csv`] } })),
  )
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '2')).toMatchObject({ succeeded: 2 })
  expect(scene.fake.calls.find(({ command }) => command === 'sbatch')!.words).toContain('--gres=gpu:4')
  expect(await scene.rows('select devices from merged order by devices')).toBe('devices\n"0,1"\n"2,3"\n')
})

test('limits of submission are kept from the start, so that nothing is refused', async () => {
  const scene = await openScene('sge', { site: '    limits: {array: 2}\n', slots: 1 })
  const fake = scene.fake as FakeSge
  fake.jobsMax = 2
  await added(
    scene,
    'echo "$1" >"$FLOE_OUTPUT_1"',
    Array.from({ length: 8 }, () => ({})),
  )
  expect(await scene.json('run', '--site', 'frost', '--jobs-per-batch', '1')).toMatchObject({ succeeded: 8 })
  // A refusal would have been a call without a job.
  expect(fake.calls.filter(({ command }) => command === 'qsub')).toHaveLength(fake.jobs.length)
  expect(fake.jobs.map(({ tasks }) => tasks.length)).toEqual([2, 2, 2, 2])
})
