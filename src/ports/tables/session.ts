import { mkdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as duck from '@duckdb/node-api'
import { assert, FloeError } from '../../model/errors.ts'
import { escapePath, quoteName, quoteTexts } from './quote.ts'
import type { ColumnChunk, Row, Sql, Statement, Value } from './tables.ts'
import { ValueConverter } from './values.ts'

export interface SessionOptions {
  /** Folder that a session makes its spill folder in. */
  readonly cache: string
  readonly memoryBytes: number
  readonly threads?: number
  readonly uuid: () => string
  /** An engine that several sessions share; absent: one of its own, with the memory and threads given here. */
  readonly shared?: () => Promise<duck.DuckDBInstance>
  /** Says what an error of DuckDB means here. */
  readonly explain: (cause: unknown) => Error
}

export interface Session extends Sql {
  /** From now on nothing on disk can be reached but `folder` and the spill folder, and no setting can be changed. */
  lock(folder: string): Promise<void>
  close(): Promise<void>
}

interface Open {
  readonly engine: typeof duck
  readonly instance: duck.DuckDBInstance
  readonly connection: duck.DuckDBConnection
  readonly values: ValueConverter
  /** Null: the engine is not the session's own. */
  readonly spill: string | null
}

/** Rows of one chunk of DuckDB's. */
const CHUNK = 2048

/** A DuckDB session that loads the engine with the first statement, so that a verb which needs no SQL does not pay for it. */
export function lazySession(options: SessionOptions): Session {
  return new LazySession(options)
}

class LazySession implements Session {
  readonly #options: SessionOptions
  #opening: Promise<Open> | undefined
  /** The turn of the statement that was sent last. */
  #last: Promise<unknown> = Promise.resolve()
  /** The statement whose answer is still being read. */
  #streaming: string | undefined
  /** The chunk of it that was asked for. */
  #fetching: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: SessionOptions) {
    this.#options = options
  }

  async run(sql: string, parameters: readonly Value[] = []): Promise<void> {
    await this.#alone(({ connection, values }) => connection.run(sql, ...bind(values, parameters)))
  }

  rows<T extends Row = Row>(sql: string, parameters: readonly Value[] = []): Promise<T[]> {
    return this.#alone(async ({ connection, values }) => {
      const result = await connection.run(sql, ...bind(values, parameters))
      const names = result.deduplicatedColumnNames()
      return (await result.fetchAllChunks()).flatMap((chunk) => rowsOf<T>(chunk, names, values))
    })
  }

  async *stream<T extends Row = Row>(sql: string, parameters: readonly Value[] = []): AsyncIterable<T[]> {
    const { values } = await this.#open()
    for await (const { chunk, result } of this.#chunks(sql, parameters)) {
      yield rowsOf<T>(chunk, result.deduplicatedColumnNames(), values)
    }
  }

  async *columns(sql: string, parameters: readonly Value[] = []): AsyncIterable<readonly ColumnChunk[]> {
    const { values } = await this.#open()
    for await (const { chunk } of this.#chunks(sql, parameters)) {
      const columns: ColumnChunk[] = []
      for (let at = 0; at < chunk.columnCount; at++) columns.push(values.chunkColumn(chunk, at))
      yield columns
    }
  }

  load(table: string, columns: Load['columns'], rows: Load['rows']): Promise<number> {
    return load((act) => this.#alone(act), { table, columns, rows })
  }

  describe(sql: string): Promise<readonly Statement[]> {
    return this.#alone(async ({ connection, engine }) => {
      const statements = await connection.extractStatements(sql)
      const described: Statement[] = []
      for (let at = 0; at < statements.count; at++) {
        const prepared = await statements.prepare(at)
        described.push(describeOne(prepared, engine.StatementType[prepared.statementType]))
        prepared.destroySync()
      }
      return described
    })
  }

  async lock(folder: string): Promise<void> {
    await this.#alone(async ({ connection, spill }) => {
      // Paths are compared as they are written in a view: those with signs of a pattern have them escaped.
      const folders = quoteTexts([`${folder}/`, `${escapePath(folder)}/`, `${spill}/`])
      await connection.run(
        `SET allowed_directories = ${folders}; SET enable_external_access = false; SET lock_configuration = true`,
      )
    })
  }

  async close(): Promise<void> {
    // A connection that is closed while a statement runs hangs or ends the process with SIGSEGV (@duckdb/node-api 1.5.6): of several views
    // that are opened at once, one that fails must not close it under the others.
    this.#isClosed = true
    await this.#last
    await this.#fetching
    const opened = await this.#opening?.catch(() => undefined)
    this.#opening = Promise.reject(new FloeError('BUG', 'the tables were closed'))
    this.#opening.catch(() => {})
    if (!opened) return
    opened.connection.closeSync()
    if (opened.spill === null) return
    opened.instance.closeSync()
    await rm(opened.spill, { recursive: true, force: true })
  }

  #open(): Promise<Open> {
    this.#opening ??= openEngine(this.#options)
    return this.#opening
  }

  // One connection runs one statement at a time, and a new one ends an open stream: refuse that aloud instead of failing the reader later.
  #alone<T>(act: (open: Open) => Promise<T> | T): Promise<T> {
    const turn = this.#last.then(async () => {
      if (this.#isClosed) throw new FloeError('BUG', 'the tables were closed')
      const streaming = this.#streaming
      assert(streaming === undefined, `a statement was sent while this one is still being read: ${streaming}`)
      const opened = await this.#open()
      try {
        return await act(opened)
      } catch (cause) {
        throw this.#options.explain(cause)
      }
    })
    this.#last = turn.catch(() => {})
    return turn
  }

  async *#chunks(sql: string, parameters: readonly Value[]) {
    const result = await this.#alone(async ({ connection, values }) => {
      const started = await connection.stream(sql, ...bind(values, parameters))
      this.#streaming = sql.slice(0, 200)
      return started
    })
    try {
      for (;;) {
        const fetched = result.fetchChunk()
        this.#fetching = fetched.catch(() => {})
        const chunk = await fetched
        if (!chunk || chunk.rowCount === 0) return
        yield { chunk, result }
      }
    } catch (cause) {
      throw this.#options.explain(cause)
    } finally {
      this.#streaming = undefined
    }
  }
}

