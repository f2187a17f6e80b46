import { expect, test } from 'vitest'
import { began, onceEach, open, openScene, until, withWaits } from './scene.ts'

const options = { slots: 2 }

test('a program that is not there, added at work, stops nobody else and is told at the end', async () => {
  const scene = await openScene('slurm', options)
  const { place, fake } = scene
  withWaits(place, { jobs: 2 })
  await scene.run(['add', place.path('jobs.ndjson')])
  const run = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
  await until('all began', () => Object.keys(began(place)).length === 2)
  place.jobs('more.ndjson', [{ id: 'odd', executable: 'no-such-program', arguments: [], data: { output: ['o/odd'] } }])
  expect((await scene.run(['add', place.path('more.ndjson')])).stderr).toBe('')
  await until('it is said', async () => {
    const { at_work } = await scene.json<{ at_work: { waiting: string | null } | null }>('status')
    return at_work?.waiting?.includes('no-such-program')
  })
  open(place)
  const { status, stderr } = await run.end
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('no-such-program') })
  expect(await scene.json('status')).toMatchObject({ succeeded: 2, pending: 1, queued: 0 })
  expect(began(place)).toEqual(onceEach(2))
  expect(fake.jobs).toHaveLength(1)
})

test('a site that goes away between two arrays is waited for', async () => {
  const scene = await openScene('slurm', options)
  const { place, fake } = scene
  withWaits(place, { jobs: 1 })
  await scene.run(['add', place.path('jobs.ndjson')])
  const run = scene.start(['run', '--site', 'frost'])
  await until('it began', () => Object.keys(began(place)).length === 1)
  fake.noise.failing.set('sbatch', { times: 1, reply: fake.down })
  withWaits(place, { jobs: 2 })
  await scene.run(['add', place.path('jobs.ndjson')])
  await until('it is said', async () => {
    const { at_work } = await scene.json<{ at_work: { waiting: string | null } | null }>('status')
    return at_work?.waiting?.includes('floe asks again')
  })
  open(place)
  expect((await run.end).stderr).not.toContain('floe:')
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(began(place)).toEqual(onceEach(2))
})
