import { isCounted, type PolicyAction, type PolicyRule } from '../config/config.ts'
import type { JobEnded } from '../model/record.ts'
import type { FailureClass } from '../model/verdict.ts'
import type { Tables } from '../ports/tables/tables.ts'

export type Policy = Readonly<Record<FailureClass, PolicyRule>>

/** Attempts of a job that failed before. */
export interface Before {
  /** In the same class. */
  readonly same: number
  /** In any class that uses up tries. */
  readonly counted: number
}

/** What the failed attempt had, as far as it is known. */
export interface Had {
  readonly memoryBytes?: number | null
  readonly walltimeSec?: number | null
  /** Of its batch. */
  readonly jobs?: number
}

/**
 * What becomes of a job whose attempt ended in `failure`. `maxTries` bounds the attempts of all classes together that use up tries. A rule
 * that asks for more ends where no more is to be had: at its cap, at a batch of one job.
 */
export function decideNext(
  policy: Policy,
  failure: FailureClass | null,
  { before, had = {}, maxTries }: { before: Before; had?: Had; maxTries?: number | null },
): 'done' | 'retry' | 'hold' | 'give up' {
  if (failure === null) return 'done'
  const rule = policy[failure]
  if (rule.action === 'hold' || rule.action === 'give up') return rule.action
  const isUsedUp = isCounted(failure) && before.counted + 1 >= (maxTries ?? Number.POSITIVE_INFINITY)
  return before.same + 1 < rule.tries && !isUsedUp && hasMore(rule, had) ? 'retry' : rule.exhausted
}

function hasMore({ action, cap }: PolicyRule, { memoryBytes, walltimeSec, jobs }: Had): boolean {
  if (action === 'split') return jobs === undefined || jobs > 1
  const had = action === 'memory' ? memoryBytes : action === 'walltime' ? walltimeSec : undefined
  return cap === null || had === null || had === undefined || had < cap
}

/** Classes whose rule has this action. */
export const classesThat = (policy: Policy, ...actions: readonly PolicyAction[]): FailureClass[] =>
  (Object.keys(policy) as FailureClass[]).filter((name) => actions.includes(policy[name].action))

/** How often each of these failed jobs has ended before, once begun; one query for all. Makes the view `attempts`. */
export async function failuresBefore(
  tables: Pick<Tables, 'sql' | 'view'>,
  failed: readonly JobEnded[],
): Promise<(ended: JobEnded) => Before> {
  if (failed.length === 0) return () => ({ same: 0, counted: 0 })
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
  const counted = new Map<string, number>()
  const stream = tables.sql.stream<{ job_id: string; revision: number; class: FailureClass; n: number }>(
    `select job_id, revision, class, count(*)::integer as n
     from attempts semi join failed_now using (job_id, revision)
     where class is not null and not superseded and started_at is not null group by all`,
  )
  for await (const chunk of stream)
    for (const { job_id, revision, class: failure, n } of chunk) {
      const job = `${revision} ${job_id}`
      counts.set(`${failure} ${job}`, n)
      if (isCounted(failure)) counted.set(job, (counted.get(job) ?? 0) + n)
    }
  return ({ job, revision, class: failure }) => ({
    same: counts.get(`${failure} ${revision} ${job}`) ?? 0,
    counted: counted.get(`${revision} ${job}`) ?? 0,
  })
}
