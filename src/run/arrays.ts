import { openViews, stateFacts } from '../catalog/catalog.ts'
import type { Site } from '../dispatch/dispatch.ts'
import type { Offsets } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import { quoteText, type Snapshot, type Tables } from '../ports/tables/tables.ts'
import type { ResourceClass } from '../stage/stage.ts'
import type { RunContext } from './context.ts'
import { LiveArray, type LiveBatch } from './live-array.ts'
import { liveFacts } from './live-status.ts'
import type { TaskJobs } from './publisher.ts'

/** Jobs of one array: what staging holds in memory, and how long the first task waits for it. */
const ARRAY_JOBS_MAX = 50_000
const FIRST_ARRAY_JOBS_MAX = 2000

type BatchRow = { batch_id: number; task: number; jobs: number; array_id: string; resource_class: string }

/** The arrays of a site that are staged and not ended, with the ends of the record lines that table `attempts` has of them. */
export async function liveArrays(
  context: RunContext,
): Promise<{ arrays: { array: LiveArray; committed: Offsets }[]; cut: number; cutJobs: number }> {
  const { tables, site } = context
  await tables.view('batches')
  const rows = await tables.sql.rows<BatchRow>(
    `select batch_id, task, jobs, array_id, resource_class from batches
     where state in ('staged', 'submitted') and site = $1 order by array_id, task`,
    [site.name],
  )
  const [cut] = await tables.sql.rows<{ n: number; jobs: number }>(
    "select count(*)::integer as n, coalesce(sum(jobs), 0)::double as jobs from batches where state = 'cut' and site = $1",
    [site.name],
  )
  const byArray = new Map<string, BatchRow[]>()
  for (const row of rows) {
    const same = byArray.get(row.array_id)
    if (same) same.push(row)
    else byArray.set(row.array_id, [row])
  }
  if (byArray.size > 0) await tables.view('attempts')
  const arrays: { array: LiveArray; committed: Offsets }[] = []
  for (const [id, batches] of byArray) {
    const ends = await tables.sql.rows<{ name: string; end: number }>(
      `select task || '.' || task_attempt as name, max(record_end)::double as "end" from attempts
       where array_id = $1 and record_end is not null group by all`,
      [id],
    )
    const array = arrayOf(id, context, batches)
    array.noteInferred(
      await tables.sql.rows<{ job: string; revision: number }>(
        'select job_id as job, revision from attempts where array_id = $1 and record_end is null',
        [id],
      ),
    )
    arrays.push({
      array,
      committed: Object.fromEntries(ends.map(({ name, end }) => [name, end])),
    })
  }
  return { arrays, cut: cut!.n, cutJobs: cut!.jobs }
}

/** Work that is under way at another site. */
export type Elsewhere = Readonly<{ site: string; arrays: readonly string[]; tasks: number; jobs: number }>

/** The sites that have work of this campaign under way. */
export async function liveSites(tables: Pick<Tables, 'sql' | 'view'>): Promise<string[]> {
  await tables.view('batches')
  const rows = await tables.sql.rows<{ site: string }>(
    "select distinct site from batches where state in ('staged', 'submitted') order by site",
  )
  return rows.map(({ site }) => site)
}

/** What is live at sites other than these. */
export async function liveElsewhere(tables: Tables, sites: readonly string[]): Promise<readonly Elsewhere[]> {
  await tables.view('batches')
  const rows = await tables.sql.rows<Elsewhere>(
    `select site, list(distinct array_id order by array_id) as arrays, count(*)::integer as tasks, sum(jobs)::double as jobs
     from batches where state in ('staged', 'submitted') and not list_contains([${sites.map(quoteText).join(', ')}]::VARCHAR[], site) group by site order by site`,
  )
  return rows.map((row) => ({ ...row, arrays: [...row.arrays] }))
}

