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

const other = (id: string, word: string, output: string): JobLine => ({ ...saying(word), id, output: [output] })

test('an output that another job took over stays that of the other, whatever the older revision still writes', async () => {
  scene = await Scene.make()
  // Ends in its own time, though it is told to.
  scene.program('wait.sh', WAITING.replace('while', 'trap "" TERM\nwhile'))
  scene.writeBeside('wait-old', '')
  await scene.add([saying('old')])
  const run = scene.start(['run'])
  await begun('old')
  expect(await scene.add([other('a', 'new', 'elsewhere.csv'), other('b', 'other', 'a.csv')])).toMatchObject({ exit: 0 })
  await begun('other')
  await scene.until('it is published', () => scene.has('outputs/a.csv'))
  rmSync(`${scene.root}/wait-old`)
  expect(await run.end).toMatchObject({ exit: 0 })
  expect(scene.read('outputs/a.csv')).toBe('word\nother\n')
  expect(await scene.query('select job_id, revision, output from results order by job_id')).toEqual([
    { job_id: 'a', revision: 2, output: 'elsewhere.csv' },
    { job_id: 'b', revision: 1, output: 'a.csv' },
  ])
  expect(await scene.query("select revision, verdict from attempts where job_id = 'a' order by 1")).toEqual([
    { revision: 1, verdict: 'cancelled' },
    { revision: 2, verdict: 'succeeded' },
  ])
})

test('what a revision made before it was replaced is an attempt, and no result', async () => {
  scene = await Scene.make()
  scene.program('wait.sh', WAITING)
  scene.writeBeside('wait-slow', '')
  await scene.add([saying('old'), other('b', 'slow', 'b.csv')])
  const run = scene.start(['run', '--jobs-per-batch', '1'])
  await begun('slow')
  await scene.until('old is done', async () => (await scene.json('status')).succeeded === 1)
  await scene.add([other('a', 'new', 'elsewhere.csv')])
  rmSync(`${scene.root}/wait-slow`)
  expect(await run.end).toMatchObject({ exit: 0 })
  expect(await scene.query("select revision, output from results where job_id = 'a'")).toEqual([
    { revision: 2, output: 'elsewhere.csv' },
  ])
  expect(await scene.query("select revision, verdict from attempts where job_id = 'a' order by 1")).toEqual([
    { revision: 1, verdict: 'succeeded' },
    { revision: 2, verdict: 'succeeded' },
  ])
  expect(await scene.query('select job_id, word from merged order by 1')).toEqual([
    { job_id: 'a', word: 'new' },
    { job_id: 'b', word: 'slow' },
  ])
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
