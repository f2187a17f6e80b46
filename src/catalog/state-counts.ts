import type { Json } from '../model/json.ts'
import { positionsSql } from '../model/positions.ts'
import { FAILURE_CLASSES, type FailureClass, JOB_STATES, type JobState } from '../model/verdict.ts'
import type { Head, Tables } from '../ports/tables/tables.ts'
import { jobStates, type StateSources } from './job-states.ts'

/** Tables that the state of a job rests on. A plan alone changes none: its batches do. */
const TOLD = ['jobs', 'requests', 'batches', 'attempts'] as const
type Told = (typeof TOLD)[number]

/** How many jobs are of one state, class and site. */
interface Group {
  readonly state: JobState
  readonly class: FailureClass | null
  readonly site: string | null
  readonly jobs: number
}

/*
 * Facts of a commit, version 1: {"counts":{"v":1, "table", "after", "rows":{jobs, requests, batches, attempts}, "groups":[[state, class,
 * site, jobs]…]}}. They hold for the commit of `table` that follows its version `after`, as long as the other tables have had no rows come
 * or go since the versions in `rows`. A running job is counted as queued: only record files tell it apart.
 */
interface CountsFact {
  readonly v: 1
  readonly table: Told
  readonly after: number
  readonly rows: Readonly<Record<Told, number>>
  readonly groups: readonly (readonly [JobState, FailureClass | null, string | null, number])[]
}

export type StateCounts = Readonly<Record<JobState | 'jobs', number>> & {
  /** Jobs that failed, were cancelled or lost, by class. */
  readonly classes: Readonly<Partial<Record<FailureClass, number>>>
  /** Jobs that wait, run or ended at a site, by site and state. */
  readonly sites: Readonly<Record<string, Readonly<Partial<Record<JobState, number>>>>>
}

/**
 * Counts of jobs by state. Reads four small files when the last commit stated the counts, else the keys of jobs and attempts by SQL: half a
 * second for 1.5 million. `running` is how many have started by the record files of live arrays.
 */
export async function countStates(tables: Tables, { running = 0 }: { running?: number } = {}): Promise<StateCounts> {
  const known = knownGroups(await readHeads(tables))
  return summarize(known ?? (await countAll(tables)), running)
}

/** What a commit will change: SELECTs of the rows that it adds, or of all rows that the table will have. */
export interface Upcoming {
  readonly attempts?: string
  readonly requests?: string
  /** All batches as they will be. */
  readonly batches?: string
  /** Keys of jobs that will be withdrawn. */
  readonly withdrawn?: string
}

/**
 * Facts for the next commit of one table, so that `status` need not count. By default for a commit of attempts by the rows of the temporary
 * view `new_attempts`. Costs a scan of keys of the jobs that change when the counts before are known, else of all. Makes its own views. None
 * for tables that nobody else reads.
 */
export async function stateFacts(
  tables: Tables,
  next: Upcoming = { attempts: 'new_attempts' },
): Promise<Readonly<Record<string, Json>>> {
  if (!tables.hasReaders) return {}
  const heads = await readHeads(tables)
  const table = tableOf(next)
  const before = knownGroups(heads)
  const groups = before ? await countChange(tables, before, next) : await countAll(tables, next)
  const fact: CountsFact = {
    v: 1,
    table,
    after: heads[table].version,
    rows: mapTold((one) => heads[one].rowsVersion),
    groups: groups.map((group) => [group.state, group.class, group.site, group.jobs]),
  }
  return { counts: fact as unknown as Json }
}

function tableOf(next: Upcoming): Told {
  if (next.attempts) return 'attempts'
  if (next.requests) return 'requests'
  return next.batches ? 'batches' : 'jobs'
}

function mapTold<T>(make: (table: Told) => T): Record<Told, T> {
  return { jobs: make('jobs'), requests: make('requests'), batches: make('batches'), attempts: make('attempts') }
}

async function readHeads(tables: Tables): Promise<Record<Told, Head>> {
  const heads = await Promise.all(TOLD.map((table) => tables.head(table)))
  return mapTold((table) => heads[TOLD.indexOf(table)]!)
}

/** The groups that some head states, if they hold for all heads. */
export function knownGroups(heads: Readonly<Record<Told, Head>>): Group[] | undefined {
  for (const table of TOLD) {
    const { facts, factsVersion, rowsVersion } = heads[table]
    const fact = facts.counts as unknown as CountsFact | undefined
    if (fact?.v !== 1 || fact.table !== table || fact.after + 1 !== factsVersion || rowsVersion > factsVersion) continue
    if (TOLD.some((other) => other !== table && heads[other].rowsVersion !== fact.rows[other])) continue
    return fact.groups.map(([state, failure, site, jobs]) => ({ state, class: failure, site, jobs }))
  }
  return undefined
}

async function countAll(tables: Tables, next: Upcoming = {}): Promise<Group[]> {
  const anyRequests = await openSources(tables)
  return tables.sql.rows<Group & { [key: string]: never }>(`${groupsOf(sourcesWith(next, anyRequests))} ORDER BY ALL`)
}

