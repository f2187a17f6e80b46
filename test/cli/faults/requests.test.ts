import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isAlive, type JobLine, kill, Scene, type Started } from './scene.ts'

/*
 * What people ask for while a run works. Jobs wait for a file `go-NAME` beside the campaign, so that each test decides when they end.
 */

let scene: Scene

const WAITING = `echo "$FLOE_JOB" >>"$RAN"
echo $$ >"$GATE/pid-$FLOE_JOB"
(trap "" TERM; sleep 1000) &
echo $! >"$GATE/child-$FLOE_JOB"
echo begun
while [ ! -e "$GATE/go-$FLOE_JOB" ]; do sleep 0.05; done
echo "$FLOE_JOB" >"$1"
exit $(cat "$GATE/go-$FLOE_JOB")`

const go = (name: string, exit = 0) => scene.writeBeside(`go-${name}`, `${exit}\n`)
const begun = (name: string) => scene.until(`${name} begins`, () => scene.ran()[name] !== undefined)
interface Shown {
  readonly job: { readonly state: string }
  readonly live: { readonly state: string; readonly ended: { readonly verdict: string } | null } | null
}
/** By `show`, which reads the records of live tasks; tables may be a minute old while a run works. */
async function state(name: string): Promise<string> {
  const { job, live } = await scene.json<Shown>('show', name)
  return live?.ended?.verdict ?? live?.state ?? job.state
}
const pidOf = (file: string) => Number(readFileSync(join(scene.root, file), 'utf8'))

const waiting = (made: Scene, id: string, priority = 0): JobLine => ({
  ...{ id, executable: './wait.sh', output: [`${id}.txt`], priority },
  ...{ arguments: ['{output:1}', id], environment: { GATE: made.root } },
})
const addOne = (made: Scene, id: string) => made.add([waiting(made, id)], `${id}.ndjson`)

async function campaignOf(names: readonly string[], yaml = ''): Promise<Scene> {
  const made = await Scene.make({ yaml: `slots: 2\nstop_when_failed: 1\n${yaml}` })
  made.program('wait.sh', WAITING)
  expect(await made.add(names.map((id, at) => waiting(made, id, -at)))).toMatchObject({ exit: 0 })
  return made
}

describe('a run that is interrupted', () => {
  let run: Started

  beforeAll(async () => {
    scene = await campaignOf(['a', 'b', 'c'])
    run = scene.start(['run', '--jobs-per-batch', '1'])
    await begun('a')
    await begun('b')
  })
  afterAll(() => scene?.end())

  test('a second run is refused with who holds the campaign, and changes nothing', async () => {
    const second = await scene.floe('run')
    expect(second).toMatchObject({ exit: 11, stdout: '' })
    expect(second.stderr).toMatch(new RegExp(`Another \`floe run\` works on this campaign: process ${run.pid} on `))
    const inJson = await scene.floe('run', '--json')
    expect(JSON.parse(inJson.stderr)).toMatchObject({ code: 'RUN_LOCKED', details: { pid: run.pid } })
    expect(scene.ran()).toEqual({ a: 1, b: 1 })
  })

  test('status, show and logs answer while it works', async () => {
    expect(await scene.json('status')).toMatchObject({ jobs: 3, running: 2, queued: 1, runner: { pid: run.pid } })
    expect((await scene.floe('show', 'a')).stdout).toMatch(/^a +running/)
    await scene.until('its log', async () => (await scene.floe('logs', 'a')).stdout === 'begun\n')
  })

  test('Ctrl-C ends the looking with 130, and jobs go on', async () => {
    kill(run.pid, 'SIGINT')
    expect(await run.end).toMatchObject({ exit: 130, stderr: expect.stringContaining('Stopped looking') })
    expect([isAlive(pidOf('pid-a')), isAlive(pidOf('pid-b'))]).toEqual([true, true])
    expect(await scene.json('status')).toMatchObject({ running: 2, runner: null })
  })

  test('a later status sees the verdicts of jobs that ended meanwhile, and further jobs begin', async () => {
    go('a')
    await begun('c')
    await scene.until('status says succeeded', async () => (await scene.json('status')).succeeded === 1)
    expect(await scene.json('status')).toMatchObject({ succeeded: 1, running: 2, queued: 0 })
    expect((await scene.floe('show', 'a')).stdout).toMatch(/^a +succeeded/)
    expect(scene.read('outputs/a.txt')).toBe('a\n')
  })

  test('run again takes up; each job ran once', async () => {
    const again = scene.start(['run'])
    go('b')
    go('c')
    expect(await again.end).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ a: 1, b: 1, c: 1 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 3 })
    expect(statSync(scene.path('outputs', 'c.txt')).size).toBe(2)
  })
})

