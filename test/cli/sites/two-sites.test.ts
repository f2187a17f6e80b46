import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { open, openScene, until, withWaits } from './scene.ts'

/* This machine and a cluster at once. */

const BOTH = ['--site', 'local', '--site', 'frost']

test('jobs are shared out over two sites, and each has one result', async () => {
  const made = await openScene('slurm', { slots: 2 })
  const { place, run, json, rows, start } = made
  made.settle({ task: { cpus: 1 } })
  place.file('c/floe.yaml', 'slots: 4\n')
  withWaits(place, { jobs: 16 })
  // What can run at frost alone stays there, however slow this machine is.
  const pinned = Array.from({ length: 4 }, (_, at) => ({
    ...{ id: `p${at}`, executable: './wait.sh', arguments: ['1'], data: { output: [`p/${at}.txt`] }, site: 'frost' },
  }))
  await run(['add', place.path('jobs.ndjson'), place.jobs('pinned.ndjson', pinned).path('pinned.ndjson')])
  const plan = await json<{ shares: { site: string; jobs: number }[] }>('plan', ...BOTH)
  expect(plan).toMatchObject({ jobs: 20, site: 'local + frost', shares: [{ site: 'local' }, { site: 'frost' }] })
  expect(plan.shares.map(({ jobs }) => jobs)).toEqual([4, 16])
  const going = start(['run', ...BOTH])
  await until('both have work', async () => {
    const { at_work: work } = await json<{ at_work?: { tasks_running: number; beside?: { tasks_running: number }[] } }>(
      'status',
    )
    return (work?.tasks_running ?? 0) > 0 && (work?.beside?.[0]?.tasks_running ?? 0) > 0
  })
  expect((await run(['status'])).stdout).toMatch(/^ {2}local: running .*\n {2}frost: running /m)
  open(place)
  expect(await going.end).toMatchObject({ status: 0, stdout: expect.stringMatching(/^20 jobs decided in /) })
  expect(
    await rows(
      "select count(*) as jobs, count(distinct job_id) as names, count(distinct site) as sites from attempts where verdict = 'succeeded'",
    ),
  ).toBe('jobs,names,sites\n20,20,2\n')
  const ran = readFileSync(place.path('ran'), 'utf8').trim().split('\n')
  expect([ran.length, new Set(ran).size]).toEqual([20, 20])
})

test('a site that cannot be reached is left out, and said', async () => {
  const made = await openScene('slurm')
  const { place, run } = made
  made.settle({ ssh: 'nobody@127.0.0.1:1' })
  withWaits(place, { jobs: 4, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  const told = await run(['run', ...BOTH])
  expect(told).toMatchObject({ status: 0, stdout: expect.stringMatching(/^4 jobs decided in /) })
  expect(told.stdout).toMatch(/^ {2}The others did the work of frost: .+$/m)
})

test('what is rehearsed and what is run do not mix', async () => {
  const { run, place } = await openScene('slurm')
  place.file('config/floe/sites.yaml', JSON.stringify({ sites: { sim: { connector: 'simulated' } } }), 0o600)
  expect(await run(['run', '--site', 'local', '--site', 'sim'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('some are simulated and some are not'),
  })
})
