import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { quotePath, quoteText, quoteTexts } from '../ports/tables/tables.ts'
import type { Adding } from './adding.ts'

/*
 * rejects.ndjson, version 1, in the campaign's directory: one line for each row that was not taken, {"file", "line", "job", "value",
 * "reason", "hint"}, in the order of files and lines. `file` as it was named, `job` and `value` may be null. It holds what is rejected as of
 * the last add of each file: adding a file again takes its lines out, and nobody's else.
 */
export const REJECTS_FILE = 'rejects.ndjson'

export interface Reject {
  readonly file: string
  readonly line: number
  readonly job: string | null
  readonly value: string | null
  readonly reason: string
  readonly hint: string
}

/** How many rejects a report shows. */
const SHOWN = 10

export interface Rejected {
  readonly count: number
  readonly first: readonly Reject[]
  /** Path of rejects.ndjson, when this add rejected something. */
  readonly path: string | undefined
}

/** Writes rejects.ndjson as a whole, or takes it away when nothing is rejected any more. */
export async function writeRejects(adding: Adding, campaign: string): Promise<Rejected> {
  const { sql } = adding
  const names = adding.files.map(({ name }) => name)
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_rejects AS
    SELECT ${quoteTexts(names)}[rejected.file + 1] AS file, line, job, value, reason, hint FROM add_faults AS rejected
    ORDER BY rejected.file, line`)
  const [counted] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_rejects')
  const first = await sql.rows<Reject & { [key: string]: never }>(`SELECT * FROM add_rejects LIMIT ${SHOWN}`)
  const path = join(campaign, REJECTS_FILE)
  await replaceFile(adding, path, names)
  return { count: counted!.n, first, path: counted!.n > 0 ? path : undefined }
}

async function replaceFile({ sql }: Adding, path: string, names: readonly string[]): Promise<void> {
  const columns =
    "{file: 'VARCHAR', line: 'BIGINT', job: 'VARCHAR', value: 'VARCHAR', reason: 'VARCHAR', hint: 'VARCHAR'}"
  const others = existsSync(path)
    ? `SELECT * FROM read_json(${quotePath(path)}, format = 'newline_delimited', ignore_errors = true, columns = ${columns})
       WHERE file NOT IN (SELECT unnest(${quoteTexts(names)})) UNION ALL `
    : ''
  const all = `${others}SELECT * FROM add_rejects`
  const [counted] = await sql.rows<{ n: number }>(`SELECT count(*) AS n FROM (${all})`)
  if (counted!.n === 0) return rm(path, { force: true })
  const made = `${path}.new`
  await sql.run(`COPY (${all}) TO ${quoteText(made)} (FORMAT json)`)
  await rename(made, path)
}
