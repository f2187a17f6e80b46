import { jobKeySql } from '../model/job-key.ts'
import type { Json } from '../model/json.ts'
import { type Column, TABLES } from '../model/tables.ts'
import { quoteName, type Row, type Tables } from '../ports/tables/tables.ts'
import { publishResults } from './publish-results.ts'

/** Rows to publish, made by `attemptRow`, `groupRow` and `resultRows`. */
export interface Publication {
  readonly attempts: readonly Row[]
  readonly groups: readonly Row[]
  readonly results: readonly Row[]
  /** Facts for the commit of attempts, asked for when views `attempts` and the temporary table `new_attempts` stand. */
  readonly facts: () => Promise<Readonly<Record<string, Json>>>
  readonly guard: () => Promise<void>
}

/**
 * Publishes verdicts: results first, then attempts, so that whoever reads "succeeded" finds the result. Stopped between the two, the
 * record lines are read again and change nothing in results.
 */
export async function publish(tables: Tables, { attempts, groups, results, facts, guard }: Publication): Promise<void> {
  if (attempts.length === 0) return
  await load(tables, 'new_results', { of: 'results', rows: results })
  if (results.length > 0) await publishResults(tables, guard)
  await load(tables, 'new_attempts', { of: 'attempts', rows: attempts, groups })
  await tables.commit('attempts', {
    operation: 'publish attempts',
    select: 'select * from new_attempts',
    facts: await facts(),
    guard,
  })
}

type Loaded = Pick<Column, 'name' | 'type'>

const GROUP = 'row_group'
/** As which they are loaded: numbers of JavaScript are copied as they are. */
const NUMBERS: readonly string[] = ['TIMESTAMPTZ', 'BIGINT', 'INTEGER', 'DOUBLE']

/** Makes the view `name`. Times come as microseconds. What rows have in common is loaded once a group. */
async function load(
  tables: Tables,
  name: string,
  { of, rows, groups }: { of: 'attempts' | 'results'; rows: readonly Row[]; groups?: readonly Row[] },
): Promise<void> {
  const { sql } = tables
  const [raw, raws] = [`${name}_raw`, `${name}_groups`]
  await sql.run(`drop view if exists ${name}`)
  const columns: readonly Loaded[] = [{ name: GROUP, type: 'INTEGER' }, ...TABLES[of].columns]
  const loaded = new Map<string, string>()
  for (const [table, some] of [[raw, rows] as const, ...(groups ? [[raws, groups] as const] : [])]) {
    // Most rows have no value of some columns.
    const there = columns.filter(({ name: column }) => some.some((row) => (row[column] ?? null) !== null))
    for (const column of there) if (!loaded.has(column.name)) loaded.set(column.name, loadedValue(table, column))
    const asLoaded = there.map((column) => ({
      ...column,
      type: NUMBERS.includes(column.type) ? 'DOUBLE' : column.type,
    }))
    await sql.load(table, asLoaded.length === 0 ? [{ name: GROUP, type: 'DOUBLE' }] : asLoaded, [some])
  }
  const list = TABLES[of].columns.map(({ name: column, type }) => {
    const value =
      column === 'job_key' && loaded.has('job_id')
        ? jobKeySql(`${raw}.job_id`)
        : (loaded.get(column) ?? `null::${type}`)
    return `${value} as ${quoteName(column)}`
  })
  const joined = groups ? `${raw} join ${raws} using (${GROUP})` : raw
  await sql.run(`create temp view ${name} as select ${list.join(', ')} from ${joined}`)
}

function loadedValue(table: string, { name, type }: Loaded): string {
  const value = `${table}.${quoteName(name)}`
  if (type === 'TIMESTAMPTZ') return `make_timestamptz(${value}::bigint)`
  return NUMBERS.includes(type) ? `${value}::${type}` : value
}
