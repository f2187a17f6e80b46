import { openViews, stateFacts } from '../catalog/catalog.ts'
import { type PlanCosts, planJobs } from '../map/map.ts'
import { FloeError } from '../model/errors.ts'
import { positionsSql } from '../model/positions.ts'
import { quoteText } from '../ports/tables/tables.ts'
import {
  commitSighting,
  isAtSql,
  locateInputs,
  type ProbedSite,
  probePrograms,
  type Sighting,
  sightFiles,
} from '../stage/stage.ts'
import { eachSite, type RunContext } from './context.ts'
import { fitRunnable } from './fit-runnable.ts'
import { askedFor, USUAL } from './measured.ts'
import { avoidedBy, isGrown, jobsMaxOf, memoryOf, waitOf, walltimeOf } from './next-try.ts'
import { seenByAny } from './see-files.ts'

/** Of its walltime a task uses so much for jobs, so that seconds which were foretold too short still fit. */
const TASK_SHARE = 0.8

/** How the next plan is cut. */
export interface PlanWishes {
  readonly jobsPerBatch?: number
  readonly batchSeconds?: number
  /** Jobs that go first; absent: as set, and none where it is wished how to cut. */
  readonly scouts?: number
}

/** The same context, set as is wished. */
export function settledBy(context: RunContext, { scouts, jobsPerBatch, batchSeconds }: PlanWishes): RunContext {
  const { settings } = context
  const isCutByHand = scouts === undefined && (jobsPerBatch !== undefined || batchSeconds !== undefined)
  const wished = {
    ...(scouts !== undefined && { jobs: scouts }),
    ...(isCutByHand && { from: Number.POSITIVE_INFINITY }),
  }
  return {
    ...context,
    settings: {
      ...settings,
      batchSeconds: batchSeconds ?? settings.batchSeconds,
      scouts: { ...settings.scouts, ...wished },
    },
  }
}

/**
 * Looks at the input files. What changed under finished results stops the run (`ask`), is run again, is accepted as it is (`keep`), or is
 * left for the next look (`leave`).
 */
export async function lookAtFiles(
  context: RunContext,
  wish: {
    stale: 'ask' | 'rerun' | 'keep' | 'leave'
    digests: boolean
    /** Stops a commit when the lease was lost. */
    guard?: () => Promise<void>
    onProgress?: (files: number) => void
    signal?: AbortSignal
  },
): Promise<Sighting> {
  const { tables, clock, settings, stores } = context
  const contexts = eachSite(context)
  const elsewhere = seenByAny(contexts.map(({ site }) => site))
  const sighting = await sightFiles(tables, {
    // A root that several sites have is looked for where the first one has it.
    ...{ clock, stores, roots: Object.assign({}, ...contexts.map(rootsOf).reverse()) },
    ...(elsewhere && { elsewhere }),
    ...(wish.digests && { digest: settings.digest }),
    ...(wish.onProgress && { onProgress: wish.onProgress }),
    ...(wish.signal && { signal: wish.signal }),
  })
  const stale = sighting.changed.length === 0 ? 0 : await countStale(context)
  if (stale > 0 && wish.stale === 'ask' && wish.digests) {
    const names = sighting.changed.slice(0, 3).join(', ')
    throw new FloeError(
      'RESULTS_STALE',
      `${stale === 1 ? '1 result is' : `${stale.toLocaleString('en')} results are`} stale: ${names}${sighting.changed.length > 3 ? ' and more' : ''} changed since they were made.`,
      {
        details: { stale, changed: sighting.changed },
      },
    )
  }
  if (stale > 0 && wish.stale === 'rerun') await askAgain(context, wish.guard)
  if (sighting.news > 0) {
    await commitSighting(tables, {
      clock,
      ...(wish.guard && { guard: wish.guard }),
      acceptChanged: stale === 0 || wish.stale === 'rerun' || wish.stale === 'keep',
    })
    await tables.view('files')
  }
  return sighting
}

/** Succeeded jobs that used a file which changed since. */
async function countStale({ tables }: RunContext): Promise<number> {
  await staleJobs(tables)
  const [row] = await tables.sql.rows<{ n: number }>('select count(*)::integer as n from stale_jobs')
  return row!.n
}

async function staleJobs(tables: RunContext['tables']): Promise<void> {
  await openViews(tables)
  await tables.sql.run(`create or replace temp table stale_jobs as
    with changed as (select url from files_seen where changed)
    select job_id, job_key, revision, tries from jobs
    where state = 'succeeded' and (executable in (from changed) or container in (from changed)
      or len(list_intersect(coalesce(inputs, []), (select list(url) from changed))) > 0
      or len(list_intersect(coalesce(files, []), (select list(url) from changed))) > 0)`)
}

