import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { decodeRecord } from '../../../src/model/record.ts'
import { readByRules } from '../../conformance/delta-rules.ts'
import { kill, Scene, type Started, sleep } from './scene.ts'

/*
 * Coordinator, runners and the local scheduler are killed at random moments while another process looks: no output and no table is ever
 * seen half-written, and what had a verdict does not run again.
 */

/** So many of the coordinator and so many of runners, of a campaign of 5,000 jobs; 0: a few of each, of a small one. */
const KILLS = Number(process.env.FLOE_KILLS ?? 0)
const JOBS = KILLS > 0 ? 5000 : 48
const JOBS_PER_BATCH = KILLS > 0 ? '50' : '4'
const ROUNDS =
  KILLS > 0
    ? Array.from({ length: 2 * KILLS }, (_, round) => (round % 2 === 0 ? 'coordinator' : 'runner'))
    : ['coordinator', 'runner', 'scheduler', 'interrupt', 'runner', 'scheduler', 'coordinator']
/** Outputs that the onlooker reads in one look. */
const LOOKED_AT = 100
const ROWS = 200
const NAMES = Array.from({ length: JOBS }, (_, n) => `job-${n}`)

/** Half of the rows, a pause, the other half. */
const PROGRAM = `echo "$FLOE_JOB" >>"$RAN"
awk -v name="$FLOE_JOB" 'BEGIN { print "name,n"; for (n = 0; n < ${ROWS / 2}; n++) print name "," n }' >"$1"
sleep ${KILLS > 0 ? 0.02 : 0.1}
awk -v name="$FLOE_JOB" 'BEGIN { for (n = ${ROWS / 2}; n < ${ROWS}; n++) print name "," n }' >>"$1"`

const expected = (name: string): string =>
  `name,n\n${Array.from({ length: ROWS }, (_, n) => `${name},${n}\n`).join('')}`

let scene: Scene
afterEach(() => scene?.end())

/** xorshift; the seed is printed with each failure. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Jobs with a verdict in a record file now. */
function decidedNow(): string[] {
  const names: string[] = []
  if (!scene.has('scratch/floe/campaigns')) return names
  for (const path of readdirSync(scene.path('scratch', 'floe', 'campaigns'), { recursive: true }) as string[]) {
    if (!/\/records\/[^/]+$/.test(path)) continue
    for (const line of readFileSync(scene.path('scratch', 'floe', 'campaigns', path), 'utf8').split('\n')) {
      const record = decodeRecord(line)
      if (record?.event === 'job ended' && record.verdict === 'succeeded') names.push(record.job)
    }
  }
  return names
}

/** What a reader sees: every output whole, every table as its log says, nothing published twice. */
class Onlooker {
  looks = 0
  readonly faults: string[] = []
  #stopped = false
  #rows: Record<string, number> = {}
  readonly #done: Promise<void>

  constructor() {
    this.#done = this.#look()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  async #look(): Promise<void> {
    while (!this.#stopped) {
      this.#outputs()
      if (this.looks++ % 10 === 0) await this.#tables().catch((error) => this.faults.push(String(error)))
      await sleep(20)
    }
  }

