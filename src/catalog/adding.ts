import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { TABLES } from '../model/tables.ts'
import { type Draft, quoteName, quoteText, quoteTexts, type Sql, type Tables } from '../ports/tables/tables.ts'
import { GIVEN, type GivenColumn, type GivenSql } from './given.ts'
import { problemTexts } from './problems.ts'
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
  /** Directory for files that are read in between; made, and taken away at the end. */
  readonly scratch: string
  /** Some file is read by this process, not by SQL alone. */
  readonly isLean: boolean
  readonly signal?: AbortSignal | undefined
  readonly onRows?: ((rows: number) => void) | undefined
}

/** For two threads at most. With it the whole process stays at about 500 MB; with less, a million rows cannot be put in order. */
const LEAN_MB = 192

/** Jobs as they were given, in a temporary table: rows of one job file, in the order in which they were read. */
export interface Piece {
  readonly file: JobFile
  readonly table: string
  readonly columns: Set<GivenColumn>
  rows: number
  hasBlanks: boolean
}

/**
 * Rows on their way into the catalog. What was read lies in temporary tables, which SQL moves to the disk when they do not fit its memory. `draft`
 * makes parts of the jobs table of the rows that are good by themselves; view `add_lined` shows those that are still taken, with `row`, `file`
 * and `line`. Table `add_faults` has the others.
 */
export class Adding {
  readonly sql: Sql
  readonly signal: AbortSignal | undefined
  readonly files: JobFile[] = []
  readonly #options: AddingOptions
  readonly #pieces: Piece[] = []
  #names = 0
  #rows = 0
  /** Settings to go back to. */
  #before: string | undefined

  constructor(options: AddingOptions) {
    this.#options = options
    this.sql = options.sql
    this.signal = options.signal
  }

