import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Scene } from './scene.ts'

/* Where outputs go, which earlier results answer a job, and which programs can be started at all. */

let scene: Scene

describe('publish: pack, publish: table, reuse', () => {
  beforeAll(async () => {
    scene = await Scene.make()
    scene.program('w.sh', 'echo "$FLOE_JOB" >>"$RAN"\nprintf "n,text\\n$2,x\\n" >"$1"')
    const job = (id: string, publish: string) => ({
      ...{ id, executable: './w.sh', publish, labels: { kind: publish } },
      ...{ output: [`${publish}/${id}.csv`], arguments: ['{output:1}', id.slice(1)] },
    })
    const ids = ['1', '2', '3']
    expect(
      await scene.add([
        ...ids.map((n) => job(`f${n}`, 'files')),
        ...ids.map((n) => job(`p${n}`, 'pack')),
        ...ids.map((n) => job(`t${n}`, 'table')),
      ]),
    ).toMatchObject({ exit: 0 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0, stderr: expect.not.stringContaining('floe:') })
  })
  afterAll(() => scene?.end())

  test('pack: one tar a task, whole, named by results with offset and size', async () => {
    expect(existsSync(scene.path('outputs', 'pack'))).toBe(false)
    const rows = await scene.query<{ output: string; pack: string; offset_bytes: number; size_bytes: number }>(
      "select output, pack, offset_bytes, size_bytes from results where output like 'pack/%' order by output",
    )
    expect(rows.map(({ output }) => output)).toEqual(['pack/p1.csv', 'pack/p2.csv', 'pack/p3.csv'])
    for (const { output, pack, offset_bytes, size_bytes } of rows) {
      const tar = pack
      expect(execFileSync('tar', ['-xOf', tar, output], { encoding: 'utf8' })).toBe(`n,text\n${output.at(-5)},x\n`)
      const text = execFileSync('tail', ['-c', `+${offset_bytes + 1}`, tar])
        .subarray(0, size_bytes)
        .toString()
      expect(text).toBe(`n,text\n${output.at(-5)},x\n`)
    }
  })

  test('table: the content is in the merged table, and no file', async () => {
    expect(readdirSync(scene.path('outputs')).filter((name) => !name.startsWith('.'))).toEqual(['files'])
    expect(
      await scene.query('select kind, count(*) as n, sum(n)::int as sum from merged group by 1 order by 1'),
    ).toEqual([
      { kind: 'files', n: 3, sum: 6 },
      { kind: 'pack', n: 3, sum: 6 },
      { kind: 'table', n: 3, sum: 6 },
    ])
  })

  test('equal requests of another campaign are answered from it, and show says which', async () => {
    const other = await scene.sibling('other', `reuse: [../c]\nslots: 2\n`)
    other.program('w.sh', 'echo "$FLOE_JOB" >>"$RAN"\nprintf "n,text\\n$2,x\\n" >"$1"')
    const job = (id: string, n: string, more = {}) => ({
      id,
      executable: './w.sh',
      output: [`${id}.csv`],
      arguments: ['{output:1}', n],
      ...more,
    })
    expect(await other.add([job('same', '1'), job('new', '9'), job('never', '2', { cache: false })])).toMatchObject({
      exit: 0,
    })
    expect(await other.floe('run')).toMatchObject({ exit: 0, stdout: expect.stringMatching(/1 .*(reused|earlier)/i) })
    const ran = scene.ran()
    expect([ran.same, ran.new, ran.never]).toEqual([undefined, 1, 1])
    const { stdout } = await other.floe('show', 'same')
    expect(stdout).toMatch(/^same +succeeded/)
    expect(stdout).toContain(scene.campaign)
    expect(other.read('outputs/same.csv')).toBe('n,text\n1,x\n')
    expect(await other.query('select job_id, n from merged order by 1')).toEqual([
      { job_id: 'never', n: 2 },
      { job_id: 'new', n: 9 },
      { job_id: 'same', n: 1 },
    ])
  })

  test('a result whose file was spoiled answers no other job', async () => {
    const other = await scene.sibling('wary', `reuse: [../c]\nslots: 2\n`)
    other.program('w.sh', 'echo "$FLOE_JOB" >>"$RAN"\nprintf "n,text\\n$2,x\\n" >"$1"')
    writeFileSync(scene.path('outputs', 'files', 'f3.csv'), 'n,text\n666,y\n')
    await other.add([{ id: 'wary', executable: './w.sh', output: ['wary.csv'], arguments: ['{output:1}', '3'] }])
    expect(await other.floe('run')).toMatchObject({ exit: 0 })
    expect(other.read('outputs/wary.csv')).toBe('n,text\n3,x\n')
  })
})

