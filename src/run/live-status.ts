import { join } from 'node:path'
import type { Live } from '../catalog/catalog.ts'
import { type Decided, foldRecords, type Offsets, readRecords } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import { jobKey } from '../model/job-key.ts'
import type { Json } from '../model/json.ts'
import type { Verdict } from '../model/verdict.ts'
import type { Tables } from '../ports/tables/tables.ts'
import type { LiveArray } from './live-array.ts'
import { decideNext, failuresBefore, type Policy } from './policy.ts'

/*
 * Facts of a commit of batches: {"live": [array ids that are staged]}. Facts of a commit of attempts: {"harvested": {array id: {"offsets":
 * {record file: bytes that the table has}, "running": ["revision job" …]}}}. With both, status reads only what came since.
 */
interface Harvested {
  readonly offsets: Offsets
  readonly running: readonly string[]
}

/** What record files of live arrays say and no table has yet. */
export interface LiveStatus {
  readonly running: number
  /** `revision job` of the running jobs. */
  readonly runningJobs: readonly string[]
  readonly decided: Readonly<Record<Verdict, number>>
  /** The verdicts themselves, by array; without those that another one came before. */
  readonly ended: readonly (Decided & { readonly arrayId: string })[]
}

export const liveFacts = (arrayIds: readonly string[]): Record<string, Json> => ({ live: arrayIds })

/** Of the arrays of this run, beside those of `others`, at sites that this run leaves alone. */
export function harvestedFacts(
  arrays: Iterable<LiveArray>,
  others: Readonly<Record<string, Json>>,
): Record<string, Json> {
  return { harvested: { ...others, ...Object.fromEntries([...arrays].map((array) => [array.id, array.harvested])) } }
}

/** What the table of attempts knows of the records of these arrays. */
export async function harvestedOf(tables: Tables, ids: readonly string[]): Promise<Readonly<Record<string, Json>>> {
  const { harvested } = (await tables.head('attempts')).facts as { harvested?: Readonly<Record<string, Json>> }
  return Object.fromEntries(ids.flatMap((id) => (harvested?.[id] === undefined ? [] : [[id, harvested[id]]])))
}

/** Costs two heads and the record lines since the last publication; never loads the SQL engine. */
export async function liveStatus(
  tables: Tables,
  { scratch, campaignId }: { scratch: string; campaignId: string },
): Promise<LiveStatus> {
  const decided: Record<Verdict, number> = { succeeded: 0, failed: 0, cancelled: 0, lost: 0 }
  const { facts } = await tables.head('batches')
  const live = (facts.live ?? []) as readonly string[]
  if (live.length === 0) return { running: 0, runningJobs: [], decided, ended: [] }
  const harvested = ((await tables.head('attempts')).facts.harvested ?? {}) as unknown as Readonly<
    Record<string, Harvested>
  >
  const { arrays } = sitePaths(scratch, campaignId)
  const runningJobs: string[] = []
  const verdicts: (Decided & { arrayId: string })[] = []
  for (const id of live) {
    const known = harvested[id]
    const fold = foldRecords(readRecords(join(arrays, id), known?.offsets ?? {}).lines)
    const ended = new Set<string>()
    for (const verdict of fold.decided) {
      const { ended: line, superseded } = verdict
      ended.add(`${line.revision} ${line.job}`)
      if (superseded) continue
      decided[line.verdict]++
      verdicts.push({ ...verdict, arrayId: id })
    }
    for (const job of known?.running ?? []) if (!ended.has(job)) runningJobs.push(job)
    for (const job of fold.runningJobs) runningJobs.push(job)
  }
  return { running: runningJobs.length, runningJobs, decided, ended: verdicts }
}

/** The same for the views of people. The policy is asked for when something failed; null: nobody knows it, and what failed has failed. */
export async function liveJobs(
  tables: Pick<Tables, 'sql' | 'view'>,
  { runningJobs, ended }: LiveStatus,
  policy: () => Promise<Policy | null>,
): Promise<Live> {
  const failed = ended.flatMap(({ ended: line }) => (line.class === null ? [] : [line]))
  const rules = failed.length === 0 ? null : await policy()
  const before = rules === null ? () => ({ same: 0, counted: 0 }) : await failuresBefore(tables, failed)
  const running = runningJobs.map((name) => {
    const at = name.indexOf(' ')
    return { job_key: jobKey(name.slice(at + 1)), revision: Number(name.slice(0, at)) }
  })
  const told = ended.map(({ arrayId, task, ended: line }) => ({
    job_key: jobKey(line.job),
    revision: line.revision,
    try: line.try,
    verdict: line.verdict,
    class: line.class,
    next: rules === null ? 'give up' : decideNext(rules, line.class, { before: before(line) }),
    array_id: arrayId,
    task,
  }))
  return { running, ended: told }
}
