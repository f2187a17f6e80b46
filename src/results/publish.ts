import { jobKeySql } from '../model/job-key.ts'
import type { Json } from '../model/json.ts'
import { TABLES } from '../model/tables.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'
import { publishResults } from './publish-results.ts'

/** Rows to publish, made by `attemptRow` and `resultRows`. */
export interface Publication {
  readonly attempts: readonly Row[]
  readonly results: readonly Row[]
  /** Facts for the commit of attempts, asked for when views `attempts` and the temporary table `new_attempts` stand. */
  readonly facts: () => Promise<Readonly<Record<string, Json>>>
  readonly guard: () => Promise<void>
}

/**
 * Publishes verdicts: results first, then attempts, so that whoever reads "succeeded" finds the result. Stopped between the two, the
 * record lines are read again and change nothing in results.
 */
export async function publish(tables: Tables, { attempts, results, facts, guard }: Publication): Promise<void> {
  if (attempts.length === 0) return
  await load(tables, 'new_results', 'results', results)
  if (results.length > 0) await publishResults(tables, guard)
  await load(tables, 'new_attempts', 'attempts', attempts)
  await tables.commit('attempts', {
    operation: 'publish attempts',
    select: 'select * from new_attempts',
    facts: await facts(),
    guard,
  })
}

/** Times come as microseconds and become timestamps in the temporary table. */
async function load(tables: Tables, name: string, shape: 'attempts' | 'results', rows: readonly Row[]): Promise<void> {
  const { sql } = tables
  const columns = TABLES[shape].columns
  const raw = `${name}_raw`
  await sql.run(`drop view if exists ${name}`)
  await sql.run(`drop table if exists ${raw}`)
  await sql.load(
    raw,
    columns.map(({ name: column, type }) => ({ name: column, type: type === 'TIMESTAMPTZ' ? 'BIGINT' : type })),
    [rows],
  )
  const times = columns
    .filter(({ type }) => type === 'TIMESTAMPTZ')
    .map(({ name: column }) => `make_timestamptz(${column}) as ${column}`)
  await sql.run(
    `create temp view ${name} as select * replace (${jobKeySql('job_id')} as job_key, ${times.join(', ')}) from ${raw}`,
  )
}
