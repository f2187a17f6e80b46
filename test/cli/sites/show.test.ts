import { readdirSync, rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import { began, open, openScene, until, withWaits } from './scene.ts'

/* What is known of one job at a cluster: queue, accounting, node, logs. */

async function running(scheduler: string, jobs: number) {
  const scene = await openScene(scheduler, { slots: 1 })
  withWaits(scene.place, { jobs })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  const run = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
  await until('one began', () => Object.keys(began(scene.place)).length === 1)
  const [first] = Object.keys(began(scene.place))
  const other = first === 'j0' ? 'j1' : 'j0'
  return { ...scene, atWork: run, first: first!, other }
}

describe('a job that is under way', () => {
  test('says why it waits and whether that clears, or where it runs', async () => {
    const scene = await running('slurm', 2)
    const { fake, json, run, first, other, place } = scene
    fake.noise.reason = 'PartitionTimeLimit'
    type Shown = { live: { state: string; node: string | null }; queue: Record<string, unknown> }
    expect(await json<Shown>('show', other)).toMatchObject({
      live: { state: 'queued', site: 'frost', array: 'a000001', node: null },
      queue: { site: 'frost', native_id: '1001', state: 'queued', reason: 'PartitionTimeLimit', clears: 'never' },
    })
    const { stdout } = await run(['show', other])
    expect(stdout).toMatch(
      /queue +1001_\d queued, PartitionTimeLimit: its walltime is longer than the queue or the account allows \(never\)/,
    )
    expect(await json<Shown>('show', first)).toMatchObject({
      live: { state: 'running', node: expect.any(String) },
      queue: { state: 'running', meaning: null },
    })
    await fake.stop()
    // The tables and the records still say what they know.
    const silent = await run(['show', other])
    expect(silent.status).toBe(0)
    expect(silent.stdout).toMatch(/silent +frost could not be asked: /)
    expect(silent.stdout).toContain(`${other}   queued`)
    await fake.start()
    open(place)
    await scene.atWork.end
  })
})

test('accounting explains what no record says', async () => {
  const scene = await running('slurm', 1)
  const { fake, place, json, run } = scene
  const [task] = fake.jobs[0]!.tasks
  await until('its record came home', async () => (await json<{ running: number }>('status')).running === 1)
  // As when the kernel kills the whole task, the runner with it.
  task!.word = 'OUT_OF_MEMORY'
  process.kill(-task!.child!.pid!, 'SIGKILL')
  open(place)
  expect((await scene.atWork.end).stderr).not.toContain('floe:')
  const { attempts } = await json<{ attempts: Record<string, unknown>[] }>('show', 'j0')
  expect(attempts).toMatchObject([
    { try: 2, verdict: 'succeeded', native_id: '1002', site: 'frost' },
    {
      ...{ try: 1, verdict: 'failed', class: 'memory', evidence: 'accounting', native_id: '1001', next: 'retry' },
      rule: expect.stringContaining('OUT_OF_MEMORY'),
    },
  ])
  const { stdout } = await run(['show', 'j0'])
  expect(stdout).toMatch(/try 2 +frost 1002_0 on \S+/)
  expect(stdout).toMatch(
    /accounting the scheduler ended its task for its memory \(OUT_OF_MEMORY.*\) {2}← decided: failed, class memory/,
  )
})

test('a task that was deleted by force is no success, though Grid Engine accounts it as one', async () => {
  const scene = await running('sge', 1)
  const { fake, place, json } = scene
  const [task] = fake.jobs[0]!.tasks
  await until('its record came home', async () => (await json<{ running: number }>('status')).running === 1)
  const { child } = task!
  process.kill(-child!.pid!, 'SIGKILL')
  await until('it has ended', () => task!.state === 'ended')
  // As `qdel -f` leaves it when the node is gone.
  Object.assign(task!, { exit: 0, signal: null })
  open(place)
  expect((await scene.atWork.end).stderr).not.toContain('floe:')
  const { attempts } = await json<{ attempts: Record<string, unknown>[] }>('show', 'j0')
  expect(attempts).toMatchObject([
    { try: 2, verdict: 'succeeded', evidence: 'record' },
    {
      ...{ try: 1, verdict: 'lost', class: 'lost', evidence: 'accounting', next: 'retry' },
      rule: 'its task ended without sealing its record; the job had started (failed 0, exit_status 0)',
    },
  ])
})

describe.each(CLUSTERS.map(({ name }) => name))('logs of a job at %s', (scheduler) => {
  test('come from the site, while it runs and when it has ended', async () => {
    const scene = await running(scheduler, 2)
    const { first, other, place, run, start } = scene
    expect(await run(['logs', other])).toMatchObject({ status: 4, stderr: expect.stringContaining('is queued') })
    const now = await until('it wrote', async () => {
      const told = await run(['logs', first])
      return told.stdout !== '' && told
    })
    expect(now).toEqual({ status: 0, stdout: `hello of ${first}\n`, stderr: '' })
    const follow = start(['logs', other, '-f'])
    open(place)
    expect(await follow.end).toEqual({ status: 0, stdout: `hello of ${other}\n`, stderr: '' })
    await scene.atWork.end
    // The mirror is a cache.
    rmSync(place.path('c/scratch'), { recursive: true })
    expect((await run(['logs', first])).stdout).toBe(`hello of ${first}\n`)
    const campaigns = place.path('scratch/floe/campaigns')
    rmSync(`${campaigns}/${readdirSync(campaigns)[0]}/arrays/a000001`, { recursive: true })
    const cleaned = await run(['logs', first])
    expect(cleaned.status).toBe(4)
    expect(cleaned.stderr).toContain('is not there any more')
    place.file('config/floe/sites.yaml', 'sites: {}\n', 0o600)
    const unknown = await run(['logs', first])
    expect(unknown.status).toBe(2)
    expect(unknown.stderr).toContain('There is no site frost')
  })
})
