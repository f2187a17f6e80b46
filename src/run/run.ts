import { countStates } from '../catalog/catalog.ts'
import type { PlanCosts } from '../map/map.ts'
import { countArrays, dropCut } from './arrays.ts'
import { eachSite, type RunContext } from './context.ts'
import { type CoordinateOptions, coordinate, type Outcome } from './coordinate.ts'
import {
  chooseRunnable,
  lookAtFiles,
  type MissingInputs,
  missingInputs,
  type PlanWishes,
  planRunnable,
  settledBy,
} from './planning.ts'
import { lookForScouts, type Scouting } from './scouts.ts'
import { planShares, sumOfCosts } from './share-runnable.ts'
import type { Progress } from './teller.ts'

export { dropArrays, liveSites } from './arrays.ts'
export { type AccountingWord, askSites, type QueueWord, type SiteWords } from './ask-sites.ts'
export { type AtWork, readAtWork } from './at-work.ts'
export { type CleanReport, cleanCampaign } from './clean.ts'
export type { RunContext, RunSettings } from './context.ts'
export type { Outcome } from './coordinate.ts'
export { type EvidenceLine, listEvidence } from './evidence-list.ts'
export { type FetchProgress, type FetchReport, type FetchWishes, fetchOutputs } from './fetch.ts'
export { diskLeases, type Leases } from './lease.ts'
export { leasesIn } from './lease-elsewhere.ts'
export { type LiveStatus, liveJobs, liveStatus } from './live-status.ts'
export { jobLogs, type LogPiece, type LogWishes } from './logs.ts'

export { type JobEvidence, showJob } from './show.ts'
export type { Progress } from './teller.ts'
export { type TryReport, tryJob } from './try.ts'

export interface RunOptions extends CoordinateOptions {
  /** What to do about results whose inputs or program changed; absent: stop and say how many. */
  readonly stale?: 'rerun' | 'keep'
  /** Attempts of a job in all classes that use up tries; absent: as the policy says for each class. */
  readonly maxTries?: number
  /** Failed jobs at which it stops; absent: by the share `stopWhenFailed`. */
  readonly maxFailures?: number
}

export interface RunReport extends Outcome {
  readonly counts: Awaited<ReturnType<typeof countStates>>
  readonly elapsedSec: number
}

/** Plans, stages, dispatches, follows and publishes until nothing is left, the signal aborts, or too much fails. Resumable at any point. */
export async function runCampaign(given: RunContext, options: RunOptions = {}): Promise<RunReport> {
  const { maxTries = given.settings.maxTries, maxFailures = given.settings.maxFailures } = options
  const context = settledBy({ ...given, settings: { ...given.settings, maxTries, maxFailures } }, options)
  const { clock, leases } = context
  const started = clock.ticks()
  const lease = await leases.take()
  try {
    await lookAtFiles(context, {
      stale: options.stale ?? 'ask',
      digests: true,
      guard: () => lease.guard(),
      ...(options.signal && { signal: options.signal }),
    })
    const isCutAnew = options.jobsPerBatch !== undefined || options.batchSeconds !== undefined
    const sites = eachSite(context).map(({ site }) => site.name)
    await dropCut(context.tables, isCutAnew ? 'all' : { notOf: sites }, () => lease.guard())
    const outcome = await coordinate(context, lease, options)
    const counts = await countStates(context.tables)
    return { ...outcome, counts, elapsedSec: (clock.ticks() - started) / 1000 }
  } finally {
    await lease.release()
  }
}

/** What waits for a file that is not there; no example when nothing does. */
export interface Waiting {
  /** Jobs. */
  readonly missing: number
  readonly missingInputs: MissingInputs
}

export interface PlanReport extends PlanCosts, Waiting {
  readonly arrays: number
  /** Of the jobs, those that go first, and those that are cut anew after what these measured; null: none do. */
  readonly scouts: { readonly jobs: number; readonly rest: number } | null
  /** What each site would take. */
  readonly shares: readonly (PlanCosts & { readonly site: string; readonly arrays: number })[]
}

const NONE_MISSING: MissingInputs = { inputs: 0, example: null }

/**
 * The map phase alone: what would be run, in which batches, at what cost. The plan stays and is used by the next run, unless scouts go first: what
 * they measure changes it.
 */
export async function planCampaign(
  given: RunContext,
  wishes: PlanWishes & { signal?: AbortSignal } = {},
): Promise<PlanReport | (Waiting & { jobs: 0 })> {
  const context = settledBy(given, wishes)
  const lease = await context.leases.take('plan')
  try {
    await lookAtFiles(context, { stale: 'ask', digests: false, guard: () => lease.guard() })
    await dropCut(context.tables, 'all', () => lease.guard())
    const { jobs, missing } = await chooseRunnable(context)
    const waiting = { missing, missingInputs: missing === 0 ? NONE_MISSING : await missingInputs(context) }
    if (jobs === 0) return { ...waiting, jobs: 0 }
    const guard = () => lease.guard()
    const scouts = toldScouts(await lookForScouts(context))
    const plan = await planAll(context, { ...wishes, jobs, guard })
    if (scouts) await dropCut(context.tables, 'all', guard)
    return { ...plan, ...waiting, scouts }
  } finally {
    await lease.release()
  }
}

const toldScouts = ({ scouts, held }: Scouting): PlanReport['scouts'] =>
  held === 0 ? null : { jobs: scouts, rest: held }

async function planAll(
  context: RunContext,
  { jobs, ...wishes }: Parameters<typeof planRunnable>[1],
): Promise<Omit<PlanReport, keyof Waiting | 'scouts'>> {
  if (!context.beside?.length) {
    const costs = await planRunnable(context, { ...wishes, jobs })
    const arrays = await countArrays(context)
    return { ...costs, arrays, shares: [{ ...costs, site: context.site.name, arrays }] }
  }
  const sites = eachSite(context)
  const rooms = () => sites.map(({ site: { name, slots } }) => ({ site: name, slots, busySec: 0 }))
  const { plans } = await planShares(context, { ...wishes, sites, rooms, tries: (_, act) => act() })
  const shares: (PlanCosts & { site: string; arrays: number })[] = []
  for (const { context: one, costs } of plans)
    shares.push({ ...costs, site: one.site.name, arrays: await countArrays(one) })
  return {
    ...sumOfCosts(plans.map(({ costs }) => costs)),
    arrays: shares.reduce((sum, { arrays }) => sum + arrays, 0),
    shares,
  }
}

export type { PlanCosts, PlanWishes, Progress as RunProgress }
