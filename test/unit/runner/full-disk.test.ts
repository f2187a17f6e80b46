import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decodeRecord } from '../../../src/model/record.ts'
import { fakeArray, fakeJob } from '../../fakes/array.ts'
import { type RanTask, script, useRunner } from '../../fakes/task.ts'
import { cannotMount, mounting, Tmpfs } from '../../fakes/tmpfs.ts'

/* Disks without room: that of the jobs' own directories, and the scratch that records and outputs lie on. */

const BIG = 'head -c 1000000 /dev/zero'
const FLOOD = 'head -c 10000000 /dev/zero'
const output = (path: string) => ({ outputs: [{ path, optional: false }] })
const sealOf = ({ lines }: RanTask) => lines.findLast(({ event }) => event === 'task ended')

describe.skipIf(cannotMount !== undefined)(mounting('a full disk'), () => {
  const runner = useRunner()
  let disk: Tmpfs
  beforeEach(() => {
    disk = new Tmpfs(4)
  })
  afterEach(() => disk.remove())
  const ran = (name: string): string[] => {
    const path = join(runner.scratch, name)
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
  }
  const noting = (job: string, text: string) => script(`echo ${job} >>'${runner.scratch}/ran'; ${text}`)

  it('filled by others: no job is blamed, and those that are left are not tried', async () => {
    disk.fill()
    const jobs = ['a', 'b', 'c'].map((job) => fakeJob(job, { ...noting(job, `${BIG} >big`), ...output('big') }))
    const task = await runner.run(jobs, { sandboxes: disk.path })
    expect(task.ended.get('a')).toMatchObject({ verdict: 'lost', class: 'node', exit: 1, sandbox: null })
    expect(task.ended.get('a')!.rule).toMatch(/^the node's disk is full: 0 B left of 4\.2 MB at \S+; exit 1$/)
    expect([...task.ended.keys()]).toEqual(['a'])
    expect(ran('ran')).toEqual(['a'])
    expect(sealOf(task)).toMatchObject({ reason: 'failed', jobs: 1 })
    expect(sealOf(task)).toMatchObject({ message: `the node's disk is full: 0 B left of 4.2 MB at ${disk.path}` })
  })

  it('filled by a job: it is lost, and the next ones have the room', async () => {
    const task = await runner.run(
      [
        // Long enough that none is told ahead.
        fakeJob('before', { ...script(`sleep 0.1; ${BIG} >big`), ...output('big') }),
        fakeJob('fills', script(`sleep 0.1; ${FLOOD} >big`)),
        fakeJob('one', script('sleep 0.1')),
        fakeJob(
          'tidy',
          script(`sleep 0.1; ${FLOOD} >big || { rm big; echo "cannot write: No space left on device" >&2; exit 3; }`),
        ),
        fakeJob('two', script('sleep 0.1')),
        fakeJob('quiet', { ...script(`sleep 0.1; ${FLOOD} >big 2>/dev/null; exit 0`), ...output('big') }),
        fakeJob('app', script('sleep 0.1; exit 4')),
        fakeJob('after', { ...script(`${BIG} >big`), ...output('big') }),
      ],
      { sandboxes: disk.path, publish: 'pack' },
    )
    expect(sealOf(task)).toMatchObject({ reason: 'done', jobs: 8 })
    expect(task.ended.get('fills')).toMatchObject({ verdict: 'lost', class: 'node' })
    expect(task.ended.get('tidy')).toMatchObject({ verdict: 'lost', class: 'node', exit: 3 })
    expect(task.ended.get('tidy')!.rule).toBe('a disk is full: a job said "No space left on device"; exit 3')
    // Its output is not whole, whatever it says.
    expect(task.ended.get('quiet')).toMatchObject({ verdict: 'lost', class: 'node', exit: 0, outputs: [] })
    expect(task.ended.get('app')).toMatchObject({ verdict: 'failed', class: 'app', rule: 'exit 4' })
    for (const job of ['before', 'after']) expect(task.ended.get(job)).toMatchObject({ verdict: 'succeeded' })
    expect(readdirSync(disk.path)).toEqual([])
  })

  it('so full that each job meets it: the first is lost, the next is not tried, and the task ends', async () => {
    disk.fill(2_000_000)
    const jobs = ['a', 'b', 'c'].map((job) =>
      fakeJob(job, { ...noting(job, `sleep 0.1; ${FLOOD} >big`), ...output('big') }),
    )
    const task = await runner.run(jobs, { sandboxes: disk.path })
    expect([...task.ended.keys()]).toEqual(['a'])
    expect(task.ended.get('a')).toMatchObject({ verdict: 'lost', class: 'node' })
    expect(ran('ran')).toEqual(['a', 'b'])
    expect(sealOf(task)).toMatchObject({
      reason: 'failed',
      message: `the node's disk is full: 0 B left of 4.2 MB at ${disk.path}`,
    })
  })

  it('filled by a job beside others: those that meet it are lost, nothing is started until there is room', async () => {
    const [filled, met] = ['filled', 'met'].map((name) => join(runner.scratch, name)) as [string, string]
    const until = (file: string) => `until [ -e '${file}' ]; do sleep 0.05; done`
    const task = await runner.run(
      [
        fakeJob('fills', noting('fills', `${FLOOD} >big; >'${filled}'; ${until(met)}; sleep 0.3; exit 1`)),
        fakeJob('meets', noting('meets', `${until(filled)}; ${BIG} >big; e=$?; >'${met}'; exit $e`)),
        ...['x', 'y', 'z'].map((job) => fakeJob(job, { ...noting(job, `${BIG} >big`), ...output(`${job}/big`) })),
      ].map((job) => ({ ...job, outputs: [] })),
      { sandboxes: disk.path },
      { args: ['--cpus', '2'] },
    )
    expect(sealOf(task)).toMatchObject({ reason: 'done', jobs: 5 })
    for (const job of ['fills', 'meets']) expect(task.ended.get(job), job).toMatchObject({ class: 'node' })
    for (const job of ['x', 'y', 'z']) expect(task.ended.get(job), job).toMatchObject({ verdict: 'succeeded' })
    const at = (job: string) => task.ended.get(job)!
    for (const job of ['x', 'y', 'z']) expect(at(job).started_at).toBeGreaterThanOrEqual(at('fills').at)
  })

  it('a scratch that is full for a while: what is recorded is whole, and runs once', async () => {
    // Lines of the record that fit nowhere.
    const names = Array.from({ length: 8 }, (_, at) => `${at}${'x'.repeat(5000)}`)
    const fills = `[ -e filled ] || { >filled; cat /dev/zero >'${disk.path}/fill' 2>/dev/null; }; :`
    const jobs = names.map((job, at) =>
      at === 3
        ? fakeJob(job, noting('3', fills.replaceAll('filled', `'${runner.scratch}/filled'`)))
        : fakeJob(job, { ...noting(String(at), `seq 1 9000 >${at}.txt`), ...output(`${at}.txt`) }),
    )
    const directory = fakeArray(disk.path, [jobs], { sandboxes: join(runner.scratch, 'sandboxes') })
    const first = await runner.start(directory)
    // To the scheduler's accounts, for there is no room to say it elsewhere.
    expect(await first.exit).toBe(73)
    const seen = names.filter((name) => runner.read(directory).ended.has(name))
    expect(seen.length).toBeLessThan(4)
    const full = await runner.start(directory)
    expect(await full.exit).toBe(73)
    expect(readdirSync(join(directory, 'records'))).toEqual(['0.1'])
    disk.makeRoom()
    const second = await runner.start(directory)
    expect(await second.exit).toBe(0)
    const done = runner.read(directory)
    expect(done.seal).toBe('done')
    for (const name of names) expect(done.ended.get(name)).toMatchObject({ verdict: 'succeeded' })
    for (const name of seen) expect(ran('ran').filter((one) => one === name[0])).toEqual([name[0]])
    for (const at of names.keys())
      if (at !== 3) expect(readFileSync(join(disk.path, 'outputs', `${at}.txt`), 'utf8')).toMatch(/\n9000\n$/)
  })

  it('a scratch that has room again in time: the task is sealed, with what was full', async () => {
    mkdirSync(join(runner.scratch, 'sandboxes'))
    const jobs = ['a', 'b'].map((job) => fakeJob(job, script(`sleep 0.5; echo ${job}`)))
    const directory = fakeArray(disk.path, [jobs], { sandboxes: join(runner.scratch, 'sandboxes') })
    const { exit } = await runner.start(directory)
    while (!existsSync(join(directory, 'records/0.1'))) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 200))
    disk.fill()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    disk.makeRoom()
    expect(await exit).toBe(1)
    const task = runner.read(directory)
    expect(sealOf(task)).toMatchObject({ reason: 'failed' })
    expect(sealOf(task)).toMatchObject({
      message: expect.stringMatching(/^the scratch disk is full: \S+ k?B left of 4\.2 MB at \S+$/),
    })
    const text = readFileSync(join(directory, 'records/0.1'), 'utf8').split('\n')
    expect(text.pop()).toBe('')
    expect(text.map(decodeRecord)).not.toContain(undefined)
  })
})