describe('jobs that differ in the names of their outputs alone', () => {
  beforeAll(async () => {
    scene = await Scene.make()
    for (const where of [scene, await scene.sibling('other', 'reuse: [../c]\nslots: 2\n')]) {
      where.program('draw.sh', 'echo "$FLOE_JOB" >>"$RAN"\nhead -c 12 /dev/urandom | od -An -tx1 >"$1"')
      where.program('copy.sh', 'echo "$FLOE_JOB" >>"$RAN"\ncat "$2" >"$1"')
      where.write('in.txt', 'read\n')
    }
  })
  afterAll(() => scene?.end())

  const draw = (id: string) => ({ id, executable: './draw.sh', output: [`${id}.txt`], arguments: ['{output:1}'] })
  const copy = (id: string) => ({
    ...{ id, executable: './copy.sh', input: ['in.txt'], output: [`${id}.txt`] },
    arguments: ['{output:1}', '{input:1}'],
  })
  const drawn = (where: Scene, ids: readonly string[]) => new Set(ids.map((id) => where.read(`outputs/${id}.txt`))).size

  test('without inputs they are draws: each runs, also when others have run before', async () => {
    await scene.add(['d1', 'd2'].map(draw))
    await scene.floe('run')
    await scene.add([...['d1', 'd2', 'd3', 'd4'].map(draw), copy('c1')])
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ d1: 1, d2: 1, d3: 1, d4: 1, c1: 1 })
    expect(drawn(scene, ['d1', 'd2', 'd3', 'd4'])).toBe(4)
  })

  test('with inputs they are one piece of work', async () => {
    await scene.add([copy('c2')])
    expect(await scene.json('run')).toMatchObject({ succeeded: 6, decided: { succeeded: 1, reused: 1 } })
    expect(scene.ran().c2).toBeUndefined()
    expect(scene.read('outputs/c2.txt')).toBe('read\n')
  })

  test('of another campaign each draw answers one job, under its own name if there is one', async () => {
    const other = new Scene(scene.root, 'other')
    await other.add(['e1', 'd2'].map(draw))
    expect(await other.json('run')).toMatchObject({ decided: { succeeded: 2, reused: 2 } })
    expect(other.read('outputs/d2.txt')).toBe(scene.read('outputs/d2.txt'))
    const more = ['e1', 'e2', 'e3', 'e4', 'd2']
    await other.add(more.map(draw))
    expect(await other.json('run')).toMatchObject({ decided: { succeeded: 3, reused: 2 } })
    expect(drawn(other, more)).toBe(5)
  })
})

describe('a job that is changed and changed back', () => {
  afterAll(() => scene?.end())

  test('has the outputs of what it is now, not of what stood there in between', async () => {
    scene = await Scene.make()
    scene.program('w.sh', 'echo "$FLOE_JOB" >>"$RAN"\nprintf "n\\n$2\\n" >"$1"')
    for (const n of ['1', '2', '1']) {
      await scene.add([{ id: 'a', executable: './w.sh', output: ['a.csv'], arguments: ['{output:1}', n] }])
      expect(await scene.floe('run')).toMatchObject({ exit: 0 })
      expect(scene.read('outputs/a.csv')).toBe(`n\n${n}\n`)
      expect(await scene.query('select n from merged')).toEqual([{ n: Number(n) }])
    }
  })
})

