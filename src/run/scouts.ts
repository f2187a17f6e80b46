import { formatCounted } from '../model/format.ts'
import { positionsSql } from '../model/positions.ts'
import type { RunContext, ScoutSettings } from './context.ts'

/*
 * Where nothing is known of jobs with the same program and resources, and many of them wait, a few go first, and the others are cut after what
 * these measured. What is decided rests on the tables alone.
 */

/** Scouts that run are waited for longer: the longer they take, the less it is of what is to come. */
const RUN_SEC = 3600
/** Of the scouts so many have to succeed before the others follow: a last one may be at a slow node. */
const ENOUGH = 0.75

/** What is known of jobs with the same program and resources. */
export interface Kind {
  /** That wait for a plan and were not tried yet. */
  readonly fresh: number
  /** Succeeded attempts. */
  readonly measured: number
  /** All attempts that ended. */
  readonly tried: number
  /** In live batches, or about to be tried again. */
  readonly underWay: number
  /** For how long the first of them is under way. */
  readonly waitedSec: number
  /** One of their tasks has begun. */
  readonly hasBegun: boolean
}

const waitMaxOf = ({ hasBegun }: Kind, { waitSec }: ScoutSettings): number => waitSec + (hasBegun ? RUN_SEC : 0)

/** `send`: some go first; `hold`: they wait for those; `go`: nothing is gained by waiting. */
export function decideScouts(kind: Kind, settings: ScoutSettings): 'send' | 'hold' | 'go' {
  const { fresh, measured, tried, underWay, waitedSec } = kind
  if (fresh + underWay + measured < settings.from || measured >= enoughOf(settings)) return 'go'
  if (underWay === 0) return tried === 0 && fresh > settings.jobs ? 'send' : 'go'
  return waitedSec < waitMaxOf(kind, settings) ? 'hold' : 'go'
}

const enoughOf = ({ jobs }: ScoutSettings): number => Math.ceil(jobs * ENOUGH)

export interface Scouting {
  /** Jobs that go first now. */
  readonly scouts: number
  /** Jobs that wait for what those, or earlier ones, measure. */
  readonly held: number
  /** Jobs that have to succeed before some of these follow, and the seconds after which they follow in any case. */
  readonly enough: number
  readonly waitSec: number
}

const NONE: Scouting = { scouts: 0, held: 0, enough: 0, waitSec: 0 }

/**
 * Looks which jobs of the temporary table `runnable` are scouts, and which wait for them, into the temporary table `scouting` (job_key, is_scout),
 * which is there when some are held. `hasBegun`: a task of the array.
 */
export async function lookForScouts(
  context: RunContext,
  hasBegun: (array: string) => boolean = () => false,
): Promise<Scouting> {
  const { tables, settings, clock } = context
  const { scouts } = settings
  const { sql } = tables
  if (scouts.jobs === 0 || !Number.isFinite(scouts.from)) return NONE
  const [unknown] = await sql.rows<{ jobs: number }>(
    `select count(*)::double as jobs from runnable where measured < ${enoughOf(scouts)}`,
  )
  if (unknown!.jobs <= scouts.jobs) return NONE
  await sql.run(`create or replace temp table scout_kinds as
    with waiting as (
      select j.executable, j.resources, any_value(r.measured) as measured, any_value(r.tried) as tried,
        count(*) filter (not r.is_retry) as fresh, count(*) filter (r.is_retry) as again
      from runnable r join jobs_rows j using (job_key, revision) where r.measured < ${enoughOf(scouts)} group by all),
    live as (
      select j.executable, j.resources, count(*) as jobs, min(b.updated_at) as since, list(distinct b.array_id) as arrays
      from ${positionsSql("batches where state in ('cut', 'staged', 'submitted')", ['updated_at', 'array_id'])} b
        join plan_positions p using (plan_id, position) join jobs_rows j using (job_key, revision) group by all)
    select (row_number() over (order by w.executable, w.resources::varchar))::integer as kind, w.*, coalesce(l.jobs, 0) + w.again as under_way, l.arrays,
      coalesce(${clock.now() / 1000} - epoch(l.since), 0) as waited
    from waiting w left join live l on l.executable = w.executable and l.resources is not distinct from w.resources`)
  const rows = await sql.rows<KindRow>(
    `select kind, fresh::double as fresh, measured::double as measured, tried::double as tried, under_way::double as "underWay",
       greatest(waited, 0)::double as "waitedSec", coalesce(arrays, []) as arrays from scout_kinds`,
  )
  const decided = rows.map(({ arrays, ...rest }) => {
    const kind = { ...rest, hasBegun: arrays.some((array) => array !== null && hasBegun(array)) }
    return { ...kind, what: decideScouts(kind, scouts) }
  })
  const waiting = decided.filter(({ what }) => what !== 'go')
  const named = (what: 'send' | 'hold') =>
    `[${waiting.filter((one) => one.what === what).map(({ kind }) => kind)}]::integer[]`
  if (waiting.length > 0) await chooseScouts(sql, scouts.jobs, { send: named('send'), hold: named('hold') })
  await sql.run('drop table scout_kinds')
  if (waiting.length === 0) return NONE
  const [count] = await sql.rows<{ scouts: number; held: number }>(
    'select count(*) filter (is_scout)::double as scouts, count(*) filter (not is_scout)::double as held from scouting',
  )
  return {
    ...count!,
    enough: Math.min(...waiting.map(({ measured }) => enoughOf(scouts) - measured)),
    waitSec: Math.min(...waiting.map((kind) => waitMaxOf(kind, scouts) - kind.waitedSec)),
  }
}

type KindRow = Omit<Kind, 'hasBegun'> & { kind: number; arrays: readonly (string | null)[] }

/** One scout of each part of a kind, by the bytes of their inputs; without a difference of those, of each stretch of names. */
async function chooseScouts(
  sql: RunContext['tables']['sql'],
  jobs: number,
  { send, hold }: { send: string; hold: string },
): Promise<void> {
  await sql.run(`create or replace temp table scouting as
    with concerned as (
      select r.job_key, r.job_id, r.priority, k.kind, j.inputs
      from runnable r join jobs_rows j using (job_key, revision)
        join scout_kinds k on k.executable = j.executable and k.resources is not distinct from j.resources
      where not r.is_retry and list_contains(list_concat(${send}, ${hold}), k.kind)),
    sizes as (
      select u.job_key, sum(f.size_bytes) as bytes
      from (select job_key, unnest(inputs) as url from concerned where list_contains(${send}, kind)) u join files f using (url) group by all),
    parted as (
      select job_key, c.kind, job_id, priority, ntile(${jobs}) over (partition by c.kind order by coalesce(bytes, 0), job_id) as part
      from concerned c left join sizes using (job_key) where list_contains(${send}, c.kind)),
    scouts as (
      select job_key from parted
      qualify row_number() over (partition by kind, part order by priority desc, job_id) = 1)
    select job_key, s.job_key is not null as is_scout from concerned c left join scouts s using (job_key)`)
}

/** Leaves the scouts in `runnable`, each to be a batch of its own, and takes out what waits for them. */
export async function holdForScouts({ tables: { sql } }: RunContext): Promise<void> {
  await sql.run('delete from runnable where job_key in (select job_key from scouting where not is_scout)')
  await sql.run(`update runnable set resource_class = json_merge_patch(resource_class::json, '{"jobs_max":1}')::varchar
    where job_key in (select job_key from scouting where is_scout)`)
  await sql.run('drop table scouting')
}

export const heldInWords = (held: number): string =>
  `${formatCounted(held, 'job')} ${held === 1 ? 'waits' : 'wait'} for what the first of their kind take`
