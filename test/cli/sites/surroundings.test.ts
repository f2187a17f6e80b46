import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { withSums } from '../place.ts'
import { scened } from './noisy.ts'
import { openScene, RESULTS, VERDICTS } from './scene.ts'

/* Sites as they are: clocks that are not what one thinks, disks that are not there or full. */

test('without accounts the scratch is suspected when tasks come to nothing', async () => {
  const { place, fake, run } = await scened('slurm', { jobs: 1, waits: false })
  fake.noise.unseen = place.path('scratch')
  fake.noise.accounts = false
  const { status, stderr } = await run(['run', '--site', 'frost'])
  expect(status).toBe(1)
  expect(stderr).toContain('3 times all tasks ended without deciding a job')
  expect(stderr).toContain('Do the compute nodes of frost see')
})

test('a clock that is an hour off changes nothing but times', async () => {
  const clock = await openScene('slurm')
  const { place } = clock
  place.file(
    'shift.mjs',
    `const off = 3600_000, now = Date.now
Date.now = () => now() + off
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + off })
`,
  )
  place.program('late-node', `exec '${process.execPath}' --import '${place.path('shift.mjs')}' "$@"`)
  clock.site(`    node: ${place.path('late-node')}\n`)
  withSums(place)
  await clock.run(['add', place.path('jobs.ndjson')])
  expect(await clock.json('run', '--site', 'frost')).toMatchObject({ succeeded: 7, failed: 1 })
  expect(await clock.rows('select bool_and(ended_at > published_at) as ahead from attempts')).toBe('ahead\ntrue\n')
  const { stdout } = await clock.run(['show', 'a1'])
  const [, began, off] =
    /(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)–\S+ \(corrected: the clock of frost is ≈ (\d+) min/.exec(stdout) ??
    /(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)–\S+ \(corrected: the clock of frost is ≈ (1) h ahead/.exec(stdout) ??
    []
  expect(stdout).toContain('ahead)')
  expect(off).toMatch(/^(5\d|1)$/)
  // Without the correction it would lie in the future.
  expect(Date.parse(`${began}Z`)).toBeLessThanOrEqual(Date.now())
  const measured = { login: null, sessions: null, trip_ms: null, limits_ms: null, clock_sec: 7200 }
  place.file('config/floe/profiles/frost.json', JSON.stringify({ v: 1, measured, limits: null, version: null }))
  expect((await clock.run(['show', 'a1'])).stdout).toContain('the clock of frost is ≈ 2 h ahead)')
  await place.run(['init', 'here'])
  await place.run(['-C', 'here', 'add', 'jobs.ndjson'])
  await place.run(['-C', 'here', 'run'])
  for (const sql of [VERDICTS, RESULTS])
    expect(await clock.rows(sql)).toBe((await place.run(['-C', 'here', 'query', sql, '--csv'])).stdout)
  // Nothing is taken for older or newer than it is: a job that is asked for again has the new content.
  place.file('data/1.txt', '5\n')
  expect(await clock.json('run', '--site', 'frost', '--rerun')).toMatchObject({ succeeded: 7, failed: 1 })
  expect(await clock.rows("select sum from merged where job_id = 'a1'")).toBe('sum\n5\n')
})

/** Mounting needs root, which the project's own checks are. */
const cannotMount = (() => {
  const { status, stderr } = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt'], { encoding: 'utf8' })
  return status === 0 ? undefined : `nothing can be mounted here: ${stderr?.trim()}`
})()

test.skipIf(cannotMount !== undefined)('a full scratch stops the run, says where, and goes on with room', async () => {
  const scene = await openScene('slurm')
  const { place } = scene
  place.file('big.bin', Buffer.alloc(3_000_000, 7))
  place.program('use.sh', 'wc -c <big.bin >"$FLOE_OUTPUT_1"')
  place.jobs(
    'jobs.ndjson',
    [0, 1].map((at) => ({
      ...{ id: `j${at}`, executable: './use.sh' },
      data: { input: ['big.bin'], output: [`o/${at}.txt`] },
    })),
  )
  await scene.run(['add', place.path('jobs.ndjson')])
  rmSync(place.path('scratch'), { recursive: true })
  mkdirSync(place.path('scratch'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', place.path('scratch')])
  onTestFinished(() => void execFileSync('umount', ['-l', place.path('scratch')]))
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  expect(status).toBe(1)
  expect(place.masked(stderr)).toMatch(/^floe: Could not carry array a000001 at this machine: .*no space is left/)
  expect(stderr).toContain('Free some space there')
  expect(scene.fake.jobs).toHaveLength(0)
  execFileSync('mount', ['-o', 'remount,size=64m', place.path('scratch')])
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
  expect(readdirSync(place.path('scratch/floe/cache')).length).toBeGreaterThan(2)
})
