import { FloeError } from '../model/errors.ts'
import type { FailureClass } from '../model/verdict.ts'
import type { RunContext } from './context.ts'
import { jobLogs } from './logs.ts'

/** Why most jobs failed. */
export interface Reason {
  readonly class: FailureClass
  /** Of the example, in words. */
  readonly rule: string
  readonly jobs: number
  /** One of them, the first by name. */
  readonly example: string
  /** The last lines of what it wrote: of stderr, else of stdout; empty: nothing, or it cannot be had now. */
  readonly log: readonly string[]
}

const TAIL_BYTES = 4096
const TAIL_LINES = 5

/** The commonest reason of the failures published since `sinceMs`; rules that differ in numbers or names of files alone are one. Null: there are none. */
export async function commonestReason(context: RunContext, sinceMs: number): Promise<Reason | null> {
  const { tables } = context
  await tables.view('attempts')
  const [row] = await tables.sql.rows<Omit<Reason, 'log'>>(
    `select class, arg_min(rule, job_id) as rule, count(*)::integer as jobs, min(job_id) as example
     from attempts where verdict = 'failed' and not superseded and next in ('give up', 'hold')
       and published_at >= make_timestamptz(${Math.round(sinceMs * 1000)})
     group by class, case when class = 'app' and rule like 'exit %' then rule
       else regexp_replace(rule, '[^ ]*[0-9/][^ ]*', '#', 'g') end
     order by jobs desc, example limit 1`,
  )
  return row ? { ...row, log: await tailOf(context, row.example) } : null
}

/** A log that is not there any more, or a site that does not answer, is no reason to fail. */
async function tailOf(context: RunContext, jobId: string): Promise<readonly string[]> {
  try {
    return await readTail(context, jobId)
  } catch (error) {
    if (error instanceof FloeError) return []
    throw error
  }
}

async function readTail(context: RunContext, jobId: string): Promise<readonly string[]> {
  for (const stream of ['stderr', 'stdout'] as const) {
    let tail = Buffer.alloc(0)
    for await (const { text } of jobLogs(context, jobId, { stream }))
      tail = Buffer.concat([tail, text]).subarray(-TAIL_BYTES)
    const lines = tail.toString('utf8').split(/\r?\n/).filter(Boolean)
    if (lines.length > 0) return lines.slice(-TAIL_LINES)
  }
  return []
}
