import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Scene } from '../faults/scene.ts'

/* Names that shells, SQL, CSV or terminals could take for something else, through every door. */

const NAMES = [
  'plain',
  "it's",
  'say "hi"',
  'two\nlines',
  'tab\there',
  '😀 emoji',
  '$(rm -rf x)',
  '`id`',
  '-rf',
  '--help',
  'a;b|c&d',
  'a b  c',
  '%s',
  'a\\b',
  '{input:1}',
  '{{x}}',
  'ünïcode',
  '.hidden',
  '..',
  '~',
  '#x',
  'null',
  'true',
  '1.5',
  '@x',
  '!x',
  'a,b',
  'a:b',
  'a=b',
  '\u202eabc',
  '007',
  "'); drop table jobs; --",
  'x'.repeat(200),
]
/** What a file can be called. */
const fileOf = (name: string, at: number) => (/^\.|^{/.test(name) ? `n${at}` : name)

let scene: Scene

beforeAll(async () => {
  scene = await Scene.make({ name: "camp $(touch pwned) 'x'" })
  scene.program(
    'print it.sh',
    'printf "%s\\n" "$FLOE_JOB" >>"$RAN"\nprintf %s "$3"\nprintf %s "$LABEL" >&2\ncat "$1" >"$2"',
  )
  const jobs = NAMES.map((id, at) => {
    const file = fileOf(id, at)
    scene.write(`in/${file}.csv`, `n\n${at}\n`)
    return {
      ...{
        id,
        executable: './print it.sh',
        input: [`in/${file}.csv`],
        output: [`o/${file}.csv`],
        labels: { name: id },
      },
      ...{ arguments: ['{input:1}', '{output:1}', '{label:name}'], environment: { LABEL: id } },
    }
  })
  expect(await scene.add(jobs)).toMatchObject({ exit: 0, stderr: '' })
  expect(await scene.floe('run')).toMatchObject({ exit: 0, stderr: '' })
})
afterAll(() => scene?.end())

test('each program ran once and saw its own name, arguments and variables', async () => {
  const ran = scene.ran()
  expect(Object.values(ran).every((times) => times === 1)).toBe(true)
  expect(Object.keys(ran).sort()).toEqual(NAMES.flatMap((name) => name.split('\n')).sort())
  expect(readdirSync(scene.campaign)).not.toContain('pwned')
  expect(readdirSync(scene.root)).not.toContain('pwned')
})

test('outputs lie under the names that were given', () => {
  expect(readdirSync(scene.path('outputs', 'o')).sort()).toEqual(
    NAMES.map((name, at) => `${fileOf(name, at)}.csv`).sort(),
  )
  for (const [at, name] of NAMES.entries()) expect(scene.read(`outputs/o/${fileOf(name, at)}.csv`)).toBe(`n\n${at}\n`)
})

test('query and results keep them as they are', async () => {
  const rows = await scene.query<{ job_id: string; n: number; name: string }>(
    'select job_id, n, name from merged order by n',
  )
  expect(rows).toEqual(NAMES.map((name, n) => ({ job_id: name, n, name })))
  const { exit, stdout } = await scene.floe('results')
  expect(exit).toBe(0)
  for (const name of NAMES) {
    const cell = /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
    expect(stdout).toContain(`${cell},`)
  }
})

test.each(NAMES.filter((_, at) => at < 12 || at === 31))('show and logs take %j', async (name) => {
  const shown = await scene.json<{ job: { job_id: string; state: string } }>('show', '--', name)
  expect(shown.job).toMatchObject({ job_id: name, state: 'succeeded' })
  const logs = await scene.floe('logs', '--', name)
  expect(logs).toMatchObject({ exit: 0, stdout: name, stderr: name })
})

test('on the terminal nothing of a name acts: newlines and marks of direction are shown as escapes', async () => {
  const { stdout } = await scene.floe('jobs')
  expect(stdout).toContain('two\\nlines')
  expect(stdout).toContain('\\u202eabc')
  expect(stdout).not.toContain('\u202e')
  expect(stdout.trimEnd().split('\n')).toHaveLength(NAMES.length + 1)
})

test('the command that show proposes can be pasted, whatever the name', async () => {
  for (const name of ["it's", '-rf', '$(rm -rf x)', 'two\nlines']) {
    const command = /logs +(floe logs .*)\n/.exec((await scene.floe('show', '--', name)).stdout)?.[1]
    expect(command, name).toBeDefined()
    expect(wordsOf(command!).at(-1), name).toBe(name)
  }
})

test('requests and selections take them', async () => {
  expect(await scene.json('retry', '--', '-rf', '$(rm -rf x)', "'); drop table jobs; --")).toMatchObject({ jobs: 3 })
  expect(await scene.json('cancel', '--where', "labels['name'] = '$(rm -rf x)'")).toMatchObject({ jobs: 1 })
  expect(await scene.floe('cancel', '--where', '1=1); delete from jobs; --')).toMatchObject({ exit: 2 })
  expect(await scene.json('status')).toMatchObject({ jobs: NAMES.length, pending: 2, cancelled: 1 })
})

test('an unknown name is named as it is, with the nearest one', async () => {
  expect(await scene.floe('show', '$(rm -rf y)')).toMatchObject({
    exit: 4,
    stderr: expect.stringContaining('Did you mean $(rm -rf x)?'),
  })
})

/** Words of a command as bash reads them. */
function wordsOf(command: string): string[] {
  const { stdout } = spawnSync('bash', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8' })
  return stdout.split('\0').slice(0, -1)
}
