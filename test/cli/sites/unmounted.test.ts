import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openScene, type Scene } from './scene.ts'

/* A disk that is not mounted looks like thousands of missing inputs. */

/** Three jobs, each with an input; `url` names it. */
async function added(scene: Scene, url: (at: number) => string): Promise<void> {
  const { place } = scene
  place.program('copy.sh', `echo "$FLOE_JOB" >>'${place.path('ran')}'\ncat "$FLOE_INPUT_1" >"$FLOE_OUTPUT_1"`)
  place.jobs(
    'jobs.ndjson',
    [0, 1, 2].map((at) => ({
      ...{ id: `j${at}`, executable: './copy.sh', data: { input: [url(at)], output: [`o/${at}.txt`] } },
    })),
  )
  expect((await scene.run(['add', place.path('jobs.ndjson')])).stderr).toBe('')
}

test.each([
  ['is empty', (root: string) => mkdirSync(root)],
  ['is not there', () => undefined],
])('a root of a site that %s is said once, and no job is tried', async (_, leave) => {
  const scene = await openScene('slurm')
  const { place, fake } = scene
  scene.settle({ roots: { era5: place.path('gpfs/era5') } })
  for (const at of [0, 1, 2]) place.file(`gpfs/era5/1982/${at}.nc`, `${at}\n`)
  await added(scene, (at) => `era5:1982/${at}.nc`)
  renameSync(place.path('gpfs/era5'), place.path('unmounted'))
  leave(place.path('gpfs/era5'))
  const { status, stderr } = await scene.run(['run', '--site', 'frost'])
  expect({ status, stderr: place.masked(stderr) }).toEqual({
    status: 3,
    stderr: `floe: The root era5, DIR/gpfs/era5, is not there, or is empty, and all 3 inputs below it with it.
  do        Is it mounted? Mount it, or correct it in \`roots:\`, and run again; no job was tried.
`,
  })
  expect((await scene.run(['plan', '--site', 'frost'])).stderr).toBe(stderr)
  expect(await scene.json('status')).toMatchObject({ pending: 3 })
  expect(fake.jobs).toHaveLength(0)
  rmSync(place.path('gpfs/era5'), { recursive: true, force: true })
  renameSync(place.path('unmounted'), place.path('gpfs/era5'))
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 3, missing: 0 })
})

test('the directory that all inputs lie in is gone: said once, here and for a cluster', async () => {
  const scene = await openScene('slurm')
  const { place } = scene
  for (const at of [0, 1, 2]) place.file(`disk/data/${at}.nc`, `${at}\n`)
  await added(scene, (at) => `disk/data/${at}.nc`)
  renameSync(place.path('disk'), place.path('unmounted'))
  for (const site of ['local', 'frost']) {
    const { status, stderr } = await scene.run(['run', '--site', site])
    expect({ status, stderr: place.masked(stderr) }).toEqual({
      status: 3,
      stderr: `floe: The directory DIR/disk/data is not there, or is empty, and all 3 inputs below it with it.
  do        Is it mounted? Mount it, and run again; no job was tried.
`,
    })
  }
  renameSync(place.path('unmounted'), place.path('disk'))
  // One of several is a missing input.
  rmSync(place.path('disk/data/1.nc'))
  expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 2, pending: 1, missing: 1 })
})
