import { afterAll, expect, test } from 'vitest'
import { Scene } from './scene.ts'

let scene: Scene
afterAll(() => scene?.end())

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
