import { jobKeySql } from '../../src/model/job-key.ts'
import { TABLES } from '../../src/model/tables.ts'
import { quoteName, type Tables } from '../../src/ports/tables/tables.ts'

/** How large the campaign is, and whether the commits of attempts state its counts. */
export interface HalfDone {
  readonly jobs: number
  /** Commits, and so parts, that the attempts came in. */
  readonly publications: number
  /** Facts for the last commit of attempts, asked for when `new_attempts` stands. */
  readonly facts?: (tables: Tables) => Promise<Record<string, never>>
}

const JOBS_PER_BATCH = 1000
const LIVE_BATCHES = 8

/**
 * Makes a campaign in the middle of its run, by SQL alone: two inputs and one output a job, batches of 1000, the first half of them ended, a
 * few submitted, the rest cut. Of the jobs that ran, one in 20 took three tries, one in 100 failed for good, one in 500 is held, the last.
 */
export async function makeHalfDone(tables: Tables, shape: HalfDone): Promise<void> {
  const { jobs } = shape
  await tables.commit('jobs', { operation: 'add', select: jobsSelect(jobs) })
  await tables.commit('files', { operation: 'look', select: filesSelect(jobs) })
  const planned = `SELECT 1::BIGINT AS plan_id, i AS position, ${name('i')} AS job_id, ${jobKeySql(name('i'))} AS job_key, 1 AS revision
    FROM range(${jobs}) r(i) ORDER BY i`
  await tables.commit('plan', { operation: 'plan', select: planned })
  const done = Math.floor(jobs / 2 / JOBS_PER_BATCH) * JOBS_PER_BATCH
  await tables.commit('batches', { operation: 'plan', select: batchesSelect(jobs, done) })
  for (let at = 0; at < shape.publications; at++) {
    const from = Math.floor((done / shape.publications) * at)
    const to = Math.floor((done / shape.publications) * (at + 1))
    await tables.commit('results', { operation: 'publish results', select: resultsSelect(from, to) })
    await tables.sql.run(`CREATE OR REPLACE TEMP VIEW new_attempts AS ${attemptsSelect(from, to)}`)
    const facts = at === shape.publications - 1 ? await shape.facts?.(tables) : undefined
    await tables.commit('attempts', {
      operation: 'publish attempts',
      select: 'SELECT * FROM new_attempts',
      ...(facts && { facts }),
    })
  }
}

const name = (index: string): string => `('job' || ${index})`

/** All columns of a table, null but for those that are given. */
function rowsOf(table: keyof typeof TABLES, given: Readonly<Record<string, string>>, from: string): string {
  const list = TABLES[table].columns.map(
    (column) => `CAST(${given[column.name] ?? 'NULL'} AS ${column.type}) AS ${quoteName(column.name)}`,
  )
  return `SELECT ${list.join(', ')} FROM ${from}`
}

function jobsSelect(jobs: number): string {
  const given = {
    job_id: name('i'),
    job_key: jobKeySql(name('i')),
    revision: '1',
    spec_digest: `substr(sha256('spec' || i), 1, 32)`,
    executable: `'prg.sh'`,
    arguments: `['{input:1}', '--n', i::VARCHAR]`,
    inputs: `['/data/era5/' || (i // 50) || '.nc', '/data/stations/' || (i % 1000) || '.csv']`,
    input_names: `[(i // 50) || '.nc', (i % 1000) || '.csv']`,
    outputs: `[{'path': 'mean/' || i || '.csv', 'optional': false}]`,
    resources: `{'cpus': 1, 'memory_bytes': 2000000000, 'walltime_sec': 600, 'gpus': 0, 'nodes': 1}`,
    labels: `MAP {'month': '1982-' || (i % 12 + 1)}`,
    priority: '0',
    cache: 'true',
    publish: `'files'`,
    input_hash: 'md5((i // 50)::VARCHAR)',
    bucket: '(i // 50) % 64',
    withdrawn: 'false',
    added_at: `TIMESTAMPTZ '2026-11-21 08:00:00+00'`,
    source: `'jobs.yaml:' || i`,
  }
  return rowsOf('jobs', given, `range(${jobs}) r(i)`)
}

function filesSelect(jobs: number): string {
  const given = { url: 'url', kind: `'input'`, size_bytes: '41000000', missing: `url = '/data/era5/7.nc'` }
  const urls = `SELECT '/data/era5/' || i || '.nc' AS url FROM range(${Math.ceil(jobs / 50)}) r(i)
    UNION ALL SELECT '/data/stations/' || i || '.csv' FROM range(1000) r(i)`
  return rowsOf('files', given, `(${urls})`)
}

