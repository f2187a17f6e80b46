import { type FixedTable, TABLES } from '../model/tables.ts'
import { quoteName, type Snapshot, type Tables } from '../ports/tables/tables.ts'
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
  'coalesce(list_has_any(list_concat(inputs, files, [executable]), (SELECT list(url) FROM files WHERE missing)), false)'

/** What the state of jobs is read from once `openViews` was called. */
export const STATE_SOURCES = {
  jobs: BASE.jobs,
  attempts: BASE.attempts,
  requests: BASE.requests,
  plan: BASE.plan,
  batches: BASE.batches,
  live: 'live_jobs',
} as const

/** Views that people may name in their SQL. */
export const VIEW_NAMES: readonly string[] = [...Object.keys(TABLES), 'merged', 'plan_positions']

/**
 * Makes the temporary views of a campaign, all at their newest version: jobs (without withdrawn ones; with state, class, tries, missing),
 * plan (job_id, batch_id), files, batches, attempts, results, requests, merged, and plan_positions, the plan as it is kept. Jobs in the
 * temporary table `live_jobs` (job_key, revision), which the caller may fill, are running instead of queued. Reads logs, no rows.
 */
export async function openViews(
  tables: Pick<Tables, 'sql' | 'view'>,
): Promise<Readonly<Record<FixedTable | 'merged', Snapshot>>> {
  const { sql } = tables
  const names = Object.keys(BASE) as FixedTable[]
  const shown = await Promise.all(names.map((table) => tables.view(table, undefined, BASE[table])))
  const snapshots = Object.fromEntries(names.map((table, at) => [table, shown[at]!])) as Record<FixedTable, Snapshot>
  await sql.run('CREATE TEMP TABLE IF NOT EXISTS live_jobs (job_key BIGINT, revision INTEGER)')
  await sql.run(`CREATE OR REPLACE TEMP VIEW jobs AS ${jobsView()}`)
  await sql.run(`CREATE OR REPLACE TEMP VIEW plan AS ${planView()}`)
  const merged = await tables.view('merged')
  return { ...snapshots, merged }
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
