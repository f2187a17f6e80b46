import { countStates } from '../catalog/catalog.ts'
import type { PlanCosts } from '../map/map.ts'
import { countArrays, dropCut } from './arrays.ts'
import type { RunContext } from './context.ts'
import { type CoordinateOptions, coordinate, type Outcome } from './coordinate.ts'
import {
  chooseRunnable,
  lookAtFiles,
  type MissingInputs,
  missingInputs,
  type PlanWishes,
  planRunnable,
} from './planning.ts'
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
  const context: RunContext = { ...given, settings: { ...given.settings, maxTries, maxFailures } }
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
    const which = options.jobsPerBatch !== undefined || options.batchSeconds !== undefined ? 'all' : 'of other sites'
    await dropCut(context, which, () => lease.guard())
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
}

const NONE_MISSING: MissingInputs = { inputs: 0, example: null }

/** The map phase alone: what would be run, in which batches, at what cost. The plan stays and is used by the next run. */
export async function planCampaign(
  context: RunContext,
  wishes: PlanWishes & { signal?: AbortSignal } = {},
): Promise<PlanReport | (Waiting & { jobs: 0 })> {
  const lease = await context.leases.take('plan')
  try {
    await lookAtFiles(context, { stale: 'ask', digests: false, guard: () => lease.guard() })
    await dropCut(context, 'all', () => lease.guard())
    const { jobs, missing } = await chooseRunnable(context)
    const waiting = { missing, missingInputs: missing === 0 ? NONE_MISSING : await missingInputs(context) }
    if (jobs === 0) return { ...waiting, jobs: 0 }
    const costs = await planRunnable(context, { ...wishes, jobs, guard: () => lease.guard() })
    return { ...costs, ...waiting, arrays: await countArrays(context) }
  } finally {
    await lease.release()
  }
}

export type { PlanCosts, PlanWishes, Progress as RunProgress }
