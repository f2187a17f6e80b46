import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cannotMount, mounting, Tmpfs } from '../../fakes/tmpfs.ts'
import { Scene } from './scene.ts'

/* Campaigns where they do not belong: on a full disk, a read-only one, in a copied or a moved directory. */

describe.skipIf(cannotMount !== undefined)(mounting('a full disk'), () => {
  const disk = new Tmpfs(24)
  const jobs = Array.from({ length: 10 }, (_, n) => `j${n}`)
  let scene: Scene

  beforeAll(async () => {
    scene = await Scene.make({ below: disk.path, yaml: 'slots: 1\nstop_when_failed: 1\n' })
    const executable = scene.program('big.sh', 'head -c 3000000 /dev/zero >"$1"')
    const added = await scene.add(
      jobs.map((id) => ({ id, executable, output: [`${id}.bin`], arguments: ['{output:1}', id] })),
    )
    expect(added).toMatchObject({ exit: 0 })
  })
  afterAll(() => {
    scene?.end()
    disk.remove()
  })

  test('run stops and says so; no half-written output, no half-written table', async () => {
    const run = await scene.floe('run')
    expect(run.exit).toBe(1)
    expect(run.stderr).toMatch(/ENOSPC|no space left|disk is full/i)
    expect(run.stderr).toContain('Free some space and run again')
    for (const name of outputs()) expect(scene.read(`outputs/${name}`).length).toBe(3_000_000)
    expect(await scene.floe('status')).toMatchObject({ exit: 0, stderr: '' })
    expect(await scene.floe('show', 'j1')).toMatchObject({ exit: 0, stderr: '' })
  })

  test('add and requests say so too, and change nothing', async () => {
    disk.fill()
    const more = join(tmpdir(), `floe-more-${process.pid}.ndjson`)
    writeFileSync(more, '{"id":"more","executable":"true"}\n')
    const added = await scene.floe('add', more)
    rmSync(more)
    expect(added).toMatchObject({ exit: 1, stderr: expect.stringContaining('Free some space') })
    expect(await scene.json('status')).toMatchObject({ jobs: 10 })
    expect(await scene.floe('remove', '--all')).toMatchObject({
      exit: 1,
      stderr: expect.stringContaining('Free some space'),
    })
  })

  test('with space again the rest runs; what was published stays', async () => {
    disk.makeRoom()
    disk.resize(96)
    const before = outputs()
    // Programs that met the full disk themselves were not blamed.
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(outputs()).toEqual(jobs.map((id) => `${id}.bin`))
    expect(outputs()).toEqual(expect.arrayContaining(before))
    expect(await scene.json('status')).toMatchObject({ succeeded: 10 })
  })

  const outputs = () =>
    readdirSync(scene.path('outputs'))
      .filter((name) => !name.startsWith('.'))
      .sort()
})

describe('a campaign that was made elsewhere', () => {
  let scene: Scene

  beforeAll(async () => {
    scene = await Scene.make()
    const inputs = join(scene.root, 'data')
    mkdirSync(inputs)
    writeFileSync(join(inputs, 'in.csv'), 'a\n1\n')
    const program = join(inputs, 'w.sh')
    writeFileSync(program, '#!/bin/sh\necho "$FLOE_JOB" >>"$RAN"\necho said\ncp "$1" "$2"\n', { mode: 0o755 })
    const job = (id: string) => ({
      id,
      executable: program,
      input: [join(inputs, 'in.csv')],
      output: [`${id}.csv`],
      arguments: ['{input:1}', '{output:1}', id],
    })
    expect(await scene.add([job('one'), job('two')])).toMatchObject({ exit: 0 })
    await scene.floe('hold', 'two')
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    await scene.floe('release', 'two')
  })
  afterAll(() => scene?.end())

  test.skipIf(cannotMount !== undefined)(
    mounting('read-only: what reads answers, what writes says that it cannot, and where'),
    async () => {
      execFileSync('mount', ['--bind', scene.campaign, scene.campaign])
      execFileSync('mount', ['-o', 'remount,ro,bind', scene.campaign])
      try {
        for (const words of [['status'], ['jobs'], ['show', 'one'], ['results'], ['query', 'select 1 as one']])
          expect(await scene.floe(...words), words[0]).toMatchObject({ exit: 0, stderr: '' })
        expect((await scene.floe('logs', 'one')).stdout).toBe('said\n')
        for (const words of [
          ['run'],
          ['plan'],
          ['add', scene.path('jobs.ndjson')],
          ['hold', 'two'],
          ['remove', 'two'],
          ['try', 'one'],
        ]) {
          const { exit, stdout, stderr } = await scene.floe(...words)
          expect({ exit, stdout }, words[0]).toEqual({ exit: 1, stdout: '' })
          expect(stderr).toContain(scene.campaign)
          expect(stderr).toContain('Make the directory named above writable')
        }
      } finally {
        execFileSync('umount', [scene.campaign])
      }
    },
  )

  test('a copy: run asks; init --fork makes it its own, with its results; the original goes on', async () => {
    const copy = new Scene(scene.root, 'copy')
    cpSync(scene.campaign, copy.campaign, { recursive: true })
    expect(await copy.json('status')).toMatchObject({ succeeded: 1, pending: 1 })
    const refused = await copy.floe('run')
    expect(refused).toMatchObject({ exit: 2, stdout: '' })
    expect(refused.stderr).toContain(`copied from ${scene.campaign}`)
    expect(refused.stderr).toContain('floe init --fork')
    expect(scene.ran()).toEqual({ one: 1 })
    expect(await scene.outside('init', '--fork', copy.campaign)).toMatchObject({ exit: 0 })
    expect(JSON.parse(copy.read('campaign.json')).id).not.toBe(JSON.parse(scene.read('campaign.json')).id)
    expect(await copy.floe('run')).toMatchObject({ exit: 0 })
    expect(copy.read('outputs/two.csv')).toBe('a\n1\n')
    expect(scene.has('outputs/two.csv')).toBe(false)
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ one: 1, two: 2 })
  })

  test('a move: run asks; init --adopt says that it is right, and nothing runs again', async () => {
    const moved = new Scene(scene.root, 'moved')
    renameSync(scene.campaign, moved.campaign)
    const refused = await moved.floe('run')
    expect(refused).toMatchObject({ exit: 2, stderr: expect.stringContaining(`moved here from ${scene.campaign}`) })
    expect(refused.stderr).toContain('--adopt')
    const id = JSON.parse(moved.read('campaign.json')).id
    expect(await scene.outside('init', '--adopt', moved.campaign)).toMatchObject({ exit: 0 })
    expect(JSON.parse(moved.read('campaign.json')).id).toBe(id)
    expect(await moved.floe('run')).toMatchObject({ exit: 0, stdout: expect.stringContaining('Nothing to do') })
    expect((await moved.floe('logs', 'one')).stdout).toBe('said\n')
    expect(await moved.query('select count(*) as n from merged')).toEqual([{ n: 2 }])
    expect(scene.ran()).toEqual({ one: 1, two: 2 })
    renameSync(moved.campaign, scene.campaign)
  })

  test('no campaign there: exit 10 and how to make one', async () => {
    const nowhere = new Scene(scene.root, 'nowhere')
    expect(await nowhere.floe('status')).toMatchObject({ exit: 10, stderr: expect.stringContaining('floe init') })
  })
})
