import { createHash } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { campaignPaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { Json } from '../model/json.ts'
import { quoteName, quoteText, type Snapshot, type Sql, type Tables } from '../ports/tables/tables.ts'
import { type ContentColumn, type ContentColumns, LEFT, readChunk, selectAs, type TypedRows } from './merged-chunk.ts'
import { type Output, outputOf, type Todo } from './merged-files.ts'
import { makeFolder } from './merged-folder.ts'
import { type LeftOut, readLedger, readLeftOut, writeLedger } from './merged-ledger.ts'
import { type ContentType, contentType } from './merged-types.ts'

export type { LeftOut, TypeConflict, Unreadable } from './merged-ledger.ts'
export { type MergedView, mergedView } from './merged-view.ts'

export interface MergeOptions {
  /** Directory of the campaign. */
  readonly root: string
  readonly signal?: AbortSignal
  /** Outputs read at a time; bounds memory. */
  readonly filesMax?: number
  /** Bytes of outputs committed at a time. */
  readonly bytesMax?: number
  /** Brings outputs that lie at other sites into a folder of this machine. Absent: all lie here. */
  readonly bring?: BringOutputs
  /** Throws to stop a commit just before it becomes visible. */
  readonly guard?: () => Promise<void>
}

/** A file as `results` names it. */
export interface FarFile {
  readonly site: string
  readonly path: string
  /** Of a whole file that is one output. */
  readonly digest?: string
}

/** Answers where each file that is not of this machine lies now, by its path; what is not there any more is left out. */
export type BringOutputs = (files: readonly FarFile[], folder: string) => Promise<ReadonlyMap<string, string>>

export interface Merged extends LeftOut {
  /** Outputs and rows that this call added. */
  readonly outputs: number
  readonly rows: number
}

const FILES_MAX = 20_000
const CHUNK_BYTES = 256 * 2 ** 20
/** Content that DuckDB holds, in memory or spilled, before it is committed. */
const COMMIT_BYTES = 2 ** 30
const TRIES = 4
const TABULAR = '\\.((csv|tsv|ndjson|jsonl)(\\.gz)?|parquet)$'
const KEYS = ['job_digest', 'output', 'output_row']

/** Facts published with the rows; what is left out is said again by later calls. */
interface Facts extends LeftOut {
  /** Version of `results` that was merged whole; null between commits of one call. */
  readonly results: number | null
  /** Outputs whose file was not what was published; they are tried again. */
  readonly passing: number
  /** Columns that hold nothing but nulls so far, and so have no type. */
  readonly untyped: readonly string[]
  /** Names the ledger of this table. */
  readonly origin: string
}

/**
 * Adds the content of outputs that are CSV, TSV, NDJSON or Parquet, and are not in it yet, to the Delta table `merged`: one row a row,
 * with the job digest and the output's path. Rows are never doubled and never lost, wherever it is stopped. What does not fit is left out
 * and named; the result itself stays. When `results` did not change it costs two small reads. Commits once, and once more each GB.
 */
export async function mergeOutputs(tables: Tables, options: MergeOptions): Promise<Merged> {
  const [merged, results] = [await tables.head('merged'), await tables.head('results')]
  const facts = readFacts(merged.facts)
  const isDone = merged.version >= 0 && facts.results === results.version && facts.passing === 0
  if (results.version < 0 || isDone) return { outputs: 0, rows: 0, ...said(facts) }
  const folder = makeFolder(campaignPaths(options.root).cache)
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await new Merge(tables, options, folder).run()
      } catch (cause) {
        if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries >= TRIES) throw cause
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    await dropTemporary(tables.sql).catch(() => {})
  }
}

async function dropTemporary(sql: Sql): Promise<void> {
  const names = await sql.rows<{ name: string }>(
    "SELECT table_name AS name FROM duckdb_tables() WHERE temporary AND starts_with(table_name, '_merge_')",
  )
  for (const { name } of names) await sql.run(`DROP TABLE IF EXISTS ${quoteName(name)}`)
}

class Merge {
  readonly #tables: Tables
  readonly #options: MergeOptions
  readonly #folder: string
  #content!: Snapshot
  #facts!: Facts
  #columns: ContentColumns = new Map()
  #pending: TypedRows[] = []
  #pendingBytes = 0
  #pendingRows = 0
  #chunks = 0
  #outputs = 0
  #rows = 0

  constructor(tables: Tables, options: MergeOptions, folder: string) {
    this.#tables = tables
    this.#options = options
    this.#folder = folder
  }

