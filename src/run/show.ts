import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { openViews } from '../catalog/catalog.ts'
import { foldRecords, readRecords } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { JobEnded, JobStarted, TaskStarted } from '../model/record.ts'
import type { Row } from '../ports/tables/tables.ts'
import { bindsLate } from '../stage/stage.ts'
import { type AttemptOutput, attemptOutputs } from './attempt-outputs.ts'
import type { RunContext } from './context.ts'

/** All evidence on one job that tables and records have, the newest revision and try first. */
export interface JobEvidence {
  readonly job: Row
  readonly inputs: readonly Row[]
  /** Sandboxes by their whole path at their site; null when newer ones took their place. */
  readonly attempts: readonly Row[]
  /** What each attempt made; null where that is not known any more. */
  readonly made: readonly (readonly AttemptOutput[] | null)[]
  /** By how much the clock by which each attempt has its times is ahead of this machine's, seconds; 0: as far as is known it is right. */
  readonly clocksOffSec: readonly number[]
  readonly results: readonly Row[]
  readonly requests: readonly Row[]
  readonly batch: Row | null
  /** What the record file of its live task says and no table has yet. */
  readonly live: LiveEvidence | null
}

export interface LiveEvidence {
  readonly state: 'queued' | 'running' | 'ended'
  readonly site: string
  readonly array: string
  readonly task: number
  /** The scheduler's index for it in the array; null: elements choose their tasks when they start, and none has this one yet. */
  readonly element: number | null
  /** Tasks of its array. */
  readonly tasks: number
  /** Where its task runs, once it does. */
  readonly node: string | null
  readonly started: JobStarted | null
  readonly ended: JobEnded | null
  /** When its task wrote last, by the clock of the node, microseconds since 1970; null: nothing yet. */
  readonly heardAtUs: number | null
}

/** Throws NOTHING_SELECTED when the campaign has no such job. */
export async function showJob(context: RunContext, jobId: string): Promise<JobEvidence> {
  const { tables } = context
  await openViews(tables)
  const { sql } = tables
  const [job] = await sql.rows('select * from jobs where job_id = $1', [jobId])
  if (!job)
    throw new FloeError('NOTHING_SELECTED', `This campaign has no job ${jobId}.`, {
      hint: await nearest(context, jobId),
    })
  const key = job.job_key as number | bigint
  const inputs = await sql.rows(
    `select f.* from files f where f.url in (select unnest(list_concat(coalesce(inputs, []), coalesce(files, []), [executable, container])) from jobs where job_key = $1)`,
    [key],
  )
  const attempts = await sql.rows(
    `select *, (epoch_us(ended_at) - epoch_us(published_at)) / 1e6 as ahead_sec from attempts where job_key = $1 order by revision desc, try desc, superseded, ended_at desc`,
    [key],
  )
  const results = await sql.rows('select * from results where job_key = $1 order by published_at desc, output', [key])
  const requests = await sql.rows('select * from requests where job_key = $1 order by seq desc', [key])
  const [batch] = await sql.rows(
    `select b.* from plan_positions p join batches b on b.plan_id = p.plan_id and p.position >= b.position_from and p.position < b.position_to
     where p.job_key = $1 and p.revision = $2 and b.state <> 'dropped' order by b.batch_id desc limit 1`,
    [key, job.revision as number],
  )
  return {
    job,
    inputs,
    attempts: await Promise.all(attempts.map((attempt) => withSandbox(context, attempt))),
    clocksOffSec: await Promise.all(attempts.map((attempt) => clockOffSec(context, attempt))),
    made: attemptOutputs(context, { attempts, results }),
    results,
    requests,
    batch: batch ?? null,
    live: await liveEvidence(context, jobId, batch, attempts),
  }
}

async function liveEvidence(
  context: RunContext,
  jobId: string,
  batch: Row | undefined,
  attempts: readonly Row[],
): Promise<LiveEvidence | null> {
  if (!batch || !['staged', 'submitted'].includes(batch.state as string)) return null
  const site = batch.site as string
  const array = batch.array_id as string
  const task = batch.task as number
  await refresh(context, site, array)
  const [all] = await context.tables.sql.rows<{ tasks: number }>(
    'select count(*)::integer as tasks from batches where array_id = $1',
    [array],
  )
  const directory = join(sitePaths(context.paths.scratch, context.campaignId).arrays, array)
  const { lines } = readRecords(directory, {}, (name) => name.startsWith(`${task}.`))
  const { decided, running } = foldRecords(lines)
  const ended = decided.find((verdict) => verdict.ended.job === jobId && !verdict.superseded)?.ended ?? null
  if (ended && attempts.some((row) => row.array_id === array && row.try === ended.try)) return null
  const begun = lines.findLast(({ line }) => line.event === 'task started')?.line as TaskStarted | undefined
  const started = lines.findLast(({ line }) => line.event === 'job started' && line.job === jobId)?.line as
    | JobStarted
    | undefined
  return {
    site,
    state: ended ? 'ended' : running.has(jobId) ? 'running' : 'queued',
    array,
    task,
    element: bindsLate(directory) === false ? task : (begun?.element ?? null),
    tasks: all!.tasks,
    node: begun?.node ?? null,
    started: started ?? null,
    ended,
    heardAtUs: lines.reduce<number | null>((last, { line }) => Math.max(last ?? 0, line.at), null),
  }
}

async function nearest({ tables }: RunContext, jobId: string): Promise<string> {
  const [row] = await tables.sql.rows<{ job_id: string }>(
    'select job_id from jobs order by damerau_levenshtein(job_id[:200], $1[:200]), job_id limit 1',
    [jobId],
  )
  return row ? `Did you mean ${row.job_id}? \`floe jobs\` lists them.` : '`floe add FILE` puts jobs into the catalog.'
}

/** Records of another site come here when somebody looks. What cannot be had now is as it was when somebody looked last. */
async function refresh({ openSite }: RunContext, site: string, array: string): Promise<void> {
  if (site === 'local') return
  try {
    await (await openSite(site)).pull([array])
  } catch (error) {
    if (!(error instanceof FloeError)) throw error
  }
}

/** A clock that is off by less changes nothing that a person reads. */
const CLOCK_OFF_SEC = 30

/** What was measured of the site; and an attempt that ended after it was published shows a clock that is ahead. */
async function clockOffSec({ openSite }: RunContext, { site, ahead_sec: ahead }: Row): Promise<number> {
  if (site === 'local') return 0
  const there = await openSite(site as string).catch(() => undefined)
  const measured = there?.clockOffSec ?? 0
  const offSec = Math.max(measured, Number(ahead ?? 0) > CLOCK_OFF_SEC ? Number(ahead) : measured)
  return Math.abs(offSec) < CLOCK_OFF_SEC ? 0 : Math.round(offSec)
}

async function withSandbox(context: RunContext, attempt: Row): Promise<Row> {
  const { sandbox, array_id: array, site } = attempt
  if (typeof sandbox !== 'string' || typeof array !== 'string') return attempt
  if (site === 'local') {
    const path = join(sitePaths(context.paths.scratch, context.campaignId).arrays, array, sandbox)
    return { ...attempt, sandbox: existsSync(path) ? path : null }
  }
  const there = await context.openSite(site as string).catch(() => undefined)
  return { ...attempt, sandbox: there ? posix.join(there.paths.arrays, array, sandbox) : sandbox }
}
