import { expect, test } from 'vitest'
import { began, onceEach, open, openScene, until, withWaits } from './scene.ts'

/* Jobs that go first, to be measured. */

test('a few go first, the others are cut after them, also when the run was killed in between', async () => {
  const { place, run, json, rows, start } = await openScene('slurm', { slots: 4 })
  place.file('c/floe.yaml', 'scouts: {jobs: 5, from: 20, wait: 1h}\nbatch: {seconds: 30}\n')
  withWaits(place, { jobs: 40 })
  await run(['add', place.path('jobs.ndjson')])
  const plan = await run(['plan', '--site', 'frost'])
  expect(plan.stdout).toMatch(/^ {2}5 jobs go first, each alone, as nothing is known of 35 jobs like them:/m)
  expect(await json('plan', '--site', 'frost')).toMatchObject({ jobs: 40, scouts: { jobs: 5, rest: 35 } })

  const first = start(['run', '--site', 'frost'])
  const WAITS = '35 jobs wait for what the first of their kind take'
  const waiting = async () => {
    const { at_work: work } = await json<{ at_work?: { waiting: string | null } }>('status')
    return work?.waiting?.endsWith(WAITS) && Object.keys(began(place)).length === 4
  }
  await until('the others wait', waiting)
  expect((await run(['status'])).stdout).toMatch(new RegExp(`^ {2}waiting: .*${WAITS}$`, 'm'))
  first.signal('SIGKILL')
  await first.end

  const second = start(['run', '--site', 'frost'])
  await until('they wait again', waiting)
  open(place)
  expect(await second.end).toMatchObject({ status: 0, stdout: expect.stringMatching(/^40 jobs decided in /) })
  expect(began(place)).toEqual(onceEach(40))
  const cut = `select jobs = 1 and seconds is null as scout, resource_class->>'memory_bytes' as bytes, resource_class->>'task_sec' as sec, sum(jobs) as jobs
    from batches group by all order by scout desc`
  expect(await rows(cut)).toBe('scout,bytes,sec,jobs\ntrue,,,5\nfalse,1073741824,1024,35\n')
})

test('none go first where a person says how to cut', async () => {
  const { place, run, json, rows } = await openScene('slurm')
  place.file('c/floe.yaml', 'scouts: {jobs: 5, from: 20}\n')
  withWaits(place, { jobs: 20, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  expect(await json('plan', '--site', 'frost', '--jobs-per-batch', '10')).toMatchObject({ batches: 2, scouts: null })
  expect(await run(['run', '--site', 'frost', '--scouts', '-1'])).toMatchObject({ status: 2 })
  expect(await run(['run', '--site', 'frost', '--scouts', '0'])).toMatchObject({ status: 0 })
  expect(await rows('select count(*) as batches from batches')).toBe('batches\n2\n')
})
