import { quoteName, quoteText, type Sql } from '../ports/tables/tables.ts'
import { gatherOutputs, type Output, type Refusal } from './merged-files.ts'
import { type Staged, stageOutputs } from './merged-stage.ts'
import { type ContentType, castOf, decideType, type Evidence, fits, maskOf, typeOfMask, widen } from './merged-types.ts'

/** A content column; `type` is null while no value of it was seen. */
export interface ContentColumn {
  readonly name: string
  readonly type: ContentType | null
}

/** Content columns by their name in lower case: Delta and DuckDB take Speed and speed for one. */
export type ContentColumns = Map<string, ContentColumn>

/** Rows of one chunk, ready to be committed: job_digest, output, output_row and `columns`. */
export interface TypedRows {
  readonly table: string
  readonly columns: readonly { readonly name: string; readonly type: ContentType }[]
}

export interface Chunk {
  readonly sql: Sql
  /** Empty folder for files of this chunk. */
  readonly folder: string
  readonly outputs: readonly Output[]
  /** Changed to what it is with this chunk. */
  readonly columns: ContentColumns
  /** Whether a column that has a type may get a wider one without loss. */
  readonly mayWiden: (column: ContentColumn) => Promise<boolean>
  /** Name for the table of typed rows. */
  readonly table: string
}

/** Beyond so many columns, files that bring more are refused: they hold values where names should be. */
export const COLUMNS_MAX = 1000

/** Temporary table of what a chunk leaves out: `is_lasting` when its content will never do; `found` and `wanted` for a conflict of types. */
export const LEFT = '_merge_left'

const evidenceOf = (staged: Staged): string => staged.table.replace('stage', 'evidence')

/**
 * Reads the outputs of one chunk into a temporary table of typed rows, and what cannot be merged into LEFT. Types are decided by all files of
 * the chunk together, whatever their order.
 */
export async function readChunk(chunk: Chunk): Promise<TypedRows> {
  const { sql, folder, outputs } = chunk
  const byNo = new Map(outputs.map((output) => [output.no, output]))
  let again = 0
  const staging = await stageOutputs(sql, await gatherOutputs(outputs, folder), (nos) =>
    gatherOutputs(
      nos.map((no) => byNo.get(no)!),
      folder,
      `again-${again++}-`,
    ),
  )
  const refusals = [...staging.refusals]
  const staged: Staged[] = []
  for (const one of staging.staged) {
    if (fitsIn(one, chunk.columns)) staged.push(one)
    else refusals.push(...(await refuseAll(sql, one)))
  }
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE ${LEFT} (no INTEGER, reason VARCHAR, is_lasting BOOLEAN, column_name VARCHAR, found VARCHAR, wanted VARCHAR)`,
  )
  await leaveOut(sql, refusals)
  await decideTypes(chunk, staged)
  const rows = await writeRows(chunk, staged)
  for (const one of staging.staged) {
    await sql.run(`DROP TABLE ${one.table}`)
    await sql.run(`DROP TABLE IF EXISTS ${evidenceOf(one)}`)
  }
  return rows
}

/** Takes the columns of a staged table in; false when they would be too many. */
function fitsIn(staged: Staged, columns: ContentColumns): boolean {
  const fresh = staged.columns.filter(({ name }) => !columns.has(name.toLowerCase()))
  if (columns.size + fresh.length > COLUMNS_MAX) return false
  for (const { name } of fresh) columns.set(name.toLowerCase(), { name, type: null })
  return true
}

async function refuseAll(sql: Sql, staged: Staged): Promise<Refusal[]> {
  const rows = await sql.rows<{ no: number }>(`SELECT DISTINCT no FROM ${staged.table}`)
  const reason = `with its ${staged.columns.length} columns the merged table would have more than ${COLUMNS_MAX}`
  return rows.map(({ no }) => ({ no, reason, isLasting: true }))
}

async function leaveOut(sql: Sql, refusals: readonly Refusal[]): Promise<void> {
  if (refusals.length === 0) return
  const columns = [
    { name: 'no', type: 'INTEGER' },
    { name: 'reason', type: 'VARCHAR' },
    { name: 'is_lasting', type: 'BOOLEAN' },
  ]
  await sql.load('_merge_refusals', columns, [
    refusals.map(({ no, reason, isLasting }) => ({ no, reason, is_lasting: isLasting })),
  ])
  await sql.run(`INSERT INTO ${LEFT} BY NAME SELECT * FROM _merge_refusals`)
}

/** What each file's columns held, and from that the types; files that do not fit are left out. */
async function decideTypes({ sql, columns, mayWiden }: Chunk, staged: readonly Staged[]): Promise<void> {
  const evidence = new Map<string, Evidence[]>()
  const masks = new Map<Staged, { at: number; mask: number }[]>()
  for (const one of staged) {
    if (one.columns.length === 0) continue
    const seen = await readEvidence(sql, one)
    masks.set(one, seen)
    for (const { at, mask, files } of seen) {
      const key = one.columns[at]!.name.toLowerCase()
      evidence.set(key, [...(evidence.get(key) ?? []), { type: typeOfMask(mask), files }])
    }
  }
  for (const [key, seen] of evidence) {
    const now = columns.get(key)!
    let type = decideType(now.type, seen, true)
    if (now.type !== null && type !== now.type && !(await mayWiden(now))) type = now.type
    columns.set(key, { name: now.name, type })
  }
  for (const [one, seen] of masks) await leaveOutConflicts(sql, { staged: one, seen, columns })
}

async function readEvidence(sql: Sql, staged: Staged) {
  const places = staged.columns.map((_, at) => at)
  const masks = staged.columns.map(({ source }, at) => `bit_or(${maskOf(source, `c${at}`)}) AS m${at}`)
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE ${evidenceOf(staged)} AS SELECT no, ${masks.join(', ')} FROM ${staged.table} GROUP BY no`,
  )
  return sql.rows<{ at: number; mask: number; files: number }>(
    `SELECT "at", mask, count(*) AS files FROM (SELECT unnest([${places.map((at) => `m${at}`).join(', ')}]) AS mask, unnest([${places.join(', ')}]) AS "at" FROM ${evidenceOf(staged)}) GROUP BY ALL ORDER BY ALL`,
  )
}

