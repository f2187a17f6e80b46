import type { RetrySetting } from '../config/config.ts'
import type { JobEnded } from '../model/record.ts'
import type { FailureClass } from '../model/verdict.ts'
import type { Tables } from '../ports/tables/tables.ts'

export type RetryPolicy = Readonly<Record<FailureClass, RetrySetting>>

/** What becomes of a job whose attempt ended in `failure`; `before` counts its earlier attempts that ended in the same class. */
export function decideNext(
  policy: RetryPolicy,
  failure: FailureClass | null,
  before: number,
): 'done' | 'retry' | 'hold' | 'give up' {
  if (failure === null) return 'done'
  const { tries, exhausted } = policy[failure]
  return before + 1 < tries ? 'retry' : exhausted
}

/** How often each of these failed jobs has ended in the same class before, once begun; one query for all. Makes the view `attempts`. */
export async function failuresBefore(
  tables: Pick<Tables, 'sql' | 'view'>,
  failed: readonly JobEnded[],
): Promise<(ended: JobEnded) => number> {
  if (failed.length === 0) return () => 0
  await tables.view('attempts')
  await tables.sql.load(
    'failed_now',
    [
      { name: 'job_id', type: 'VARCHAR' },
      { name: 'revision', type: 'INTEGER' },
    ],
    [failed.map(({ job, revision }) => ({ job_id: job, revision }))],
  )
  const counts = new Map<string, number>()
  const stream = tables.sql.stream<{ job_id: string; revision: number; class: string; n: number }>(
    `select job_id, revision, class, count(*)::integer as n
     from attempts semi join failed_now using (job_id, revision)
     where class is not null and not superseded and started_at is not null group by all`,
  )
  for await (const chunk of stream)
    for (const { job_id, revision, class: failure, n } of chunk) counts.set(`${failure} ${revision} ${job_id}`, n)
  return (ended) => counts.get(`${ended.class} ${ended.revision} ${ended.job}`) ?? 0
}
