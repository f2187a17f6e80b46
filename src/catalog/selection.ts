import { FloeError } from '../model/errors.ts'
import { JOB_STATES, type JobState } from '../model/verdict.ts'
import { quoteName, quoteText, type Row, type Tables } from '../ports/tables/tables.ts'
import { candidates } from './job-states.ts'
import { jobsView, type Live, MISSING, openViews, STATE_SOURCES } from './views.ts'
import { checkWhere, whereInvalid } from './where.ts'

/** Which jobs a command speaks of. What is given holds together: names and state and where. */
export interface Selection {
  /** Exact names. */
  readonly jobs?: readonly string[]
  readonly state?: JobState | readonly JobState[]
  /** One SQL expression over the columns of view `jobs`. */
  readonly where?: string
  readonly all?: boolean
}

/** A selection as SQL: rows of view `jobs`, or of one like it over fewer jobs, under the name `jobs`. */
export interface Selected {
  readonly from: string
  readonly where: string
}

/**
 * Makes SQL of a selection; the views must stand. The jobs looked at are narrowed beforehand by names and states, which is where most of
 * the time goes. Throws SQL_INVALID on a `where` that is no single expression.
 */
export async function selectionSql(tables: Tables, selection: Selection): Promise<Selected> {
  const { sql } = tables
  const conditions: string[] = []
  let keys: string | undefined
  if (selection.state !== undefined) {
    const states = typeof selection.state === 'string' ? [selection.state] : selection.state
    conditions.push(states.length === 0 ? 'false' : `state IN (${states.map(checkState).join(', ')})`)
    keys = candidates(STATE_SOURCES, states)
  }
  if (selection.jobs) {
    const named = selection.jobs.length === 0 ? 'false' : `job_id IN (${selection.jobs.map(quoteText).join(', ')})`
    conditions.push(named)
    keys = `SELECT job_key FROM jobs_rows WHERE ${named}`
  }
  if (selection.where !== undefined) {
    await checkWhere(sql, selection.where)
    conditions.push(`(${selection.where}\n)`)
  }
  const where = conditions.join(' AND ') || 'true'
  if (keys === undefined) return { from: 'jobs', where }
  await sql.run(`CREATE OR REPLACE TEMP TABLE selected_keys AS ${keys}`)
  return { from: `(${jobsView('selected_keys')}) jobs`, where }
}

function checkState(state: string): string {
  if (!JOB_STATES.includes(state as JobState)) {
    throw new FloeError('USAGE', `no state ${state}`, { hint: `States are ${JOB_STATES.join(', ')}.` })
  }
  return quoteText(state)
}

export interface ListOptions extends Selection {
  readonly limit?: number
  readonly offset?: number
  /** What record files say and the tables do not have yet. */
  readonly live?: Live
  /** Columns of view `jobs` in their order; a short list by default, `['*']` for all. */
  readonly columns?: readonly string[]
}

/** Narrow columns: of 1.5 million jobs all 34 of 50 rows take half a second, these 50 ms. */
const SHORT = [
  'job_id',
  'state',
  'class',
  'tries',
  'revision',
  'executable',
  'site',
  'priority',
  'labels',
  'added_at',
  'source',
]

/** Jobs by name, in chunks. A page costs the states of all jobs and the columns of its own rows. */
export async function* listJobs(tables: Tables, options: ListOptions = {}): AsyncIterable<Row[]> {
  const { sql } = tables
  await openViews(tables, options.live)
  const { from, where } = await selectionSql(tables, options)
  const columns = (options.columns ?? SHORT).map((name) => (name === '*' ? name : quoteName(name)))
  const page = `LIMIT ${rowCount(options.limit, 'ALL')} OFFSET ${rowCount(options.offset, '0')}`
  try {
    if (options.limit === undefined) {
      yield* sql.stream(`SELECT ${columns.join(', ')} FROM ${from} WHERE ${where} ORDER BY job_id ${page}`)
      return
    }
    // The condition may be over wide columns, the page is not: its rows are fetched in a second step.
    await sql.run(
      `CREATE OR REPLACE TEMP TABLE jobs_page AS
       SELECT job_id, job_key, state, class, tries FROM ${from} WHERE ${where} ORDER BY job_id ${page}`,
    )
    yield* sql.stream(
      `SELECT ${columns.join(', ')} FROM (
         SELECT j.*, p.state, p.class, p.tries, ${MISSING} AS missing FROM jobs_rows j JOIN jobs_page p USING (job_key))
       ORDER BY job_id`,
    )
  } catch (cause) {
    throw whereInvalid(cause, options.where)
  }
}

function rowCount(value: number | undefined, absent: string): string {
  if (value === undefined) return absent
  if (Number.isSafeInteger(value) && value >= 0) return String(value)
  throw new FloeError('USAGE', `${value} is no number of rows`)
}
