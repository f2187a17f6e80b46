import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { quoteName, quotePath, quoteText, type Sql } from '../ports/tables/tables.ts'
import type { GivenSql } from './given.ts'
import { isNull, type JobDefaults, type Place, ROWS, resolveSql } from './resolve.ts'

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
  /** Some file is read by this process, not by SQL alone. */
  readonly isLean: boolean
  readonly signal?: AbortSignal | undefined
  readonly onRows?: ((rows: number) => void) | undefined
}

/** With it the whole process stays at about 600 MB. */
const LEAN_MB = 320

/** At about 400 bytes each. */
const SORTED_ROWS = 2_000_000

/** Rows of one scratch file at most: the number of a row is that of its file and its place there. */
const PIECE = 2 ** 32

/** Pieces of rows that a scratch file holds, in the order in which they were read. */
export interface Piece {
  readonly path: string
  readonly number: number
  /** Columns that are the same in each row, as SQL; NULL is in no file. */
  readonly constants: ReadonlyMap<string, string>
}

/**
 * Rows on their way into the catalog. They lie in scratch files of Parquet, so that memory does not grow with them; view `add_lined` shows
 * those that are still taken, with `row`, `line` and `source`; `problem` is 0 when a row is good by itself. Table `add_faults` has what
 * never got the form of a job. Rows stand in the order of the job file: where `line` is null, the place of the row says it.
 */
export class Adding {
  readonly sql: Sql
  readonly signal: AbortSignal | undefined
  readonly files: JobFile[] = []
  readonly #options: AddingOptions
  readonly #pieces: Piece[] = []
  #names = 0
  #rows = 0
  #hasBlanks = false
  /** The memory limit to go back to. */
  #memory: string | undefined

  constructor(options: AddingOptions) {
    this.#options = options
    this.sql = options.sql
    this.signal = options.signal
  }

