import { FloeError } from '../model/errors.ts'
import type { Row, Sql, Statement, Tables } from '../ports/tables/tables.ts'
import { type Live, openViews } from './views.ts'
import { hasParameter, parseSelects, sqlInvalid } from './where.ts'

export interface QueryOptions {
  /** Makes more views, such as `merged` with labels; called only when the text speaks of `merged`. */
  readonly prepare?: (inside: Pick<Tables, 'sql' | 'view'>) => Promise<unknown>
  /** What record files of live arrays say and the tables do not have yet. */
  readonly live?: Live
}

export interface QueryAnswer {
  readonly columns: Statement['columns']
  /** In chunks, as they come; to be read once. */
  readonly rows: AsyncIterable<Row[]>
  close(): Promise<void>
}

/**
 * Runs one SELECT (or DESCRIBE, SHOW, SUMMARIZE) over the views of the campaign, in a session that can read their parts and nothing else
 * on disk. Throws SQL_INVALID, with DuckDB's words, on all else.
 */
export async function queryReadOnly(tables: Tables, sql: string, options: QueryOptions = {}): Promise<QueryAnswer> {
  const fenced = await tables.fence(async (inside) => {
    await openViews(inside, options.live)
    if (options.prepare && /merged/i.test(sql)) await options.prepare(inside)
  })
  try {
    await checkReadOnly(fenced.sql, sql)
    const [statement] = await fenced.sql.describe(sql)
    return { columns: statement!.columns, rows: explained(fenced.sql.stream(sql), sql), close: () => fenced.close() }
  } catch (cause) {
    await fenced.close()
    throw sqlInvalid(cause, sql)
  }
}

// Preparing a statement is too late to look: EXPORT DATABASE makes its directory then (DuckDB 1.5.6). The parser does nothing.
async function checkReadOnly(inside: Sql, sql: string): Promise<void> {
  const parsed = await parseSelects(inside, sql)
  if (typeof parsed === 'string') {
    if (/^(syntax error|unterminated)/.test(parsed)) await inside.describe(sql) // fails too, and says where
    if (!parsed.startsWith('Only SELECT')) throw new FloeError('SQL_INVALID', parsed)
    throw new FloeError('SQL_INVALID', 'only reading is allowed', {
      hint: 'Ask with SELECT, DESCRIBE, SHOW or SUMMARIZE; `floe results -o FILE` writes files.',
    })
  }
  if (parsed.length === 0) throw new FloeError('SQL_INVALID', 'there is no SQL in it')
  if (parsed.length > 1) throw new FloeError('SQL_INVALID', `one statement at a time, not ${parsed.length}`)
  if (hasParameter(parsed)) throw new FloeError('SQL_INVALID', 'it has a parameter, and nothing to put there')
}

async function* explained(rows: AsyncIterable<Row[]>, sql: string): AsyncIterable<Row[]> {
  try {
    yield* rows
  } catch (cause) {
    throw sqlInvalid(cause, sql)
  }
}
