import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type Config, compileConfig } from '../config/config.ts'
import { FloeError } from '../model/errors.ts'
import type { TableName } from '../model/tables.ts'
import type { Clock, VirtualClock } from '../ports/clock.ts'
import type { RunContext } from '../run/run.ts'
import type { RealRun, RunReport, SimulatedRun, SimulationReport } from './answers.ts'
import type { Means, SiteGround } from './means.ts'
import type { RunOptions, SimulateOptions } from './verbs.ts'

/** Where a campaign is simulated: a copy of it, in its cache, that is gone afterwards. */
export const simulationOf = (cache: string): string => join(cache, 'simulation')

/** The configuration with the policy, the batches, the scouts and the share of failures of another file. Throws CONFIG_INVALID. */
function configWith(config: Config, file: string | undefined): Config {
  if (file === undefined) return config
  const path = resolve(file)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new FloeError('USAGE', `The policy ${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
  const { policy, batch, scouts, stopWhenFailed } = compileConfig(text, { path, directory: dirname(path) })
  return { ...config, policy, batch, scouts, stopWhenFailed }
}

/** What a simulated site is told. Absent: as is known of the real one. */
export interface SimulationWishes {
  readonly clock: Clock
  readonly seed: number
  readonly cores?: number | undefined
  /** Of one job, and where that is from. */
  readonly jobSec: { readonly value: number; readonly from: 'given' | 'measured' } | undefined
  readonly waitSec?: number | undefined
  readonly failures?: number | undefined
  readonly trouble: NonNullable<SimulateOptions['trouble']>
  /** What the campaign knows of a file that only the site sees. */
  readonly known: (
    roots: Readonly<Record<string, string>>,
  ) => (path: string) => { readonly sizeBytes: number; readonly mtimeUs: number } | undefined
}

/** A site that runs nothing, with its own time, and what it counts meanwhile. */
export interface Simulation {
  readonly site: RunContext['site']
  readonly assumed: SimulationReport['assumed']
  /** As of now. */
  counted(): Counted
}

export interface Counted
  extends Pick<SimulatedRun, 'calls' | 'tasks' | 'lost_tasks' | 'core_hours' | 'lost_core_hours'> {
  /** Of the tasks; `at` in milliseconds since 1970. */
  readonly samples: readonly { readonly at: number; readonly running: number; readonly waiting: number }[]
}

/** A copy of the campaign, or the campaign itself, as far as it is needed here. */
export interface Simulated {
  run(options: RunOptions): Promise<RunReport>
  query(
    sql: string,
  ): Promise<{ readonly rows: AsyncIterable<readonly Readonly<Record<string, unknown>>[]>; close(): Promise<void> }>
}

/** How a copy is to be. */
export interface CopyWishes {
  readonly keep?: boolean
  /** Tables that it begins without. */
  readonly without?: readonly TableName[]
  readonly means?: Means
  /** Absent: as the campaign's. */
  readonly config?: Config
}

/** All that an attempt leaves behind. */
const DONE = ['attempts', 'results', 'batches', 'plan', 'requests', 'merged'] as const

/** The same for an opened campaign, of which `inCopy` makes copies. */
export function simulateIn(
  options: SimulateOptions,
  {
    campaign,
    config,
    means,
    inCopy,
  }: {
    readonly campaign: Simulated
    readonly config: Config
    readonly means: Means
    readonly inCopy: <T>(wishes: CopyWishes, act: (copy: Simulated) => Promise<T>) => Promise<T>
  },
): Promise<SimulationReport> {
  const { clock, virtualClock, openSimulation } = means
  return simulateCampaign(options, {
    ...{ campaign, site: options.site ?? config.site, nowMs: clock.now() },
    ...{ policies: options.policies ?? [], virtualClock, open: openSimulation },
    inCopy: ({ policy, ...given }, act) =>
      inCopy(
        {
          ...(options.against && { without: DONE }),
          means: {
            ...{ ...means, ...given, openBus: async () => undefined, stores: withoutTokens(means.stores) },
            openTables: (tables) => means.openTables({ ...tables, hasReaders: false }),
          },
          config: configWith(config, policy),
        },
        act,
      ),
  })
}

/** Virtual time passes the end of any token, and nobody goes in by one. */
const withoutTokens = (stores: Means['stores']): Means['stores'] => ({
  ...stores,
  entrances: async () => ({}),
  keep: async () => null,
})

interface SimulationMeans {
  readonly campaign: Simulated
  readonly site: string
  readonly nowMs: number
  /** Policies to compare, by the name of their file; the first is that of the campaign. */
  readonly policies: readonly string[]
  readonly virtualClock: (startMs: number) => VirtualClock
  readonly open: (name: string, ground: SiteGround, wishes: SimulationWishes) => Promise<Simulation>
  /** Makes a copy with this policy, clock and site; it is gone afterwards. */
  readonly inCopy: <T>(
    given: {
      policy: string | undefined
      clock: Clock
      openSite: (name: string, ground: SiteGround) => Promise<RunContext['site']>
    },
    act: (copy: Simulated) => Promise<T>,
  ) => Promise<T>
}

/**
 * Runs copies of a campaign on a site of which nothing is real, in virtual time, once for each policy. The campaign is only read, and no site is
 * asked anything. The same seed and campaign give the same report, dates aside.
 */
async function simulateCampaign(options: SimulateOptions, means: SimulationMeans): Promise<SimulationReport> {
  const really = await realRun(means.campaign)
  const runs: SimulatedRun[] = []
  let assumed: SimulationReport['assumed'] | undefined
  for (const policy of means.policies.length > 0 ? means.policies : [undefined]) {
    const one = await simulateOnce(options, means, { policy, jobSec: really?.job_sec ?? null })
    assumed ??= one.assumed
    runs.push(one.run)
  }
  return { site: means.site, assumed: assumed!, runs, really: options.against ? really : null }
}

async function simulateOnce(
  {
    seed = 1,
    cores,
    jobSec,
    waitSec,
    failures,
    trouble = 'none',
    against = false,
    signal,
    onProgress,
  }: SimulateOptions,
  { campaign, site, nowMs, virtualClock, open, inCopy }: SimulationMeans,
  { policy, jobSec: measured }: { policy: string | undefined; jobSec: number | null },
): Promise<{ run: SimulatedRun; assumed: SimulationReport['assumed'] }> {
  const clock = virtualClock(nowMs)
  const known = await knownFiles(campaign)
  const length =
    jobSec !== undefined
      ? ({ value: jobSec, from: 'given' } as const)
      : measured !== null
        ? ({ value: measured, from: 'measured' } as const)
        : undefined
  const wishes = { clock, seed, cores, jobSec: length, waitSec, failures, trouble, known }
  let simulation: Simulation | undefined
  const openSite = async (name: string, ground: SiteGround) => {
    simulation = await open(name, ground, wishes)
    clock.stride = strideFor(await countJobs(campaign, against), simulation.assumed)
    return simulation.site
  }
  return inCopy({ policy, clock, openSite }, async (copy) => {
    const done: { at: number; done: number }[] = []
    const report = await copy.run({
      ...{ site, stale: 'keep' },
      ...(signal && { signal }),
      onProgress: (progress) => {
        if (done.at(-1)?.done !== progress.done) done.push({ at: clock.now(), done: progress.done })
        onProgress?.(progress)
      },
    })
    const facts = await factsOf(copy, nowMs)
    const { samples, ...counted } = simulation!.counted()
    // Of a campaign that is under way only what is left of it is simulated.
    const { succeeded, failed, lost, cancelled } = report.decided
    const { held, pending, missing, stopped, reason } = report
    const jobs = succeeded + failed + lost + cancelled + held + pending
    const run: SimulatedRun = {
      policy: policy ?? null,
      ...{ jobs, succeeded, failed, lost, cancelled, held, pending, missing, stopped },
      reason: reason?.rule ?? null,
      ...counted,
      // Between two looks that were made lie those that would have been made.
      calls: { ...counted.calls, status: looksOf(counted.calls.status, clock, nowMs, simulation!.assumed) },
      ...facts,
      ...(clock.stride > 1 && { delay_sec: null }),
      elapsed_sec: (clock.now() - nowMs) / 1000,
      timeline: timelineOf(samples, done, { from: nowMs, to: clock.now() }),
    }
    return { run, assumed: simulation!.assumed }
  })
}

/** Looks at a site in one simulation, about. */
const LOOKS = 40

/** Looks that a run would have made: of two that were made some lie between, but no more than its interval allows. */
const looksOf = (
  made: number,
  clock: VirtualClock,
  fromMs: number,
  { interval_sec }: SimulationReport['assumed'],
): number => Math.max(made, Math.min(made * clock.stride, Math.round((clock.now() - fromMs) / 1000 / interval_sec)))

/** A campaign of weeks is looked at more rarely than it would be: what one look costs does not depend on how much happened since the last one. */
function strideFor(jobs: number, { job_sec, cores, interval_sec }: SimulationReport['assumed']): number {
  return Math.max(1, Math.round((jobs * job_sec) / cores / interval_sec / LOOKS))
}

/** Those that are left to do; `all`: also what is done. */
async function countJobs(campaign: Simulated, isAll: boolean): Promise<number> {
  const which = isAll ? '' : " where state in ('pending', 'queued', 'running')"
  const [row] = await all<{ jobs: number }>(campaign, `select count(*)::double as jobs from jobs${which}`)
  return row!.jobs
}

/** Points of a timeline. */
const POINTS = 60

/** Means of the tasks in each of so many equal spans of time, and the jobs that are decided at its end. */
function timelineOf(
  samples: Counted['samples'],
  done: readonly { at: number; done: number }[],
  { from, to }: { from: number; to: number },
): SimulatedRun['timeline'] {
  const width = Math.max(1, (to - from) / POINTS)
  const sums = Array.from({ length: POINTS }, () => ({ running: 0, waiting: 0 }))
  for (const [nth, { at, running, waiting }] of samples.entries()) {
    const until = samples[nth + 1]?.at ?? to
    for (let point = Math.floor((at - from) / width); point < POINTS && from + point * width < until; point++) {
      const span = Math.min(until, from + (point + 1) * width) - Math.max(at, from + point * width)
      if (span <= 0 || point < 0) continue
      sums[point]!.running += running * span
      sums[point]!.waiting += waiting * span
    }
  }
  let decided = 0
  let next = 0
  return sums.map(({ running, waiting }, point) => {
    const end = from + (point + 1) * width
    for (; next < done.length && done[next]!.at <= end; next++) decided = done[next]!.done
    return {
      sec: Math.round((end - from) / 1000),
      running: Math.round((10 * running) / width) / 10,
      waiting: Math.round((10 * waiting) / width) / 10,
      done: decided,
    }
  })
}

/** What the tables of a simulated campaign say of the time since `fromMs`. */
async function factsOf(
  copy: Simulated,
  fromMs: number,
): Promise<Pick<SimulatedRun, 'arrays' | 'tries' | 'bytes_to_nodes' | 'delay_sec'>> {
  const since = `make_timestamptz(${Math.round(fromMs * 1000)})`
  const [tried] = await all<{ tries: number; delay: number | null }>(
    copy,
    `select count(*) filter (not superseded)::integer as tries,
       median(epoch_ms(published_at) - epoch_ms(ended_at)) filter (evidence = 'record') / 1000 as delay from attempts where published_at >= ${since}`,
  )
  const [sent] = await all<{ arrays: number; bytes: number }>(
    copy,
    `select count(distinct array_id)::integer as arrays, coalesce(sum(input_bytes), 0)::double as bytes from batches
     where array_id is not null and state <> 'dropped' and updated_at >= ${since}`,
  )
  return { arrays: sent!.arrays, tries: tried!.tries, bytes_to_nodes: sent!.bytes, delay_sec: tried!.delay }
}

/** What the campaign really did so far; null: nothing. */
async function realRun(campaign: Simulated): Promise<RealRun | null> {
  const [row] = await all<RealRun & { tries: number }>(
    campaign,
    `select count(distinct job_key) filter (verdict = 'succeeded')::integer as succeeded, count(*)::integer as tries,
       count(distinct job_key)::integer as jobs, (epoch(max(ended_at)) - epoch(min(started_at))) as elapsed_sec,
       sum(wall_sec * coalesce(cpus, 1)) / 3600 as core_hours,
       avg(wall_sec) filter (verdict = 'succeeded' and evidence = 'record') as job_sec,
       median(epoch(published_at) - epoch(ended_at)) filter (evidence = 'record') as delay_sec
     from attempts where not superseded and evidence <> 'reuse' and started_at is not null`,
  )
  return row!.tries === 0 ? null : row!
}

async function knownFiles(campaign: Simulated): Promise<SimulationWishes['known']> {
  const rows = await all<{ url: string; size: number; mtime: number }>(
    campaign,
    `select url, size_bytes::double as size, epoch_us(mtime)::double as mtime from files
     where size_bytes is not null and mtime is not null and not starts_with(url, '/') and not contains(url, '://')`,
  )
  return (roots) => {
    const files = new Map<string, { sizeBytes: number; mtimeUs: number }>()
    for (const { url, size, mtime } of rows) {
      const colon = url.indexOf(':')
      const root = roots[url.slice(0, colon)]
      if (root !== undefined)
        files.set(`${root.replace(/\/$/, '')}/${url.slice(colon + 1)}`, { sizeBytes: size, mtimeUs: mtime })
    }
    return (path) => files.get(path)
  }
}

async function all<T>(campaign: Simulated, sql: string): Promise<T[]> {
  const answer = await campaign.query(sql)
  const rows: T[] = []
  try {
    for await (const some of answer.rows) rows.push(...(some as unknown as T[]))
    return rows
  } finally {
    await answer.close()
  }
}
