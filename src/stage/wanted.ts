import type { NamedJob } from '../model/manifest.ts'
import type { Tables } from '../ports/tables/tables.ts'

/** Which jobs are to be staged. */
export interface Choice {
  /** SELECT that gives (job_key, job_id, revision, position, task) of the jobs of an array. */
  readonly chosen: string
  /** What people asked for (hold, cancel) is not looked at. */
  readonly rehearsal?: true
}

/** SELECT of columns of the chosen jobs that are wanted still, in their order: `c` has their tasks, `j` is table jobs, `tries` are those before. */
export const wantedSql = ({ chosen, rehearsal }: Choice, columns: string): string =>
  `with chosen as (${chosen}),
   tried as (
     select job_key, revision, max(try) as tries
     from attempts semi join chosen using (job_key, revision) group by all),
   asked as (
     select job_key, arg_max(action, seq) filter (action in ('hold', 'release', 'retry')) as gate,
       arg_max(action, seq) filter (action in ('cancel', 'remove', 'retry')) as ask,
       max(after_try) filter (action in ('cancel', 'remove')) as after_try
     from requests semi join chosen using (job_key) group by all)
   select ${columns}
   from chosen c join jobs_rows j using (job_key, revision) left join tried t using (job_key, revision)
     left join asked a using (job_key)
   where not j.withdrawn${
     rehearsal
       ? ''
       : `
     and a.gate is distinct from 'hold'
     and not coalesce(a.ask in ('cancel', 'remove') and a.after_try >= coalesce(t.tries, 0), false)`
   }
   order by c.task, c.position`

/** The names of the chosen jobs by task, without digests, where nobody asks for anything between plan and run: the catalog is not read. */
export async function namedJobs(
  { sql }: Tables,
  { chosen }: Choice,
): Promise<ReadonlyMap<number, readonly NamedJob[]>> {
  const jobs = new Map<number, NamedJob[]>()
  const select = `with chosen as (${chosen}),
    tried as (select job_key, revision, max(try) as tries from attempts semi join chosen using (job_key, revision) group by all)
    select c.task, c.job_id, c.revision::integer, (coalesce(t.tries, 0) + 1)::integer
    from chosen c left join tried t using (job_key, revision) order by c.task, c.position`
  for await (const [tasks, names, revisions, tries] of sql.columns(select)) {
    for (let at = 0; at < tasks!.length; at++) {
      const job: NamedJob = {
        job: names![at] as string,
        revision: revisions![at] as number,
        job_digest: '',
        try: tries![at] as number,
      }
      const task = tasks![at] as number
      const same = jobs.get(task)
      if (same) same.push(job)
      else jobs.set(task, [job])
    }
  }
  return jobs
}
