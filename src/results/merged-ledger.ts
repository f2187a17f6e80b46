import { readdirSync, rmSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { quotePath, quoteText, type Row, type Sql } from '../ports/tables/tables.ts'
import type { ContentType } from './merged-types.ts'

/*
 * Ledger, a cache: .floe/merged/<origin>/NNNNNN.parquet, outputs that were read and gave no rows, so that they are not read again: one row
 * an output and content, or one a column that does not fit. `kind` is `empty`, `types` or `unreadable`; `passing` (the file may come back) is never
 * written. `origin` names the merged table that they speak of; ledgers of others are deleted.
 */
const SHAPE =
  'job_digest VARCHAR, output VARCHAR, digest VARCHAR, kind VARCHAR, reason VARCHAR, column_name VARCHAR, found VARCHAR, wanted VARCHAR'

const NAMED_MAX = 50

/** A column of an output that has another type than the merged table's. */
export interface TypeConflict {
  readonly output: string
  readonly column: string
  readonly found: ContentType
  readonly wanted: ContentType
}

export interface Unreadable {
  readonly output: string
  readonly reason: string
}

/** What is not in the merged table though it looks like a table. */
export interface LeftOut {
  /** How many outputs, by this call or an earlier one. */
  readonly skipped: number
  /** Why, the first 50 of each. */
  readonly conflicts: readonly TypeConflict[]
  readonly unreadable: readonly Unreadable[]
}

/** Of the outputs in `_merge_latest`. */
export async function readLeftOut(sql: Sql): Promise<LeftOut> {
  const known = `(SELECT * FROM (SELECT * FROM _merge_ledger UNION ALL SELECT * FROM _merge_ledger_new) SEMI JOIN _merge_latest USING (job_digest, output, digest) WHERE kind <> 'empty')`
  const [count] = await sql.rows<{ n: number }>(`SELECT count(DISTINCT output) AS n FROM ${known}`)
  if (count!.n === 0) return { skipped: 0, conflicts: [], unreadable: [] }
  return {
    skipped: count!.n,
    conflicts: await sql.rows<TypeConflict & Row>(
      `SELECT DISTINCT output, column_name AS "column", found, wanted FROM ${known} WHERE kind = 'types' AND column_name IS NOT NULL ORDER BY ALL LIMIT ${NAMED_MAX}`,
    ),
    unreadable: await sql.rows<Unreadable & Row>(
      `SELECT DISTINCT output, reason FROM ${known} WHERE reason IS NOT NULL ORDER BY ALL LIMIT ${NAMED_MAX}`,
    ),
  }
}

/** So many files are joined into one. */
const FILES_MAX = 32

/** Makes the temporary table `_merge_ledger` of what is known, and forgets ledgers of other tables. */
export async function readLedger(sql: Sql, folder: string): Promise<void> {
  for (const name of namesIn(dirname(folder))) {
    if (name !== basename(folder)) rmSync(join(dirname(folder), name), { recursive: true, force: true })
  }
  const files = ledgerFiles(folder)
  await sql.run(`CREATE OR REPLACE TEMP TABLE _merge_ledger (${SHAPE})`)
  await sql.run(`CREATE OR REPLACE TEMP TABLE _merge_ledger_new (${SHAPE})`)
  for (const file of files) {
    try {
      await sql.run(`INSERT INTO _merge_ledger SELECT * FROM read_parquet(${quotePath(file)})`)
    } catch {
      // It is a cache: what a damaged file knew is found out again.
      await rm(file, { force: true })
    }
  }
}

/** Adds `_merge_ledger_new` to the ledger. */
export async function writeLedger(sql: Sql, folder: string): Promise<void> {
  const [fresh] = await sql.rows<{ n: number }>(`SELECT count(*) AS n FROM _merge_ledger_new WHERE kind <> 'passing'`)
  if (fresh!.n === 0) return
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const files = ledgerFiles(folder)
  const isFull = files.length >= FILES_MAX
  const select = `SELECT * FROM _merge_ledger_new WHERE kind <> 'passing'${isFull ? ' UNION SELECT * FROM _merge_ledger' : ''}`
  const last = files.at(-1)
  const number = last === undefined ? 1 : Number.parseInt(basename(last), 10) + 1
  const path = join(folder, `${String(number).padStart(6, '0')}.parquet`)
  const aside = `${path}.${process.pid}.part`
  await sql.run(`COPY (${select}) TO ${quoteText(aside)} (FORMAT parquet, COMPRESSION zstd)`)
  await rename(aside, path)
  if (isFull) for (const file of files) await rm(file, { force: true })
}

const ledgerFiles = (folder: string): string[] =>
  namesIn(folder)
    .filter((name) => /^\d{6}\.parquet$/.test(name))
    .map((name) => join(folder, name))

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