/** Makes the next array from batches that are cut, of one resource class, and writes that into `batches`. Undefined: none is left. */
export async function assignArray(
  context: RunContext,
  { first, tasks, guard }: { first: boolean; tasks: number; guard: () => Promise<void> },
): Promise<LiveArray | undefined> {
  const { tables, site } = context
  const { sql } = tables
  const snapshot = await tables.view('batches')
  const jobsMax = first ? FIRST_ARRAY_JOBS_MAX : ARRAY_JOBS_MAX
  const tasksMax = first ? Math.min(tasks, site.slots * 64) : tasks
  const [next] = await sql.rows<{ number: number }>(
    'select (coalesce(max(substr(array_id, 2)::bigint), 0) + 1)::double as number from batches',
  )
  await sql.run(`create or replace temp table assigned as
    with cut as (select * from batches where state = 'cut' and site = ${quoteText(site.name)}),
    chosen as (select resource_class from cut order by batch_id limit 1),
    ranked as (
      select batch_id, jobs, resource_class, row_number() over w - 1 as task, sum(jobs) over w - jobs as before
      from cut where resource_class = (from chosen) window w as (order by batch_id rows unbounded preceding))
    select batch_id, task::integer as task, jobs, resource_class
    from ranked where before < ${jobsMax} and task < ${tasksMax}`)
  const rows = await sql.rows<BatchRow>('from assigned order by task')
  if (rows.length === 0) return undefined
  const array = arrayOf(await makeDirectory(site, next!.number), context, rows)
  await commitBatches(tables, snapshot, {
    operation: `stage ${array.id}`,
    guard,
    select: `select b.* replace (case when a.batch_id is null then b.array_id else '${array.id}' end as array_id, coalesce(a.task, b.task) as task,
        case when a.batch_id is null then b.state else 'staged' end as state,
        case when a.batch_id is null then b.updated_at else make_timestamptz(${Math.round(context.clock.now() * 1000)}) end as updated_at)
      from batches b left join assigned a using (batch_id)`,
  })
  await tables.view('batches')
  return array
}

/** The directory of a new array. One that is there already, as after tables came back from a backup, keeps its records; the next number is taken. */
async function makeDirectory(site: Site, from: number): Promise<string> {
  for (let number = from; ; number++) {
    const id = `a${String(number).padStart(6, '0')}`
    if (await site.makeArray(id)) return id
  }
}

/** How many arrays the batches that are cut for the site will make. */
export async function countArrays({ tables, site }: RunContext): Promise<number> {
  const { arrayMax } = await site.limits()
  await tables.view('batches')
  const [row] = await tables.sql.rows<{ arrays: number }>(
    `select coalesce(sum(greatest(ceil(n / ${arrayMax}), ceil(jobs / ${ARRAY_JOBS_MAX}))), 0)::integer as arrays
     from (select count(*) as n, sum(jobs) as jobs from batches where state = 'cut' and site = $1 group by resource_class)`,
    [site.name],
  )
  return row!.arrays
}

/** Batches that are cut and not staged are dropped, of all sites, of one (`only` these), or of all but some: their jobs wait for a new plan. */
export async function dropCut(
  tables: Tables,
  which: 'all' | { readonly of: string; readonly only?: readonly number[] } | { readonly notOf: readonly string[] },
  guard: () => Promise<void>,
): Promise<void> {
  const snapshot = await tables.view('batches')
  const isOf = (sites: readonly string[]) => sites.map((site) => ` and site is distinct from ${quoteText(site)}`)
  const isOnly = (batches: readonly number[] | undefined) => (batches ? ` and batch_id in (${batches.join(', ')})` : '')
  const dropped = `state = 'cut'${
    which === 'all'
      ? ''
      : 'of' in which
        ? ` and site = ${quoteText(which.of)}${isOnly(which.only)}`
        : isOf(which.notOf).join('')
  }`
  const [cut] = await tables.sql.rows<{ n: number }>(`select count(*)::integer as n from batches where ${dropped}`)
  if (cut!.n === 0) return
  await commitBatches(tables, snapshot, {
    operation: `${typeof which === 'object' && 'only' in which ? 'move' : 'drop'} ${cut!.n} batches`,
    guard,
    select: `select * from batches where not (${dropped})`,
  })
}

