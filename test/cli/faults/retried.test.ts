import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readByRules } from '../../conformance/delta-rules.ts'
import { Scene } from './scene.ts'

/* Jobs that succeeded and are asked for again: their program reads what it did not name, so that it can say something else. */

let scene: Scene

const SAYING = `echo "$FLOE_JOB" >>"$RAN"
while [ -e "$GATE/wait" ]; do sleep 0.05; done
cat "$GATE/said-$FLOE_JOB" >"$1"`

const say = (job: string, text: string) => scene.writeBeside(`said-${job}`, text)
const rowsOf = async (table: 'results' | 'merged') =>
  (await readByRules(scene.path('tables', table))).rows.filter(({ output }) => output === 'a.csv')
const published = () => scene.query("select size_bytes, digest, published_at from results where job_id = 'a'")
const merged = () => scene.query('select job_id, word from merged order by all')

describe('retry of a job that succeeded', () => {
  beforeAll(async () => {
    scene = await Scene.make()
    scene.program('say.sh', SAYING)
    say('a', 'word\nfirst\n')
    say('b', 'word\nother\n')
    const job = (id: string) => ({
      id,
      executable: './say.sh',
      output: [`${id}.csv`],
      environment: { GATE: scene.root },
    })
    await scene.add([job('a'), job('b')].map((one) => ({ ...one, arguments: ['{output:1}'], cache: false })))
    expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  })
  afterAll(() => scene?.end())

  const retry = async () => {
    expect(await scene.floe('retry', 'a')).toMatchObject({ exit: 0 })
    expect(await scene.floe('run')).toMatchObject({ exit: 0, stderr: expect.not.stringContaining('floe:') })
  }

  test('with the same content changes nothing but the attempts', async () => {
    const before = await published()
    await retry()
    expect(scene.ran()).toEqual({ a: 2, b: 1 })
    expect(await published()).toEqual(before)
    expect(await merged()).toEqual([
      { job_id: 'a', word: 'first' },
      { job_id: 'b', word: 'other' },
    ])
    expect(await scene.query("select try, verdict from attempts where job_id = 'a' order by 1")).toEqual([
      { try: 1, verdict: 'succeeded' },
      { try: 2, verdict: 'succeeded' },
    ])
  })

  test('with another content has that one, once: in results, in the merged table, in what they are exported to', async () => {
    say('a', 'word\nsecond\nlonger\n')
    await retry()
    expect(await rowsOf('results')).toHaveLength(1)
    expect((await published())[0]).toMatchObject({ size_bytes: 19 })
    expect(await rowsOf('merged')).toHaveLength(2)
    expect(await merged()).toEqual([
      { job_id: 'a', word: 'longer' },
      { job_id: 'a', word: 'second' },
      { job_id: 'b', word: 'other' },
    ])
    expect((await scene.floe('results')).stdout).toBe(
      `job_id,word,output,job_digest\n${(
        await scene.query<{ line: string }>(
          "select concat_ws(',', job_id, word, output, job_digest) as line from merged order by job_id, word desc",
        )
      )
        .map(({ line }) => `${line}\n`)
        .join('')}`,
    )
  })

  test('that a run takes up while it works is seen as well', async () => {
    scene.writeBeside('wait', '')
    await scene.floe('retry', 'b')
    const run = scene.start(['run'])
    await scene.until('b begins again', () => scene.ran().b === 2)
    say('a', 'word\nthird\n')
    say('b', 'word\nchanged\n')
    expect(await scene.floe('retry', 'a')).toMatchObject({ exit: 0 })
    rmSync(`${scene.root}/wait`)
    expect(await run.end).toMatchObject({ exit: 0 })
    expect(await merged()).toEqual([
      { job_id: 'a', word: 'third' },
      { job_id: 'b', word: 'changed' },
    ])
    expect(await rowsOf('results')).toHaveLength(1)
  })

  test('show tells what each try made, and which is published', async () => {
    const { attempts, results } = await scene.json<{
      attempts: { try: number; outputs: { path: string; size_bytes: number; published: boolean }[] }[]
      results: object[]
    }>('show', 'a')
    expect(attempts.map(({ try: nth, outputs: [made] }) => [nth, made!.size_bytes, made!.published])).toEqual([
      [4, 11, true],
      [3, 19, false],
      [2, 11, false],
      [1, 11, false],
    ])
    expect(results).toHaveLength(1)
    const { stdout } = await scene.floe('show', 'a')
    expect(stdout).toMatch(/^ {2}outputs +a\.csv \(11 B\)$/m)
    expect(stdout.match(/^ {4}outputs .*$/gm)!.map((line) => line.replace(/^ +outputs +/, ''))).toEqual([
      'a.csv (11 B)  ← published',
      'a.csv (19 B), replaced since',
      'a.csv (11 B), replaced since',
      'a.csv (11 B), replaced since',
    ])
    await scene.floe('clean', '--all')
    const after = await scene.json<{ attempts: { outputs: object[] | null }[] }>('show', 'a')
    expect(after.attempts.map(({ outputs }) => outputs?.length ?? null)).toEqual([1, null, null, null])
  })

  test('whose first content could not be merged, or gave no rows, brings the rows of its new one', async () => {
    for (const bad of ['word\n', 'word\n"torn\n']) {
      say('a', bad)
      await retry()
      expect(await merged()).toEqual([{ job_id: 'b', word: 'changed' }])
      say('a', 'word\nmended\n')
      await retry()
      expect(await merged()).toEqual([
        { job_id: 'a', word: 'mended' },
        { job_id: 'b', word: 'changed' },
      ])
    }
    expect(await scene.json('run')).toMatchObject({ left_out: { outputs: 0 } })
  })
})
