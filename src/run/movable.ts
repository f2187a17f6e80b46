import { positionsSql } from '../model/positions.ts'
import { quoteText } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'
import { chooseRunnable } from './planning.ts'
import type { Piece } from './share.ts'
import { groupRunnable } from './share-runnable.ts'

/** Work that waits at a site: all batches that are cut for it, and arrays. */
export interface Waiting {
  readonly arrays: readonly string[]
  readonly cut: boolean
}

export interface WaitingPiece extends Piece {
  /** Null: a batch that is cut and in no array. */
  readonly arrayId: string | null
  /** Of an array its first one. */
  readonly batchId: number
}

/**
 * The arrays and batches that wait at the site of the context, in the order in which it would begin them, with what a new plan would ask for
 * each job, and how long a job of which nothing is known lasts. Costs as much as to choose their jobs, and a question for each program.
 */
export async function piecesOf(
  context: RunContext,
  waiting: Waiting,
  others: readonly RunContext[],
): Promise<{ readonly pieces: readonly WaitingPiece[]; readonly seconds: number }> {
  const { tables, site } = context
  const all = { ...context, beside: others.map((other) => other.site) }
  const arrays = `b.array_id in ('', ${waiting.arrays.map(quoteText).join(', ')})`
  const given = `select batch_id from batches b where b.site = ${quoteText(site.name)} and (${arrays}${waiting.cut ? ` or b.state = 'cut'` : ''})`
  await chooseRunnable(all, { given })
  const { rows, groups, usual } = await groupRunnable(all, others, { throws: false })
  const groupOf = new Map(rows.map(({ n }, at) => [n, groups[at]!]))
  const parts = await tables.sql.rows<{ array_id: string | null; batch_id: number; n: number; jobs: number }>(
    `select b.array_id, b.batch_id::double as batch_id, s.n::integer as n, count(*)::integer as jobs
     from share_jobs s join plan_positions p using (job_key)
       join ${positionsSql(`batches b where b.batch_id in (${given})`, ['array_id', 'batch_id'])} b using (plan_id, position)
     group by all order by 1 nulls last, 2`,
  )
  for (const table of ['share_jobs', 'share_urls', 'runnable']) await tables.sql.run(`drop table ${table}`)
  const pieces = new Map<string, WaitingPiece>()
  for (const { array_id: arrayId, batch_id: batchId, n, jobs } of parts) {
    const { seconds, sites } = groupOf.get(n)!
    const own = sites.map((choice) => ({ ...choice, carrySec: choice.carrySec * jobs }))
    const key = arrayId ?? `${batchId}`
    const before = pieces.get(key) ?? { arrayId, batchId, work: 0, sites: own.map(({ site: name }) => none(name)) }
    pieces.set(key, {
      ...before,
      work: before.work + jobs * seconds,
      // All of it goes to one place.
      sites: before.sites.flatMap(({ site: name, carrySec }) => {
        const more = own.find((choice) => choice.site === name)
        return more ? [{ site: name, carrySec: carrySec + more.carrySec }] : []
      }),
    })
  }
  return { pieces: [...pieces.values()], seconds: usual }
}

const none = (site: string) => ({ site, carrySec: 0 })
