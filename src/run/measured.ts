import type { RunContext } from './context.ts'
import { classesThat } from './policy.ts'

/* What tasks are asked for by what jobs of the same program and resources have used, as SQL over `j` (jobs), `l` (last failed attempt), `u` (USUAL). */

/** What attempts say of jobs with the same program and resources. */
export const USUAL = `select j.executable, j.resources, count(*) as tried, count(*) filter (a.verdict = 'succeeded' and a.evidence = 'record') as measured,
        avg(a.wall_sec) filter (a.verdict = 'succeeded' and a.evidence = 'record') as seconds,
        max(a.wall_sec) filter (a.verdict = 'succeeded' and a.evidence = 'record') as longest,
        max(a.memory_max_bytes) filter (a.verdict = 'succeeded') as memory_max, count(a.memory_max_bytes) filter (a.verdict = 'succeeded') as weighed
      from attempts a join jobs_rows j using (job_key, revision) where not a.superseded group by all`

/** Jobs that have to have been measured. */
const LEAST = 4
/** What a few measured is below what the most demanding of many will use. */
const MEMORY_MARGIN = 1.5
const WALLTIME_MARGIN = 2
/** No less is asked for, however little was measured: it saves nothing, and may end a job. */
const MEMORY_MIN = 2 ** 30
const WALLTIME_MIN_SEC = 600
/** Most jobs of a batch, whatever they take. */
const JOBS_MAX = 1000
/** Of its walltime a task uses so much for jobs. */
const TASK_SHARE = 0.8

export interface Asked {
  /** Bytes; null: nothing. */
  readonly memory: string
  /** Seconds; null: as the site's settings say. */
  readonly taskSec: string
  /** Whether the memory is asked for by what was measured. */
  readonly isForetold: string
}

/**
 * Only for jobs that name nothing themselves, at sites that are asked for it, and where the policy tries again with more what this was too little
 * for. In powers of two, so that what was measured since makes few new classes.
 */
export function askedFor({ site, settings }: RunContext): Asked {
  const { policy, scouts, batchSeconds } = settings
  const isOn = scouts.jobs > 0
  const asksMemory = isOn && site.calls !== null && classesThat(policy, 'memory').includes('memory')
  const asksWalltime = isOn && site.taskSec !== null && classesThat(policy, 'walltime', 'split').includes('walltime')
  const isForetold = asksMemory
    ? `(l.class is distinct from 'memory' and j.resources.memory_bytes is null and coalesce(u.weighed, 0) >= ${LEAST})`
    : 'false'
  const memory = bounded(stepped(`greatest(u.memory_max * ${MEMORY_MARGIN}, ${MEMORY_MIN})`), policy.memory.cap)
  const batch = `least(${batchSeconds}, ${JOBS_MAX} * u.seconds)`
  const sec = stepped(`greatest(${WALLTIME_MARGIN} * greatest(u.longest, ${batch}), ${WALLTIME_MIN_SEC})`)
  // More than the site's settings say is asked for only where jobs were seen to need it.
  const taskSec = `case when u.longest > ${TASK_SHARE} * ${site.taskSec} then ${sec} else least(${sec}, ${site.taskSec}) end`
  return {
    isForetold,
    memory: asksMemory ? `case when ${isForetold} then (${memory})::bigint end` : 'null::bigint',
    taskSec: asksWalltime
      ? `case when l.class is distinct from 'walltime' and j.resources.walltime_sec is null and u.measured >= ${LEAST} then (${taskSec})::integer end`
      : 'null::integer',
  }
}

const stepped = (value: string): string => `pow(2, ceil(log2(${value})))`
const bounded = (value: string, cap: number | null): string => (cap === null ? value : `least(${value}, ${cap})`)
