import { chmodSync, existsSync, readdirSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type * as library from '../../../src/floe.ts'
import type { DoctorReport } from '../../../src/floe.ts'
import { CLUSTERS } from '../../fakes/clusters.ts'
import { failed } from '../../fakes/scheduler/fake-scheduler.ts'
import { withSums } from '../place.ts'
import { openScene, type Scene } from './scene.ts'

const masked = ({ place }: Scene, text: string): string =>
  place
    .masked(text)
    .replaceAll(hostname(), 'HOST')
    .replaceAll(process.versions.node, 'VERSION')
    .replace(/checked \d+ \w+ \d+/g, 'checked DATE')
    .replace(/\d[\d.]* [kMGTP]?B and [\d,]+ files/g, 'BYTES and COUNT files')
    .replace(/ \([\d.]+ [kMGTP]?B free\)/g, ' (BYTES free)')
    .replace(/in \d+ ms( to \d+ ms)?/g, 'in N ms')
    // A busy machine makes a slow scheduler.
    .replace(/(ok {2}|warn) {2}the scheduler/g, '…  the scheduler')
    .replace(/ \(glibc [\d.]+\)/g, '')
    .replace(/looks every .*/g, 'looks every N s')
    .replace(/ +→? */g, (blanks) => (blanks.length > 2 ? '  ' : blanks))

async function doctor(scene: Scene, ...args: string[]): Promise<string> {
  const { stdout, stderr, status } = await scene.run(['doctor', 'frost', ...args])
  return masked(scene, `${stdout}${stderr.replace(/^/gm, '! ').replace(/^! $/gm, '')}exit ${status}`)
}

const examined = (scene: Scene, ...args: string[]) => scene.json<DoctorReport>('doctor', 'frost', ...args)
const failures = ({ findings }: DoctorReport) =>
  findings.filter(({ level }) => level === 'fail').map(({ about, found, floe }) => ({ about, found, floe }))
const isIdle = ({ fake }: Scene) => fake.jobs.every(({ tasks }) => tasks.every(({ state }) => state === 'ended'))

describe('floe doctor at a site as it should be', () => {
  test('of Slurm', async () => {
    const scene = await openScene('slurm')
    expect(await doctor(scene)).toMatchSnapshot()
  })
  test('of Grid Engine', async () => {
    const scene = await openScene('sge')
    expect(await doctor(scene)).toMatchSnapshot()
  })
  test('of PBS', async () => {
    const scene = await openScene('pbs')
    expect(await doctor(scene)).toMatchSnapshot()
  })

  test('measures, leaves nothing behind, and keeps a profile that `sites` reads', async () => {
    const scene = await openScene('slurm')
    const before = await scene.json<{ sites: { name: string }[] }>('sites')
    expect(before.sites.map(({ name }) => name)).toEqual(['local', 'frost'])
    expect(before.sites[1]).toMatchObject({ connector: 'slurm', checked_at: null, usable: null, version: null })
    const report = await examined(scene)
    expect(report).toMatchObject({
      usable: true,
      version: 'Slurm 22.05.8',
      connector: 'slurm',
      limits: { array_max: 1000 },
    })
    expect(report.measured).toMatchObject({
      node_host: hostname(),
      node_version: process.versions.node,
      native_id: '1001',
    })
    for (const ms of ['limits_ms', 'submit_ms', 'status_ms', 'accounting_ms'] as const)
      expect(report.measured[ms]).toBeGreaterThan(0)
    expect(scene.fake.jobs.map(({ tasks }) => tasks.map(({ exit }) => exit))).toEqual([[0]])
    // The runner stays in the cache, as after a run.
    expect(readdirSync(scene.place.path('scratch/floe'))).toEqual(['cache'])
    const profile = scene.place.path('config/floe/profiles/frost.json')
    expect(statSync(profile).mode & 0o777).toBe(0o600)
    const after = await scene.json<{ sites: object[] }>('sites')
    expect(after.sites[1]).toMatchObject({ checked_at: report.checked_at, usable: true, version: 'Slurm 22.05.8' })
    expect((await scene.run(['sites'])).stdout).toMatch(/frost +Slurm 22\.05\.8 .* \d+ \w+ \d{4}\n$/)
  })

  test('submits nothing with --no-job', async () => {
    const scene = await openScene('pbs')
    const { findings, measured } = await examined(scene, '--no-job')
    expect(findings).toContainEqual(expect.objectContaining({ level: 'note', about: 'task' }))
    expect(measured).toMatchObject({ node_version: process.versions.node, native_id: null, status_ms: null })
    expect(scene.fake.jobs).toEqual([])
  })

  test('asks again for its limits only where a run cannot', async () => {
    const scene = await openScene('slurm')
    withSums(scene.place)
    await scene.run(['add', scene.place.path('jobs.ndjson')])
    scene.fake.noise.failing.set('scontrol', { times: 1000, reply: failed(1, 'scontrol: error: no permission') })
    expect((await scene.run(['run', '--site', 'frost'])).stderr).toContain('no permission')
    scene.fake.noise.failing.clear()
    await examined(scene)
    scene.fake.noise.failing.set('scontrol', { times: 1000, reply: failed(1, 'scontrol: error: no permission') })
    expect(await scene.json('run', '--site', 'frost')).toMatchObject({ succeeded: 7, failed: 1 })
  })
})

describe('floe doctor finds', () => {
  test('a scratch that is not there', async () => {
    const scene = await openScene('slurm')
    scene.fake.noise.accounts = false
    scene.place.remove('scratch')
    expect(await doctor(scene)).toMatchSnapshot()
    expect(scene.fake.jobs).toEqual([])
    expect(existsSync(scene.place.path('scratch'))).toBe(false)
    expect((await scene.run(['sites'])).stdout).toMatch(/, not usable\n$/)
  })

  test.each(CLUSTERS.map(({ name }) => name))('a scratch that cannot be written (%s)', async (scheduler) => {
    const scene = await openScene(scheduler)
    // Root may write where others may not, but nobody below a file.
    scene.place.file('scratch/floe', '')
    const [failure, ...more] = failures(await examined(scene))
    expect(more).toEqual([])
    expect(failure).toMatchObject({
      about: 'scratch',
      found: expect.stringMatching(/scratch cannot be written: mkdir: .*(Not a directory|File exists)$/),
      floe: 'correct `scratch:` of frost in sites.yaml, or make it writable for you',
    })
  })

  test('a scratch that is a file', async () => {
    const scene = await openScene('slurm')
    scene.place.remove('scratch').file('scratch', '')
    expect(failures(await examined(scene))).toEqual([
      {
        about: 'scratch',
        found: `${scene.place.path('scratch')} is no directory that you may enter`,
        floe: 'correct `scratch:` of frost in sites.yaml',
      },
    ])
  })

  test.each([
    ['slurm', 'pbs', '`sbatch` of Slurm is there: is it `connector: slurm`?'],
    ['pbs', 'slurm', '`qselect` of PBS is there: is it `connector: pbs`?'],
    ['pbs', 'sge', '`qselect` of PBS is there: is it `connector: pbs`?'],
  ])('%s where sites.yaml says %s', async (scheduler, wrong, hint) => {
    const scene = await openScene(scheduler)
    scene.settle({ connector: wrong })
    const [failure] = failures(await examined(scene))
    expect(failure).toMatchObject({ about: 'scheduler', found: expect.stringContaining('was not found'), floe: hint })
    expect(existsSync(scene.place.path('config/floe/profiles/frost.json'))).toBe(false)
  })

  test('no scheduler at all', async () => {
    const scene = await openScene('slurm')
    scene.settle({ setup: ['PATH=/usr/bin:/bin'] })
    expect(await doctor(scene)).toMatchSnapshot()
  })

  test('a queue that does not start the task, and takes the task back', async () => {
    const scene = await openScene('slurm')
    scene.fake.noise.paused = true
    expect(await doctor(scene, '--wait', '2s')).toMatchSnapshot()
    expect(isIdle(scene)).toBe(true)
    expect(readdirSync(scene.place.path('scratch/floe'))).toEqual(['cache'])
  })

  test('a task that is held, which waiting does not mend', async () => {
    const scene = await openScene('slurm')
    scene.fake.noise.paused = true
    const report = examined(scene, '--wait', '3s')
    while (scene.fake.jobs.length === 0) await sleep(20)
    for (const task of scene.fake.jobs[0]!.tasks) task.state = 'held'
    expect(failures(await report)).toEqual([
      { about: 'task', found: expect.stringContaining('did not start within'), floe: expect.any(String) },
    ])
  })

  test('a task that ends and leaves nothing', async () => {
    const scene = await openScene('slurm')
    scene.fake.noise.instant = true
    expect(failures(await examined(scene))).toEqual([
      {
        about: 'task',
        found: 'a task ended and left nothing (COMPLETED)',
        floe: expect.stringContaining('perhaps its node does not see'),
      },
    ])
  })

  test('queues, accounts, cores and walltimes that are not to be had', async () => {
    const scene = await openScene('slurm')
    scene.settle({ queue: 'mian', account: 'fire' })
    expect(failures(await examined(scene, '--no-job'))).toEqual([
      { about: 'queue', found: 'there is no queue mian', floe: 'did you mean main?' },
      { about: 'account', found: 'you have no account fire', floe: 'set `account:` of frost to one of ice' },
    ])
    scene.settle({ task: { cpus: 32 } })
    expect(failures(await examined(scene, '--no-job'))).toMatchObject([
      { found: 'a node of queue main has 16 cores, and tasks ask for 32' },
    ])
    const other = await openScene('pbs')
    other.settle({ task: { walltime: '3-00:00:00' } })
    expect((await examined(other, '--no-job')).findings).toContainEqual({
      ...{ level: 'warn', about: 'queue', found: 'queue workq ends tasks after 2 d, and tasks ask for 3 d' },
      floe: 'floe asks for 2 d; another `queue:` of frost may give more',
    })
  })

  test('a submission that is refused, in the words of the scheduler', async () => {
    const scene = await openScene('pbs')
    scene.settle({ account: 'fire' })
    expect(failures(await examined(scene))).toEqual([
      {
        about: 'task',
        found: expect.stringContaining('frost refused the array: Invalid Account'),
        floe: expect.any(String),
      },
    ])
  })

  test('a Node that does not run there', async () => {
    const scene = await openScene('slurm')
    scene.settle({ node: '/bin/false' })
    expect(failures(await examined(scene))).toMatchObject([{ about: 'node', floe: expect.stringContaining('`node:`') }])
    expect(scene.fake.jobs).toEqual([])
  })

  test('a scheduler that answers slowly, and looks less often', async () => {
    const scene = await openScene('slurm')
    scene.fake.noise.slowMs = 150
    const { findings, interval_sec } = await examined(scene, '--no-job')
    expect(interval_sec).toBeGreaterThan(3)
    expect(findings).toContainEqual(
      expect.objectContaining({ level: 'warn', about: 'replies', floe: expect.stringContaining('instead of 1 s') }),
    )
  })
})

test('Ctrl-C ends the look and takes back what it had made', async () => {
  const scene = await openScene('slurm')
  scene.fake.noise.paused = true
  const look = scene.start(['doctor', 'frost'])
  while (scene.fake.jobs.length === 0) await sleep(20)
  look.signal('SIGINT')
  const { stdout, stderr, status } = await look.end
  expect({ stdout, status }).toEqual({ stdout: '', status: 130 })
  expect(stderr).toMatch(/^floe: The look at frost was interrupted\.\n/)
  expect(isIdle(scene)).toBe(true)
  expect(readdirSync(scene.place.path('scratch/floe'))).toEqual(['cache'])
})

describe('sites.yaml', () => {
  test('that is not there is shown how to be written', async () => {
    const { place, run } = await openScene('slurm')
    place.remove('config')
    const { stdout, stderr, status } = await run(['sites'])
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    expect(place.masked(stdout)).toMatchSnapshot()
    expect(await place.floe('doctor', 'frost', { env: { XDG_CONFIG_HOME: place.path('config') } })).toMatchSnapshot()
  })

  test.each([
    ['a wrong key', 'sites:\n  frost:\n    connector: slurm\n    scrach: /s\n', 0o600],
    [
      'a wrong key of ssh',
      'sites:\n  frost:\n    connector: slurm\n    scratch: /s\n    ssh: {to: a@b, prot: 3}\n',
      0o600,
    ],
    [
      'a mapping of ssh without a host',
      'sites:\n  frost:\n    connector: slurm\n    scratch: /s\n    ssh: {port: x}\n',
      0o600,
    ],
    ['a wrong scheduler', 'sites:\n  frost:\n    connector: torque\n    scratch: /s\n', 0o600],
    ['a relative scratch', 'sites:\n  frost:\n    connector: slurm\n    scratch: s\n', 0o600],
    ['no YAML', 'sites:\n  frost: [\n', 0o600],
    ['a site named local', 'sites:\n  local:\n    connector: slurm\n    scratch: /s\n', 0o600],
    ['a file that others may write', 'sites: {}\n', 0o622],
  ])('%s', async (_, text, mode) => {
    const { place } = await openScene('slurm')
    place.file('config/floe/sites.yaml', text)
    chmodSync(place.path('config/floe/sites.yaml'), mode)
    for (const verb of [['sites'], ['doctor', 'frost']])
      expect(await place.floe(...verb, { env: { XDG_CONFIG_HOME: place.path('config') } })).toMatchSnapshot(verb[0]!)
  })

  test('names sites that a wrong name may have meant', async () => {
    const { place } = await openScene('slurm')
    const told = await place.floe('doctor', 'forst', { env: { XDG_CONFIG_HOME: place.path('config') } })
    expect(told).toMatchSnapshot()
  })
})

test('the library gives what --json prints, and throws FloeErrors', async () => {
  const { place, json } = await openScene('pbs')
  vi.stubEnv('XDG_CONFIG_HOME', place.path('config'))
  onTestFinished(() => void vi.unstubAllEnvs())
  const floe: typeof library = await import(join(import.meta.dirname, '..', '..', '..', 'dist', 'floe.js'))
  const doing: string[] = []
  const report = await floe.doctor('frost', { job: false, onProgress: (words) => doing.push(words) })
  expect(report).toMatchObject({ usable: true, version: 'PBS 23.06.06' })
  expect(doing).toContain('reading the limits of the scheduler')
  expect(await floe.listSites()).toEqual(await json('sites'))
  await expect(floe.doctor('forst')).rejects.toMatchObject({ code: 'SITE_UNKNOWN' })
})

test('floe doctor local tells of this machine', async () => {
  const { json } = await openScene('slurm')
  expect(await json('doctor', 'local')).toMatchObject({
    ...{ site: 'local', connector: 'local', where: 'this machine', usable: true, limits: null },
    measured: { node_version: process.versions.node },
  })
})
