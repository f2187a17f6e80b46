import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ended, openPlace, type Place } from './place.ts'

/** Six jobs that wait for a file `go`. */
async function withWaiting(place: Place): Promise<Place> {
  place.program('wait.sh', 'echo started\nwhile ! test -e "$1"; do sleep 0.05; done\necho ended')
  place.jobs(
    'jobs.ndjson',
    [1, 2, 3, 4, 5, 6].map((n) => ({
      id: `job${n}`,
      executable: './wait.sh',
      arguments: [place.path('go')],
      cache: false,
    })),
  )
  await place.floe('init', 'c')
  await place.floe('-C', 'c', 'add', 'jobs.ndjson')
  return place
}

const running = async (place: Place) => await place.json<{ queued: number; running: number }>('-C', 'c', 'status')

/** Seconds of CPU that a process has used. */
function cpuSec(pid: number): number {
  const [user = 0, system = 0] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .split(') ')[1]!
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (user + system) / 100
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(50)
}

test('Ctrl-C leaves the jobs working, says so, and the next run takes up from there', async () => {
  const place = await withWaiting(openPlace())
  const run = place.start(['-C', 'c', 'run'])
  const told = ended(run)
  const logs = place.start(['-C', 'c', 'logs', 'job1', '-f'])
  const followed = ended(logs)
  await until(async () => (await running(place)).queued + (await running(place)).running > 0)
  expect(await place.json('-C', 'c', 'status')).toMatchObject({ runner: { pid: run.pid } })
  expect(await place.floe('-C', 'c', 'run')).toMatch(
    /^! floe: Another `floe run` works on this campaign: process \d+[\s\S]*exit 11$/,
  )
  run.kill('SIGINT')
  expect(await told).toEqual({
    stdout: '',
    stderr:
      'Stopped looking; what runs goes on working. `floe run` again takes up from here, from this machine or another.\n',
    status: 130,
  })
  expect(await place.json('-C', 'c', 'status')).toMatchObject({ jobs: 6, succeeded: 0, runner: null })
  place.file('go', '')
  expect(await place.json('-C', 'c', 'run')).toMatchObject({ succeeded: 6, failed: 0, stopped: null })
  expect(
    await place.json('-C', 'c', 'query', 'select max("try") as tries, count(*) as attempts from attempts'),
  ).toEqual({
    tries: 1,
    attempts: 6,
  })
  expect(await followed).toMatchObject({ stdout: 'started\nended\n', status: 0 })
})

test('Ctrl-C in other verbs ends them at once', async () => {
  const place = await withWaiting(openPlace())
  const query = place.start([
    '-C',
    'c',
    'query',
    'select count(*) from range(100000000) a, range(100000) b where a.range + b.range = 7',
  ])
  const told = ended(query)
  // More than it needs to begin: it works on the query.
  await until(() => cpuSec(query.pid!) > 3)
  query.kill('SIGINT')
  const { stderr, status } = await told
  expect(status).toBe(130)
  expect(stderr).toContain('Interrupted.')
})

test('a reader that closes the pipe is no error', async () => {
  const place = openPlace()
  await place.floe('init', 'c')
  const script = `"$0" "$1" -C c query --csv "from range(2000000)" | head -n 2; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, place.cli], {
    cwd: place.directory,
    encoding: 'utf8',
  })
  expect({ stdout, stderr }).toEqual({ stdout: 'range\n0\n0\n', stderr: '' })
})

test('colours are for screens only, and NO_COLOR turns them off', async () => {
  const place = openPlace()
  expect((await place.run(['stauts'], { env: { FORCE_COLOR: '1' } })).stderr).not.toContain('\u001b')
  const onScreen = (env: string) =>
    spawnSync('script', ['-qec', `${env} '${process.execPath}' '${place.cli}' stauts`, '/dev/null'], {
      cwd: place.directory,
      encoding: 'utf8',
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '' },
    }).stdout
  expect(onScreen('')).toContain('\u001b[31mfloe:')
  expect(onScreen('NO_COLOR=1')).not.toContain('\u001b')
  expect(onScreen('')).toContain('There is no command stauts.')
})
