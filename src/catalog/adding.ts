import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { quoteName, quoteText, type Sql } from '../ports/tables/tables.ts'
import type { Fault, GivenSql } from './given.ts'
import { type JobDefaults, type Place, ROWS, resolveSql } from './resolve.ts'

/** A job file that is being added. */
export interface JobFile extends Place {
  /** As the person named it. */
  readonly name: string
  /** Absolute. */
  readonly path: string
}

export interface AddingOptions {
  readonly sql: Sql
  /** Directory for what does not fit in memory; made, and taken away at the end. */
  readonly scratch: string
  readonly signal?: AbortSignal | undefined
  readonly onRows?: ((rows: number) => void) | undefined
}

/**
 * Rows on their way into the catalog, in temporary tables: `add_rows` (one a job, `problem` 0 when good) and `add_faults` (rows that never
 * got the form of a job). The order of `add_rows` is that of the file: where `line` is null, the row number says it.
 */
export class Adding {
  readonly sql: Sql
  readonly signal: AbortSignal | undefined
  readonly files: JobFile[] = []
  readonly #options: AddingOptions
  /** For each file: row of `add_rows` that its first row has, and the line that this row stands in. */
  readonly #origins: { row: number; line: number }[] = []
  #pieces = 0

  constructor(options: AddingOptions) {
    this.#options = options
    this.sql = options.sql
    this.signal = options.signal
  }

  async open(): Promise<void> {
    await mkdir(this.#options.scratch, { recursive: true, mode: 0o700 })
    // Row numbers stand for lines: what is read first has to come first.
    await this.sql.run('SET preserve_insertion_order = true')
    const columns = Object.entries(ROWS).map(([name, type]) => `${quoteName(name)} ${type}`)
    await this.sql.run(`CREATE OR REPLACE TEMP TABLE add_rows (${columns.join(', ')})`)
    await this.sql.run(`CREATE OR REPLACE TEMP TABLE add_faults
      (file INTEGER, line BIGINT, job VARCHAR, value VARCHAR, reason VARCHAR, hint VARCHAR)`)
  }

  async close(): Promise<void> {
    await this.sql.run('SET preserve_insertion_order = false')
    for (const name of [
      'lined',
      'names',
      'before',
      'outputs',
      'urls',
      'clashes',
      'rejects',
      'rows',
      'faults',
      'keys',
    ]) {
      const kind = name === 'lined' ? 'VIEW' : 'TABLE'
      await this.sql.run(`DROP ${kind} IF EXISTS temp.add_${name}`)
    }
    await rm(this.#options.scratch, { recursive: true, force: true })
  }

  scratchPath(name: string): string {
    return join(this.#options.scratch, `${++this.#pieces}-${name}`)
  }

  begin(file: { name: string; path: string; base: string; defaults: JobDefaults }): JobFile {
    const started = { ...file, file: this.files.length }
    this.files.push(started)
    this.#origins.push({ row: 0, line: 1 })
    return started
  }

  /** Adds rows by SQL; returns the number of the first. `firstLine` is the line of that row, for rows that do not say theirs. */
  async insert(file: JobFile, given: GivenSql, firstLine = 1): Promise<number> {
    this.throwIfAborted()
    const row = await this.count()
    this.#origins[file.file] = { row, line: firstLine }
    await this.append(file, given)
    return row
  }

  /** Adds rows that say their lines. */
  async append(file: JobFile, given: GivenSql): Promise<void> {
    this.throwIfAborted()
    await this.sql.run(`INSERT INTO add_rows ${resolveSql(given, file)}`)
    this.#options.onRows?.(await this.count())
  }

  /** Takes rows out, as if they had never been read. Row numbers stay. */
  async void(rows: Float64Array, from: number): Promise<void> {
    const numbers = Array.from(rows, (row) => ({ row: row + from }))
    await this.sql.load('add_names', [{ name: 'row', type: 'BIGINT' }], [numbers])
    await this.sql.run('UPDATE add_rows SET problem = -1 WHERE rowid IN (SELECT row FROM add_names)')
  }

  async count(): Promise<number> {
    const [found] = await this.sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_rows')
    return found!.n
  }

  /** Rows that each file has, good or not. Before rows are rejected because of other rows. */
  async countByFile(): Promise<readonly number[]> {
    const rows = await this.sql.rows<{ file: number; n: number }>(`SELECT file, count(*) AS n FROM (
      SELECT file FROM add_rows WHERE problem >= 0 UNION ALL SELECT file FROM add_faults) GROUP BY file`)
    const counts = this.files.map(() => 0)
    for (const { file, n } of rows) counts[file] = n
    return counts
  }

  async fault(file: JobFile, line: number, fault: Fault): Promise<void> {
    const { job, value, reason, hint } = fault
    await this.sql.run('INSERT INTO add_faults VALUES (?, ?, ?, ?, ?, ?)', [file.file, line, job, value, reason, hint])
  }

  /** Makes view `add_lined`: `add_rows` with every line known, and `source`, the job file and line as text. */
  async numberLines(): Promise<void> {
    const [one] = this.#origins
    const by = (values: readonly number[]) =>
      values.length === 1 ? `${values[0]}` : `[${values.join(', ')}][file + 1]`
    const offset = one === undefined ? '0' : by(this.#origins.map(({ row, line }) => line - row))
    const names = this.files.map(({ name }) => quoteText(name))
    const name = names.length === 1 ? names[0] : `[${names.join(', ')}][file + 1]`
    await this.sql.run(`CREATE OR REPLACE TEMP VIEW add_lined AS
      SELECT * REPLACE (coalesce(line, rowid + ${offset}) AS line), rowid AS row,
        ${name ?? "''"} || ':' || coalesce(line, rowid + ${offset}) AS source FROM add_rows`)
  }

  throwIfAborted(): void {
    if (this.signal?.aborted) throw new FloeError('INTERRUPTED', 'adding was interrupted; nothing was changed')
  }
}
