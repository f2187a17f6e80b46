import { type PlanCosts, sumOfReads } from '../map/map.ts'
import { FloeError } from '../model/errors.ts'
import { formatCounted } from '../model/format.ts'
import { positionsSql } from '../model/positions.ts'
import { type ProbedProgram, probeProgram, type ResourceClass } from '../stage/stage.ts'
import { eachSite, type RunContext } from './context.ts'
import { placeSql, reachOf } from './data-places.ts'
import { misfitError } from './fit-runnable.ts'
import { chooseRunnable, type PlanWishes, planRunnable, probedSite } from './planning.ts'
import { type Group, type Room, shareOut } from './share.ts'

/** Jobs of `runnable` that are alike in what decides where they can run. */
interface GroupRow extends ProbedProgram {
  readonly n: number
  readonly resource_class: string
  readonly grown: boolean
  /** That the jobs name; null: any. */
  readonly site: string | null
  readonly jobs: number
  readonly first: string
  readonly seconds: number | null
  /** What inputs and helper files are named by; see data-places.ts. */
  readonly places: readonly string[]
  /** Sites that have been sent jobs with the same first input. */
  readonly sent_to: readonly string[]
}

/** Bytes a second between this machine and a site, where it has to be foretold. */
const CARRIED_PER_SEC = 20e6

/** Where nothing was measured yet, all jobs are taken to last the same. */
const SECONDS_UNKNOWN = 1

export interface ShareWishes extends PlanWishes {
  /** That could take jobs, now or later. */
  readonly sites: readonly RunContext[]
  /** Of the sites that have some, given the seconds of a job of which nothing is known. */
  readonly rooms: (seconds: number) => readonly Room[]
  readonly guard: () => Promise<void>
  /** Does what a site is asked for, or not; then its share waits. */
  readonly tries: (site: string, act: () => Promise<void>) => Promise<unknown>
  readonly signal?: AbortSignal
}

export interface SharedPlan {
  readonly plans: readonly { readonly context: RunContext; readonly costs: PlanCosts }[]
  /** Jobs of `runnable` that no site has taken. */
  readonly left: number
}

/** Shares the jobs of the temporary table `runnable` out, and plans and cuts each site's share for itself. */
export async function planShares(context: RunContext, wishes: ShareWishes): Promise<SharedPlan> {
  const { sites, rooms, tries, ...planning } = wishes
  const { shares, jobs: all } = await shareRunnable(context, { sites, rooms })
  const plans: { context: RunContext; costs: PlanCosts }[] = []
  for (const one of sites) {
    if (!shares.has(one.site.name)) continue
    await tries(one.site.name, async () => {
      const { jobs } = await chooseRunnable(one, { shared: true })
      if (jobs > 0) plans.push({ context: one, costs: await planRunnable(one, { ...planning, jobs }) })
    })
  }
  await context.tables.sql.run('drop table shares')
  return { plans, left: plans.reduce((left, { costs }) => left - costs.jobs, all) }
}

/** Of plans for several sites: inputs that several of them need count for each. */
export const sumOfCosts = (all: readonly PlanCosts[]): PlanCosts =>
  all.reduce((a, b) => ({
    jobs: a.jobs + b.jobs,
    batches: a.batches + b.batches,
    jobsPerBatch: Math.max(a.jobsPerBatch, b.jobsPerBatch),
    files: a.files + b.files,
    bytesLowerBound: a.bytesLowerBound + b.bytesLowerBound,
    bytesToNodes: a.bytesToNodes + b.bytesToNodes,
    filesToNodes: a.filesToNodes + b.filesToNodes,
    bytesCatalogOrder: a.bytesCatalogOrder + b.bytesCatalogOrder,
    bytesNaive: a.bytesNaive + b.bytesNaive,
    filesNaive: a.filesNaive + b.filesNaive,
    seconds: a.seconds === null || b.seconds === null ? null : a.seconds + b.seconds,
    reads: a.reads && b.reads ? sumOfReads(a.reads, b.reads) : (a.reads ?? b.reads),
  }))

/**
 * Shares the jobs of the temporary table `runnable` out over the sites that have room, into `shares` (job_key, site): jobs with the same first
 * input stay together as far as they can. Throws SUBMIT_REFUSED, INPUTS_MISSING or EXECUTABLE_INVALID when none of the `sites` could run some of them; answers
 * the sites that have a share, and how many jobs there are for the `sites`.
 */