  async run(): Promise<Merged> {
    const { sql } = this.#tables
    const results = await this.#tables.view('results', undefined, '_merge_results')
    await this.#readTable()
    const ledger = join(campaignPaths(this.#options.root).cache, 'merged', this.#facts.origin || 'none')
    await readLedger(sql, ledger)
    const found = await this.#findNew()
    if (found === 0 && this.#content.version < 0) return { outputs: 0, rows: 0, ...said(this.#facts) }
    for (let after = 0; after < found; ) after = await this.#readNext(after, found)
    const facts = await this.#factsAfter(results.version)
    const isNews = this.#pendingRows > 0 || JSON.stringify(facts) !== JSON.stringify(this.#facts)
    if (isNews || this.#content.version < 0) await this.#commit(facts, results.version)
    await writeLedger(sql, join(ledger, '..', facts.origin))
    return { outputs: this.#outputs, rows: this.#rows, ...said(facts) }
  }

  async #readTable(): Promise<void> {
    this.#content = await this.#tables.view('merged', undefined, '_merge_content')
    this.#facts = readFacts(this.#content.facts)
    for (const { name, type } of this.#content.schema) {
      if (!KEYS.includes(name)) this.#columns.set(name.toLowerCase(), { name, type: contentType(type) })
    }
    for (const name of this.#facts.untyped) {
      if (!this.#columns.has(name.toLowerCase())) this.#columns.set(name.toLowerCase(), { name, type: null })
    }
  }

  /** Makes `_merge_todo`, numbered from 1 in the order of outputs. Of results that wrote the same path the latest counts: the file is its. */
  async #findNew(): Promise<number> {
    const { sql } = this.#tables
    // An output that is in the table has a first row there.
    const merged =
      this.#content.parts.length === 0
        ? ''
        : 'ANTI JOIN (SELECT job_digest, output FROM _merge_content WHERE output_row = 0) m USING (job_digest, output)'
    const isTable = `regexp_matches(lower(output), ${quoteText(TABULAR)}) AND coalesce(url, pack) IS NOT NULL AND digest IS NOT NULL AND size_bytes IS NOT NULL`
    await sql.run(`CREATE OR REPLACE TEMP TABLE _merge_new AS
      SELECT job_digest, output FROM (SELECT job_digest, output, digest FROM _merge_results WHERE ${isTable})
      ${merged} ANTI JOIN _merge_ledger l USING (job_digest, output, digest)`)
    const newest = 'row(coalesce(published_at, make_timestamptz(0)), revision)'
    const result =
      '{job_digest: job_digest, site: site, path: coalesce(url, pack), is_pack: url IS NULL, offset_bytes: offset_bytes, size_bytes: size_bytes, digest: digest}'
    await sql.run(`CREATE OR REPLACE TEMP TABLE _merge_latest AS
      SELECT output, r.* FROM (
        SELECT output, arg_max(${result}, ${newest}) AS r FROM _merge_results
        SEMI JOIN (SELECT output FROM _merge_new UNION ALL SELECT output FROM _merge_ledger WHERE kind <> 'empty') n USING (output)
        WHERE ${isTable} GROUP BY output)`)
    await sql.run(`CREATE OR REPLACE TEMP TABLE _merge_todo AS
      SELECT (row_number() OVER (ORDER BY output))::INTEGER AS no, * FROM _merge_latest SEMI JOIN _merge_new n USING (job_digest, output)`)
    const [count] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM _merge_todo')
    return count!.n
  }

  /** Reads the outputs numbered from `after` + 1, as many as may be held; returns the number of the last. */
  async #readNext(after: number, found: number): Promise<number> {
    if (this.#options.signal?.aborted) throw new FloeError('INTERRUPTED', 'stopped while outputs were being merged')
    const { sql } = this.#tables
    const rows = await sql.rows<Todo>(
      `SELECT no, output, site, path, is_pack, offset_bytes, size_bytes, digest FROM _merge_todo WHERE no > ${after} ORDER BY no LIMIT ${this.#options.filesMax ?? FILES_MAX}`,
    )
    const chosen: Todo[] = []
    let bytes = 0
    for (const row of rows) {
      if (chosen.length > 0 && bytes + row.size_bytes > CHUNK_BYTES) break
      bytes += row.size_bytes
      chosen.push(row)
    }
    const folder = join(this.#folder, String(this.#chunks))
    mkdirSync(folder, { mode: 0o700, recursive: true })
    const outputs = await this.#here(chosen, folder)
    const table = `_merge_typed_${this.#chunks++}`
    const mayWiden = (column: ContentColumn) => this.#mayWiden(column)
    this.#pending.push(await readChunk({ sql, folder, outputs, columns: this.#columns, mayWiden, table }))
    this.#pendingBytes += bytes
    const range = { from: outputs[0]!.no, to: outputs.at(-1)!.no }
    await this.#account(table, range)
    rmSync(folder, { recursive: true, force: true })
    if (this.#pendingBytes >= (this.#options.bytesMax ?? COMMIT_BYTES) && range.to < found) {
      await this.#commit(await this.#factsAfter(null))
    }
    return range.to
  }

  async #here(rows: readonly Todo[], folder: string): Promise<Output[]> {
    const { root, bring } = this.#options
    const { outputs: packs } = campaignPaths(root)
    const far = rows
      .filter(({ site, path }) => site !== null && (site !== 'local' || path.includes('://')))
      .map(({ site, path, is_pack, digest }) => ({ site: site!, path, ...(!is_pack && { digest }) }))
    const brought = far.length > 0 && bring ? await bring(far, folder) : undefined
    return rows.map((row) => outputOf({ ...row, path: brought?.get(row.path) ?? row.path }, packs))
  }

  /** Counts what a chunk brought, and puts down what gave no rows. */
  async #account(table: string, { from, to }: { from: number; to: number }): Promise<void> {
    const { sql } = this.#tables
    const [counts] = await sql.rows<{ rows: number; outputs: number }>(
      `SELECT count(*) AS rows, count(*) FILTER (output_row = 0) AS outputs FROM ${table}`,
    )
    this.#rows += counts!.rows
    this.#outputs += counts!.outputs
    this.#pendingRows += counts!.rows
    await sql.run(`INSERT INTO _merge_ledger_new
      SELECT t.job_digest, t.output, t.digest, CASE WHEN l.no IS NULL THEN 'empty' WHEN NOT l.is_lasting THEN 'passing' WHEN l.reason IS NULL THEN 'types' ELSE 'unreadable' END, l.reason, l.column_name, l.found, l.wanted
      FROM _merge_todo t LEFT JOIN ${LEFT} l USING (no) ANTI JOIN (SELECT job_digest, output FROM ${table} WHERE output_row = 0) m USING (job_digest, output)
      WHERE t.no BETWEEN ${from} AND ${to}`)
  }

  async #factsAfter(results: number | null): Promise<Facts> {
    const columns = [...this.#columns.values()]
    const seed = JSON.stringify([results, columns, this.#rows])
    const { sql } = this.#tables
    const [passing] = await sql.rows<{ n: number }>(
      "SELECT count(*) AS n FROM _merge_ledger_new WHERE kind = 'passing'",
    )
    return {
      results,
      ...(await readLeftOut(sql)),
      passing: passing!.n,
      untyped: columns.filter(({ type }) => type === null).map(({ name }) => name),
      origin: this.#facts.origin || createHash('sha256').update(seed).digest('hex').slice(0, 16),
    }
  }

  /** A BIGINT column becomes DOUBLE only if none of its values would be rounded. */
  async #mayWiden({ name, type }: ContentColumn): Promise<boolean> {
    if (type !== 'BIGINT') return true
    const holders = this.#pending.filter(({ columns }) => columns.some((column) => column.name === name))
    const isStored = this.#content.schema.some((column) => column.name === name)
    const sources = [...holders.map(({ table }) => table), ...(isStored ? ['_merge_content'] : [])]
    for (const source of sources) {
      const x = quoteName(name)
      const [answer] = await this.#tables.sql.rows<{ ok: boolean }>(
        `SELECT coalesce(min(${x}) >= -9007199254740992 AND max(${x}) <= 9007199254740992, true) AS ok FROM ${source}`,
      )
      if (!answer!.ok) return false
    }
    return true
  }

  /**
   * Commits what was read. When a column became wider than the table has it, the commit rewrites all parts: Delta readers take one type for
   * all parts of a table.
   */
  async #commit(facts: Facts, version?: number): Promise<void> {
    const columns = [...this.#columns.values()].filter((one): one is { name: string; type: ContentType } => !!one.type)
    const stored = new Map(this.#content.schema.map(({ name, type }) => [name, contentType(type)]))
    const isWider = columns.some(({ name, type }) => stored.has(name) && stored.get(name) !== type)
    const old = columns.flatMap(({ name }) => (stored.has(name) ? [{ name, type: stored.get(name)! }] : []))
    const sources = [...this.#pending, ...(isWider ? [{ table: '_merge_content', columns: old }] : [])]
    const selects = sources.map((source) => selectAs(source, columns))
    const keys = [
      { name: 'job_digest', type: 'VARCHAR' },
      { name: 'output', type: 'VARCHAR' },
      { name: 'output_row', type: 'BIGINT' },
    ]
    const isNewer = version !== undefined && version > (this.#content.txns.get('results') ?? -1)
    const done = await this.#tables.commit('merged', {
      operation: 'merge outputs',
      ...(this.#pendingRows > 0 || this.#content.version < 0 ? { select: selects.join(' UNION ALL ') } : {}),
      ...(isWider ? { remove: this.#content.parts } : {}),
      ...(isNewer ? { txn: { appId: 'results', version } } : {}),
      ...(this.#options.guard ? { guard: this.#options.guard } : {}),
      schema: [...keys, ...columns],
      facts: facts as unknown as Readonly<Record<string, Json>>,
      expect: this.#content.version,
    })
    if (done === undefined) throw new FloeError('TABLE_CONFLICT', 'another process merged the same results')
    for (const { table } of this.#pending) await this.#tables.sql.run(`DROP TABLE ${table}`)
    this.#pending = []
    this.#pendingBytes = 0
    this.#pendingRows = 0
    if (version === undefined) await this.#readTable()
  }
}

function readFacts(facts: Readonly<Record<string, Json>>): Facts {
  return {
    ...{ results: null, skipped: 0, conflicts: [], unreadable: [], passing: 0, untyped: [], origin: '' },
    ...(facts as unknown as Partial<Facts>),
  }
}

const said = ({ skipped, conflicts, unreadable }: LeftOut): LeftOut => ({ skipped, conflicts, unreadable })
