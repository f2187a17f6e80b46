import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { decodeRecord, encodeRecord, type RecordLine } from '../../../src/model/record.ts'
import { kill, Scene } from './scene.ts'

/* Record files that a disk or a file system spoiled, or that another floe wrote. */

const JOBS = ['one', 'two', 'three', 'four']

let scene: Scene
afterEach(() => scene?.end())

/** Four jobs have run, and nobody has read their record; answers its path in the campaign. */
async function unread(): Promise<string> {
  scene = await Scene.make({ yaml: 'slots: 1\nstop_when_failed: 1\n' })
  const go = scene.path('go')
  const executable = scene.program(
    'w.sh',
    `echo "$FLOE_JOB" >>"$RAN"; until [ -e '${go}' ]; do sleep 0.05; done; echo "$FLOE_JOB" >"$1"`,
  )
  await scene.add(JOBS.map((id) => ({ id, executable, output: [`${id}.txt`], arguments: ['{output:1}'] })))
  const run = scene.start(['run', '--jobs-per-batch', '4'])
  await scene.until('a job runs', () => Object.keys(scene.ran()).length > 0)
  kill(run.pid, 'SIGKILL')
  await run.end
  scene.write('go', '')
  const arrays = join('scratch/floe/campaigns', readdirSync(scene.path('scratch/floe/campaigns'))[0]!, 'arrays')
  const path = join(arrays, readdirSync(scene.path(arrays))[0]!, 'records/0.1')
  await scene.until('the task has ended', () => scene.read(path).includes('"event":"task ended"'))
  return path
}
const ends = (line: string, job: string) => line.includes('"event":"job ended"') && line.includes(`"job":"${job}"`)

test('a line with a wrong checksum, zeros, half a line: said, and only jobs without a verdict run again', async () => {
  const path = await unread()
  const lines = scene.read(path).split('\n').filter(Boolean)
  const spoiled = lines.flatMap((line) => {
    if (ends(line, 'two')) return [line.replace('"exit":0', '"exit":1')]
    if (ends(line, 'three')) return ['\0'.repeat(4096), line, line.slice(0, 40)]
    return [line]
  })
  scene.write(path, `${spoiled.join('\n')}\n{"v":1,"at":17`)
  const { exit, stdout } = await scene.floe('run')
  expect(stdout).toContain('3 record lines could not be read')
  expect(exit).toBe(0)
  expect(await scene.json('status')).toMatchObject({ jobs: 4, succeeded: 4 })
  expect(scene.ran()).toEqual({ one: 1, two: 2, three: 1, four: 1 })
  expect(await scene.query('select count(*) as n, count(distinct job_id) as jobs from results')).toEqual([
    { n: 4, jobs: 4 },
  ])
  expect(await scene.json('run')).toMatchObject({ damaged: 0 })
})

test('lines of a newer floe stop all that would read them, and change nothing', async () => {
  const path = await unread()
  const text = scene.read(path)
  const newer = text
    .split('\n')
    .filter(Boolean)
    .map((line) => encodeRecord({ ...decodeRecord(line), crc: undefined, v: 2 } as unknown as RecordLine))
  scene.write(path, newer.join(''))
  for (const verb of ['run', 'status']) {
    const { exit, stderr } = await scene.floe(verb)
    expect(exit, verb).not.toBe(0)
    expect(stderr).toContain(`${scene.path(path)} is of another version of floe (records 2, not 1).`)
    expect(stderr).not.toContain('bug in floe')
  }
  scene.write(path, text)
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1, four: 1 })
})
