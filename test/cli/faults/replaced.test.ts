import { rmSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { type JobLine, Scene } from './scene.ts'

/* What changes under a campaign while it works: jobs that are replaced, programs that are edited, a scratch that is purged. */

let scene: Scene
afterEach(() => scene?.end())

const WAITING = `echo "$1" >>"$RAN"
while [ -e "$GATE/wait-$1" ]; do sleep 0.05; done
printf 'word\\n%s\\n' "$1" >"$2"`

const begun = (word: string) => scene.until(`${word} begins`, () => scene.ran()[word] !== undefined)
const saying = (word: string): JobLine => ({
  ...{ id: 'a', executable: './wait.sh', output: ['a.csv'] },
  ...{ arguments: [word, '{output:1}'], environment: { GATE: scene.root } },
})

test('the output of a job that was replaced while it ran is that of its newer revision', async () => {
  scene = await Scene.make()
  scene.program('wait.sh', WAITING)
  scene.writeBeside('wait-old', '')
  await scene.add([saying('old')])
  const run = scene.start(['run'])
  await begun('old')
  expect(await scene.add([saying('new')])).toMatchObject({ exit: 0 })
  // Time enough for the newer one to be started beside the older, were it planned.
  await new Promise((resolve) => setTimeout(resolve, 2000))
  rmSync(`${scene.root}/wait-old`)
  expect(await run.end).toMatchObject({ exit: 0 })
  expect(scene.read('outputs/a.csv')).toBe('word\nnew\n')
  expect(await scene.query('select word from merged')).toEqual([{ word: 'new' }])
  expect(scene.ran()).toEqual({ old: 1, new: 1 })
})

test('a scratch that is purged under a run costs what was not published yet, and no more', async () => {
  scene = await Scene.make()
  scene.program('wait.sh', WAITING)
  scene.writeBeside('wait-old', '')
  await scene.add([saying('old')])
  const run = scene.start(['run'])
  await begun('old')
  rmSync(scene.path('scratch', 'floe', 'campaigns'), { recursive: true })
  rmSync(`${scene.root}/wait-old`)
  expect(await run.end).toMatchObject({ exit: 0 })
  expect(scene.read('outputs/a.csv')).toBe('word\nold\n')
  expect(await scene.json('status')).toMatchObject({ succeeded: 1 })
})

test('`try` runs the program as it is now, of held and cancelled jobs too', async () => {
  scene = await Scene.make()
  scene.program('say.sh', 'echo first')
  await scene.add([{ id: 'a', executable: './say.sh' }])
  const said = async () => (await scene.floe('try', 'a')).stdout.split('\n')[0]
  expect(await said()).toBe('first')
  scene.program('say.sh', 'echo second')
  expect(await said()).toBe('second')
  await scene.floe('run')
  scene.program('say.sh', 'echo third')
  expect(await said()).toBe('third')
  await scene.floe('retry', 'a')
  await scene.floe('hold', 'a')
  await scene.floe('cancel', 'a')
  expect(await said()).toBe('third')
})
