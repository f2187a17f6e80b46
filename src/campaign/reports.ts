import type { Json } from '../model/json.ts'
import { type JobState, VERDICTS, type Verdict } from '../model/verdict.ts'
import type {
  EvidenceLine,
  JobEvidence,
  Progress,
  AtWork as RoomAtWork,
  PlanReport as RoomPlan,
  RunReport as RoomReport,
  SiteWords,
  Waiting,
} from '../run/run.ts'
import type { PlanReport, RunProgress, RunReport, StateCounts, StatusReport } from './answers.ts'
import { columnsOf, JOB_COLUMNS, jsonRows } from './rows.ts'
import type { JobReport } from './verbs.ts'

/** What the run room says, in the words of the command line. */

export function toPlanReport(plan: RoomPlan | (Waiting & { jobs: 0 }), sites: readonly string[]): PlanReport {
  const costs: Costs = 'batches' in plan ? plan : NOTHING
  const { example } = plan.missingInputs
  return {
    jobs: plan.jobs,
    batches: costs.batches,
    tasks: costs.batches,
    arrays: costs.arrays,
    site: sites.join(' + '),
    ...(sites.length > 1 && { shares: 'shares' in plan ? plan.shares.map(toShare) : [] }),
    jobs_per_batch: costs.jobsPerBatch,
    files: costs.files,
    files_to_nodes: costs.filesToNodes,
    files_naive: costs.filesNaive,
    // The local site reads in place.
    bytes_to_site: 0,
    bytes_to_nodes: costs.bytesToNodes,
    bytes_lower_bound: costs.bytesLowerBound,
    bytes_catalog_order: costs.bytesCatalogOrder,
    bytes_naive: costs.bytesNaive,
    ...(costs.reads && {
      bytes_local: costs.reads.local,
      bytes_rack: costs.reads.rack,
      bytes_remote: costs.reads.remote,
    }),
    seconds: costs.seconds,
    scouts: costs.scouts,
    missing: plan.missing,
    missing_inputs: plan.missingInputs.inputs,
    missing_example: example && { url: example.url, job_id: example.jobId },
  }
}

const toShare = ({ site, jobs, batches, arrays, seconds }: RoomPlan['shares'][number]) => ({
  ...{ site, jobs, batches, arrays, seconds },
})

type Costs = Omit<RoomPlan, 'jobs' | 'shares' | keyof Waiting>

const NOTHING: Costs = {
  arrays: 0,
  scouts: null,
  batches: 0,
  jobsPerBatch: 0,
  files: 0,
  bytesLowerBound: 0,
  bytesToNodes: 0,
  filesToNodes: 0,
  bytesCatalogOrder: 0,
  bytesNaive: 0,
  filesNaive: 0,
  seconds: null,
  reads: undefined,
}

export function toProgress({
  site,
  total,
  done,
  tally,
  running,
  queued,
  elapsedSec,
  stopping,
  waiting,
}: Progress): RunProgress {
  const { succeeded, failed, retried, reused, byClass } = tally
  return {
    site,
    total,
    done,
    succeeded,
    failed,
    retried,
    reused,
    classes: Object.fromEntries(byClass),
    running,
    queued,
    elapsed_sec: elapsedSec,
    stopping,
    waiting,
  }
}

export function toAtWork({ sites }: RoomAtWork, nowMs: number): StatusReport['at_work'] {
  const [first, ...beside] = sites.map(({ next_look_at, ...rest }) => ({
    ...rest,
    next_look_sec: Math.max(0, Math.round((next_look_at - nowMs) / 100) / 10),
  }))
  return first ? { ...first, ...(beside.length > 0 && { beside }) } : null
}

export function toRunReport(report: RoomReport): RunReport {
  const { counts, tally, stopped, reason, missing, merged, unused, elsewhere, paces, untold, elapsedSec } = report
  const { succeeded, failed, cancelled, lost, reused, held, away } = tally
  return {
    ...counts,
    decided: { succeeded, failed, cancelled, lost, reused, held },
    away,
    missing,
    merged_rows: merged?.rows ?? null,
    left_out: {
      outputs: merged?.skipped ?? 0,
      conflicts: merged?.conflicts ?? [],
      unreadable: merged?.unreadable ?? [],
    },
    unused,
    elsewhere: elsewhere.map(({ site, tasks, jobs }) => ({ site, tasks, jobs })),
    damaged: tally.damaged,
    paces: paces.map(({ delaySec, ...pace }) => ({ ...pace, delay_median_sec: delaySec })),
    untold,
    elapsed_sec: elapsedSec,
    stopped,
    reason,
    rehearsal: null,
  }
}

/** What tables and records say; what sites are asked for comes on top. */
export function toJobReport(evidence: JobEvidence, lines: readonly EvidenceLine[]): Omit<JobReport, keyof SiteWords> {
  const rows = (table: 'files' | 'attempts' | 'results' | 'requests') => jsonRows(columnsOf(table))
  const attempts = evidence.attempts.map(rows('attempts')).map((attempt, at) => {
    const outputs: Json = evidence.made[at]?.map((output) => ({ ...output })) ?? null
    return { ...attempt, outputs, clock_off_sec: evidence.clocksOffSec[at] ?? 0 }
  })
  return {
    job: jsonRows(JOB_COLUMNS)(evidence.job),
    inputs: evidence.inputs.map(rows('files')),
    attempts,
    results: evidence.results.map(rows('results')),
    requests: evidence.requests.map(rows('requests')),
    batch: evidence.batch && jsonRows(columnsOf('batches'))(evidence.batch),
    live: evidence.live && withoutHeard(evidence.live),
    evidence: lines.map(toEvidence),
  }
}

/** It is in the list of evidence. */
function withoutHeard({ heardAtUs: _heard, ...live }: NonNullable<JobEvidence['live']>): JobReport['live'] {
  return live
}

const toEvidence = ({ atUs, ...line }: EvidenceLine): JobReport['evidence'][number] => ({
  ...line,
  at: atUs === null ? null : new Date(atUs / 1000).toISOString(),
})

/** Counts of the tables with the verdicts that only record files have yet: those jobs count as queued or running there. */
export function withDecided<C extends StateCounts>(counts: C, decided: Readonly<Record<Verdict, number>>): C {
  const sums: Record<JobState, number> = { ...counts }
  for (const verdict of VERDICTS) {
    for (const state of ['queued', 'running'] as const) {
      const moved = Math.min(decided[verdict] - (sums[verdict] - counts[verdict]), sums[state])
      sums[state] -= moved
      sums[verdict] += moved
    }
  }
  return { ...counts, ...sums }
}
