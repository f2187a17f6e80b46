import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SimulationReport } from '../../src/floe.ts'
import { Place } from './place.ts'

const place = new Place()
const env = { XDG_CONFIG_HOME: place.path('config') }
const simulated = (...args: string[]) => place.json<SimulationReport>('-C', 'c', 'simulate', ...args, { env })

beforeAll(async () => {
  place.file('in.csv', '1\n').jobs(
    'jobs.ndjson',
    Array.from({ length: 40 }, (_, i) => ({
      ...{ id: `j${i}`, data: { input: ['in.csv'], output: [`o${i}.csv`] } },
      ...{ executable: 'cp', arguments: ['{input:1}', '{output:1}'] },
    })),
  )
  place.file(
    'config/floe/sites.yaml',
    'sites:\n  frost: {connector: slurm, ssh: alice@login.example, scratch: /scratch/alice}\n',
    0o600,
  )
  await place.floe('init', 'c')
  await place.floe('-C', 'c', 'add', 'jobs.ndjson')
})
afterAll(() => place.close())

const files = () =>
  readdirSync(place.path('c'), { recursive: true })
    .map(String)
    .filter((name) => !name.startsWith('.floe'))
    .sort()

test('foretells the end and the cost, the same for the same seed, and leaves the campaign as it is', async () => {
  const before = files()
  const wishes = ['--site', 'frost', '--cores', '4', '--job', '30s', '--trouble', 'some', '--failures', '0.1']
  const report = await simulated(...wishes)
  const [run] = report.runs
  expect(report.assumed).toMatchObject({ cores: 4, job_sec: 30, job_sec_from: 'given', seed: 1, profile_of: null })
  expect(run!.succeeded + run!.failed + run!.lost).toBe(40)
  expect(run!.failed).toBeGreaterThan(0)
  // Forty jobs of half a minute on four cores, and an array that waits.
  expect(run!.elapsed_sec).toBeGreaterThan(200)
  expect(run!.core_hours).toBeGreaterThan(0.2)
  expect(run!.calls.submit).toBeGreaterThan(0)
  expect(run!.timeline).toHaveLength(60)
  expect(run!.timeline.at(-1)!.done).toBe(40)
  expect(await simulated(...wishes)).toEqual(report)
  expect((await simulated(...wishes, '--seed', '7')).runs).not.toEqual(report.runs)
  expect(files()).toEqual(before)
  expect(await place.json('-C', 'c', 'status')).toMatchObject({ pending: 40, succeeded: 0 })
})

test('compares policies', async () => {
  place.file('again.yaml', 'policy: {app: {action: retry, tries: 5}}\nstop_when_failed: 1\n')
  const { runs } = await simulated(
    '--site',
    'frost',
    '--failures',
    '0.2',
    '--policy',
    'c/floe.yaml',
    '--policy',
    'again.yaml',
  )
  expect(runs.map(({ policy }) => policy)).toEqual(['c/floe.yaml', 'again.yaml'])
  expect(runs[1]!.succeeded).toBeGreaterThan(runs[0]!.succeeded)
  expect(runs[1]!.tries).toBeGreaterThan(40)
})

test('shows what scouts cost and change', async () => {
  place.file('first.yaml', 'scouts: {jobs: 3, from: 20}\nbatch: {seconds: 2m}\n')
  place.file('none.yaml', 'scouts: {jobs: 0}\nbatch: {seconds: 2m}\n')
  const wishes = ['--cores', '2', '--wait', '1s', '--policy', 'none.yaml', '--policy', 'first.yaml']
  const { runs } = await simulated('--site', 'frost', ...wishes)
  expect(runs.map(({ succeeded }) => succeeded)).toEqual([40, 40])
  // By counting there are eight batches, and eight after three that are alone.
  expect(runs[0]!.tasks).toBe(8)
  expect(runs[1]!.tasks).toBeGreaterThan(3 + 8)
})

test('says what it believed, in text', async () => {
  const text = await place.floe('-C', 'c', 'simulate', '--site', 'frost', '--cores', '40', { env })
  expect(text).toMatch(/^On frost 40 jobs would take .+\n/)
  expect(text).toMatch(/\n {2}running .*█.* up to 40 tasks\n/)
  expect(text).toContain('assumed: 40 cores at a time, a job 1 min (guessed)')
  expect(text).toContain('limits of frost are not known: `floe doctor frost` finds them')
})

test('stands beside what really happened', async () => {
  expect((await simulated('--against')).really).toBeNull()
  await place.floe('-C', 'c', 'run')
  expect(await place.floe('-C', 'c', 'simulate', { env })).toContain('Nothing waits to be simulated')
  const { runs, really, assumed } = await simulated('--against', '--cores', '2')
  expect(really).toMatchObject({ jobs: 40, succeeded: 40, tries: 40 })
  expect(runs[0]).toMatchObject({ succeeded: 40, tries: 40 })
  expect(assumed).toMatchObject({ job_sec: really!.job_sec, job_sec_from: 'measured' })
  expect(await place.json('-C', 'c', 'status')).toMatchObject({ succeeded: 40 })
})

test.each([
  [['--failures', '2'], '--failures takes a share of 0 to 1'],
  [['--job', 'long'], '--job takes a duration'],
  [['--policy', 'nowhere.yaml'], 'nowhere.yaml cannot be read'],
  [['--site', 'nowhere'], 'nowhere'],
])('refuses %j', async (args, said) => {
  const { stderr, status } = await place.run(['-C', 'c', 'simulate', ...args], { env })
  expect(stderr).toContain(said)
  expect(status).toBe(2)
})