  async open(): Promise<void> {
    await mkdir(this.#options.scratch, { recursive: true, mode: 0o700 })
    // Places of rows stand for lines: what is read first has to come first.
    await this.sql.run('SET preserve_insertion_order = true')
    if (this.#options.isLean) await this.#limit()
    await this.sql.run(`CREATE OR REPLACE TEMP TABLE add_faults
      (file INTEGER, line BIGINT, job VARCHAR, value VARCHAR, reason VARCHAR, hint VARCHAR)`)
    await this.sql.run('CREATE OR REPLACE TEMP TABLE add_gone (row BIGINT)')
    await this.sql.run('CREATE OR REPLACE TEMP TABLE add_blanks (piece BIGINT, place BIGINT, blank BIGINT)')
  }

  async close(): Promise<void> {
    if (this.#memory)
      await this.sql.run(`RESET partitioned_write_flush_threshold; SET memory_limit = ${quoteText(this.#memory)}`)
    await this.sql.run('SET preserve_insertion_order = false')
    await this.sql.run('DROP VIEW IF EXISTS temp.add_lined')
    for (const name of TABLES) await this.sql.run(`DROP TABLE IF EXISTS temp.add_${name}`)
    await rm(this.#options.scratch, { recursive: true, force: true })
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows
  }

  /** Whether the rows, with all their columns, fit into the memory of the session. */
  get fitsMemory(): boolean {
    return this.#memory === undefined && this.#rows <= SORTED_ROWS
  }

  /** What SQL may hold while this process reads as well. By default two threads keep a million rows before they write the first to its partition. */
  async #limit(): Promise<void> {
    const [given] = await this.sql.rows<{ memory: string }>("SELECT current_setting('memory_limit') AS memory")
    this.#memory = given!.memory
    await this.sql.run(`SET memory_limit = '${LEAN_MB}MB'; SET partitioned_write_flush_threshold = 65536`)
  }

  async #unlimit(): Promise<void> {
    if (this.#memory === undefined) return
    await this.sql.run(`SET memory_limit = ${quoteText(this.#memory)}; RESET partitioned_write_flush_threshold`)
    this.#memory = undefined
  }

  /** Jobs may have thousands of inputs: what does not fit into little memory is done again with all that the session may use. */
  async withRoom<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (cause) {
      if (this.#memory === undefined || !/Out of Memory/.test((cause as Error).message)) throw cause
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

  /** Adds the rows of a SELECT. Rows that do not say their line stand in the line of their place, from 1. */
  async insert(file: JobFile, given: GivenSql): Promise<Piece> {
    this.throwIfAborted()
    const { select, constants } = resolveSql(given, file)
    const piece = { path: this.scratchPath('rows.parquet'), number: this.#pieces.length, constants }
    const [written] = await this.withRoom(() =>
      this.sql.rows<{ Count: number }>(
        `COPY (${select}) TO ${quoteText(piece.path)} (FORMAT parquet, COMPRESSION snappy)`,
      ),
    )
    this.#pieces.push(piece)
    this.#rows += written!.Count
    this.#options.onRows?.(this.#rows)
    return piece
  }

  /** Takes rows of a piece out, as if they had never been read. */
  async remove(piece: Piece, places: Float64Array): Promise<void> {
    const gone = Array.from(places, (place) => ({ row: piece.number * PIECE + place }))
    await this.sql.load('add_names', [{ name: 'row', type: 'BIGINT' }], [gone])
    await this.sql.run('INSERT INTO add_gone SELECT row FROM add_names')
  }

  /** Lines of the job file that hold nothing: `places` are those of the rows behind them. */
  async skipLines(piece: Piece, places: readonly number[]): Promise<void> {
    const blanks = places.map((place, at) => ({ piece: piece.number, place, blank: at + 1 }))
    const columns = ['piece', 'place', 'blank'].map((name) => ({ name, type: 'BIGINT' }))
    await this.sql.load('add_names', columns, [blanks])
    await this.sql.run('INSERT INTO add_blanks SELECT * FROM add_names')
    this.#hasBlanks = true
  }

  /** Rows that each file has, good or not. Before rows are rejected because of other rows. */
  async countByFile(): Promise<readonly number[]> {
    const rows = await this.sql.rows<{ file: number; n: number }>(`SELECT file, count(*) AS n FROM (
      SELECT file FROM add_lined UNION ALL SELECT file FROM add_faults) GROUP BY file`)
    const counts = this.files.map(() => 0)
    for (const { file, n } of rows) counts[file] = n
    return counts
  }

  /** Makes view `add_lined`, when all rows are there. */
  async numberLines(): Promise<void> {
    // From here on each row says where it stands; keeping an order would only hold memory.
    await this.sql.run('SET preserve_insertion_order = false')
    const paths = this.#pieces.map(({ path }) => quotePath(path))
    const read = `SELECT ${this.#columns().join(', ')}, CAST(file_index AS BIGINT) AS piece, file_row_number AS place
      FROM read_parquet([${paths.join(', ')}], union_by_name = true)`
    const nothing = Object.entries(ROWS).map(([column, type]) => `CAST(NULL AS ${type}) AS ${quoteName(column)}`)
    const rows = paths.length > 0 ? read : `SELECT ${nothing.join(', ')}, 0 AS piece, 0 AS place WHERE false`
    const blank = this.#hasBlanks ? ' + coalesce(b.blank, 0)' : ''
    const blanks = this.#hasBlanks ? 'ASOF LEFT JOIN add_blanks b ON a.piece = b.piece AND a.place >= b.place' : ''
    const line = `coalesce(a.line, a.place + 1${blank})`
    await this.sql.run(`CREATE OR REPLACE TEMP VIEW add_lined AS
      SELECT * EXCLUDE (piece, place), ${this.sourceSql()} AS source
      FROM (SELECT a.* REPLACE (${line} AS line), a.piece * ${PIECE} + a.place AS row FROM (${rows}) a ${blanks})
      ANTI JOIN add_gone USING (row)`)
  }

  /** Job file and line, of columns `file` and `line`. */
  sourceSql(): string {
    const names = this.files.map(({ name }) => quoteText(name))
    const name = names.length === 1 ? names[0] : `[${names.join(', ')}][file + 1]`
    return `${name ?? "''"} || ':' || line`
  }

  /** A column that is the same in all rows, as SQL. */
  constant(column: string): string | undefined {
    const sql = this.#pieces[0]?.constants.get(column)
    return column !== 'line' && this.#pieces.every(({ constants }) => constants.get(column) === sql) ? sql : undefined
  }

  #columns(): string[] {
    const isThere = (column: string) => this.#pieces.some(({ constants }) => !isNull(constants.get(column)))
    return Object.entries(ROWS).map(([column, type]) => {
      const name = quoteName(column)
      return `${this.constant(column) ?? (isThere(column) ? name : `CAST(NULL AS ${type})`)} AS ${name}`
    })
  }

  throwIfAborted(): void {
    if (this.signal?.aborted) throw new FloeError('INTERRUPTED', 'adding was interrupted; nothing was changed')
  }
}

/** Temporary tables of an add, without `add_`. */
const TABLES = [
  'names',
  'gone',
  'blanks',
  'before',
  'outputs',
  'tops',
  'nested',
  'urls',
  'clashes',
  'rejects',
  'faults',
  'keys',
]