describe('directories that a killed runner left on its node', () => {
  const runner = useRunner()

  it('are removed by the next one there, when their runner is surely gone, and are of the same user', async () => {
    const sandboxes = join(runner.scratch, 'sandboxes')
    const slow = runner.array([fakeJob('slow', script('sleep 30'))], { array: 'a1', sandboxes })
    const dead = await runner.start(slow)
    while (readdirOf(sandboxes).length < 1) await new Promise((resolve) => setTimeout(resolve, 10))
    const [left] = readdirOf(sandboxes)
    dead.child.kill('SIGKILL')
    await dead.exit
    const alive = await runner.start(runner.array([fakeJob('on', script('sleep 30'))], { array: 'a2', sandboxes }))
    while (readdirOf(sandboxes).filter((name) => name !== left).length < 1)
      await new Promise((resolve) => setTimeout(resolve, 10))
    // Its own runner took away what the dead one had left; that one lives.
    const [living] = readdirOf(sandboxes)
    expect(readdirOf(sandboxes)).toEqual([living])
    // Of another machine (or container), of a later process under the same pid, and no runner's at all.
    const parts = /^(.*)-(\d+)-(\d+)-([0-9a-f]{8})$/.exec(living!)!
    const [, name, pid, start, place] = parts
    const elsewhere = `${name}-${pid}-${Number(start) + 1}-${place === '00000000' ? '11111111' : '00000000'}`
    const reused = `${name}-${pid}-${Number(start) + 1}-${place}`
    for (const one of [elsewhere, reused, 'floe-of-mine', `${name}-1`])
      mkdirSync(join(sandboxes, one, 'in'), { recursive: true })
    writeFileSync(join(sandboxes, `${name}-1-1-${place}`), 'a file')
    const next = await runner.run([fakeJob('next', script('true'))], { array: 'a3', sandboxes })
    expect(next.ended.get('next')).toMatchObject({ verdict: 'succeeded' })
    expect(readdirOf(sandboxes).sort()).toEqual(
      [living, elsewhere, 'floe-of-mine', `${name}-1`, `${name}-1-1-${place}`].sort(),
    )
    alive.child.kill('SIGTERM')
    await alive.exit
    expect(readdirOf(sandboxes)).not.toContain(living)
  })

  const readdirOf = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
})