describe('programs that cannot be started', () => {
  beforeAll(async () => {
    scene = await Scene.make()
    scene.program('good.sh', 'echo ok >"$1"')
  })
  afterAll(() => scene?.end())

  test.each([
    ['no run bit', './bare.sh', '#!/bin/sh\n', 0o644, /bare\.sh has no run bit\..*\n +do +chmod \+x .*bare\.sh/],
    [
      'a wrong interpreter',
      './wrong.py',
      '#!/usr/bin/pythno3\n',
      0o755,
      /wrong\.py asks for the interpreter \/usr\/bin\/pythno3, which is not there/,
    ],
    [
      'an interpreter that env does not find',
      './env.py',
      '#!/usr/bin/env pythno3\n',
      0o755,
      /env\.py asks for the interpreter pythno3, which is not on PATH/,
    ],
    ['Windows line ends', './dos.sh', '#!/bin/sh\r\necho\r\n', 0o755, /dos\.sh ends in a carriage return(.|\n)*sed -i/],
    ['not on PATH', 'no-such-program', '', 0, /program no-such-program was not found/],
    [
      'options behind the name',
      'cdo -s fldmean',
      '',
      0,
      /program cdo -s fldmean was not found.*\n +do +.*`arguments: \[/,
    ],
    ['a script without a slash', 'good.sh', '', 0, /program good\.sh was not found.*\n +do +.*\.\/prg\.sh/],
    ['an absolute path that is not there', '/no/such/program', '', 0, /program \/no\/such\/program was not found/],
  ])('%s: named before anything runs, with what to do', async (_what, executable, text, mode, said) => {
    if (text !== '') scene.program(executable, text, mode)
    await scene.add([
      { id: 'bad', executable, output: ['bad.txt'] },
      { id: 'good', executable: './good.sh', output: ['good.txt'] },
    ])
    const { exit, stdout, stderr } = await scene.floe('run')
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' })
    expect(stderr).toMatch(said)
    expect(stderr).toContain('Job bad needs it.')
    expect(scene.has('outputs/good.txt')).toBe(false)
  })

  test('of several jobs one is named, and how many', async () => {
    const bad = ['bad', 'bad-3', 'bad-2'].map((id) => ({ id, executable: './bare.sh', output: [`${id}.txt`] }))
    await scene.add(bad, 'several.ndjson')
    const { stderr } = await scene.floe('run', '--json')
    expect(JSON.parse(stderr)).toMatchObject({
      code: 'EXECUTABLE_INVALID',
      message: expect.stringMatching(/bare\.sh has no run bit\. 3 jobs need it, among them bad\.$/),
      hint: expect.stringContaining('chmod'),
      details: { jobs: 3, job: 'bad', executable: expect.stringContaining('bare.sh') },
    })
    await scene.floe('remove', 'bad-2', 'bad-3')
  })

  test('a server that does not give an input: the job is named', async () => {
    await scene.add([
      {
        id: 'bad',
        executable: './good.sh',
        input: [{ url: 'http://127.0.0.1:9/a.csv', size_bytes: 1, digest: '0'.repeat(64) }],
        output: ['bad.txt'],
      },
    ])
    const { exit, stderr } = await scene.floe('run')
    expect(exit).toBe(1)
    expect(stderr).toMatch(/Could not fetch http:\/\/127\.0\.0\.1:9\/a\.csv: .* Job bad needs it\./)
  })

  test('mended, it runs', async () => {
    await scene.add([{ id: 'bad', executable: './good.sh', output: ['bad.txt'], arguments: ['{output:1}', 'now'] }])
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.read('outputs/bad.txt')).toBe('ok\n')
  })

  test('two gigabytes on standard output fill neither the disk nor the log', async () => {
    await scene.add([{ id: 'flood', executable: 'head', arguments: ['-c', '2000000000', '/dev/zero'] }], 'flood.ndjson')
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    const [megabytes] = execFileSync('du', ['-sm', scene.root], { encoding: 'utf8' }).split('\t')
    expect(Number(megabytes)).toBeLessThan(50)
    const [row] = await scene.query<{ bytes: number; total: number }>(
      "select log_stdout.bytes as bytes, log_stdout.total as total from attempts where job_id = 'flood'",
    )
    expect(row!.bytes).toBeLessThan(11e6)
    expect(row!.total).toBeLessThanOrEqual(2_000_000_000)
  })
})