async function shareRunnable(
  context: RunContext,
  { sites, rooms }: Pick<ShareWishes, 'sites' | 'rooms'>,
): Promise<{ shares: ReadonlySet<string>; jobs: number }> {
  const { sql } = context.tables
  const { rows, groups, usual } = await groupRunnable(context, sites)
  const parts = shareOut(groups, rooms(usual))
  await sql.load(
    'share_parts',
    [
      { name: 'n', type: 'INTEGER' },
      { name: 'site', type: 'VARCHAR' },
      { name: 'from', type: 'DOUBLE' },
      { name: 'to', type: 'DOUBLE' },
    ],
    [parts.map(({ group, ...part }) => ({ n: rows[group]!.n, ...part }))],
  )
  await sql.run(`create or replace temp table shares as
    with placed as (
      select job_key, n, (row_number() over (partition by n order by first_input, job_id) - 0.5) / count(*) over (partition by n) as place from share_jobs)
    select job_key, p.site from placed join share_parts p on p.n = placed.n and place >= p."from" and place < p."to"`)
  for (const table of ['share_jobs', 'share_urls']) await sql.run(`drop table ${table}`)
  return {
    shares: new Set(parts.map(({ site }) => site)),
    jobs: groups.reduce((sum, { jobs, sites: where }) => sum + (where.length > 0 ? jobs : 0), 0),
  }
}

/**
 * Groups of jobs of `runnable` that are alike, with the sites where they could run and the seconds of a job; `usual`: of one of which nothing
 * is known. Leaves the tables of `numberGroups`. `throws`: when none of the `sites` could run some.
 */
export async function groupRunnable(
  context: RunContext,
  sites: readonly RunContext[],
  { throws = true } = {},
): Promise<{ rows: readonly GroupRow[]; groups: readonly Group[]; usual: number }> {
  const { sql } = context.tables
  await numberGroups(context)
  const rows = await sql.rows<GroupRow>(
    `select n::integer as n, resource_class, grown, site, executable, setup, container, pinned, places, sent_to,
       count(*)::integer as jobs, min(job_id) as first, avg(seconds) as seconds
     from share_jobs group by all order by n`,
  )
  const bytes = await sql.rows<{ n: number; place: string; bytes: number }>(
    `select n::integer as n, place, sum(size_bytes)::double as bytes from (
       select distinct s.n, u.place, u.url from share_urls u join share_jobs s using (job_key)) join files f using (url)
     group by all having sum(size_bytes) is not null`,
  )
  const timed = rows.filter(({ seconds }) => seconds !== null)
  const timedJobs = timed.reduce((sum, { jobs }) => sum + jobs, 0)
  const usual =
    timedJobs === 0 ? SECONDS_UNKNOWN : timed.reduce((sum, { jobs, seconds }) => sum + jobs * seconds!, 0) / timedJobs
  const able = new Able(sites)
  const groups: Group[] = []
  for (const row of rows) {
    const own = bytes.filter(({ n }) => n === row.n)
    const choices = (await able.of(row, throws)).map((context) => ({
      site: context.site.name,
      carrySec: carriedBytes(context, row, own) / row.jobs / CARRIED_PER_SEC,
    }))
    groups.push({ jobs: row.jobs, seconds: row.seconds ?? usual, sites: choices })
  }
  return { rows, groups, usual }
}

/** What a site is to be sent for these jobs, as far as it is not known to have it. */
function carriedBytes(
  context: RunContext,
  { sent_to }: GroupRow,
  bytes: readonly { readonly place: string; readonly bytes: number }[],
): number {
  if (sent_to.includes(context.site.name)) return 0
  return bytes.reduce((sum, one) => sum + (reachOf(context, one.place) === 'carried' ? one.bytes : 0), 0)
}