async function openEngine(options: SessionOptions): Promise<Open> {
  // 75 ms instead of 110 for import(): Node 20 looks through each of 150 CommonJS files for the names that they export.
  const engine = createRequire(import.meta.url)('@duckdb/node-api') as typeof duck
  const values = new ValueConverter(engine)
  if (options.shared) {
    const instance = await options.shared()
    const connection = await instance.connect()
    await connection.run("SET TimeZone = 'UTC'")
    return { engine, instance, connection, values, spill: null }
  }
  const spill = join(await folderFor(options.cache), `spill-${process.pid}-${options.uuid()}`)
  const instance = await engine.DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(options.memoryBytes / 2 ** 20)}MiB`,
    threads: String(options.threads ?? availableParallelism()),
    preserve_insertion_order: 'false',
    // Two processes with one temporary directory would write the same file names.
    temp_directory: spill,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  // Else 250 to 500 MB stay with a process that has planned 750,000 jobs, long after DuckDB has let go of them. Both are needed (1.5.6, glibc 2.36).
  await connection.run(
    "SET allocator_flush_threshold = '16MiB'; SET allocator_bulk_deallocation_flush_threshold = '16MiB'",
  )
  await connection.run("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
  return { engine, instance, connection, values, spill }
}

function describeOne(prepared: duck.DuckDBPreparedStatement, kind: string | undefined): Statement {
  const columns = Array.from({ length: prepared.columnCount }, (_, at) => ({
    name: prepared.columnName(at),
    type: prepared.columnType(at).toString(),
  }))
  return { kind: kind ?? 'unknown', columns }
}

/** The cache, or the system's temporary folder where the campaign may only be read. */
async function folderFor(cache: string): Promise<string> {
  try {
    await mkdir(cache, { recursive: true, mode: 0o700 })
    return cache
  } catch {
    return tmpdir()
  }
}

function bind(values: ValueConverter, parameters: readonly Value[]): [duck.DuckDBValue[]?, duck.DuckDBType[]?] {
  if (parameters.length === 0) return []
  const types = parameters.map(values.typeOf)
  return [parameters.map((value, at) => values.toDuck(value, types[at]!)), types]
}

function rowsOf<T extends Row>(chunk: duck.DuckDBDataChunk, names: readonly string[], values: ValueConverter): T[] {
  const rows = Array.from({ length: chunk.rowCount }, (): Record<string, Value> => ({}))
  for (const [at, name] of names.entries()) {
    const column = chunk.getColumnValues(at)
    for (const [place, row] of rows.entries()) {
      const value = values.fromDuck(column[place]!)
      // To assign it would be to give the row another prototype, or nothing.
      if (name === '__proto__') Object.defineProperty(row, name, { value, enumerable: true })
      else row[name] = value
    }
  }
  return rows as T[]
}

interface Load {
  readonly table: string
  readonly columns: readonly { name: string; type: string }[]
  readonly rows: AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>
}

async function load(alone: <T>(act: (open: Open) => T) => Promise<T>, { table, columns, rows }: Load): Promise<number> {
  const list = columns.map((column) => `${quoteName(column.name)} ${column.type}`).join(', ')
  const appender = await alone(async ({ connection }) => {
    await connection.run(`CREATE OR REPLACE TEMP TABLE ${quoteName(table)} (${list})`)
    return connection.createAppender(table, null, 'temp')
  })
  const types = columns.map((_, at) => appender.columnType(at))
  let count = 0
  try {
    for await (const some of rows) {
      for (let from = 0; from < some.length; from += CHUNK) {
        const part = some.slice(from, from + CHUNK)
        await alone(({ engine, values }) => {
          const chunk = engine.DuckDBDataChunk.create(types, part.length)
          for (const [at, column] of columns.entries()) {
            const type = types[at]!
            chunk.setColumnValues(
              at,
              part.map((row) => values.toDuck(row[column.name], type)),
            )
          }
          appender.appendDataChunk(chunk)
        })
        count += part.length
      }
    }
    await alone(() => appender.flushSync())
  } finally {
    appender.closeSync()
  }
  return count
}
