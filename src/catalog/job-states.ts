import { positionsSql } from '../model/positions.ts'
import { FAILURE_CLASSES, type JobState } from '../model/verdict.ts'

/** Relations that the state of jobs is read from: names of views, or SELECTs in parentheses. */
export interface StateSources {
  readonly jobs: string
  readonly attempts: string
  /** Null: there are none, which saves two joins. */
  readonly requests: string | null
  readonly plan: string
  readonly batches: string
  /** `(job_key, revision)` of jobs that have started and not ended, from the record files of live arrays; null: none. */
  readonly live: string | null
  /** Relation with a column job_key: only these jobs are looked at. */
  readonly only?: string
  /** Columns of table jobs to be carried along, as SQL over `j`; none by default. */
  readonly carry?: readonly string[]
}

const CODES = {
  verdict: `CASE verdict WHEN 'succeeded' THEN 0 WHEN 'failed' THEN 1 WHEN 'cancelled' THEN 2 ELSE 3 END`,
  next: `CASE next WHEN 'retry' THEN 1 WHEN 'hold' THEN 2 ELSE 0 END`,
  class: `CASE class ${FAILURE_CLASSES.map((name, at) => `WHEN '${name}' THEN ${at + 1}`).join(' ')} ELSE 0 END`,
} as const
const CLASSES = `[${FAILURE_CLASSES.map((name) => `'${name}'`).join(', ')}]`

/**
 * The state of each job, in one place. Columns: those carried, job_key, revision, state, class, tries, batch_id (of the last attempt, or of the
 * batch that it waits or runs in).
 *
 * - A job that was withdrawn is not there. Attempts and requests count for the revision that they speak of; a hold for the job.
 * - `retry` makes the attempts up to its `after_try` count no more. Of those that do, one that succeeded decides: succeeded.
 * - Else a job in a batch that is staged or submitted is running (its record says started) or queued, unless an attempt in that batch has
 *   ended already.
 * - Else `cancel`, when no retry was asked after it, decides over the tries up to its `after_try`: cancelled.
 * - Else the last attempt that the policy neither retries nor holds decides: failed, cancelled, lost.
 * - Else a job is held by `hold`, when no release or retry was asked after it, or by the policy until it is released; the rest is pending.
 *
 * Each attempt is packed into one integer (try, verdict, next, class, batch), so that the last one is a max over integers; an arg_max over
 * texts takes five times as long. Each source is joined by a key that is unique in it, so that DuckDB leaves out what a query does not ask for.
 */
export function jobStates(sources: StateSources): string {
  const asked = askedJoins(sources)
  const started = startedJoin(sources)
  const carried = (sources.carry ?? []).map((column) => `${column}, `).join('')
  return `SELECT * EXCLUDE (cut, won, verdict, next, class_code, is_cancelled, is_live, is_started, gate, gate_after),
    CASE WHEN state = 'succeeded' THEN NULL WHEN state = 'cancelled' AND is_cancelled THEN 'cancelled'
      WHEN tries > cut THEN ${CLASSES}[class_code] END AS class
  FROM (SELECT *, CASE
      WHEN won > cut THEN 'succeeded'
      WHEN is_live THEN CASE WHEN is_started THEN 'running' ELSE 'queued' END
      WHEN is_cancelled THEN 'cancelled'
      WHEN tries > cut AND next = 0 THEN CASE verdict WHEN 2 THEN 'cancelled' WHEN 3 THEN 'lost' ELSE 'failed' END
      WHEN gate = 'hold' THEN 'held'
      WHEN tries > cut AND next = 2 AND NOT coalesce(gate IN ('release', 'retry') AND gate_after >= tries, false) THEN 'held'
      ELSE 'pending' END AS state
    FROM (SELECT ${carried}j.job_key, j.revision, coalesce(t.packed >> 48, 0)::INTEGER AS tries, t.won, ${asked ? 'coalesce(a.retry_after, 0)' : '0'} AS cut,
        (t.packed >> 44) & 15 AS verdict, (t.packed >> 40) & 15 AS next, (t.packed >> 32) & 255 AS class_code,
        ${asked ? 'coalesce(a.is_cancel AND a.cancel_after >= coalesce(t.packed >> 48, 0), false)' : 'false'} AS is_cancelled,
        ${asked ? 'g.gate, g.gate_after' : 'NULL AS gate, NULL AS gate_after'},
        p.batch_id IS NOT NULL AND p.batch_id IS DISTINCT FROM nullif(t.packed & 4294967295, 0) - 1 AS is_live,
        ${started ? 'r.job_key IS NOT NULL' : 'false'} AS is_started, coalesce(p.batch_id, nullif(t.packed & 4294967295, 0) - 1) AS batch_id
      FROM (SELECT * FROM ${sources.jobs}${only(sources)} WHERE NOT coalesce(withdrawn, false)) j
        LEFT JOIN (${tried(sources)}) t ON t.job_key = j.job_key AND t.revision = j.revision
        ${asked}
        LEFT JOIN (${placed(sources)}) p ON p.job_key = j.job_key AND p.revision = j.revision
        ${started}))`
}

