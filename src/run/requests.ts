import { positionsSql } from '../model/positions.ts'
import type { Tables } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'

/** Notices new requests of people, and jobs added while a run works: one look at two logs. */
export class RequestWatch {
  #requests = -1
  #jobs: number | undefined
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** What came since the last look. The first look tells of all requests, and takes the jobs as known. */
  async news(): Promise<{ requests: boolean; jobs: boolean }> {
    const requests = (await this.#tables.head('requests')).version
    const jobs = (await this.#tables.head('jobs')).version
    const news = { requests: requests !== this.#requests, jobs: this.#jobs !== undefined && jobs !== this.#jobs }
    this.#requests = requests
    this.#jobs = jobs
    return news
  }
}

/** Jobs of live arrays whose newest request is to cancel, that were withdrawn, or that were replaced: other jobs may take over their outputs. */
export async function cancelRequested(
  { tables }: RunContext,
  arrays: readonly string[],
): Promise<{ arrayId: string; jobs: { job: string; task: number }[] }[]> {
  if (arrays.length === 0) return []
  for (const table of ['requests', 'batches', 'attempts'] as const) await tables.view(table)
  await tables.view('jobs', undefined, 'jobs_rows')
  await tables.view('plan', undefined, 'plan_positions')
  const live = positionsSql("batches where state in ('staged', 'submitted')", ['array_id', 'task'])
  const rows = await tables.sql.rows<{ array_id: string; job_id: string; task: number }>(
    `with asked as (
       select job_key, arg_max(action, seq) as action, max(after_try) filter (action <> 'retry') as after_try, any_value(job_id) as job_id
       from requests where action in ('cancel', 'remove', 'retry') group by all),
     tried as (
       select job_key, revision, max(try) as tries from attempts semi join asked using (job_key) group by all)
     select b.array_id, a.job_id, b.task
     from asked a join plan_positions p using (job_key) left join tried t on t.job_key = p.job_key and t.revision = p.revision
       join ${live} b on b.plan_id = p.plan_id and b.position = p.position
     where a.action in ('cancel', 'remove') and a.after_try >= coalesce(t.tries, 0)
     union
     select b.array_id, p.job_id, b.task
     from (select job_key, revision from jobs_rows where revision > 1) j
       join plan_positions p on p.job_key = j.job_key and p.revision < j.revision
       join ${live} b on b.plan_id = p.plan_id and b.position = p.position`,
  )
  return arrays
    .map((arrayId) => ({
      arrayId,
      jobs: rows.filter(({ array_id }) => array_id === arrayId).map(({ job_id, task }) => ({ job: job_id, task })),
    }))
    .filter(({ jobs }) => jobs.length > 0)
}
