import { FloeError } from '../model/errors.ts'
import type { Row, Statement, Tables } from '../ports/tables/tables.ts'
import { openViews } from './views.ts'
import { sqlInvalid } from './where.ts'

export interface QueryOptions {
  /** Makes more views, such as `merged` with labels; called only when the text speaks of `merged`. */
  readonly prepare?: (inside: Pick<Tables, 'sql' | 'view'>) => Promise<unknown>
  /** Jobs that are running, by the record files of live arrays. */
  readonly running?: readonly { readonly job_key: number | bigint; readonly revision: number }[]
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
    await openViews(inside)
    if (options.prepare && /merged/i.test(sql)) await options.prepare(inside)
    if (options.running) {
      const columns = [
        { name: 'job_key', type: 'BIGINT' },
        { name: 'revision', type: 'INTEGER' },
      ]
      await inside.sql.load('live_jobs', columns, [options.running])
    }
  })
  try {
    // On a text without a statement node-api 1.5.6 fails with "Error in native callback".
    const [statement, ...more] = /\w/.test(withoutComments(sql)) ? await fenced.sql.describe(sql) : []
    if (!statement) throw new FloeError('SQL_INVALID', 'there is no SQL in it')
    if (more.length > 0) throw new FloeError('SQL_INVALID', `one statement at a time, not ${more.length + 1}`)
    if (statement.kind !== 'SELECT') {
      throw new FloeError('SQL_INVALID', `${statement.kind} is not read-only`, {
        hint: 'Ask with SELECT, DESCRIBE or SUMMARIZE; `floe results -o FILE` writes files.',
      })
    }
    return { columns: statement.columns, rows: explained(fenced.sql.stream(sql), sql), close: () => fenced.close() }
  } catch (cause) {
    await fenced.close()
    throw sqlInvalid(cause, sql)
  }
}

function withoutComments(sql: string): string {
  return sql.replace(/--[^\n]*|\/\*.*?\*\//gs, '')
}

async function* explained(rows: AsyncIterable<Row[]>, sql: string): AsyncIterable<Row[]> {
  try {
    yield* rows
  } catch (cause) {
    throw sqlInvalid(cause, sql)
  }
}