  async open(): Promise<void> {
    await mkdir(this.#options.scratch, { recursive: true, mode: 0o700 })
    // Places of rows stand for lines: what is read first has to come first.
    await this.sql.run('SET preserve_insertion_order = true')
    await this.sql.run(writeSettings({ rows: 24_576, files: 4 }))
    if (this.#options.isLean) await this.#limit()
    await this.sql.run(`CREATE OR REPLACE TEMP TABLE add_faults
      (file INTEGER, line BIGINT, job VARCHAR, value VARCHAR, reason VARCHAR, hint VARCHAR)`)
    await this.sql.run('CREATE OR REPLACE TEMP TABLE add_gone (row BIGINT)')
  }

  async close(): Promise<void> {
    await this.#unlimit()
    await this.sql.run(
      'SET preserve_insertion_order = false; RESET partitioned_write_flush_threshold; RESET partitioned_write_max_open_files',
    )
    await this.sql.run('DROP VIEW IF EXISTS temp.add_lined')
    const given = this.#pieces.flatMap(({ table, hasBlanks }) => (hasBlanks ? [table, `${table}_blanks`] : [table]))
    for (const name of [...given, ...TEMPORARY]) await this.sql.run(`DROP TABLE IF EXISTS temp.add_${name}`)
    await rm(this.#options.scratch, { recursive: true, force: true })
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows
  }

  /** What SQL may hold while this process reads as well. */
  async #limit(): Promise<void> {
    const [given] = await this.sql.rows<{ memory: string; threads: number }>(
      "SELECT current_setting('memory_limit') AS memory, current_setting('threads') AS threads",
    )
    const { memory, threads } = given!
    this.#before = `SET memory_limit = ${quoteText(memory)}; SET threads = ${threads}`
    await this.sql.run(
      `SET memory_limit = '${LEAN_MB}MB'; SET threads = ${Math.min(threads, 2)}; ${writeSettings({ rows: 8192, files: 2 })}`,
    )
  }

  async #unlimit(): Promise<void> {
    if (this.#before === undefined) return
    await this.sql.run(this.#before)
    this.#before = undefined
  }

  /** Jobs may have thousands of inputs: what does not fit into little memory is done again with all that the session may use. */
  async withRoom<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (cause) {
      if (this.#before === undefined || !/Out of Memory/.test((cause as Error).message)) throw cause
      await this.#unlimit()
      return act()
    }
  }

  scratchPath(name: string): string {
    return join(this.#options.scratch, `${++this.#names}-${name}`)
  }

  begin(file: { name: string; path: string; base: string; defaults: JobDefaults }): JobFile {
    const started = { ...file, file: this.files.length }
    this.files.push(started)
    return started
  }

  /** Adds the rows of a SELECT, to those of `onto` if that is given. Rows that do not say their line stand in the line of their place, from 1. */
  async insert(file: JobFile, { columns, select }: GivenSql, onto?: Piece): Promise<Piece> {
    this.throwIfAborted()
    const piece = onto ?? {
      file,
      table: `given_${this.#pieces.length}`,
      columns: new Set(columns),
      rows: 0,
      hasBlanks: false,
    }
    const table = `add_${piece.table}`
    for (const name of columns) {
      if (!piece.columns.has(name))
        await this.sql.run(`ALTER TABLE temp.${table} ADD COLUMN ${quoteName(name)} ${GIVEN[name]}`)
      piece.columns.add(name)
    }
    const list = [...columns].map((name) => `CAST(${quoteName(name)} AS ${GIVEN[name]}) AS ${quoteName(name)}`)
    const made = onto ? `INSERT INTO ${table} BY NAME` : `CREATE TEMP TABLE ${table} AS`
    if (!onto) this.#pieces.push(piece)
    const [written] = await this.withRoom(() =>
      this.sql.rows<{ Count: number }>(`${made} SELECT ${list.join(', ')} FROM (${select})`),
    )
    piece.rows += written!.Count
    this.#rows += written!.Count
    this.#options.onRows?.(this.#rows)
    return piece
  }

  /** Numbers, from 0, of the rows of a piece of which `test` is true; they are taken out, as if they had never been read. */
  async remove(piece: Piece, test: string): Promise<Float64Array> {
    const removed: number[] = []
    for await (const [chunk] of this.sql.columns(`SELECT rowid FROM add_${piece.table} WHERE ${test} ORDER BY rowid`)) {
      for (let at = 0; at < chunk!.length; at++) removed.push(Number(chunk![at]))
    }
    if (removed.length > 0) await this.sql.run(`DELETE FROM add_${piece.table} WHERE ${test}`)
    piece.rows -= removed.length
    return Float64Array.from(removed)
  }

  /** Lines of the job file that hold nothing: `places` are those of the rows behind them. */
  async skipLines(piece: Piece, places: readonly number[]): Promise<void> {
    const blanks = places.map((place, at) => ({ place, blank: at + 1 }))
    const columns = ['place', 'blank'].map((name) => ({ name, type: 'BIGINT' }))
    await this.sql.load(`add_${piece.table}_blanks`, columns, [blanks])
    piece.hasBlanks = true
  }

  /** Rows that each file has, good or not. Before rows are rejected. */
  async countByFile(): Promise<readonly number[]> {
    const faults = await this.sql.rows<{ file: number; n: number }>(
      'SELECT file, count(*) AS n FROM add_faults GROUP BY file',
    )
    const counts = this.files.map(() => 0)
    for (const { file, n } of faults) counts[file]! += n
    for (const { file, rows } of this.#pieces) counts[file.file]! += rows
    return counts
  }

  /** Whether a job was given any of these. */
  has(...columns: readonly GivenColumn[]): boolean {
    return this.#pieces.some((piece) => columns.some((name) => piece.columns.has(name)))
  }

  /** SELECT of all rows, resolved; rows of a piece in the order of their buckets if need be. */
  resolved(order: 'by bucket' | 'any' = 'any'): string {
    const all = this.#pieces.map((piece) => resolveSql({ ...piece, from: fromSql(piece) }, piece.file, order))
    const nothing = Object.entries(ROWS).map(([column, type]) => `CAST(NULL AS ${type}) AS ${quoteName(column)}`)
    return all.length > 0 ? all.join(' UNION ALL ') : `SELECT ${nothing.join(', ')} WHERE false`
  }

  /** When all rows are there: parts of those that are good by themselves, view `add_lined` over them, and the others to the faults. */
  async draft(tables: Tables, nowMs: number): Promise<Draft> {
    this.throwIfAborted()
    await this.sql.run('SET preserve_insertion_order = false')
    const made: Readonly<Record<string, string>> = {
      revision: '1',
      withdrawn: 'false',
      added_at: `make_timestamptz(${Math.round(nowMs * 1000)})`,
      source: this.#sourceSql(),
    }
    const columns = TABLES.jobs.columns.map(({ name, type }) => {
      const own = name in ROWS ? quoteName(name) : `CAST(NULL AS ${type})`
      return `${made[name] ?? own} AS ${quoteName(name)}`
    })
    const select = `SELECT ${columns.join(', ')} FROM (${this.resolved('by bucket')}) WHERE problem = 0`
    const draft = await this.withRoom(() => tables.draft('jobs', select))
    const given = this.#pieces.reduce((sum, { rows }) => sum + rows, 0)
    if (draft.count < given) {
      await this.sql.run(`INSERT INTO add_faults SELECT file, line, job_id, ${problemTexts()}
        FROM (${this.resolved()}) WHERE problem > 0`)
    }
    await this.#line(draft)
    return draft
  }

  async #line(draft: Draft): Promise<void> {
    const nothing = TABLES.jobs.columns.map(({ name, type }) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`)
    const rows = draft.rows ?? `(SELECT ${nothing.join(', ')}, CAST(NULL AS BIGINT) AS row WHERE false)`
    const names = quoteTexts(this.files.map(({ name }) => name))
    await this.sql.run(`CREATE OR REPLACE TEMP VIEW add_lined AS
      SELECT *, CAST(regexp_extract(source, '[0-9]+$') AS BIGINT) AS line,
        list_position(${names}, regexp_replace(source, ':[0-9]+$', '')) - 1 AS file
      FROM ${rows} ANTI JOIN add_gone USING (row)`)
  }

  /** Job file and line, of columns `file` and `line`. */
  #sourceSql(): string {
    const names = this.files.map(({ name }) => quoteText(name))
    const name = names.length === 1 ? names[0] : `[${names.join(', ')}][file + 1]`
    return `${name ?? "''"} || ':' || line`
  }

  throwIfAborted(): void {
    if (this.signal?.aborted) throw new FloeError('INTERRUPTED', 'adding was interrupted; nothing was changed')
  }
}

/**
 * Rows come in the order of their buckets: they need not be kept until each bucket has many. Files that are closed early are packed by all threads and
 * let go of their rows; those that are open at the end wait for one thread (DuckDB 1.5.6: half of the time, and all rows in memory once more).
 */
const writeSettings = ({ rows, files }: { rows: number; files: number }): string =>
  `SET partitioned_write_flush_threshold = ${rows}; SET partitioned_write_max_open_files = ${files}`

/** Rows of a piece with `row_line`. */
function fromSql({ table, columns, hasBlanks }: Piece): string {
  if (columns.has('line')) return `(SELECT * EXCLUDE (line), line AS row_line FROM add_${table})`
  if (!hasBlanks) return `(SELECT *, rowid + 1 AS row_line FROM add_${table})`
  return `(SELECT g.* EXCLUDE (place), g.place + 1 + coalesce(b.blank, 0) AS row_line
    FROM (SELECT *, rowid AS place FROM add_${table}) g ASOF LEFT JOIN add_${table}_blanks b ON g.place >= b.place)`
}

/** Temporary tables of an add, without `add_`. */
const TEMPORARY = [
  'gone',
  'before',
  'outputs',
  'tops',
  'nested',
  'urls',
  'programs',
  'declared',
  'clashes',
  'rejects',
  'faults',
]
