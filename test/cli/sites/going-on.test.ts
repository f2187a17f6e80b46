import { existsSync, readdirSync, rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import { withSums } from '../place.ts'
import { began, onceEach, open, openScene, RESULTS, type Scene, until, VERDICTS, withWaits } from './scene.ts'

const JOBS = 4
const options = { slots: 2 }

/** A run at frost of which at least `count` jobs have begun. */
async function runningAtFrost(scene: Scene, count: number) {
  const run = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
  await until('jobs begin', () => Object.keys(began(scene.place)).length >= count)
  return run
}

const liveTasks = (scene: Scene) =>
  scene.fake.known.flatMap(({ tasks }) => tasks).filter(({ state }) => state !== 'ended').length

describe.each(CLUSTERS.map(({ name }) => name))('%s', (scheduler) => {
  test('Ctrl-C leaves the tasks working, and another process takes them up', async () => {
    const scene = await openScene(scheduler, options)
    withWaits(scene.place, { jobs: JOBS })
    await scene.run(['add', scene.place.path('jobs.ndjson')])
    const run = await runningAtFrost(scene, 2)
    run.signal('SIGINT')
    const { status, stderr } = await run.end
    expect({ status, stderr }).toEqual({
      status: 130,
      stderr: expect.stringContaining('`floe run` again takes up from here'),
    })
    expect(liveTasks(scene)).toBe(JOBS)
    open(scene.place)
    expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: JOBS })
    expect(began(scene.place)).toEqual(onceEach(JOBS))
    expect(scene.fake.jobs).toHaveLength(1)
  })

  test('all that this machine keeps beside the tables may be deleted: same rows, nothing twice', async () => {
    const scene = await openScene(scheduler, options)
    withWaits(scene.place, { jobs: JOBS })
    await scene.run(['add', scene.place.path('jobs.ndjson')])
    const run = await runningAtFrost(scene, 2)
    run.signal('SIGKILL')
    await run.end
    open(scene.place)
    await until('two tasks end', () => liveTasks(scene) <= 2)
    for (const cache of ['scratch', '.floe']) rmSync(scene.place.path(`c/${cache}`), { recursive: true, force: true })
    const again = await scene.run(['run', '--site', 'frost', '--json'])
    expect(again.stderr).not.toContain('floe:')
    expect(JSON.parse(again.stdout)).toMatchObject({ succeeded: JOBS, decided: { succeeded: JOBS } })
    expect(began(scene.place)).toEqual(onceEach(JOBS))
    expect(scene.fake.jobs).toHaveLength(1)
    await scene.place.run(['init', 'here'])
    await scene.place.run(['-C', 'here', 'add', 'jobs.ndjson'])
    await scene.place.run(['-C', 'here', 'run'])
    for (const sql of [VERDICTS, RESULTS]) {
      const rows = await scene.rows(sql)
      expect(rows.trim().split('\n')).toHaveLength(JOBS + 1)
      expect(rows).toBe((await scene.place.run(['-C', 'here', 'query', sql, '--csv'])).stdout)
    }
  })

  test('a cancelled job ends as cancelled at the site, wherever it is', async () => {
    const scene = await openScene(scheduler, options)
    withWaits(scene.place, { jobs: JOBS })
    await scene.run(['add', scene.place.path('jobs.ndjson')])
    const run = await runningAtFrost(scene, 2)
    const [running] = Object.keys(began(scene.place))
    const waiting = Object.keys(onceEach(JOBS)).find((name) => began(scene.place)[name] === undefined)!
    const { stdout } = await scene.run(['cancel', running!, waiting])
    expect(stdout).toContain('2 jobs cancelled')
    // The task that runs is told by its file, the one that waits is taken out of the queue.
    await until('a task is cancelled there', () => scene.fake.known.some(({ tasks }) => tasks.some((t) => t.cancelled)))
    await until('the runner heard of it', async () => {
      const { cancelled } = await scene.json<{ cancelled: number }>('status')
      return cancelled >= 1
    })
    open(scene.place)
    expect((await run.end).stderr).not.toContain('floe:')
    expect(await scene.json('status')).toMatchObject({ succeeded: 2, cancelled: 2 })
    const rows = await scene.rows("select job_id, evidence from attempts where verdict = 'cancelled' order by evidence")
    expect(rows).toBe(`job_id,evidence\n${waiting},queue\n${running},record\n`)
    expect(began(scene.place)[waiting]).toBeUndefined()
    expect(liveTasks(scene)).toBe(0)
  })
})

test('what was cancelled while nobody looked is cancelled by the next run', async () => {
  const scene = await openScene('slurm', options)
  withWaits(scene.place, { jobs: 3 })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  const run = await runningAtFrost(scene, 2)
  run.signal('SIGINT')
  await run.end
  const { stdout } = await scene.run(['cancel', '--all'])
  expect(stdout).toContain('`floe run --site frost`')
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 0, cancelled: 3 })
  expect(liveTasks(scene)).toBe(0)
  expect(Object.keys(began(scene.place))).toHaveLength(2)
})

test('a run on this machine leaves the arrays of a cluster alone, and says so', async () => {
  const scene = await openScene('slurm', options)
  const { place } = scene
  withWaits(place, { jobs: 3 })
  await scene.run(['add', place.path('jobs.ndjson')])
  const run = await runningAtFrost(scene, 2)
  await until('their records come home', async () => (await scene.json<{ running: number }>('status')).running === 2)
  run.signal('SIGINT')
  await run.end
  withSums(place)
  await scene.run(['add', place.path('jobs.ndjson')])
  const local = await scene.run(['run'])
  expect(local.stderr).not.toContain('floe:')
  expect(local.stdout).toContain('frost goes on with 3 jobs in 3 tasks: floe run --site frost takes them up')
  expect(await scene.json('status')).toMatchObject({ jobs: 11, succeeded: 7, failed: 1, queued: 1, running: 2 })
  expect(existsSync(place.path('c/outputs/o'))).toBe(false)
  open(place)
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 10, failed: 1, elsewhere: [] })
  expect(began(place)).toEqual(onceEach(3))
  expect(readdirSync(place.path('scheduler/scripts'))).toHaveLength(1)
})