describe('requests while a run works', () => {
  let run: Started

  beforeAll(async () => {
    scene = await campaignOf(['one', 'two', 'three', 'four', 'five'])
    run = scene.start(['run', '--jobs-per-batch', '1'])
    await begun('one')
    await begun('two')
  })
  afterAll(() => scene?.end())

  test('cancel of a running job ends its processes and frees its slot', async () => {
    expect(await scene.json('cancel', 'one', '--why', 'too slow')).toMatchObject({ jobs: 1 })
    await scene.until('its processes end', () => !isAlive(pidOf('pid-one')) && !isAlive(pidOf('child-one')))
    await begun('three')
    await scene.until('it is cancelled', async () => (await state('one')) === 'cancelled')
    const { stdout } = await scene.floe('show', 'one')
    expect(stdout).toMatch(/^one +cancelled/)
    expect(stdout).toContain('too slow')
    expect(scene.has('outputs/one.txt')).toBe(false)
  })

  test('cancel of a queued job: it never starts, though it is quick', async () => {
    expect(await scene.json('cancel', 'four')).toMatchObject({ jobs: 1 })
    expect((await scene.floe('show', 'four')).stdout).toMatch(/asked +cancel by /)
    go('four')
    go('two', 3)
    await begun('five')
    expect(scene.ran().four).toBeUndefined()
  })

  test('a request that fits no job says so and exits 4', async () => {
    const nothing = async (...words: string[]) => {
      const { exit, stderr } = await scene.floe(...words)
      expect(exit).toBe(4)
      return stderr
    }
    expect(await nothing('release', 'five')).toMatch(/nothing to release: .*\n +do +release is for jobs that are held/)
    expect(await nothing('cancel', 'nobody')).toContain('no job nobody')
    expect(await nothing('retry', '--state', 'lost')).toContain('nothing to retry')
    expect(await nothing('cancel', '--where', 'labels is not null')).toContain('nothing to cancel')
  })

  test('the run ends when all is decided', async () => {
    go('three')
    go('five')
    expect(await run.end).toMatchObject({ exit: 3 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 2, cancelled: 2, failed: 1, pending: 0 })
    expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1, five: 1 })
  })

  test('run again leaves cancelled and failed jobs alone', async () => {
    expect(await scene.floe('run')).toMatchObject({ exit: 3, stdout: expect.stringContaining('Nothing to do') })
    expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1, five: 1 })
  })

  test('retry while a run works: that run takes failed and cancelled jobs up, and those added meanwhile', async () => {
    expect(await addOne(scene, 'six')).toMatchObject({ exit: 0 })
    const more = scene.start(['run'])
    await begun('six')
    for (const name of ['one', 'two']) go(name)
    expect(await scene.json('retry', '--state', 'failed,cancelled', '--why', 'mended')).toMatchObject({ jobs: 3 })
    await scene.until('they run', () => scene.ran().four === 1 && scene.ran().two === 2 && scene.ran().one === 2)
    expect(await addOne(scene, 'seven')).toMatchObject({ exit: 0 })
    go('seven')
    await begun('seven')
    go('six')
    expect(await more.end).toMatchObject({ exit: 0 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 7 })
    expect(scene.ran()).toEqual({ one: 2, two: 2, three: 1, four: 1, five: 1, six: 1, seven: 1 })
  })
})

