import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Scene } from './scene.ts'

/* Damaged tables: the file is named, nothing is run, and with the file back all is as before. */

let scene: Scene

beforeAll(async () => {
  scene = await Scene.make()
  const executable = scene.program('w.sh', 'echo "$FLOE_JOB" >>"$RAN"; printf "a,b\\n1,2\\n" >"$1"')
  const job = (id: string) => ({ id, executable, output: [`${id}.csv`], arguments: ['{output:1}', id] })
  await scene.add([job('one'), job('two')])
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  await scene.add([job('three')], 'more.ndjson')
})
afterAll(() => scene?.end())

const commits = (table: string) =>
  readdirSync(scene.path('tables', table, '_delta_log'))
    .filter((name) => /^\d{20}\.json$/.test(name))
    .sort()
    .map((name) => join(scene.path('tables', table, '_delta_log'), name))
const parts = (table: string) =>
  (readdirSync(scene.path('tables', table), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.parquet') && !name.startsWith('_delta_log'))
    .map((name) => scene.path('tables', table, name))

const cut = (path: string) => writeFileSync(path, readFileSync(path).subarray(0, Math.floor(statSync(path).size / 2)))

describe.each([
  ['the newest commit is cut short', () => commits('jobs').at(-1)!, cut],
  ['the newest commit is garbage', () => commits('jobs').at(-1)!, (path: string) => writeFileSync(path, '\0\x01{{{\n')],
  ['the newest commit is empty', () => commits('attempts').at(-1)!, (path: string) => writeFileSync(path, '')],
  ['an older commit is gone', () => commits('jobs')[0]!, (path: string) => rmSync(path)],
  ['a part is cut short', () => parts('attempts')[0]!, cut],
  ['a part is gone', () => parts('jobs')[0]!, (path: string) => rmSync(path)],
  [
    'a part is garbage',
    () => parts('results')[0]!,
    (path: string) => writeFileSync(path, Buffer.alloc(statSync(path).size, 7)),
  ],
])('%s', (_what, find, damage) => {
  let path: string
  beforeAll(() => {
    path = find()
    copyFileSync(path, join(scene.root, 'kept'))
    damage(path)
  })
  afterAll(() => {
    rmSync(path, { force: true })
    renameSync(join(scene.root, 'kept'), path)
  })

  test('every verb names the file and what to do, and nothing runs', async () => {
    const before = scene.ran()
    for (const words of [['show', 'one'], ['run'], ['query', 'select * from jobs, attempts, results']]) {
      const { exit, stdout, stderr } = await scene.floe(...words)
      expect({ words, exit, stdout }).toEqual({ words, exit: 1, stdout: '' })
      expect(stderr).toContain(`${path} is damaged`)
      expect(stderr).toContain('Restore the file')
    }
    expect(JSON.parse((await scene.floe('run', '--json')).stderr)).toMatchObject({ code: 'TABLE_DAMAGED' })
    expect(scene.ran()).toEqual(before)
  })
})

test.each(['jobs', 'attempts'])('the log of %s is gone: no verb takes the table for an empty one', async (table) => {
  const log = scene.path('tables', table, '_delta_log')
  renameSync(log, join(scene.root, 'kept'))
  const before = scene.ran()
  const more = scene.write('again.ndjson', '{"id":"one","executable":"true"}\n')
  for (const words of [['status'], ['run'], ['query', 'select * from jobs, attempts'], ['add', more], ['clean']]) {
    if (table === 'attempts' && words[0] === 'add') continue
    const { exit, stdout, stderr } = await scene.floe(...words)
    expect({ words, exit, stdout }).toEqual({ words, exit: 1, stdout: '' })
    expect(stderr).toMatch(/_delta_log is damaged: it has no commit, though parts .*part-.*\.parquet/)
    expect(stderr).toMatch(/Restore this folder from a backup.* remove .*tables\/\w+ as a whole/)
  }
  expect(scene.ran()).toEqual(before)
  expect(existsSync(log)).toBe(false)
  renameSync(join(scene.root, 'kept'), log)
})

test('with the files back, run does what is left', async () => {
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1 })
})

test('what a killed writer left is not seen and does no harm: half a part, a temporary commit', async () => {
  const [part] = parts('attempts')
  writeFileSync(
    scene.path('tables', 'attempts', 'part-00000000-0000-4000-8000-000000000000.parquet'),
    readFileSync(part!).subarray(0, 99),
  )
  writeFileSync(`${commits('attempts').at(-1)}.1234.tmp`, '{"add":{')
  expect(await scene.json('status')).toMatchObject({ jobs: 3, succeeded: 3 })
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
})

test('.floe may be deleted at any time', async () => {
  rmSync(scene.path('.floe'), { recursive: true })
  expect(await scene.json('status')).toMatchObject({ succeeded: 3 })
  expect(await scene.query('select count(*) as n from merged')).toEqual([{ n: 3 }])
  expect(await scene.floe('run')).toMatchObject({ exit: 0 })
  expect(scene.ran()).toEqual({ one: 1, two: 1, three: 1 })
})

test('a damaged floe.yaml or campaign.json is named with its line', async () => {
  const [yaml, json] = [scene.read('floe.yaml'), scene.read('campaign.json')]
  scene.write('floe.yaml', 'slots: 2\nbatch:\n\tjobs: 3\n')
  const tabs = await scene.floe('run')
  expect(tabs).toMatchObject({ exit: 2, stdout: '' })
  expect(tabs.stderr).toMatch(/floe\.yaml:3.*tab/i)
  scene.write('floe.yaml', 'slots: 2\nslts: 3\n')
  expect((await scene.floe('run')).stderr).toMatch(/floe\.yaml:2.*slts(.|\n)*slots/)
  scene.write('floe.yaml', yaml)
  scene.write('campaign.json', json.slice(0, 40))
  const torn = await scene.floe('run')
  expect(torn.exit).not.toBe(0)
  expect(torn.stderr).toContain(scene.path('campaign.json'))
  expect(torn.stderr).not.toContain('bug in floe')
  scene.write('campaign.json', json)
  expect(existsSync(scene.path('outputs', 'one.csv'))).toBe(true)
})
