import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, quoteText, type Tables, type Value } from '../../../src/ports/tables/tables.ts'
import { temporaryFolder } from '../../conformance/files.ts'
import { rowsOf } from '../../conformance/rows.ts'

export interface Small {
  readonly tables: Tables
  readonly root: string
  close(): Promise<void>
}

/** A campaign with an empty catalog in a temporary folder. */
export async function smallCampaign(): Promise<Small> {
  const { root, close } = temporaryFolder()
  const tables = await openTables({ root, cache: `${root}/.floe`, clock: systemClock })
  return {
    root,
    tables,
    async close() {
      await tables.close()
      await close()
    },
  }
}

type Given = Readonly<Record<string, Value>>

function literal(value: Value): string {
  if (typeof value === 'string') return quoteText(value)
  return Array.isArray(value) ? `[${value.map(literal).join(', ')}]` : String(value)
}

/** SELECT of rows given as objects; a job's key is the number in its name. */
export function select(table: Parameters<typeof rowsOf>[0], rows: readonly Given[]): string {
  const one = (row: Given) => {
    const key = typeof row.job_id === 'string' ? { job_key: row.job_id.slice(1), revision: '1' } : {}
    const given = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, literal(value)]))
    return rowsOf(table, { ...key, ...given })
  }
  return rows.map(one).join(' UNION ALL ')
}

/** Jobs `j1` … in bucket 0 and 1. */
export async function addJobs(tables: Tables, count: number, more: Given = {}): Promise<void> {
  const rows = Array.from({ length: count }, (_, i) => ({
    job_id: `j${i + 1}`,
    executable: 'prg',
    inputs: [`in${i + 1}`],
    bucket: i % 2,
    withdrawn: false,
    ...more,
  }))
  await tables.commit('jobs', { operation: 'add', select: select('jobs', rows) })
}

export const attempt = (job: string, nth: number, verdict: string, more: Given = {}): Given => ({
  job_id: job,
  try: nth,
  verdict,
  class: verdict === 'succeeded' ? null : verdict === 'failed' ? 'app' : verdict,
  next: verdict === 'succeeded' ? 'done' : 'give up',
  superseded: false,
  ...more,
})

/** Puts the jobs into one batch each: job `jN` is position and batch N of plan 1. */
export async function planJobs(tables: Tables, states: Readonly<Record<string, string>>): Promise<void> {
  const jobs = Object.keys(states)
  const place = (job: string) => ({ plan_id: 1, position: Number(job.slice(1)) })
  await tables.commit('plan', {
    operation: 'plan',
    select: select(
      'plan',
      jobs.map((job) => ({ job_id: job, ...place(job) })),
    ),
  })
  await tables.commit('batches', { operation: 'plan', select: batches(states) })
}

export function batches(states: Readonly<Record<string, string>>): string {
  const row = (job: string) => {
    const at = Number(job.slice(1))
    return {
      batch_id: at,
      plan_id: 1,
      position_from: at,
      position_to: at + 1,
      jobs: 1,
      site: at % 2 ? 'ice' : 'sea',
      state: states[job]!,
    }
  }
  return select('batches', Object.keys(states).map(row))
}
