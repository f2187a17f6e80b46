import { existsSync, readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openScene, type Scene, until, withWaits } from './scene.ts'

/* A site that runs nothing: a campaign is rehearsed on a copy of it. */

const RULE = { queue_delay: '1s', job: 0.1 }

async function scene(simulate: object = {}, jobs = 12): Promise<Scene> {
  const made = await openScene('slurm')
  const { place, run } = made
  rule(made, simulate)
  withWaits(place, { jobs, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  return made
}

const rule = ({ place }: Pick<Scene, 'place'>, simulate: object = {}) =>
  place.file(
    'config/floe/sites.yaml',
    JSON.stringify({
      sites: { sim: { connector: 'simulated', slots: 4, interval: '1s', simulate: { ...RULE, ...simulate } } },
    }),
    0o600,
  )

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
  const { job_id: job } = JSON.parse((await inside('jobs', '--json', '--limit', '1')).stdout) as { job_id: string }
  for (const args of [['run'], ['try', job]])
    expect(await inside(...args)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('This is a rehearsal of'),
    })
  expect((await run(['sites'])).stdout).toMatch(/^sim +simulated +this machine +of the campaign +– +–/m)
  expect(existsSync(place.path('ran'))).toBe(false)
  // And the campaign runs for real afterwards.
  expect(await json('run')).toMatchObject({ succeeded: 12, decided: { succeeded: 12, reused: 0 }, rehearsal: null })
})

test('a plan for it leaves the plan and the rehearsal of the campaign as they are', async () => {
  const made = await scene()
  const { json, rows, place } = made
  expect(await json('plan', '--jobs-per-batch', '6')).toMatchObject({ jobs: 12, batches: 2, site: 'local' })
  const batches = await rows('select batch_id, plan_id, site, jobs, state from batches order by batch_id')
  await json('run', '--site', 'sim')
  const rehearsed = readdirSync(place.path('c/.floe/rehearsal/tables'))
  expect(await json('plan', '--site', 'sim', '--jobs-per-batch', '3')).toMatchObject({ batches: 4, site: 'sim' })
  expect(await rows('select batch_id, plan_id, site, jobs, state from batches order by batch_id')).toBe(batches)
  expect(readdirSync(place.path('c/.floe/rehearsal/tables'))).toEqual(rehearsed)
  expect(readdirSync(place.path('c/.floe')).filter((name) => name.includes('plan'))).toEqual([])
  // So that what was planned for real is run.
  expect(await json('run')).toMatchObject({ succeeded: 12 })
  expect(await rows("select count(*)::integer as n from batches where state <> 'ended'")).toBe('n\n0\n')
  expect(await rows('select count(distinct plan_id)::integer as n from batches')).toBe('n\n1\n')
})

test('one rehearsal at a time; one that was stopped says so and goes on', async () => {
  const made = await scene({ queue_delay: '1h' })
  const { place, run, start } = made
  const first = start(['run', '--site', 'sim'])
  const inside = place.path('c/.floe/rehearsal')
  const status = async () => JSON.parse((await place.run(['-C', inside, 'status', '--json'])).stdout || '{}') as object
  await until('its arrays wait', async () => {
    const said = (await status()) as { queued?: number; runner?: { pid: number } }
    return said.queued === 12 && said.runner?.pid === first.pid
  })
  expect(await run(['run', '--site', 'sim'])).toMatchObject({
    status: 11,
    stderr: expect.stringContaining(`process ${first.pid} `),
  })
  expect(await status()).toMatchObject({ queued: 12 })
  first.signal('SIGINT')
  const told = await first.end
  expect(told).toMatchObject({ status: 130, stdout: '' })
  const [, ...commands] =
    /^The rehearsal stopped; .*`floe (.*)` shows it, `floe (.*)` goes on with it, `floe (.*)` begins anew/m.exec(
      told.stderr,
    )!
  const [look, goOn, anew] = commands.map((words) => words.split(' '))
  expect(anew).toEqual(['run', '--site', 'sim'])
  expect((await place.run(look!)).stdout).toContain('12 jobs')
  rule(made)
  const env = { XDG_CONFIG_HOME: place.path('config') }
  expect(await place.run(goOn!, { env })).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^12 jobs decided/),
  })
  expect(await run(anew!)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^12 jobs decided/) })
  await untouched(made, 12)
})

test('what runs in a rehearsal can be cancelled', async () => {
  const made = await scene({ queue_delay: '0s', job: '1h' }, 4)
  const inside = (...args: string[]) => made.place.run(['-C', made.place.path('c/.floe/rehearsal'), ...args])
  const going = made.start(['run', '--site', 'sim', '--jobs-per-batch', '2'])
  await until('its tasks run', async () => {
    const said = JSON.parse((await inside('status', '--json')).stdout || '{}') as {
      at_work?: { tasks_running: number }
      running?: number
    }
    return said.at_work?.tasks_running === 2 && said.running === 2
  })
  const shown = await inside('jobs', '--state', 'running', '--json')
  expect(shown.stdout.trim().split('\n')).toHaveLength(2)
  expect(await inside('cancel', '--all')).toMatchObject({ status: 0 })
  expect(await going.end).toMatchObject({ stdout: expect.stringMatching(/cancelled +4 /) })
  await untouched(made, 4)
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

const silent = (connector: string, ...keys: readonly string[]) =>
  new RegExp(keys.map((key) => `${key}.* says nothing with .connector: ${connector}.`).join('[^]*'))

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
    [
      { connector: 'simulated', ssh: 'a@b', scratch: '/s', quota: '1GB', node: '/n', container: 'apptainer' },
      silent('simulated', 'ssh', 'scratch', 'quota', 'node', 'container'),
    ],
    [{ connector: 'simulated', setup: ['module load x'], options: ['-x'] }, silent('simulated', 'setup', 'options')],
    [{ connector: 'local', scratch: '/s', options: ['-x'], simulate: {} }, silent('local', 'simulate', 'options')],
    [{ connector: 'slurm', scratch: '/s', simulate: { seed: 2 } }, silent('slurm', 'simulate')],
  ] as const) {
    site(keys)
    expect(await run(['run', '--site', 'sim'])).toMatchObject({ status: 2, stderr: expect.stringMatching(words) })
  }
})
