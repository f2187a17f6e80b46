import { existsSync, readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openScene, type Scene, withWaits } from './scene.ts'

/* A site that runs nothing: a campaign is rehearsed on a copy of it. */

const RULE = { queue_delay: '1s', job: 0.1 }

async function scene(simulate: object = {}, jobs = 12): Promise<Scene> {
  const made = await openScene('slurm')
  const { place, run } = made
  place.file(
    'config/floe/sites.yaml',
    JSON.stringify({
      sites: { sim: { connector: 'simulated', slots: 4, interval: '1s', simulate: { ...RULE, ...simulate } } },
    }),
    0o600,
  )
  withWaits(place, { jobs, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  return made
}

const untouched = async ({ json, rows, place }: Scene, jobs: number) => {
  expect(await json('status')).toMatchObject({ jobs, pending: jobs, succeeded: 0, failed: 0 })
  expect(await rows('select count(*) as n from attempts')).toBe('n\n0\n')
  expect(await rows('select count(*) as n from batches')).toBe('n\n0\n')
  expect(existsSync(place.path('ran'))).toBe(false)
  expect(readdirSync(place.path('c/outputs'))).toEqual([])
}

test('a rehearsal goes as a run does, runs nothing, and leaves the campaign as it was', async () => {
  const made = await scene()
  const { place, run, json } = made
  const told = await run(['run', '--site', 'sim', '--jobs-per-batch', '3'])
  expect(told).toMatchObject({ status: 0, stderr: expect.not.stringContaining('floe:') })
  expect(told.stdout).toMatch(/^12 jobs decided in /)
  expect(told.stdout).toMatch(/Simulated: nothing was run, and this campaign is as it was/)
  await untouched(made, 12)
  const report = await json<{ rehearsal: string }>('run', '--site', 'sim', '--jobs-per-batch', '3')
  expect(report).toMatchObject({ succeeded: 12, failed: 0, rehearsal: place.path('c/.floe/rehearsal') })
  await untouched(made, 12)
  // In the rehearsal one sees how it would have gone, and that it is one.
  const inside = (...args: string[]) => place.run(['-C', report.rehearsal, ...args])
  const { stdout } = await inside(
    'query',
    'select verdict, rule, count(*) as n, count(distinct array_id) > 0 as arrays from attempts group by all',
    '--csv',
  )
  expect(stdout).toBe('verdict,rule,n,arrays\nsucceeded,simulated: exit 0,12,true\n')
  expect((await inside('query', 'select count(*) as n from results', '--csv')).stdout).toBe('n\n0\n')
  expect(await inside('run')).toMatchObject({ status: 2, stderr: expect.stringContaining('This is a rehearsal of') })
  expect(existsSync(place.path('ran'))).toBe(false)
  // And the campaign runs for real afterwards.
  expect(await json('run')).toMatchObject({ succeeded: 12, decided: { succeeded: 12, reused: 0 }, rehearsal: null })
})

test('the seed decides how many fail, and the same seed the same', async () => {
  const made = await scene({ failures: 0.4, seed: 5 }, 20)
  const { run, json, place } = made
  const failed = async () => {
    const told = await run(['run', '--site', 'sim', '--json'])
    expect(told.status).toBe(3)
    const { rehearsal } = JSON.parse(told.stdout) as { rehearsal: string }
    const sql = "select job_id from attempts where verdict = 'failed' order by job_id"
    return (await place.run(['-C', rehearsal, 'query', sql, '--csv'])).stdout
  }
  const first = await failed()
  expect(first.split('\n').length).toBeGreaterThan(3)
  expect(await failed()).toBe(first)
  expect(await json('status')).toMatchObject({ pending: 20, failed: 0 })
})

test('what is wrong for it is said', async () => {
  const made = await scene()
  const { place, run } = made
  expect(await place.run(['doctor', 'sim'], { env: { XDG_CONFIG_HOME: place.path('config') } })).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('sim is simulated'),
  })
  const site = (keys: object) => place.file('config/floe/sites.yaml', JSON.stringify({ sites: { sim: keys } }), 0o600)
  for (const [keys, words] of [
    [{ connector: 'simulated', queue: 'main' }, /queue.*says nothing with `connector: simulated`/],
    [{ connector: 'local' }, /scratch.*is missing/],
    [{ connector: 'slurm', scratch: '/s', slots: 4 }, /slots.*is for `connector: local` and `simulated`/],
    [{ connector: 'simulated', simulate: { failures: 2 } }, /failures/],
  ] as const) {
    site(keys)
    expect(await run(['run', '--site', 'sim'])).toMatchObject({ status: 2, stderr: expect.stringMatching(words) })
  }
})