/** Counts the jobs that a commit touches, before and after, and adds the difference. */
async function countChange(tables: Tables, before: readonly Group[], next: Upcoming): Promise<Group[]> {
  const anyRequests = await openSources(tables)
  await tables.sql.run(`CREATE OR REPLACE TEMP TABLE state_touched AS ${touched(next)}`)
  const only = 'state_touched'
  const changes = await tables.sql.rows<Group & { [key: string]: never }>(
    `SELECT state, class, site, sum(jobs)::BIGINT AS jobs FROM (
       SELECT * FROM (${groupsOf({ ...sourcesWith(next, anyRequests), only })})
       UNION ALL SELECT state, class, site, -jobs FROM (${groupsOf({ ...sourcesWith({}, anyRequests), only })}))
     GROUP BY ALL HAVING sum(jobs) <> 0`,
  )
  await tables.sql.run('DROP TABLE state_touched')
  const sums = new Map(before.map((group) => [keyOf(group), group]))
  for (const change of changes) {
    const jobs = (sums.get(keyOf(change))?.jobs ?? 0) + change.jobs
    sums.set(keyOf(change), { state: change.state, class: change.class, site: change.site, jobs })
  }
  return [...sums.values()].filter((group) => group.jobs !== 0)
}

function keyOf(group: Group): string {
  return JSON.stringify([group.state, group.class, group.site])
}

/** Makes the views; says whether anybody has asked for anything yet. */
async function openSources(tables: Tables): Promise<boolean> {
  const shown = await Promise.all(
    [...TOLD, 'plan' as const].map((table) => tables.view(table, undefined, `state_${table}`)),
  )
  return shown[TOLD.indexOf('requests')]!.parts.length > 0
}

function sourcesWith(next: Upcoming, anyRequests: boolean): StateSources {
  const columns = {
    attempts: 'job_key, revision, "try", verdict, next, class, batch_id, superseded',
    requests: 'job_key, revision, action, seq, after_try',
  }
  const added = (table: 'attempts' | 'requests') =>
    next[table] === undefined
      ? `state_${table}`
      : `(SELECT ${columns[table]} FROM state_${table} UNION ALL SELECT ${columns[table]} FROM (FROM ${relation(next[table])}))`
  return {
    jobs:
      next.withdrawn === undefined
        ? 'state_jobs'
        : `(FROM state_jobs ANTI JOIN ${relation(next.withdrawn)} w USING (job_key))`,
    attempts: added('attempts'),
    requests: anyRequests || next.requests !== undefined ? added('requests') : null,
    plan: 'state_plan',
    batches: next.batches === undefined ? 'state_batches' : relation(next.batches),
    live: null,
  }
}

/** A name as it is, a SELECT in parentheses. */
function relation(source: string): string {
  return /^\w+$/.test(source) ? source : `(${source})`
}

function groupsOf(sources: StateSources): string {
  return `SELECT s.state, s.class, b.site, sum(s.n)::BIGINT AS jobs FROM (
      SELECT state, class, CASE WHEN state NOT IN ('pending', 'held') THEN batch_id END AS batch_id, count(*) AS n
      FROM (${jobStates(sources)}) GROUP BY ALL) s
    LEFT JOIN (SELECT batch_id, any_value(site) AS site FROM ${sources.batches} GROUP BY batch_id) b ON b.batch_id = s.batch_id
    GROUP BY s.state, s.class, b.site`
}

function touched(next: Upcoming): string {
  const keys = [next.attempts, next.requests, next.withdrawn]
    .filter((source) => source !== undefined)
    .map((source) => `SELECT job_key FROM ${relation(source)}`)
  if (next.batches !== undefined) {
    const range = 'batch_id, plan_id, position_from, position_to, site, state'
    const [before, after] = [`SELECT ${range} FROM state_batches`, `SELECT ${range} FROM ${relation(next.batches)}`]
    const changed = `((${before} EXCEPT ${after}) UNION (${after} EXCEPT ${before}))`
    keys.push(`SELECT p.job_key FROM state_plan p JOIN ${positionsSql(changed, [])} b USING (plan_id, position)`)
  }
  return keys.join(' UNION ')
}

function summarize(groups: readonly Group[], running: number): StateCounts {
  const counts = Object.fromEntries(JOB_STATES.map((state) => [state, 0])) as Record<JobState, number>
  const classes: Partial<Record<FailureClass, number>> = {}
  const sites: Record<string, Partial<Record<JobState, number>>> = {}
  const isFailure = (state: JobState) => state === 'failed' || state === 'cancelled' || state === 'lost'
  for (const { state, class: failure, site, jobs } of groups) {
    counts[state] += jobs
    if (failure !== null && FAILURE_CLASSES.includes(failure) && isFailure(state)) {
      classes[failure] = (classes[failure] ?? 0) + jobs
    }
    if (site !== null) {
      sites[site] ??= {}
      sites[site][state] = (sites[site][state] ?? 0) + jobs
    }
  }
  const started = Math.min(running, counts.queued)
  counts.queued -= started
  counts.running += started
  return { jobs: groups.reduce((sum, { jobs }) => sum + jobs, 0), ...counts, classes, sites }
}
