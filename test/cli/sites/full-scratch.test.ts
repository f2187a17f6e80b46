import { describe, expect, onTestFinished, test } from 'vitest'
import { cannotMount, mounting, Tmpfs } from '../../fakes/tmpfs.ts'
import { withoutProgress } from '../place.ts'
import { began, onceEach, open, openScene, type Scene, until, withWaits } from './scene.ts'

/* A scratch without room: said in plain words, with what to do; no job pays for it, and what is done stays done. */

async function scened(jobs: number, { slots = 4, waits = false } = {}): Promise<Scene & { disk: Tmpfs }> {
  const disk = new Tmpfs(16)
  onTestFinished(() => disk.remove())
  const scene = await openScene('slurm', { slots })
  scene.settle({ scratch: disk.path })
  withWaits(scene.place, { jobs, waits })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  return { ...scene, disk }
}
const said = ({ place, disk }: Scene & { disk: Tmpfs }, text: string) =>
  place.masked(withoutProgress(text).replaceAll(disk.path, 'DISK')).replace(/[0-9a-f]{64}/, 'DIGEST')

describe.skipIf(cannotMount !== undefined)(mounting('a full scratch'), () => {
  test('before anything is staged: nothing is submitted, and with room again all runs', async () => {
    const scene = await scened(3)
    const { disk, fake, json, place } = scene
    disk.fill()
    const { status, stderr } = await scene.run(['run', '--site', 'frost'])
    expect(status).toBe(1)
    expect(said(scene, stderr)).toMatchInlineSnapshot(`
      "floe: Could not carry array a000001 at this machine: cannot write DISK/floe/cache/DIGEST on this machine: no space is left on the device
        do        Free some space there (\`floe clean\`) and run again; what was carried stays.
      "
    `)
    expect(fake.jobs).toHaveLength(0)
    expect(await json('status')).toMatchObject({ pending: 3, failed: 0, lost: 0 })
    disk.makeRoom()
    expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 3 })
    expect(began(place)).toEqual(onceEach(3))
  }, 120_000)

  test('while tasks run and wait: the run says it, takes back what waits, and goes on when there is room', async () => {
    const scene = await scened(12, { slots: 2, waits: true })
    const { disk, fake, json, place, rows } = scene
    const run = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '2'])
    await until('two jobs run', () => Object.keys(began(place)).length === 2)
    disk.fill()
    open(place)
    const { status, stderr } = await run.end
    expect(status).toBe(1)
    expect(said(scene, stderr)).toMatchInlineSnapshot(`
      "floe: The scratch directory DISK of frost is full: No space left on device.
        do        Make room there (\`floe clean\` helps) and run again; nothing is lost, and no job is blamed.
      "
    `)
    expect(await json('status')).toMatchObject({ failed: 0, lost: 0, succeeded: 0, pending: 12 })
    const [before, tasks] = [began(place), fake.jobs.length]
    expect(tasks).toBe(1)
    expect(Object.keys(before).length).toBeLessThan(12)
    disk.makeRoom()
    expect(await json('run', '--site', 'frost', '--jobs-per-batch', '2')).toMatchObject({ succeeded: 12, failed: 0 })
    // Whose verdict could not be written ran once more.
    const twice = Object.entries(began(place)).filter(([, count]) => count > 1)
    for (const [job] of twice) expect(before).toHaveProperty(job)
    expect(
      await rows("select class, count(*) > 0 as some from attempts where verdict <> 'succeeded' group by all"),
    ).toBe('class,some\nnode,true\n')
    expect(
      await rows("select count(*) as n, count(distinct job_id) as jobs from attempts where verdict = 'succeeded'"),
    ).toBe('n,jobs\n12,12\n')
  }, 180_000)
})