/** All batches as they are to be, with the counts of jobs that follow. */
async function commitBatches(
  tables: Tables,
  snapshot: Snapshot,
  { operation, guard, select }: { operation: string; guard: () => Promise<void>; select: string },
): Promise<void> {
  const live = await tables.sql.rows<{ array_id: string }>(
    `select distinct array_id from (${select}) where state in ('staged', 'submitted') order by 1`,
  )
  await tables.commit('batches', {
    operation,
    guard,
    expect: snapshot.version,
    remove: snapshot.parts,
    facts: { ...(await stateFacts(tables, { batches: select })), ...liveFacts(live.map(({ array_id }) => array_id)) },
    select,
  })
}

/** Gives up arrays whose records nobody can read any more: their jobs wait for a plan. */
export async function dropArrays(tables: Tables, arrays: readonly string[], guard: () => Promise<void>): Promise<void> {
  await openViews(tables)
  const snapshot = await tables.view('batches')
  const ids = arrays.map((id) => `'${id}'`).join(', ')
  await commitBatches(tables, snapshot, {
    operation: `drop ${arrays.length} arrays`,
    guard,
    select: `select * replace (case when array_id in (${ids}) then 'dropped' else state end as state,
      case when array_id in (${ids}) then now() else updated_at end as updated_at) from batches`,
  })
}

/** Writes the end of arrays into `batches`. */
export async function endArrays(
  { tables }: RunContext,
  arrays: readonly LiveArray[],
  guard: () => Promise<void>,
): Promise<void> {
  const snapshot = await tables.view('batches')
  const ids = arrays.map(({ id }) => `'${id}'`).join(', ')
  await commitBatches(tables, snapshot, {
    operation: `end ${arrays.length} arrays`,
    guard,
    select: `select * replace (case when array_id in (${ids}) then 'ended' else state end as state,
      case when array_id in (${ids}) then now() else updated_at end as updated_at) from batches`,
  })
}

/**
 * The jobs that had started in tasks that are gone, by task; read from the manifest, because no record tells their digest. None when the
 * array's directory was taken away: nothing is known of its jobs then, and they wait for a plan.
 */
export function lostJobs(array: LiveArray): TaskJobs[] {
  const byTask = new Map<number, ReturnType<LiveArray['lostJobs']>>()
  for (const lost of array.lostJobs()) byTask.set(lost.task, [...(byTask.get(lost.task) ?? []), lost])
  return [...byTask].map(([task, lost]) => {
    const names = new Set(lost.map(({ job, revision }) => `${revision} ${job}`))
    return {
      task,
      attempt: Math.max(...lost.map(({ attempt }) => attempt)),
      jobs: array.jobsOf(task).filter(({ job, revision }) => names.has(`${revision} ${job}`)),
    }
  })
}

/** The jobs that a task left undecided. */
export function undecidedJobs(array: LiveArray, task: number, attempt: number): TaskJobs {
  const jobs = array.jobsOf(task).filter(({ job, revision }) => !array.isDecided(job, revision))
  return { task, attempt, jobs }
}

function arrayOf(id: string, { paths, campaignId, site }: RunContext, rows: readonly BatchRow[]): LiveArray {
  return new LiveArray({
    id,
    site,
    arrays: sitePaths(paths.scratch, campaignId).arrays,
    batches: rows.map(
      ({ batch_id, task, jobs }): LiveBatch => ({ batchId: Number(batch_id), task, jobs: Number(jobs) }),
    ),
    terms: JSON.parse(rows[0]!.resource_class) as ResourceClass,
  })
}
