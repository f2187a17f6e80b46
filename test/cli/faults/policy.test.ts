import { rmSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { Scene } from './scene.ts'

/* What follows failures, by `policy:` and the options of `run`, through the command line on this machine. */

let scene: Scene
afterEach(() => scene?.end())

const made = async (
  yaml: string,
  programs: Readonly<Record<string, string>>,
  jobs: readonly (readonly [string, string])[],
) => {
  scene = await Scene.make({ yaml: `slots: 2\n${yaml}` })
  for (const [name, body] of Object.entries(programs)) scene.program(name, body)
  await scene.add(jobs.map(([id, name]) => ({ id, executable: `./${name}`, cache: false })))
}
const jobsOf = (count: number, program: string): [string, string][] =>
  Array.from({ length: count }, (_, i) => [`${program}-${String(i).padStart(2, '0')}`, program])

describe('a run that stops early', () => {
  test('names the commonest reason, with a job and what it wrote; what did not begin stays pending', async () => {
    const programs = { good: ':', bad: 'echo "no such grid: $FLOE_JOB" >&2; exit 3', worse: 'exit 4' }
    const jobs = [...jobsOf(22, 'bad'), ...jobsOf(3, 'worse'), ...jobsOf(5, 'good')]
    await made('batch: {jobs: 5}\n', programs, jobs)
    const { exit, stdout } = await scene.floe('run')
    expect(exit).toBe(3)
    expect(stdout).toMatch(/^Stopped: \d+ of \d+ jobs failed/)
    expect(stdout).toMatch(
      /^ {2}Most of them, \d+: app, such as (bad-\d\d): exit 3\n {4}\| no such grid: \1\n {2}floe logs \1 /m,
    )
    const again = await scene.json<{ stopped: string | null; reason: object | null }>('run', '--max-failures', '100')
    expect(again).toMatchObject({ stopped: null, reason: null, pending: 0, succeeded: 5, failed: 25 })
  })

  test('stops at --max-failures', async () => {
    await made('batch: {jobs: 1}\n', { bad: 'exit 3' }, jobsOf(12, 'bad'))
    const report = await scene.json('run', '--max-failures', '2')
    expect(report).toMatchObject({ stopped: 'too many failures', reason: { class: 'app', rule: 'exit 3', log: [] } })
    expect(report.failed).toBeGreaterThanOrEqual(2)
    expect(await scene.floe('run', '--max-failures', '0')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('--max-failures takes a whole number of 1 or more'),
    })
  })
})

test('a class is tried as often as its rule says, and no job more often than --max-tries', async () => {
  const count = 'echo "$FLOE_JOB" >>"$RAN"; exit 3'
  await made('policy: {app: {tries: 4, exhausted: hold}}\nstop_when_failed: 1\n', { bad: count }, [['a', 'bad']])
  const held = await scene.floe('run', '--max-tries', '2')
  expect(held).toMatchObject({ exit: 3, stdout: expect.stringContaining('1 job is held after a failure') })
  expect(scene.ran()).toEqual({ a: 2 })
  expect(await scene.json('status')).toMatchObject({ held: 1, failed: 0 })
  expect(await scene.floe('release', 'a')).toMatchObject({ exit: 0 })
  await scene.floe('run')
  expect(scene.ran()).toEqual({ a: 4 })
})

test('a job whose input went away after the plan is held, and runs when it is back and asked for', async () => {
  const eats = 'rm -f "$OTHER"; echo "$FLOE_JOB" >>"$RAN"'
  scene = await Scene.make({ yaml: 'slots: 1\nbatch: {jobs: 2}\n' })
  scene.program('eats', eats)
  const input = scene.write('in.txt', 'here\n')
  await scene.add([
    { id: 'a', executable: './eats', environment: { OTHER: input }, priority: 1, cache: false },
    { id: 'b', executable: './eats', environment: { OTHER: '/nowhere' }, input: [input], cache: false },
  ])
  expect(await scene.floe('run')).toMatchObject({ exit: 3 })
  expect(await scene.json('status')).toMatchObject({ held: 1, succeeded: 1 })
  scene.write('in.txt', 'here\n')
  expect(await scene.floe('retry', '--state', 'held')).toMatchObject({ exit: 0 })
  expect(await scene.floe('run', '--rerun')).toMatchObject({ exit: 0 })
  expect(await scene.json('status')).toMatchObject({ held: 0, succeeded: 2 })
  rmSync(input)
})

test('a policy that contradicts is refused before anything runs', async () => {
  await made('policy:\n  memory: {cap: 4GB}\n  app:\n    action: retry\n', { good: ':' }, [['a', 'good']])
  const { exit, stderr } = await scene.floe('run')
  expect(exit).toBe(2)
  expect(stderr).toContain('floe.yaml:5: policy.app.action would try again without end: say how often by `tries:`')
})
