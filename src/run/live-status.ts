import { join } from 'node:path'
import { foldRecords, type Offsets, readRecords } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import { jobKeySql } from '../model/job-key.ts'
import type { Json } from '../model/json.ts'
import type { Verdict } from '../model/verdict.ts'
import type { Tables } from '../ports/tables/tables.ts'
import type { LiveArray } from './live-array.ts'

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
}

export const liveFacts = (arrayIds: readonly string[]): Record<string, Json> => ({ live: arrayIds })

export function harvestedFacts(arrays: Iterable<LiveArray>): Record<string, Json> {
  return { harvested: Object.fromEntries([...arrays].map((array) => [array.id, array.harvested])) }
}

/** Costs two heads and the record lines since the last publication; never loads the SQL engine. */
export async function liveStatus(
  tables: Tables,
  { scratch, campaignId }: { scratch: string; campaignId: string },
): Promise<LiveStatus> {
  const decided: Record<Verdict, number> = { succeeded: 0, failed: 0, cancelled: 0, lost: 0 }
  const { facts } = await tables.head('batches')
  const live = (facts.live ?? []) as readonly string[]
  if (live.length === 0) return { running: 0, runningJobs: [], decided }
  const harvested = ((await tables.head('attempts')).facts.harvested ?? {}) as unknown as Readonly<
    Record<string, Harvested>
  >
  const { arrays } = sitePaths(scratch, campaignId)
  const runningJobs: string[] = []
  for (const id of live) {
    const known = harvested[id]
    const fold = foldRecords(readRecords(join(arrays, id), known?.offsets ?? {}).lines)
    const ended = new Set<string>()
    for (const { ended: line, superseded } of fold.decided) {
      ended.add(`${line.revision} ${line.job}`)
      if (!superseded) decided[line.verdict]++
    }
    for (const job of known?.running ?? []) if (!ended.has(job)) runningJobs.push(job)
    for (const job of fold.runningJobs) runningJobs.push(job)
  }
  return { running: runningJobs.length, runningJobs, decided }
}

/** Fills the temporary table `live_jobs`, from which the views of people tell running from queued. */
export async function showRunning({ sql }: Tables, { runningJobs }: LiveStatus): Promise<void> {
  const rows = runningJobs.map((name) => {
    const at = name.indexOf(' ')
    return { job_id: name.slice(at + 1), revision: Number(name.slice(0, at)) }
  })
  const columns = [
    { name: 'job_id', type: 'VARCHAR' },
    { name: 'revision', type: 'INTEGER' },
  ]
  await sql.load('live_names', columns, [rows])
  await sql.run(
    `create or replace temp table live_jobs as select ${jobKeySql('job_id')} as job_key, revision from live_names`,
  )
}