describe('verdicts that are in no table yet', () => {
  afterAll(() => scene?.end())
  const states = async () =>
    Object.fromEntries(
      (await scene.query<{ job_id: string; state: string }>('select job_id, state from jobs')).map((row) => [
        row.job_id,
        row.state,
      ]),
    )
  /** After a minute a run publishes by itself: on a machine that needs one to get here, nothing can be said of that. */
  const expectUnpublished = async (sinceMs: number): Promise<void> => {
    const rows = await scene.query('select job_id from attempts')
    if (performance.now() - sinceMs < 50_000) expect(rows).toEqual([])
  }

  test('jobs, query and requests see them as status does', async () => {
    scene = await campaignOf(['a', 'b', 'c'])
    const startedMs = performance.now()
    const run = scene.start(['run', '--jobs-per-batch', '1'])
    await begun('a')
    await begun('b')
    go('a', 3)
    await scene.until('status says failed', async () => (await scene.json('status')).failed === 1)
    await begun('c')
    expect(await states()).toEqual({ a: 'failed', b: 'running', c: 'running' })
    expect((await scene.floe('jobs', '--state', 'failed')).stdout).toMatch(/^a +failed +app +1 /m)
    expect((await scene.floe('jobs', '--where', 'tries = 1')).stdout).not.toMatch(/^b /m)
    expect(await scene.floe('cancel', 'a')).toMatchObject({ exit: 4, stderr: expect.stringContaining('1 failed') })
    // All this was known from the records alone; a request that is heeded publishes.
    await expectUnpublished(startedMs)
    go('a')
    expect(await scene.json('retry', '--state', 'failed')).toMatchObject({ jobs: 1, under_way: 0 })
    go('b')
    await scene.until('status says succeeded', async () => (await scene.json('status')).succeeded === 1)
    expect(await scene.floe('hold', 'b')).toMatchObject({ exit: 4, stderr: expect.stringContaining('1 succeeded') })
    go('c')
    expect(await run.end).toMatchObject({ exit: 0 })
    expect(await states()).toEqual({ a: 'succeeded', b: 'succeeded', c: 'succeeded' })
    expect(scene.ran()).toEqual({ a: 2, b: 1, c: 1 })
    scene.end()
  })

  test('a failure that the policy tries again can be cancelled, and one that it holds released', async () => {
    scene = await campaignOf(['x', 'y', 'z'], 'policy: {app: {tries: 2}, check: {exhausted: hold}}\n')
    await scene.add([{ ...waiting(scene, 'y'), check: 'false' }], 'y.ndjson')
    const startedMs = performance.now()
    const run = scene.start(['run', '--jobs-per-batch', '1'])
    go('y')
    go('x', 3)
    await begun('z')
    await scene.until('both failed', async () => (await scene.json('status')).failed === 2)
    expect(await states()).toEqual({ x: 'pending', y: 'held', z: 'running' })
    await expectUnpublished(startedMs)
    expect(await scene.json('cancel', 'x')).toMatchObject({ jobs: 1 })
    expect(await scene.json('release', 'y')).toMatchObject({ jobs: 1 })
    await scene.json('cancel', 'z')
    expect(await run.end).toMatchObject({ exit: expect.any(Number) })
    expect(scene.ran()).toMatchObject({ x: 1, y: 2, z: 1 })
    expect(await states()).toMatchObject({ x: 'cancelled', z: 'cancelled' })
  })
})

describe('hold and release', () => {
  beforeAll(async () => {
    scene = await campaignOf(['x', 'y'])
    go('x')
    go('y')
  })
  afterAll(() => scene?.end())

  test('a held job does not start; release lets it', async () => {
    expect(await scene.json('hold', 'y', '--why', 'no data yet')).toMatchObject({ jobs: 1 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ x: 1 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 1, held: 1 })
    expect((await scene.floe('show', 'y')).stdout).toMatch(/^y +held(.|\n)*no data yet/)
    expect(await scene.json('release', '--all')).toMatchObject({ jobs: 1 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ x: 1, y: 1 })
  })

  test('a withdrawn job does not run, and its results stay', async () => {
    expect(await scene.json('remove', 'y')).toMatchObject({ jobs: 1 })
    expect(await scene.json('status')).toMatchObject({ jobs: 1, succeeded: 1 })
    expect(await scene.query("select count(*) as n from results where job_id = 'y'")).toEqual([{ n: 1 }])
  })
})
