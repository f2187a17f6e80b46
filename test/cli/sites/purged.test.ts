import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { withSums } from '../place.ts'
import { began, onceEach, open, openScene, type Scene, until, withWaits } from './scene.ts'

/* Scratch directories are purged, by age or by hand, while tasks wait and run. */

const arraysOf = ({ place }: Scene): string => {
  const campaigns = place.path('scratch/floe/campaigns')
  return `${campaigns}/${readdirSync(campaigns)[0]}/arrays`
}
const cacheOf = ({ place }: Scene): string => place.path('scratch/floe/cache')

async function submitted(scene: Scene, args: readonly string[] = []) {
  const run = scene.start(['run', '--site', 'frost', ...args])
  await until('the array is submitted', () => scene.fake.jobs.length > 0)
  return run
}

test('an array that is gone while its tasks run and wait is staged again; what ran is lost as purged', async () => {
  const scene = await openScene('slurm', { slots: 2 })
  withWaits(scene.place, { jobs: 4 })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  const run = await submitted(scene, ['--jobs-per-batch', '1'])
  await until('two jobs are known to run', async () => (await scene.json<{ running: number }>('status')).running === 2)
  const running = Object.keys(began(scene.place))
  rmSync(`${arraysOf(scene)}/a000001`, { recursive: true })
  await until('it is submitted again', () => scene.fake.jobs.length > 1)
  // Nobody would know what the old tasks did.
  expect(scene.fake.jobs[0]!.tasks.every(({ cancelled, state }) => cancelled || state === 'ended')).toBe(true)
  open(scene.place)
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 4 })
  const lost = await scene.rows(
    "select job_id, class, next, evidence from attempts where verdict = 'lost' order by job_id",
  )
  expect(lost).toBe(`job_id,class,next,evidence\n${running.map((name) => `${name},purged,retry,absence\n`).join('')}`)
})

test('an input that is purged while its task waits is carried again, and no fault of the job', async () => {
  const scene = await openScene('slurm')
  withSums(scene.place)
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  scene.fake.noise.paused = true
  const run = await submitted(scene)
  const cache = cacheOf(scene)
  const inputs = readdirSync(cache).filter((name) => statSync(`${cache}/${name}`).size < 20 && !name.includes('.'))
  expect(inputs).toHaveLength(4)
  rmSync(`${cache}/${inputs[0]}`, { force: true })
  scene.fake.noise.paused = false
  scene.fake.pump()
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 7, failed: 1 })
  const rows = await scene.rows("select class, rule, next from attempts where class = 'purged'")
  expect(rows.trim().split('\n')).toHaveLength(3)
  expect(rows).toMatch(/^purged,input data\/\d\.txt is not there: .*; the cache of the site was purged,retry$/m)
})

test('a cache that is gone before the next array is filled again', async () => {
  const scene = await openScene('slurm', { site: '    limits: {queued: 1}\n' })
  const { place } = scene
  place.file('data.txt', 'shared\n')
  place.program(
    'lib/use.sh',
    `echo "$FLOE_JOB" >>'${place.path('ran')}'; cat data.txt >"$FLOE_OUTPUT_1"
while ! [ -e '${place.path('go')}' ]; do sleep 0.05; done`,
  )
  place.jobs(
    'jobs.ndjson',
    [1, 2].map((cpus) => ({
      ...{ id: `j${cpus - 1}`, executable: './lib/use.sh', arguments: [`${cpus}`], resources: { cpus } },
      data: { input: ['data.txt'], output: [`o/${cpus}.txt`] },
    })),
  )
  await scene.run(['add', place.path('jobs.ndjson')])
  const run = await submitted(scene)
  await until('the first runs', () => Object.keys(began(place)).length === 1)
  rmSync(cacheOf(scene), { recursive: true, force: true })
  open(place)
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(began(place)).toEqual(onceEach(2))
  expect(scene.fake.jobs).toHaveLength(2)
})

test('a folder of the cache that lost a file is carried again', async () => {
  const scene = await openScene('slurm')
  withWaits(scene.place, { jobs: 2, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  await scene.run(['run', '--site', 'frost'])
  const cache = cacheOf(scene)
  const program = readdirSync(cache, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('/wait.sh'))!
  rmSync(`${cache}/${program}`, { force: true })
  await scene.run(['retry', 'j0'])
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 2, failed: 0 })
  expect(readFileSync(`${cache}/${program}`, 'utf8')).toContain('hello of')
  expect(await scene.rows("select count(*) as n from attempts where class = 'purged'")).toBe('n\n0\n')
})

test('the runner itself may be purged under waiting tasks', async () => {
  const scene = await openScene('slurm')
  withWaits(scene.place, { jobs: 2, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  scene.fake.noise.paused = true
  const run = await submitted(scene)
  rmSync(cacheOf(scene), { recursive: true, force: true })
  scene.fake.noise.paused = false
  scene.fake.pump()
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(began(scene.place)).toEqual(onceEach(2))
})

test('a scratch that is away for a while loses nothing', async () => {
  const scene = await openScene('slurm')
  const { place, fake } = scene
  withWaits(place, { jobs: 3, waits: false })
  await scene.run(['add', place.path('jobs.ndjson')])
  fake.noise.paused = true
  const run = await submitted(scene)
  renameSync(place.path('scratch'), place.path('away'))
  const asked = fake.calls.length
  await until('it was looked at some times', () => fake.calls.length > asked + 3)
  expect(existsSync(place.path('scratch'))).toBe(false)
  renameSync(place.path('away'), place.path('scratch'))
  fake.noise.paused = false
  fake.pump()
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 3 })
  expect(began(place)).toEqual(onceEach(3))
  expect(fake.jobs).toHaveLength(1)
})

test('a scratch directory that is not there is said before anything is done', async () => {
  const scene = await openScene('slurm')
  withWaits(scene.place, { jobs: 1, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  rmSync(scene.place.path('scratch'), { recursive: true })
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  expect(status).toBe(12)
  expect(scene.place.masked(stderr)).toContain('there is no directory DIR/scratch at this machine')
  expect(stderr).toContain('Correct `scratch:` of frost in sites.yaml')
})
