import { appendFileSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JobLine, Scene } from './scene.ts'

/* Inputs and programs that are not there, go away, or change. */

let scene: Scene

const job = (id: string, input: string, more: Partial<JobLine> = {}): JobLine => ({
  ...{ id, executable: './copy.sh', input: [input], output: [`${id}.csv`] },
  ...{ arguments: ['{input:1}', '{output:1}', id], ...more },
})

describe('inputs that are not there', () => {
  beforeAll(async () => {
    scene = await Scene.make({ yaml: 'slots: 1\nstop_when_failed: 1\n' })
    scene.program(
      'copy.sh',
      'echo "$FLOE_JOB" >>"$RAN"\nif [ -n "$TAKE" ]; then rm "$TAKE"; fi\nif [ -n "$CHANGE" ]; then echo 3 >>"$CHANGE"; fi\nsleep 1.5\ncat "$1" >"$2"',
    )
    for (const name of ['there', 'vanishing', 'changing']) scene.write(`in/${name}.csv`, 'a\n1\n')
    const first = { TAKE: scene.path('in/vanishing.csv'), CHANGE: scene.path('in/changing.csv') }
    const added = await scene.add([
      job('first', 'in/there.csv', { environment: first, priority: 9 }),
      job('absent', 'in/absent.csv'),
      job('vanished', 'in/vanishing.csv'),
      job('changed', 'in/changing.csv'),
    ])
    expect(added).toMatchObject({ exit: 0 })
  })
  afterAll(() => scene?.end())

  test('missing at plan time: counted, selected by --where missing, named by show', async () => {
    const absent = { url: scene.path('in/absent.csv'), job_id: 'absent' }
    const counted = { jobs: 3, missing: 1, missing_inputs: 1, missing_example: absent }
    expect(await scene.json('plan')).toMatchObject(counted)
    const { exit, stdout } = await scene.floe('plan')
    expect(exit).toBe(3)
    const [, command, example] = /missing: 1 input \(floe (.*?)\), e\.g\. (.*)$/m.exec(stdout)!
    expect(example).toBe(`${absent.url} of absent`)
    // As a shell would part its words.
    expect((await scene.floe(...command!.replaceAll('"', '').split(' '))).stdout).toMatch(/^absent /m)
    expect((await scene.floe('show', 'absent')).stdout).toMatch(/inputs +.*in\/absent\.csv \(missing\)/)
  })

  test('a pattern is told to be no input', async () => {
    await scene.add([job('many', 'in/*.csv')], 'many.ndjson')
    await scene.floe('plan')
    expect((await scene.floe('show', 'many')).stdout).toMatch(
      /in\/\*\.csv \(missing; an input is a file or folder, never a pattern\)/,
    )
    await scene.floe('remove', 'many')
  })

  test('vanished and changed between plan and start: class input, with what was planned; the rest runs; exit 3', async () => {
    const run = await scene.floe('run')
    expect(run.exit).toBe(3)
    expect(run.stdout).toMatch(/floe jobs --where missing/)
    const ends = await scene.ends()
    expect(ends.first).toBe('succeeded')
    expect(ends.vanished).toMatch(/^input: input in\/vanishing\.csv is not there/)
    expect(ends.changed).toMatch(/^input: input in\/changing\.csv has 6 bytes, 4 when it was planned$/)
    expect(scene.ran()).toEqual({ first: 1 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 1, held: 2, pending: 1 })
  })

  test('with the files in place, run does what was missing, retry the others', async () => {
    for (const name of ['absent', 'vanishing']) scene.write(`in/${name}.csv`, 'a\n2\n')
    expect(await scene.floe('retry', '--where', "class = 'input'")).toMatchObject({ exit: 0 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(await scene.json('status')).toMatchObject({ succeeded: 4 })
    expect(scene.read('outputs/absent.csv')).toBe('a\n2\n')
  })
})

describe('what changes after results were made', () => {
  beforeAll(async () => {
    scene = await Scene.make()
    scene.program('copy.sh', 'echo "$FLOE_JOB" >>"$RAN"\ncat "$1" >"$2"')
    for (const name of ['a', 'b']) scene.write(`in/${name}.csv`, 'a\n1\n')
    expect(await scene.add([job('one', 'in/a.csv'), job('two', 'in/a.csv'), job('three', 'in/b.csv')])).toMatchObject({
      exit: 0,
    })
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  })
  afterAll(() => scene?.end())

  test('an input: run stops and says how many results are stale, and what to do', async () => {
    writeFileSync(scene.path('in/a.csv'), 'a\n5\n')
    for (let again = 0; again < 2; again++) {
      const { exit, stdout, stderr } = await scene.floe('run')
      expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' })
      expect(stderr).toMatch(/2 results are stale: .*in\/a\.csv/)
      expect(stderr).toContain('floe run --rerun')
      expect(stderr).toContain('floe run --keep')
    }
    expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1 })
  })

  test('--rerun makes them anew, and no others', async () => {
    expect(await scene.floe('run', '--rerun')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ one: 2, two: 2, three: 1 })
    expect(scene.read('outputs/one.csv')).toBe('a\n5\n')
    expect(await scene.query('select job_id, a from merged order by 1')).toEqual([
      { job_id: 'one', a: 5 },
      { job_id: 'three', a: 1 },
      { job_id: 'two', a: 5 },
    ])
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  })

  test('--keep leaves the results, and does not ask again', async () => {
    writeFileSync(scene.path('in/b.csv'), 'a\n7\n')
    expect(await scene.floe('run')).toMatchObject({ exit: 2 })
    expect(await scene.floe('run', '--keep')).toMatchObject({ exit: 0 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ one: 2, two: 2, three: 1 })
    expect(scene.read('outputs/three.csv')).toBe('a\n1\n')
  })

  test('another time with the same content is no change', async () => {
    utimesSync(scene.path('in/a.csv'), new Date(), new Date())
    expect(await scene.floe('run')).toMatchObject({ exit: 0, stdout: expect.stringContaining('Nothing to do') })
  })

  test('a program: the same question', async () => {
    appendFileSync(scene.path('copy.sh'), '# a remark\n')
    expect(await scene.floe('run')).toMatchObject({
      exit: 2,
      stderr: expect.stringMatching(/3 results are stale: .*copy\.sh/),
    })
    expect(await scene.floe('run', '--rerun')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ one: 3, two: 3, three: 2 })
  })

  test('a changed job is a new revision and runs unasked; adding the file again changes nothing', async () => {
    const changed = [job('one', 'in/a.csv', { labels: { kind: 'x' }, arguments: ['{input:1}', '{output:1}', 'other'] })]
    expect((await scene.add(changed, 'changed.ndjson')).stdout).toContain('replaced 1')
    expect((await scene.floe('add', scene.path('changed.ndjson'))).stdout).toContain('unchanged 1')
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
    expect(scene.ran()).toEqual({ one: 4, two: 3, three: 2 })
    expect(readFileSync(scene.path('outputs/one.csv'), 'utf8')).toBe('a\n5\n')
  })

  test('an input that goes away under finished results: they stay', async () => {
    rmSync(scene.path('in/b.csv'))
    const { exit } = await scene.floe('run')
    expect([0, 3]).toContain(exit)
    expect(await scene.json('status')).toMatchObject({ succeeded: 3 })
  })
})
