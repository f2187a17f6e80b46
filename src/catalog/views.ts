import { type FixedTable, TABLES } from '../model/tables.ts'
import type { FailureClass, Verdict } from '../model/verdict.ts'
import { quoteName, type Row, type Snapshot, type Tables } from '../ports/tables/tables.ts'
import { jobStates } from './job-states.ts'

/** Names under which `openViews` shows the tables as they are; `jobs` and `plan` of people are made from the first two. */
const BASE = {
  jobs: 'jobs_rows',
  plan: 'plan_positions',
  files: 'files',
  batches: 'batches',
  attempts: 'attempts',
  results: 'results',
  requests: 'requests',
} as const satisfies Record<FixedTable, string>

/** Whether a file that a row of jobs needs was looked for and not found. */
export const MISSING =
  'coalesce(list_has_any(list_concat(inputs, files, [executable, container]), (SELECT list(url) FROM files WHERE missing)), false)'

/** What the state of jobs is read from once `openViews` was called. */
export const STATE_SOURCES = {
  jobs: BASE.jobs,
  attempts: 'told_attempts',
  requests: BASE.requests,
  plan: BASE.plan,
  batches: BASE.batches,
  live: 'live_jobs',
} as const

/** What record files of live arrays say and the tables do not have yet. */
export interface Live {
  /** Jobs that have started and not ended. */
  readonly running: readonly { readonly job_key: number | bigint; readonly revision: number }[]
  readonly ended: readonly LiveAttempt[]
}

export interface LiveAttempt {
  readonly job_key: number | bigint
  readonly revision: number
  readonly try: number
  readonly verdict: Verdict
  readonly class: FailureClass | null
  /** What the policy will make of it. */
  readonly next: string
  readonly array_id: string
  readonly task: number
}

/** Views that people may name in their SQL. */
export const VIEW_NAMES: readonly string[] = [...Object.keys(TABLES), 'merged', 'plan_positions']

/**
 * Makes the temporary views of a campaign, all at their newest version: jobs (without withdrawn ones; with state, class, tries, missing),
 * plan (job_id, batch_id), files, batches, attempts, results, requests, merged, and plan_positions, the plan as it is kept. With `live`, read
 * before this, states are as the records say, not as they were published last. Reads logs, and rows only where `live` has verdicts.
 */
export async function openViews(
  tables: Pick<Tables, 'sql' | 'view'>,
  live: Live = NOT_LIVE,
): Promise<Readonly<Record<FixedTable | 'merged', Snapshot>>> {
  const { sql } = tables
  const names = Object.keys(BASE) as FixedTable[]
  const shown = await Promise.all(names.map((table) => tables.view(table, undefined, BASE[table])))
  const snapshots = Object.fromEntries(names.map((table, at) => [table, shown[at]!])) as Record<FixedTable, Snapshot>
  await loadLive(sql, live)
  await sql.run(`CREATE OR REPLACE TEMP VIEW jobs AS ${jobsView()}`)
  await sql.run(`CREATE OR REPLACE TEMP VIEW plan AS ${planView()}`)
  const merged = await tables.view('merged')
  return { ...snapshots, merged }
}

const NOT_LIVE: Live = { running: [], ended: [] }

const RUNNING = [
  { name: 'job_key', type: 'BIGINT' },
  { name: 'revision', type: 'INTEGER' },
]
const ENDED = [
  ...RUNNING,
  ...[
    ['try', 'INTEGER'],
    ['verdict', 'VARCHAR'],
    ['next', 'VARCHAR'],
    ['class', 'VARCHAR'],
    ['array_id', 'VARCHAR'],
    ['task', 'INTEGER'],
  ].map(([name, type]) => ({ name: name!, type: type! })),
]

/** Makes `live_jobs`, and `told_attempts`: those of the table and those that only records tell of. */
async function loadLive(sql: Tables['sql'], { running, ended }: Live): Promise<void> {
  await sql.load('live_jobs', RUNNING, [running])
  const columns = 'job_key, revision, "try", verdict, next, class, batch_id, superseded'
  const told = `CREATE OR REPLACE TEMP VIEW told_attempts AS SELECT ${columns} FROM attempts`
  if (ended.length === 0) return sql.run(told)
  await sql.load('live_ended', ENDED, [ended as readonly (LiveAttempt & Row)[]])
  // Published since the records were read, or a second verdict of a try: the table knows better.
  await sql.run(`CREATE OR REPLACE TEMP TABLE live_attempts AS
    SELECT l.* EXCLUDE (array_id, task), b.batch_id, false AS superseded FROM live_ended l
      LEFT JOIN (SELECT array_id, task, batch_id FROM batches WHERE array_id IS NOT NULL) b USING (array_id, task)
      ANTI JOIN (SELECT job_key, revision, "try" FROM attempts SEMI JOIN live_ended USING (job_key)) a USING (job_key, revision, "try")`)
  await sql.run(`${told} UNION ALL SELECT ${columns} FROM live_attempts`)
}

/** SQL of view `jobs`, over all jobs or those whose keys are in the relation `only`. */
export function jobsView(only?: string): string {
  const columns = TABLES.jobs.columns.map(({ name }) => quoteName(name))
  const carry = columns.filter((name) => name !== '"job_key"' && name !== '"revision"').map((name) => `j.${name}`)
  return `SELECT ${columns.join(', ')}, state, class, tries, ${MISSING} AS missing
    FROM (${jobStates({ ...STATE_SOURCES, carry, ...(only && { only }) })})`
}

/** Where each job of the newest plan that it is in lies; batches that were dropped left the ranges of others free. */
function planView(): string {
  return `SELECT p.job_id, CASE WHEN p.position < b.position_to THEN b.batch_id END AS batch_id
    FROM ${BASE.plan} p SEMI JOIN (SELECT job_key, max(plan_id) AS plan_id FROM ${BASE.plan} GROUP BY job_key) n
        ON n.job_key = p.job_key AND n.plan_id = p.plan_id
      ASOF LEFT JOIN (SELECT * FROM batches WHERE state <> 'dropped') b ON b.plan_id = p.plan_id AND p.position >= b.position_from`
}