/** Temporary tables `share_urls` (job_key, url, place) and `share_jobs`, with the number of its group for each job. */
async function numberGroups(context: RunContext): Promise<void> {
  const { tables } = context
  const { sql } = tables
  await tables.view('jobs', undefined, 'jobs_rows')
  for (const table of ['files', 'batches'] as const) await tables.view(table)
  await tables.view('plan', undefined, 'plan_positions')
  await sql.run(`create or replace temp table share_urls as
    select job_key, url, ${placeSql(eachSite(context))} as place from (
      select r.job_key, unnest(list_concat(j.inputs, j.files)) as url from runnable r join jobs_rows j using (job_key, revision))`)
  await sql.run(`create or replace temp table share_jobs as
    with placed as (select job_key, list_sort(list_distinct(list(place))) as places from share_urls group by all),
    sent as (
      select j.inputs[1] as first_input, list_sort(list_distinct(list(b.site))) as sent_to
      from ${positionsSql('batches where array_id is not null', ['site'])} b join plan_positions p using (plan_id, position)
        join jobs_rows j using (job_key, revision) group by all)
    select dense_rank() over (order by r.resource_class, r.grown, j.site, j.executable, j.setup, j.container, p.places, s.sent_to) as n,
      r.job_id, r.job_key, r.seconds, r.resource_class, r.grown, j.site, j.executable, j.setup, j.container, f.url is not null as pinned,
      coalesce(p.places, []) as places, coalesce(s.sent_to, []) as sent_to, coalesce(j.inputs[1], '') as first_input
    from runnable r join jobs_rows j using (job_key, revision) left join placed p using (job_key)
      left join sent s on s.first_input = j.inputs[1]
      left join (select distinct url from files where kind = 'program') f on f.url = j.executable`)
}

/** Where groups could run, whether there is room or not. Each site is asked for each program once. */
class Able {
  readonly #sites: readonly RunContext[]
  readonly #probed = new Map<string, Promise<FloeError | undefined>>()

  constructor(sites: readonly RunContext[]) {
    this.#sites = sites
  }

  /** `throws`: why there is none; else that is an answer. */
  async of(row: GroupRow, throws: boolean): Promise<RunContext[]> {
    const named = this.#sites.filter(({ site }) => row.site === null || row.site === site.name)
    const terms = JSON.parse(row.resource_class) as ResourceClass
    const able: RunContext[] = []
    /** Those that a try which grew too large could only be cut down to. */
    const tight: RunContext[] = []
    let why: FloeError | undefined
    for (const context of named) {
      const { site } = context
      try {
        const misfit = await site.misfit(terms)
        const unseen = row.places.find((place) => reachOf(context, place) === 'never')
        const error =
          misfit !== undefined && !row.grown
            ? misfitError(site.name, row, misfit)
            : unseen !== undefined
              ? unseenError(site.name, row, unseen)
              : await this.#probe(context, row)
        if (error === undefined) (misfit === undefined ? able : tight).push(context)
        why ??= error
      } catch (error) {
        if (!(error instanceof FloeError) || error.code !== 'SITE_UNREACHABLE') throw error
        // It is asked again when it is planned for.
        able.push(context)
      }
    }
    if (able.length > 0) return able
    if (tight.length > 0) return roomiest(tight, terms)
    if (why && throws) throw why
    return able
  }

  #probe(context: RunContext, row: GroupRow): Promise<FloeError | undefined> {
    const { executable, setup, container } = row
    const key = JSON.stringify([context.site.name, executable, setup, container])
    const said = this.#probed.get(key) ?? whyNot(() => probeProgram(row, probedSite(context)))
    this.#probed.set(key, said)
    return said
  }
}

/** The sites that give such a job the most memory, and of these the longest time. */
async function roomiest(sites: readonly RunContext[], terms: ResourceClass): Promise<RunContext[]> {
  let most: RunContext[] = []
  let best = [0, 0]
  for (const context of sites) {
    const { memory_bytes, walltime_sec } = await context.site.clamped(terms)
    const given = [memory_bytes ?? Number.POSITIVE_INFINITY, walltime_sec ?? Number.POSITIVE_INFINITY]
    const more = given[0]! - best[0]! || given[1]! - best[1]! || 0
    if (more > 0) most = []
    if (more < 0) continue
    best = given
    most.push(context)
  }
  return most
}

const unseenError = (site: string, { first, jobs }: GroupRow, place: string): FloeError =>
  new FloeError(
    'INPUTS_MISSING',
    `${site} does not have ${place}, which ${formatCounted(jobs, 'job')} read, ${first} first.`,
    {
      hint: 'Run at a site that has it too, or name it in `roots:` of the site in sites.yaml.',
      details: { job: first, site },
    },
  )

async function whyNot(act: () => Promise<void>): Promise<FloeError | undefined> {
  try {
    await act()
    return undefined
  } catch (error) {
    if (error instanceof FloeError && error.code === 'EXECUTABLE_INVALID') return error
    throw error
  }
}
