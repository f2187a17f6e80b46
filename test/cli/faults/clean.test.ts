import { utimesSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { Scene } from './scene.ts'

let scene: Scene
afterEach(() => scene?.end())

test('`clean` keeps what lies nowhere else: outputs of `publish: table` that could not be merged', async () => {
  scene = await Scene.make({ yaml: 'slots: 2\njobs:\n  publish: table\n' })
  scene.program('write.sh', `printf 'v\\n1\\n' >"$1"`)
  const job = (id: string, output: string) => ({
    ...{ id, executable: './write.sh', arguments: ['{output:1}'], output: [output] },
  })
  await scene.add([job('merged', 'a.csv')], 'a.ndjson')
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  await scene.add([job('not', 'b.txt')], 'b.ndjson')
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  expect(await scene.json('clean', '--all')).toMatchObject({ arrays: 1 })
  const [left] = await scene.query<{ pack: string }>("select pack from results where output = 'b.txt'")
  expect(scene.has(left!.pack.slice(scene.campaign.length + 1))).toBe(true)
  expect(await scene.query('select v from merged')).toEqual([{ v: 1 }])
})

test('`clean` waits for no run and takes nothing from one: exit 11, and who works', async () => {
  scene = await Scene.make()
  scene.program('wait.sh', `until test -e "$GO"; do sleep 0.05; done; echo done >"$1"`)
  const job = (id: string) => ({
    ...{ id, executable: './wait.sh', arguments: ['{output:1}'], output: [`${id}.txt`] },
    environment: { GO: scene.path('go') },
  })
  await scene.add([job('a'), job('b')])
  const run = scene.start(['run'])
  await scene.until('jobs run', () => scene.runners().length > 0)
  for (const words of [['clean'], ['clean', '--all']]) {
    const { exit, stdout, stderr } = await scene.floe(...words)
    expect({ exit, stdout }).toEqual({ exit: 11, stdout: '' })
    expect(stderr).toMatch(new RegExp(`Another \`floe run\` works on this campaign: process ${run.pid} on `))
  }
  run.child.kill('SIGINT')
  expect(await run.end).toMatchObject({ exit: 130 })
  expect(await scene.json('clean', '--all')).toMatchObject({ arrays: 0, cached: 0 })
  scene.write('go', '')
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  expect(await scene.json('status')).toMatchObject({ succeeded: 2 })
  expect(await scene.json('clean', '--all')).toMatchObject({ arrays: 1 })
})

test('`clean` takes nothing from under a running `try`, and does after it', async () => {
  scene = await Scene.make()
  scene.program('wait.sh', `until test -e "$GO"; do sleep 0.05; done; echo done >"$1"`)
  await scene.add([
    {
      ...{ id: 'a', executable: './wait.sh', arguments: ['{output:1}'], output: ['a.txt'] },
      environment: { GO: scene.path('go') },
    },
  ])
  const tried = scene.start(['try', 'a'])
  await scene.until('it runs', () => scene.runners().length > 0)
  expect(await scene.json('clean', '--all')).toMatchObject({ cached: 0 })
  expect(scene.has('scratch/floe/cache')).toBe(true)
  scene.write('go', '')
  await tried.end
  expect(await scene.json('clean', '--all')).toMatchObject({ cached: 1 })
})

test('`clean --all` leaves what an `add` may just be writing, and takes it once it is old', async () => {
  scene = await Scene.make()
  await scene.add([{ id: 'a', executable: 'true' }])
  const fresh = ['part-under-way.parquet', '_delta_log/.1.json.tmp'].map((name) =>
    scene.write(`tables/jobs/${name}`, 'half'),
  )
  await scene.json('clean', '--all')
  expect(fresh.map((path) => scene.has(path.slice(scene.campaign.length + 1)))).toEqual([true, true])
  for (const path of fresh) utimesSync(path, 1, 1)
  await scene.json('clean')
  expect(fresh.map((path) => scene.has(path.slice(scene.campaign.length + 1)))).toEqual([false, false])
})
