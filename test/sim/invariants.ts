import type { Tables } from '../../src/ports/tables/tables.ts'

interface Seen {
  readonly attempts: number
  readonly results: number
}
const seen = new WeakMap<Tables, Seen>()

/** What holds in the tables when a run has ended: results are published before the verdicts that they belong to. */
export async function checkEnd(tables: Tables): Promise<void> {
  await checkNow(tables)
  const rows = await tables.sql.rows<{ who: string }>(
    `select job_id as who from sim_results r anti join (select * from sim_attempts where verdict = 'succeeded') a using (job_id, job_digest)
     union all
     select job_id from sim_attempts a anti join sim_results r using (job_id, job_digest) where verdict = 'succeeded'`,
  )
  if (rows.length > 0) throw new Error(`results and verdicts differ: ${rows.map(({ who }) => who).join(', ')}`)
}

/** What holds in the tables after every commit. Throws with the rows that do not. */
export async function checkNow(tables: Tables): Promise<void> {
  await tables.view('batches', undefined, 'sim_batches')
  await tables.view('plan', undefined, 'sim_plan')
  await tables.view('attempts', undefined, 'sim_attempts')
  await tables.view('results', undefined, 'sim_results')
  const rows = await tables.sql.rows<{ what: string; who: string }>(`
    select 'job in two live batches' as what, job_id as who
    from sim_plan p join sim_batches b on b.plan_id = p.plan_id and p.position >= b.position_from and p.position < b.position_to
    where b.state in ('cut', 'staged', 'submitted') group by job_id having count(*) > 1
    union all
    select 'result published twice', job_digest || ' ' || output from sim_results group by all having count(*) > 1
    union all
    select 'succeeded without a record', job_id from sim_attempts where verdict = 'succeeded' and evidence not in ('record', 'reuse')
    union all
    select 'two verdicts of one try', job_id || ' ' || try from sim_attempts where not superseded and evidence = 'record'
    group by job_id, try having count(*) > 1`)
  if (rows.length > 0) throw new Error(rows.map(({ what, who }) => `${what}: ${who}`).join('\n'))
  const [now] = await tables.sql.rows<{ attempts: number; results: number }>(
    'select (select count(*) from sim_attempts)::integer as attempts, (select count(*) from sim_results)::integer as results',
  )
  const before = seen.get(tables)
  if (before && (now!.attempts < before.attempts || now!.results < before.results))
    throw new Error(`rows went away: ${JSON.stringify({ before, now })}`)
  seen.set(tables, now!)
}