/** Puts a retry request for each stale job: they are pending again. */
async function askAgain({ tables, clock, user }: RunContext, guard?: () => Promise<void>): Promise<void> {
  const requests = await tables.view('requests', undefined, 'requests_now')
  await tables.commit('requests', {
    operation: 'run --rerun',
    ...(guard && { guard }),
    expect: requests.version,
    select:
      `select '${clock.uuid()}' as request_id, (select coalesce(max(seq), 0) + 1 from requests_now) as seq, 'retry' as action,
      job_id, job_key, revision, tries as after_try, $who as who, 'an input or program changed' as why,
      make_timestamptz(${Math.round(clock.now() * 1000)}) as asked_at from stale_jobs`.replace(
        '$who',
        `'${user.replaceAll("'", "''")}'`,
      ),
  })
}

/** What waits for a plan. */
export interface Runnable {
  readonly jobs: number
  /** Jobs that lack an input. */
  readonly missing: number
  /** Jobs whose next try the policy puts off, and when the first of them is due, milliseconds since 1970. */
  readonly later: number
  readonly laterAtMs: number | null
}

/**
 * Puts the jobs that wait for a plan into the temporary table `runnable`: pending, with all inputs there, in no batch that is cut or live, not
 * put off. A job that was replaced waits for the end of its older revision too: of two that write the same output the newer one has to be last.
 * What the next try of a failed job asks for is by the policy. `shared`: only what the temporary table `shares` has for the site;
 * `given`: only the jobs of these batches, SQL of their ids, as if they were given up.
 */
export async function chooseRunnable(
  context: RunContext,
  { shared = false, given }: { shared?: boolean; given?: string } = {},
): Promise<Runnable> {
  const { tables, site, beside = [], clock } = context
  const { policy } = context.settings
  const { sql } = tables
  await openViews(tables)
  const batched = (which: string) =>
    `select p.job_key from plan_positions p join ${positionsSql(`batches b where ${which}`, [])} using (plan_id, position)`
  const asked = askedFor(context)
  const [siteName, nowMs] = [site.name.replaceAll("'", "''"), clock.now()]
  await sql.run(`create or replace temp table runnable as
    with failed as (
      select job_key, revision, arg_max(class, try) as class, arg_max(memory_bytes, try) as memory_bytes,
        arg_max(walltime_sec, try) as walltime_sec, arg_max(memory_max_bytes, try) as memory_max_bytes, arg_max(node, try) as node,
        arg_max(site, try) as site, arg_max(published_at, try) as published_at, arg_max(batch_id, try) as batch_id, count(*) as tries
      from attempts where not superseded and verdict <> 'succeeded' group by all),
    last as (select f.*, b.jobs from failed f left join batches b using (batch_id)),
    good_nodes as (select distinct node from attempts where verdict = 'succeeded' and evidence = 'record' and site = '${siteName}'),
    usual as (${USUAL}),
    usual_of as (select executable, sum(seconds * measured) / sum(measured) as seconds from usual group by all),
    batched as (
      ${batched(`b.state in ('cut', 'staged', 'submitted')${given ? ` and b.batch_id not in (${given})` : ''}`)}),
    wanted as (
      select j.job_id, j.job_key, j.revision, coalesce(j.priority, 0) as priority, coalesce(u.seconds, o.seconds) as seconds, j.missing,
        ${isGrown(policy)} or ${asked.isForetold} as grown, coalesce(u.measured, 0) as measured, coalesce(u.tried, 0) as tried,
        l.job_key is not null as is_retry,
        ${waitOf(policy)} as wait_until, ${jobsMaxOf(policy)} as jobs_max, ${avoidedBy(policy, { site: siteName, nowMs })} as avoid,
        to_json({'cpus': coalesce(j.resources.cpus, 1), 'memory_bytes': coalesce(${memoryOf(policy)}, ${asked.memory}),
          'walltime_sec': ${walltimeOf(policy)}, 'gpus': coalesce(j.resources.gpus, 0), 'setup': j.setup,
          'container': j.container, 'publish': coalesce(j.publish, 'files')}) as terms, ${asked.taskSec} as task_sec
      from jobs j left join last l using (job_key, revision)
        left join usual u on u.executable = j.executable and u.resources is not distinct from j.resources
        left join usual_of o on o.executable = j.executable
        anti join batched x on x.job_key = j.job_key
        ${shared ? `semi join (select job_key from shares where site = '${siteName}') s on s.job_key = j.job_key` : ''}
        ${given ? `semi join (${batched(`b.batch_id in (${given})`)}) g on g.job_key = j.job_key` : ''}
      where j.state in ('pending'${given ? ", 'queued'" : ''}) and (j.site is null or j.site in (${[site, ...beside].map(({ name }) => quoteText(name)).join(', ')})))
    select * exclude (terms, jobs_max, avoid, task_sec), coalesce(wait_until > make_timestamptz(${Math.round(nowMs * 1000)}), false) as later,
      (case when jobs_max is null and avoid is null and task_sec is null then terms
        else json_merge_patch(terms, to_json({'jobs_max': jobs_max, 'avoid': avoid, 'task_sec': task_sec})) end)::VARCHAR as resource_class
    from wanted`)
  const [count] = await sql.rows<{ jobs: number; missing: number; later: number; at: number | null }>(
    `select count(*) filter (not missing and not later)::integer as jobs, count(*) filter (missing)::integer as missing,
       count(*) filter (later and not missing)::integer as later,
       epoch_ms(min(wait_until) filter (later and not missing))::double as at from runnable`,
  )
  await sql.run('delete from runnable where missing or later')
  const { at, ...counts } = count!
  return { ...counts, laterAtMs: at }
}