function batchesSelect(jobs: number, done: number): string {
  const live = done / JOBS_PER_BATCH + LIVE_BATCHES
  const isLive = `i < ${live}`
  const given = {
    batch_id: 'i',
    plan_id: '1',
    position_from: `i * ${JOBS_PER_BATCH}`,
    position_to: `least((i + 1) * ${JOBS_PER_BATCH}, ${jobs})`,
    jobs: `least((i + 1) * ${JOBS_PER_BATCH}, ${jobs}) - i * ${JOBS_PER_BATCH}`,
    site: `'local'`,
    array_id: `CASE WHEN ${isLive} THEN 'a' || lpad((i // 8 + 1)::VARCHAR, 6, '0') END`,
    task: `CASE WHEN ${isLive} THEN i % 8 END`,
    state: `CASE WHEN i < ${done / JOBS_PER_BATCH} THEN 'ended' WHEN ${isLive} THEN 'submitted' ELSE 'cut' END`,
    updated_at: `TIMESTAMPTZ '2026-11-21 09:00:00+00'`,
  }
  return rowsOf('batches', given, `range(${Math.ceil(jobs / JOBS_PER_BATCH)}) r(i)`)
}

function attemptsSelect(from: number, to: number): string {
  const last = 'CASE WHEN i % 20 = 0 THEN 3 ELSE 1 END'
  const verdict = `CASE WHEN n < last OR i % 100 = 1 OR i % 500 = 2 THEN 'failed' ELSE 'succeeded' END`
  const given = {
    job_id: name('i'),
    job_key: jobKeySql(name('i')),
    revision: '1',
    try: 'n',
    job_digest: `sha256('digest' || i)`,
    verdict: 'verdict',
    class: `CASE WHEN verdict = 'failed' THEN CASE WHEN n < last THEN 'memory' ELSE 'app' END END`,
    rule: `CASE WHEN verdict = 'failed' THEN 'exit 3' ELSE 'exit 0' END`,
    evidence: `'record'`,
    next: `CASE WHEN n < last THEN 'retry' WHEN verdict = 'succeeded' THEN 'done' WHEN i % 500 = 2 THEN 'hold' ELSE 'give up' END`,
    superseded: 'false',
    exit_code: `CASE WHEN verdict = 'failed' THEN 3 ELSE 0 END`,
    wall_sec: '1.5 + (i % 7) / 10',
    cpu_sec: '1.25',
    cpus: '1',
    started_at: `TIMESTAMPTZ '2026-11-21 08:00:00+00' + INTERVAL (i) MILLISECOND`,
    ended_at: `TIMESTAMPTZ '2026-11-21 08:00:02+00' + INTERVAL (i) MILLISECOND`,
    site: `'local'`,
    node: `'n' || (i % 40)`,
    slot: 'i % 4',
    batch_id: `i // ${JOBS_PER_BATCH}`,
    array_id: `'a' || lpad((i // ${JOBS_PER_BATCH * 8} + 1)::VARCHAR, 6, '0')`,
    task: `(i // ${JOBS_PER_BATCH}) % 8`,
    task_attempt: '1',
    record_end: `(i % ${JOBS_PER_BATCH} + 1) * 800`,
    log_stdout: `{'file': 'logs/1.1', 'offset': i % ${JOBS_PER_BATCH} * 100, 'bytes': 100, 'total': 100}`,
    published_at: `TIMESTAMPTZ '2026-11-21 09:00:00+00'`,
  }
  const tries = `SELECT i, unnest(range(1, last + 1)) AS n, last FROM (SELECT i, ${last} AS last FROM range(${from}, ${to}) r(i))`
  return rowsOf('attempts', given, `(SELECT *, ${verdict} AS verdict FROM (${tries}))`)
}

function resultsSelect(from: number, to: number): string {
  const given = {
    job_digest: `sha256('digest' || i)`,
    job_id: name('i'),
    job_key: jobKeySql(name('i')),
    revision: '1',
    output: `'mean/' || i || '.csv'`,
    url: `'outputs/mean/' || i || '.csv'`,
    size_bytes: '300',
    digest: `'sha256:' || sha256('content' || i)`,
    site: `'local'`,
    published_at: `TIMESTAMPTZ '2026-11-21 09:00:00+00'`,
  }
  return rowsOf('results', given, `range(${from}, ${to}) r(i) WHERE i % 100 <> 1 AND i % 500 <> 2`)
}
