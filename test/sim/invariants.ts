import type { TableName } from '../../src/model/tables.ts'
import type { Tables } from '../../src/ports/tables/tables.ts'

/** Rows of each table after its last commit, by the world that keeps them. */
export type Seen = Map<TableName, number>

interface Rule {
  readonly what: string
  /** Tables whose commits can break it. */
  readonly of: readonly TableName[]
  /** SELECT of `who` breaks it. */
  readonly broken: string
}

const RULES: readonly Rule[] = [
  {
    what: 'job in two live batches',
    of: ['batches', 'plan'],
    broken: `select job_id as who
      from sim_plan p join sim_batches b on b.plan_id = p.plan_id and p.position >= b.position_from and p.position < b.position_to
      where b.state in ('cut', 'staged', 'submitted') group by job_id having count(*) > 1`,
  },
  {
    what: 'result published twice',
    of: ['results'],
    broken: "select job_digest || ' ' || output as who from sim_results group by all having count(*) > 1",
  },
  {
    what: 'succeeded without a record',
    of: ['attempts'],
    broken:
      "select job_id as who from sim_attempts where verdict = 'succeeded' and evidence not in ('record', 'reuse')",
  },
  {
    what: 'two verdicts of one try',
    of: ['attempts'],
    broken: `select job_id || ' ' || try as who from sim_attempts where not superseded and evidence = 'record'
      group by job_id, try having count(*) > 1`,
  },
]

/** What holds in the tables when a run has ended: results are published before the verdicts that they belong to. */
export async function checkEnd(tables: Tables, seen: Seen): Promise<void> {
  for (const table of ['batches', 'results', 'attempts'] as const) await checkNow(tables, table, seen)
  const rows = await tables.sql.rows<{ who: string }>(
    `select job_id as who from sim_results r anti join (select * from sim_attempts where verdict = 'succeeded') a using (job_id, job_digest)
     union all
     select job_id from sim_attempts a anti join sim_results r using (job_id, job_digest) where verdict = 'succeeded'`,
  )
  if (rows.length > 0) throw new Error(`results and verdicts differ: ${rows.map(({ who }) => who).join(', ')}`)
}

/** What holds in the tables after a commit of this one. Throws with the rows that do not. */
export async function checkNow(tables: Tables, table: TableName, seen: Seen): Promise<void> {
  const due = RULES.filter(({ of }) => of.includes(table))
  if (due.length === 0) return
  for (const one of new Set(due.flatMap(({ of }) => of))) await tables.view(one, undefined, `sim_${one}`)
  const wanted = due.map(({ what, broken }) => `select '${what}' as what, who from (${broken})`)
  const counted = `select 'rows' as what, count(*)::varchar as who from sim_${table}`
  const found = await tables.sql.rows<{ what: string; who: string }>([...wanted, counted].join(' union all '))
  const broken = found.filter(({ what }) => what !== 'rows')
  if (broken.length > 0) throw new Error(broken.map(({ what, who }) => `${what}: ${who}`).join('\n'))
  const rows = Number(found.find(({ what }) => what === 'rows')!.who)
  const before = seen.get(table) ?? 0
  if ((table === 'attempts' || table === 'results') && rows < before)
    throw new Error(`rows of ${table} went away: ${before}, then ${rows}`)
  seen.set(table, rows)
}