interface Sifting {
  readonly staged: Staged
  readonly seen: readonly { readonly at: number; readonly mask: number }[]
  readonly columns: ContentColumns
}

async function leaveOutConflicts(sql: Sql, { staged, seen, columns }: Sifting): Promise<void> {
  for (const { at, mask } of seen) {
    const name = staged.columns[at]!.name
    const wanted = columns.get(name.toLowerCase())!
    const found = typeOfMask(mask)
    if (found === null || wanted.type === null || fits(found, wanted.type)) continue
    await sql.run(
      `INSERT INTO ${LEFT} SELECT no, NULL, true, ${quoteText(wanted.name)}, ${quoteText(found)}, ${quoteText(wanted.type)} FROM ${evidenceOf(staged)} WHERE m${at} = ${mask}`,
    )
  }
}

async function writeRows({ sql, columns, table }: Chunk, staged: readonly Staged[]): Promise<TypedRows> {
  const typed = [...columns.values()].filter(
    (column): column is { name: string; type: ContentType } => column.type !== null,
  )
  const keys = ['job_digest VARCHAR', 'output VARCHAR', 'output_row BIGINT']
  const list = [...keys, ...typed.map(({ name, type }) => `${quoteName(name)} ${type}`)]
  await sql.run(`CREATE OR REPLACE TEMP TABLE ${table} (${list.join(', ')})`)
  for (const one of staged) {
    const values = one.columns.flatMap(({ name, source }, at) => {
      const column = columns.get(name.toLowerCase())!
      return column.type === null ? [] : [`, ${castOf(source, `s.c${at}`, column.type)} AS ${quoteName(column.name)}`]
    })
    await sql.run(
      `INSERT INTO ${table} BY NAME SELECT t.job_digest, t.output, s.output_row${values.join('')} FROM ${one.table} s JOIN _merge_todo t ON t.no = s.no WHERE s.no NOT IN (SELECT no FROM ${LEFT})`,
    )
  }
  return { table, columns: typed }
}

/** SELECT of rows with all columns of the table, as wide as they are now. */
export function selectAs({ table, columns }: TypedRows, wanted: TypedRows['columns']): string {
  const there = new Map(columns.map(({ name, type }) => [name, type]))
  const list = wanted.map(({ name, type }) => {
    const from = there.get(name)
    const value = from === undefined ? `CAST(NULL AS ${type})` : widen(quoteName(name), from, type)
    return `, ${value} AS ${quoteName(name)}`
  })
  return `SELECT job_digest, output, output_row${list.join('')} FROM ${table}`
}