  #outputs(): void {
    const folder = scene.path('outputs', 'o')
    const names = this.#list(folder)
    const first = (this.looks * LOOKED_AT) % Math.max(1, names.length)
    for (const name of names.slice(first, first + LOOKED_AT)) {
      const text = readFileSync(join(folder, name), 'utf8')
      if (text !== expected(name.replace('.csv', '')))
        this.faults.push(
          `${name} is not whole: ${text.length} bytes, begins ${text.slice(0, 60)}, ends ${text.slice(-60)}`,
        )
    }
  }

  #list(folder: string): string[] {
    try {
      return readdirSync(folder).filter((name) => !name.startsWith('.floe-'))
    } catch {
      return []
    }
  }

  async #tables(): Promise<void> {
    for (const name of this.#list(scene.path('tables'))) {
      // Before its first commit a table has a log without versions.
      if (!this.#list(scene.path('tables', name, '_delta_log')).some((file) => /^\d{20}\.json$/.test(file))) continue
      const { rows } = await readByRules(scene.path('tables', name))
      if (['attempts', 'results', 'requests', 'merged'].includes(name)) {
        if (rows.length < (this.#rows[name] ?? 0)) this.faults.push(`${name} has fewer rows than before`)
        this.#rows[name] = rows.length
      }
      const key: Record<string, string[]> = {
        results: ['job_digest', 'output'],
        merged: ['job_digest', 'output', 'output_row'],
      }
      const columns = key[name]
      if (!columns) continue
      const keys = new Set(rows.map((row) => columns.map((column) => String(row[column])).join(' ')))
      if (keys.size < rows.length) this.faults.push(`${name} has a row twice`)
    }
  }
}

test('killed at random moments, taken up again: each verdict once, nothing half-written', {
  timeout: KILLS > 0 ? 3_600_000 : 150_000,
}, async () => {
  const seed = (Date.now() % 1e9) | 1
  const random = randomFrom(seed)
  scene = await Scene.make({ yaml: 'slots: 2\nstop_when_failed: 1\npolicy: {lost: {tries: 99}, node: {tries: 99}}\n' })
  const executable = scene.program('half.sh', PROGRAM)
  await scene.add(NAMES.map((id) => ({ id, executable, output: [`o/${id}.csv`], arguments: ['{output:1}', id] })))
  const onlooker = new Onlooker()
  const before: { what: string; ran: Record<string, number>; decided: string[] }[] = []
  const note = (what: string) => {
    const decided = decidedNow()
    before.push({ what, decided, ran: scene.ran() })
  }
  const begins = () => {
    const started = Object.keys(scene.ran()).length
    return scene.until('another job starts', () => Object.keys(scene.ran()).length > started)
  }
  const victims: Record<string, (run: Started) => number | undefined> = {
    coordinator: ({ pid }) => pid,
    runner: () => scene.runners()[0]?.pid,
    scheduler: () => scene.scheduler()?.pid,
  }
  for (const what of ROUNDS) {
    const run = scene.start(['run', '--jobs-per-batch', JOBS_PER_BATCH])
    await Promise.race([run.end, what === 'coordinator' ? sleep(500) : begins()])
    await Promise.race([run.end, sleep(random() * 1000)])
    const victim = what === 'interrupt' ? undefined : victims[what]?.(run)
    if (victim !== undefined) kill(victim, 'SIGKILL')
    note(what)
    await Promise.race([run.end, sleep(random() * 500)])
    kill(run.pid, what === 'interrupt' ? 'SIGINT' : 'SIGKILL')
    const { exit, signal, stderr } = await run.end
    expect([0, 3, 130, null], `seed ${seed}, ${what}: exit ${exit} ${signal} ${stderr}`).toContain(exit)
  }
  const last = await scene.floe('run')
  await onlooker.stop()
  expect(last, `seed ${seed}`).toMatchObject({ exit: 0, stderr: expect.not.stringContaining('floe:') })
  expect(onlooker.faults.slice(0, 3), `seed ${seed}`).toEqual([])
  expect(onlooker.looks).toBeGreaterThan(20)
  const ran = scene.ran()
  expect(before.some(({ decided }) => decided.length > 0)).toBe(true)
  for (const { what, decided, ran: then } of before)
    for (const job of decided)
      expect(ran[job], `seed ${seed}: ${job} had a verdict when the ${what} was killed`).toBe(then[job])
  const ended = before.filter(({ what }) => what === 'runner' || what === 'scheduler')
  const undecided = new Set(
    ended.flatMap(({ ran: then, decided }) => {
      const known = new Set(decided)
      return Object.keys(then).filter((job) => !known.has(job))
    }),
  )
  const twice = Object.keys(ran).filter((job) => (ran[job] ?? 0) > 1)
  // A coordinator that dies costs no job a second run.
  expect(
    twice.filter((job) => !undecided.has(job)),
    `seed ${seed}`,
  ).toEqual([])
  expect(await scene.json('status')).toMatchObject({ jobs: JOBS, succeeded: JOBS })
  expect(
    await scene.query('select count(*) as n, count(distinct job_id) as jobs, sum(n)::int as sum from merged'),
  ).toEqual([{ n: JOBS * ROWS, jobs: JOBS, sum: (JOBS * ROWS * (ROWS - 1)) / 2 }])
  expect(await scene.query('select count(*) as n, count(distinct output) as outputs from results')).toEqual([
    { n: JOBS, outputs: JOBS },
  ])
  expect(readdirSync(scene.path('outputs', 'o')).sort()).toEqual(NAMES.map((name) => `${name}.csv`).sort())
  await scene.until('nothing is left running', () => scene.processes().length === 0)
})

test('`add` killed at random moments leaves a whole catalog, and adding again completes it', {
  timeout: 90_000,
}, async () => {
  const seed = (Date.now() % 1e9) | 1
  const random = randomFrom(seed)
  scene = await Scene.make()
  const jobs = 20_000
  const lines = Array.from(
    { length: jobs },
    (_, n) => `{"id":"j${n}","executable":"true","input":["in/${n % 999}"],"output":["o/${n}"]}\n`,
  )
  const file = scene.write('jobs.ndjson', lines.join(''))
  for (let round = 0; round < 4; round++) {
    const add = scene.start(['add', file])
    await Promise.race([add.end, sleep(300 + random() * 1200)])
    kill(add.pid, 'SIGKILL')
    await add.end
    const rows = scene.has(`tables/jobs/_delta_log/${'0'.repeat(20)}.json`)
      ? (await readByRules(scene.path('tables', 'jobs'))).rows.length
      : 0
    expect([0, jobs], `seed ${seed}`).toContain(rows)
  }
  expect(await scene.floe('add', file)).toMatchObject({ exit: 0, stderr: '' })
  expect(await scene.json('status')).toMatchObject({ jobs, pending: jobs })
  expect(await scene.query('select count(*) as n from files')).toEqual([{ n: 999 }])
})
