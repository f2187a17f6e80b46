import { join } from 'node:path'
import { readRecords } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import type { JobEnded } from '../model/record.ts'
import type { Row } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'

/** An output that a try made. */
export interface AttemptOutput {
  readonly path: string
  readonly size_bytes: number | null
  readonly digest: string | null
  /** Whether it is what table results has for this job. */
  readonly published: boolean
}

/** Room for the line of one job, before the offset where it ends. */
const LINE_BYTES = 1 << 20

/**
 * What each try made, in the order of `attempts` (newest first): by its record line; of the newest success also by the results. Null: its
 * record is gone. Costs one reading of at most 1 MB a try.
 */
export function attemptOutputs(
  context: RunContext,
  { attempts, results }: { attempts: readonly Row[]; results: readonly Row[] },
): (readonly AttemptOutput[] | null)[] {
  const rowsOf = ({ job_digest, revision }: Row) =>
    results.filter((row) => row.job_digest === job_digest && row.revision === revision)
  const newest = new Map<string, Row>()
  for (const attempt of attempts) {
    const request = `${attempt.revision} ${attempt.job_digest}`
    if (attempt.verdict === 'succeeded' && !attempt.superseded && !newest.has(request)) newest.set(request, attempt)
  }
  return attempts.map((attempt) => {
    const published = rowsOf(attempt)
    const line = recordOf(context, attempt)
    if (line)
      return line.outputs.map(({ path, size_bytes, digest }) => ({
        ...{ path, size_bytes, digest },
        published: published.some(
          (row) => row.output === path && Number(row.size_bytes) === size_bytes && row.digest === digest,
        ),
      }))
    if (![...newest.values()].includes(attempt)) return attempt.verdict === 'succeeded' ? null : []
    return published.map(({ output, size_bytes, digest }) => ({
      path: String(output),
      size_bytes: size_bytes === null ? null : Number(size_bytes),
      digest: digest as string | null,
      published: true,
    }))
  })
}

function recordOf(context: RunContext, { array_id, task, task_attempt, record_end }: Row): JobEnded | undefined {
  if (typeof array_id !== 'string' || record_end === null) return undefined
  const directory = join(sitePaths(context.paths.scratch, context.campaignId).arrays, array_id)
  const name = `${task}.${task_attempt}`
  const end = Number(record_end)
  // It begins within a line, mostly; what is left of that one counts as damaged and is passed over.
  const { lines } = readRecords(directory, { [name]: Math.max(0, end - LINE_BYTES) }, (file) => file === name)
  const line = lines.find((read) => read.end === end)?.line
  return line?.event === 'job ended' ? line : undefined
}