function askedJoins(sources: StateSources): string {
  if (sources.requests === null) return ''
  return `LEFT JOIN (${gates(sources)}) g ON g.job_key = j.job_key
    LEFT JOIN (${asks(sources)}) a ON a.job_key = j.job_key AND a.revision = j.revision`
}

function startedJoin({ live }: StateSources): string {
  if (live === null) return ''
  return `LEFT JOIN (SELECT DISTINCT job_key, revision FROM ${live}) r ON r.job_key = j.job_key AND r.revision = j.revision`
}

function only(sources: StateSources): string {
  return sources.only === undefined ? '' : ` SEMI JOIN ${sources.only} USING (job_key)`
}

function tried(sources: StateSources): string {
  return `SELECT job_key, revision, max("try") FILTER (verdict = 'succeeded') AS won,
      max(("try"::BIGINT << 48) | (${CODES.verdict}::BIGINT << 44) | (${CODES.next}::BIGINT << 40) | (${CODES.class}::BIGINT << 32)
        | (coalesce(batch_id, -1) + 1)) AS packed
    FROM ${sources.attempts}${only(sources)} WHERE NOT superseded GROUP BY job_key, revision`
}

function gates(sources: StateSources): string {
  return `SELECT job_key, arg_max(action, seq) AS gate, arg_max(after_try, seq) AS gate_after
    FROM ${sources.requests}${only(sources)} WHERE action IN ('hold', 'release', 'retry') GROUP BY job_key`
}

function asks(sources: StateSources): string {
  return `SELECT job_key, revision, max(after_try) FILTER (action = 'retry') AS retry_after,
      coalesce(max(seq) FILTER (action = 'cancel') > coalesce(max(seq) FILTER (action = 'retry'), -1), false) AS is_cancel,
      arg_max(after_try, seq) FILTER (action = 'cancel') AS cancel_after
    FROM ${sources.requests}${only(sources)} WHERE action IN ('retry', 'cancel') GROUP BY job_key, revision`
}

function placed(sources: StateSources): string {
  return `SELECT p.job_key, p.revision, max(b.batch_id) AS batch_id
    FROM (SELECT * FROM ${sources.plan}${only(sources)}) p
      JOIN ${positionsSql(`${sources.batches} WHERE state IN ('staged', 'submitted')`, ['batch_id'])} b USING (plan_id, position)
    GROUP BY p.job_key, p.revision`
}

/**
 * Keys of all jobs that may be of these states, and few others; undefined when most jobs may be. Few keys make the state of each of them
 * cheap: of 1.5 million jobs the failed ones are found by one grouping of the attempts instead of a join with all jobs.
 */
export function candidates(sources: StateSources, states: readonly JobState[]): string | undefined {
  const tries = `SELECT job_key, packed FROM (${tried(sources)})`
  const keys: Readonly<Record<JobState, string | undefined>> = {
    pending: undefined,
    succeeded: undefined,
    failed: `SELECT job_key FROM (${tries}) WHERE (packed >> 44) & 15 = 1`,
    lost: `SELECT job_key FROM (${tries}) WHERE (packed >> 44) & 15 = 3`,
    cancelled: `SELECT job_key FROM (${tries}) WHERE (packed >> 44) & 15 = 2
      ${requested(sources, 'cancel')}`,
    held: `SELECT job_key FROM (${tries}) WHERE (packed >> 40) & 15 = 2
      ${requested(sources, 'hold')}`,
    queued: `SELECT job_key FROM (${placed(sources)})`,
    running: `SELECT job_key FROM (${placed(sources)})`,
  }
  const found = states.map((state) => keys[state])
  return found.length === 0 || found.includes(undefined) ? undefined : found.join(' UNION ')
}

function requested({ requests }: StateSources, action: string): string {
  return requests === null ? '' : `UNION SELECT job_key FROM ${requests} WHERE action = '${action}'`
}