/** What jobs wait for that is not there. */
export interface MissingInputs {
  /** Distinct inputs, helper files and programs. */
  readonly inputs: number
  /** One of them, and a job that names it: the first by name. */
  readonly example: { readonly url: string; readonly jobId: string } | null
}

/** The missing inputs of pending jobs; the views must stand. */
export async function missingInputs({ tables }: RunContext): Promise<MissingInputs> {
  const [row] = await tables.sql.rows<{ inputs: number; job_id: string | null; url: string | null }>(
    `with named as (
       select job_id, unnest(list_concat(inputs, files, [executable, container])) as url, generate_subscripts(list_concat(inputs, files, [executable, container]), 1) as nth
       from jobs where state = 'pending' and missing),
     lacking as (select n.* from named n semi join (select url from files where missing) f using (url))
     select count(distinct url)::integer as inputs, min(job_id) as job_id, arg_min(url, (job_id, nth)) as url from lacking`,
  )
  const { inputs, job_id: jobId, url } = row!
  return { inputs, example: jobId === null || url === null ? null : { url, jobId } }
}

/** Plans and cuts the jobs of `runnable`, which is gone afterwards; batches go to the table as `cut`. */
export async function planRunnable(
  context: RunContext,
  wishes: PlanWishes & { jobs: number; guard: () => Promise<void>; signal?: AbortSignal },
): Promise<PlanCosts> {
  const { tables, settings, clock, site, stores } = context
  await fitRunnable(context)
  await refusePacks(context)
  await probePrograms(tables, probedSite(context))
  const at = site.dataNodesOf.length > 0 ? isAtSql('url', site.dataNodesOf) : undefined
  if (at !== undefined) await locateInputs(tables, { at, clock, stores, guard: wishes.guard, signal: wishes.signal })
  const costs = await planJobs(tables, {
    site: site.name,
    jobsPerBatch: wishes.jobsPerBatch ?? settings.jobsPerBatch ?? usualBatch(wishes.jobs, site.slots),
    // Longer than a task, and the end of each batch would wait for another one.
    batchSeconds: Math.min(
      wishes.batchSeconds ?? settings.batchSeconds,
      (site.taskSec ?? Number.POSITIVE_INFINITY) * TASK_SHARE,
    ),
    bytesMax: settings.batchBytesMax,
    at,
    clock,
    facts: async (batches) => ({ ...(await stateFacts(tables, { batches })), live: await liveIds(tables) }),
    ...(wishes.guard && { guard: wishes.guard }),
    ...(wishes.signal && { signal: wishes.signal }),
  })
  // A coordinator lives for days; this would be 200 bytes a job all the while.
  await tables.sql.run('drop table runnable')
  return costs
}

export const probedSite = (context: RunContext): ProbedSite => {
  const { name, container, probe } = context.site
  return { roots: rootsOf(context), container, site: name, ...(probe && { probe }) }
}

/** A pack is made by appending, which HDFS is not for. */
async function refusePacks({ tables, settings }: RunContext): Promise<void> {
  if (settings.outputsUrl === null) return
  const [packed] = await tables.sql.rows<{ jobs: number; first: string | null }>(
    `select count(*)::integer as jobs, min(job_id) as first from runnable where json_extract_string(resource_class, '$.publish') = 'pack'`,
  )
  if (packed!.first === null) return
  throw new FloeError(
    'NOT_SUPPORTED',
    `Job ${packed!.first} says \`publish: pack\`, and outputs go to ${settings.outputsUrl}.`,
    {
      hint: 'Say `publish: files` or `table`, or name a directory as `outputs:` in floe.yaml.',
      details: { jobs: packed!.jobs },
    },
  )
}

/** Names for directories as the site knows them, over those of floe.yaml. */
export const rootsOf = ({ settings, site }: RunContext): Readonly<Record<string, string>> => ({
  ...settings.roots,
  ...site.roots,
})

/** Some batches for each slot, so that the last ones end together; at most 1000 jobs each. */
export const usualBatch = (jobs: number, slots: number): number =>
  Math.max(1, Math.min(1000, Math.ceil(jobs / (slots * 4))))

/** The plan adds batches that are cut; the live arrays stay as the table had them. */
async function liveIds({ sql }: RunContext['tables']): Promise<string[]> {
  const rows = await sql.rows<{ array_id: string }>(
    "select distinct array_id from batches where state in ('staged', 'submitted') order by 1",
  )
  return rows.map(({ array_id }) => array_id)
}
