import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { cutLine } from '../../fakes/cut-line.ts'
import { makeKey, startSshServer } from '../../fakes/ssh-server.ts'
import { withSums } from '../place.ts'
import { began, onceEach, open, openScene, RESULTS, type Scene, until, VERDICTS, withWaits } from './scene.ts'

/* Machines without a scheduler: floe's own runs there. */

/** `frost` is a workstation over SSH, by a line that can be cut. */
async function overSsh(scene: Scene) {
  const { place } = scene
  const [user, host] = [makeKey(), makeKey()]
  const server = await startSshServer({ keys: [user.public], hostKeys: [host.private], banner: 'Welcome to Frost\n' })
  const line = await cutLine('127.0.0.1', server.port)
  onTestFinished(async () => {
    await line.close()
    await server.close()
  })
  place.file('id', user.private, 0o600)
  place.file('known', `[127.0.0.1]:${line.port} ${host.public}\n`)
  const way = { port: line.port, identity: place.path('id'), agent: 'none', known_hosts: place.path('known') }
  scene.settle({ connector: 'local', slots: 2, ssh: { to: 'alice@127.0.0.1', ...way } })
  return line
}

/** The scheduler's own process there, by its lock. */
function schedulerPid({ place }: Scene): number | undefined {
  const queue = place.path('scratch/floe/local')
  const lock = existsSync(queue) ? readdirSync(queue).find((name) => name.startsWith('lock.')) : undefined
  return lock === undefined ? undefined : (JSON.parse(readFileSync(join(queue, lock), 'utf8')) as { pid: number }).pid
}

describe('a campaign at a machine without a scheduler', () => {
  test.each(['here', 'over SSH'])('gives the rows that the local site gives, %s', async (where) => {
    const scene = await openScene('slurm')
    const { place, run } = scene
    if (where === 'here') scene.settle({ connector: 'local', slots: 2 })
    else await overSsh(scene)
    withSums(place)
    await run(['add', place.path('jobs.ndjson')])
    const told = await run(['run', '--site', 'frost', '--json'])
    expect(told.stderr).toBe('')
    expect(JSON.parse(told.stdout)).toMatchObject({ succeeded: 7, failed: 1, merged_rows: 7 })
    await place.run(['init', 'here'])
    await place.run(['-C', 'here', 'add', 'jobs.ndjson'])
    await place.run(['-C', 'here', 'run'])
    for (const sql of ['from merged order by job_id', VERDICTS, RESULTS]) {
      const there = await scene.rows(sql)
      expect(there.split('\n').length).toBeGreaterThan(7)
      expect(there).toBe((await place.run(['-C', 'here', 'query', sql, '--csv'])).stdout)
    }
  })

  test('goes on while the connection is cut and floe is killed, and nothing runs twice', async () => {
    const scene = await openScene('slurm')
    const { place } = scene
    const line = await overSsh(scene)
    withWaits(place, { jobs: 5 })
    await scene.run(['add', place.path('jobs.ndjson')])
    const first = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
    await until('two run, as many as there are slots', () => Object.keys(began(place)).length === 2)
    line.cut()
    await until('floe is back', async () => (await scene.json<{ running: number }>('status')).running === 2)
    first.signal('SIGKILL')
    await first.end
    line.cut()
    open(place)
    await until('all are done though nobody looks', () => Object.keys(began(place)).length === 5)
    expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 5, failed: 0 })
    expect(began(place)).toEqual(onceEach(5))
  })

  test('its scheduler may be killed: another one goes on', async () => {
    const scene = await openScene('slurm')
    const { place } = scene
    scene.settle({ connector: 'local', slots: 2 })
    withWaits(place, { jobs: 4 })
    await scene.run(['add', place.path('jobs.ndjson')])
    const atWork = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1', '--json'])
    await until('two run', () => Object.keys(began(place)).length === 2)
    const killed = schedulerPid(scene)!
    process.kill(killed, 'SIGKILL')
    await until('another one is there', () => ![undefined, killed].includes(schedulerPid(scene)))
    open(place)
    expect(JSON.parse((await atWork.end).stdout)).toMatchObject({ succeeded: 4, failed: 0 })
    expect(began(place)).toEqual(onceEach(4))
  })

  test('jobs that wait, and that run, are cancelled there', async () => {
    const scene = await openScene('slurm')
    const { place } = scene
    scene.settle({ connector: 'local', slots: 1 })
    withWaits(place, { jobs: 2 })
    await scene.run(['add', place.path('jobs.ndjson')])
    const atWork = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1', '--json'])
    await until('one runs', () => Object.keys(began(place)).length === 1)
    await scene.run(['cancel', '--all'])
    expect(JSON.parse((await atWork.end).stdout)).toMatchObject({ cancelled: 2, succeeded: 0 })
  })

  test('doctor says what it is', async () => {
    const scene = await openScene('slurm')
    await overSsh(scene)
    const report = await scene.json<{ usable: boolean; version: string; findings: { found: string }[] }>(
      'doctor',
      'frost',
    )
    expect(report).toMatchObject({ usable: true, connector: 'local', version: expect.stringMatching(/^floe's own/) })
    const found = report.findings.map((finding) => finding.found).join('\n')
    expect(found).toMatch(/arrays of up to 100,000 tasks/)
    expect(found).toMatch(/memory and GPUs of several tasks are not counted together/)
  })

  test('more cores than it has are found before anything is submitted', async () => {
    const scene = await openScene('slurm')
    const { place } = scene
    scene.settle({ connector: 'local', slots: 2 })
    withWaits(place, { jobs: 1, waits: false, resources: { cpus: 3 } })
    await scene.run(['add', place.path('jobs.ndjson')])
    expect(await scene.run(['run', '--site', 'frost'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('3 cpus: the queue local gives a task at most 2'),
    })
  })
})
