import { FloeError } from '../model/errors.ts'
import type { JobState } from '../model/verdict.ts'
import { quoteText, type Snapshot, type Tables } from '../ports/tables/tables.ts'
import { type Selection, selectionSql } from './selection.ts'
import { stateFacts } from './state-counts.ts'
import { type Live, openViews } from './views.ts'
import { whereInvalid } from './where.ts'

export type Action = 'hold' | 'release' | 'cancel' | 'retry' | 'remove'

export interface Request {
  readonly action: Action
  readonly selection: Selection
  /** user@host */
  readonly who: string
  readonly why?: string | null
}

interface Given {
  readonly nowMs: number
  readonly uuid: string
  /** What record files say and the tables do not have yet. */
  readonly live?: Live
}

export interface RequestDone {
  readonly requestId: string
  /** Jobs that the request was written for. */
  readonly asked: number
  /** Of these, jobs that a site has already: a hold lets them run on. */
  readonly underWay: number
  /** Selected jobs of a state that the action does not apply to. */
  readonly skipped: Readonly<Partial<Record<JobState, number>>>
}

/** States that an action applies to. Succeeded jobs run again only when named, or asked for by `state`. */
const APPLIES: Readonly<Record<Action, readonly JobState[]>> = {
  hold: ['pending', 'queued', 'running'],
  release: ['held'],
  cancel: ['pending', 'held', 'queued', 'running'],
  retry: ['failed', 'cancelled', 'lost', 'held'],
  remove: ['pending', 'held', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'lost'],
}

/** Commits that may come in between before a request gives up. */
const TRIES = 20

/**
 * Writes what a person asks for into table requests, one row a job, in one commit; `remove` then takes the jobs out of the catalog too.
 * Throws NOTHING_SELECTED, with nothing written, when a job is named that is not there or no job fits. Repeats itself when another process
 * changed the tables meanwhile.
 */
export async function request(tables: Tables, asked: Request, given: Given): Promise<RequestDone> {
  for (let tries = 1; ; tries++) {
    try {
      return await requestOnce(tables, asked, given)
    } catch (cause) {
      if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries === TRIES) throw cause
    }
  }
}

async function requestOnce(tables: Tables, asked: Request, given: Given): Promise<RequestDone> {
  const snapshots = await openViews(tables, given.live)
  const skipped = await select(tables, asked)
  const [chosen] = await tables.sql.rows<{ n: number; live: number }>(
    'SELECT count(*)::INTEGER AS n, count(*) FILTER (is_live)::INTEGER AS live FROM asked_jobs',
  )
  if (chosen!.n === 0) throw nothingFits(asked, skipped)
  const rows = `SELECT ${quoteText(given.uuid)} AS request_id, (SELECT coalesce(max(seq), 0) + 1 FROM requests) AS seq,
      ${quoteText(asked.action)} AS action, job_id, job_key, revision, after_try, ${quoteText(asked.who)} AS who,
      ${asked.why ? quoteText(asked.why) : 'NULL'} AS why, make_timestamptz(${Math.round(given.nowMs * 1000)}) AS asked_at
    FROM asked_jobs`
  await tables.commit('requests', {
    operation: asked.action,
    select: rows,
    expect: snapshots.requests.version,
    facts: await stateFacts(tables, { requests: rows }),
    // After a conflict in its second commit a removal comes through here again.
    ...(asked.action === 'remove' && { txn: { appId: `request-${given.uuid}`, version: 1 } }),
  })
  if (asked.action === 'remove') await withdraw(tables, snapshots.jobs)
  return { requestId: given.uuid, asked: chosen!.n, underWay: chosen!.live, skipped }
}

/** Fills the temporary table asked_jobs; returns what was selected and does not fit, by state. */
async function select(tables: Tables, asked: Request): Promise<Partial<Record<JobState, number>>> {
  const { sql } = tables
  const { selection, action } = asked
  const { from, where } = await selectionSql(tables, selection)
  await refuseUnknown(tables, selection.jobs ?? [])
  try {
    await sql.run(
      `CREATE OR REPLACE TEMP TABLE chosen_jobs AS SELECT job_id, job_key, revision, bucket, state, tries FROM ${from} WHERE ${where}`,
    )
  } catch (cause) {
    throw whereInvalid(cause, selection.where)
  }
  const states = [...APPLIES[action]]
  if (action === 'retry' && (selection.jobs || selection.state)) states.push('succeeded')
  const fits = `state IN (${states.map(quoteText).join(', ')})`
  // A job that waits or runs in a batch is at its next try: a cancel speaks of that one too.
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE asked_jobs AS SELECT job_id, job_key, revision, bucket,
       state IN ('queued', 'running') AS is_live,
       (tries + CASE WHEN ${quoteText(action)} IN ('cancel', 'remove') AND is_live THEN 1 ELSE 0 END)::INTEGER AS after_try
     FROM chosen_jobs WHERE ${fits}`,
  )
  const rest = await sql.rows<{ state: JobState; n: number }>(
    `SELECT state, count(*)::INTEGER AS n FROM chosen_jobs WHERE NOT ${fits} GROUP BY state ORDER BY state`,
  )
  return Object.fromEntries(rest.map(({ state, n }) => [state, n]))
}

async function refuseUnknown(tables: Tables, names: readonly string[]): Promise<void> {
  if (names.length === 0) return
  const missing = await tables.sql.rows<{ name: string }>(
    'SELECT DISTINCT name FROM (SELECT unnest(?::VARCHAR[]) AS name) WHERE name NOT IN (SELECT job_id FROM jobs) ORDER BY name',
    [names],
  )
  if (missing.length === 0) return
  const some = missing.slice(0, 3).map(({ name }) => name)
  throw new FloeError(
    'NOTHING_SELECTED',
    `no job ${some.join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''}; nothing was changed`,
    { details: { jobs: missing.map(({ name }) => name) } },
  )
}

function nothingFits(asked: Request, skipped: Partial<Record<JobState, number>>): FloeError {
  const there = Object.entries(skipped).map(([state, jobs]) => `${jobs} ${state}`)
  const found = there.length === 0 ? 'no job fits' : `the jobs that fit are ${there.join(', ')}`
  return new FloeError('NOTHING_SELECTED', `nothing to ${asked.action}: ${found}`, {
    hint: `${asked.action} is for jobs that are ${APPLIES[asked.action].join(', ')}; \`floe jobs\` shows what is there.`,
    details: { skipped },
  })
}

/** Rewrites the parts of the buckets touched with `withdrawn` set. A conflict throws: the parts have to be chosen again. */
async function withdraw(tables: Tables, jobs: Snapshot): Promise<void> {
  const touched = await tables.sql.rows<{ bucket: number }>('SELECT DISTINCT bucket FROM asked_jobs')
  const buckets = new Set(touched.map(({ bucket }) => String(bucket)))
  const remove = jobs.parts.filter((part) => buckets.has(part.partitionValues.bucket ?? ''))
  await tables.view('jobs', { ...jobs, parts: remove }, 'touched_jobs')
  await tables.commit('jobs', {
    operation: 'remove',
    remove,
    expect: jobs.version,
    select: `SELECT t.* REPLACE (t.withdrawn OR a.job_key IS NOT NULL AS withdrawn)
      FROM touched_jobs t LEFT JOIN asked_jobs a ON a.job_key = t.job_key`,
    facts: await stateFacts(tables, { withdrawn: 'SELECT job_key FROM asked_jobs' }),
  })
}
