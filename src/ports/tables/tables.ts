import { join } from 'node:path'
import type { Json } from '../../model/json.ts'
import type { TableName } from '../../model/tables.ts'
import type { Clock } from '../clock.ts'
import { diskFiles } from '../files/disk.ts'
import type { Files } from '../files/files.ts'
import { openDelta, toSnapshot } from './delta.ts'
import type { Draft } from './draft.ts'
import { explainFault } from './faults.ts'
import { maintainTable } from './maintain.ts'
import { diskNear, type Near } from './near.ts'
import { quoteName } from './quote.ts'
import { lazySession, type Session } from './session.ts'
import { selectParts, selectPlaces } from './view.ts'

export type { Draft } from './draft.ts'
export type { Near } from './near.ts'
export { quoteName, quotePath, quoteText, quoteTexts } from './quote.ts'

/** What DuckDB gives back as JavaScript: BIGINT as number when safe, timestamps as microseconds since 1970, lists as arrays, structs and maps as objects. */
export type Value = string | number | bigint | boolean | null | readonly Value[] | { readonly [key: string]: Value }
export type Row = Readonly<Record<string, Value>>

/**
 * A DuckDB session, in memory, with bounded memory and threads; it spills to a folder of the campaign's cache. The engine is loaded by the
 * first statement. Statements run one after another; while a `stream` or `columns` is being read no other may be sent (BUG).
 */
export interface Sql {
  run(sql: string, parameters?: readonly Value[]): Promise<void>
  /** All rows; for answers that are known to be small. */
  rows<T extends Row = Row>(sql: string, parameters?: readonly Value[]): Promise<T[]>
  /** Rows in chunks of at most 2,048, as they come. */
  stream<T extends Row = Row>(sql: string, parameters?: readonly Value[]): AsyncIterable<T[]>
  /** Chunk by chunk, column by column; fixed-width columns without nulls come as typed arrays. For millions of rows. */
  columns(sql: string, parameters?: readonly Value[]): AsyncIterable<readonly ColumnChunk[]>
  /** The statements of a text, prepared and not run; throws DuckDB's error of the parser or binder. */
  describe(sql: string): Promise<readonly Statement[]>
  /** Rows into a temporary table, made anew, through DuckDB's appender; returns their count. `columns` are names and DuckDB types. */
  load(
    table: string,
    columns: readonly { name: string; type: string }[],
    rows: AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>,
  ): Promise<number>
}

export interface Statement {
  /** `SELECT`, `COPY` … */
  readonly kind: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

export type ColumnChunk = ArrayLike<Value> | Int32Array | BigInt64Array | Float64Array

/** One Parquet part that is live in a table. `path` is relative to the table's folder. */
export interface Part {
  readonly path: string
  readonly partitionValues: Readonly<Record<string, string>>
  readonly sizeBytes: number
  readonly rows: number | null
}

export interface Snapshot {
  readonly table: TableName
  readonly version: number
  readonly parts: readonly Part[]
  /** Last `txn` version of each application id. */
  readonly txns: ReadonlyMap<string, number>
  /** The `floe` object of the newest commit that has one: facts published with the rows. */
  readonly facts: Readonly<Record<string, Json>>
  /** Version of that commit. */
  readonly factsVersion: number
  /** Version of the newest commit by which rows came or went; joining of parts is no such. */
  readonly rowsVersion: number
  /** Columns and DuckDB types; none for a table that is not there yet. */
  readonly schema: readonly { readonly name: string; readonly type: string }[]
  /** Older parts lack columns that were added later. */
  readonly isEvolved: boolean
}

/** What the newest commit file says by itself. */
export type Head = Pick<Snapshot, 'version' | 'facts' | 'factsVersion' | 'rowsVersion'>

export interface Commit {
  /** SELECT that gives the new rows, all columns of the table by name; absent: only removals or facts. */
  readonly select?: string
  /** Parts of drafts of this table, which the commit takes as they are. */
  readonly adopt?: Draft['adds']
  /** Parts taken out by this commit (copy on write). The commit conflicts when one is gone already. */
  readonly remove?: readonly Part[]
  /** Recognises a repeated publish: a commit whose version is not larger than the last of the same id does nothing. */
  readonly txn?: { readonly appId: string; readonly version: number }
  /** Written into the commit, read back as `Snapshot.facts`. */
  readonly facts?: Readonly<Record<string, Json>>
  /** Columns of a table without fixed shape (`merged`); new columns may be added; a changed type is refused unless the commit removes all parts (copy on write). */
  readonly schema?: readonly { readonly name: string; readonly type: string }[]
  /** Throws to stop the commit just before it becomes visible (lease lost). */
  readonly guard?: () => Promise<void>
  /** Optimistic check: the commit conflicts when the table is not at this version (-1: must not exist). */
  readonly expect?: number
  /** What made it, for commitInfo. */
  readonly operation: string
}

/**
 * The Delta tables of one campaign. A commit is one file that appears only if absent: all of its parts become visible at once or not
 * at all; readers never wait. Costs a folder listing and the commits since the last checkpoint to read a snapshot.
 */
export interface Tables {
  readonly sql: Sql
  /** Others may read them meanwhile, so that what is stated for them in facts is worth its cost. */
  readonly hasReaders: boolean
  /** The newest version; version -1 and no parts when the table is not there. Throws TABLE_DAMAGED with the file that is. */
  snapshot(table: TableName): Promise<Snapshot>
  /** Version and facts from one listing and one file; never loads the SQL engine, never looks at parts. */
  head(table: TableName): Promise<Head>
  /** Makes (or makes anew) a temporary view over the snapshot, named as the table or as told; typed and empty when the table is not there. */
  view(table: TableName, snapshot?: Snapshot, name?: string): Promise<Snapshot>
  /** The parts that have rows whose values in the columns `by` are in the relation `keys`: what has to be taken out to change those rows. */
  holding(snapshot: Snapshot, keys: string, by: readonly string[]): Promise<readonly Part[]>
  /** Writes the rows of a SELECT as parts that no version lists, for a commit to `adopt`. `discard` it at the end, adopted or not. */
  draft(table: TableName, select: string): Promise<Draft>
  /** Deletes the parts of a draft that no version lists. */
  discard(table: TableName, draft: Draft): Promise<void>
  /** Returns the new version, or undefined when `txn` was published before. Throws TABLE_CONFLICT. */
  commit(table: TableName, commit: Commit): Promise<number | undefined>
  /**
   * Joins small parts, writes a checkpoint when due, deletes parts that no version of the last `keepSec` (an hour) lists. Parts and temporary
   * files that no version lists are kept `strayKeepSec` (as `keepSec`): a commit may be being made of them. Returns what it did.
   */
  maintain(
    table: TableName,
    options?: { keepSec?: number; strayKeepSec?: number },
  ): Promise<{ compacted: number; deleted: number; freedBytes: number }>
  /**
   * A session of its own for the SQL of others: `prepare` makes its views, then it can read the parts of this campaign and nothing else on
   * disk, and no setting can be changed any more. It still runs any statement: look at `describe` first.
   */
  fence(prepare: (inside: Pick<Tables, 'sql' | 'view'>) => Promise<void>): Promise<Fenced>
  close(): Promise<void>
}

export interface Fenced {
  readonly sql: Sql
  close(): Promise<void>
}

export interface TablesOptions {
  /** Directory of the campaign. */
  readonly root: string
  /** Its `.floe` directory, where SQL spills to. */
  readonly cache: string
  readonly clock: Clock
  /** 1.5 GB by default. */
  readonly memoryBytes?: number
  /** The cores by default. */
  readonly threads?: number
  /** Shared with the unix group. */
  readonly group?: boolean
  /** False: nobody reads them meanwhile, as those of a copy that is gone afterwards. */
  readonly hasReaders?: boolean
  /** Where they lie, if not on this machine's disk or a shared file system; then `root` is a path there, and `cache` one here. */
  readonly store?: TableStore
}

export interface TableStore {
  readonly files: Files
  readonly near: Near
}

/** The tables of a campaign. Makes nothing until something is written. */
export async function openTables(options: TablesOptions): Promise<Tables> {
  const { clock } = options
  const root = join(options.root, 'tables')
  const { group = false } = options
  const { files, near } = options.store ?? { files: diskFiles({ group }), near: diskNear(root, { group }) }
  const newSession = () =>
    lazySession({
      cache: options.cache,
      memoryBytes: options.memoryBytes ?? 1.5e9,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      uuid: () => clock.uuid(),
      explain: (cause) => explainFault(cause, near.root),
    })
  const session = newSession()
  const delta = openDelta({ files, near, session, clock, root })
  const viewed = new Map<string, Set<string>>()
  const viewIn =
    (inside: Session): Tables['view'] =>
    async (table, given, name = table) => {
      const shown = given ?? toSnapshot(table, await delta.refresh(table))
      await near.bring(table, shown.parts)
      const select = selectParts(join(near.root, table), shown, shown.parts)
      await inside.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${select}`)
      viewed.set(name, new Set(shown.parts.map((part) => join(delta.folder(table), part.path))))
      return shown
    }
  return {
    sql: session,
    hasReaders: options.hasReaders ?? true,
    snapshot: async (table) => toSnapshot(table, await delta.refresh(table)),
    head: delta.head,
    view: viewIn(session),
    async holding(snapshot, keys, by) {
      if (snapshot.parts.length === 0) return []
      const folder = join(near.root, snapshot.table)
      await near.bring(snapshot.table, snapshot.parts)
      const found = await session.rows<{ filename: string }>(
        `SELECT DISTINCT filename FROM (${selectPlaces(folder, snapshot, by)}) SEMI JOIN ${keys} USING (${by.map(quoteName).join(', ')})`,
      )
      const paths = new Set(found.map(({ filename }) => filename))
      return snapshot.parts.filter((part) => paths.has(join(folder, part.path)))
    },
    draft: (table, select) => delta.draft(table, select),
    discard: (table, draft) => delta.discard(table, draft),
    commit: (table, commit) => delta.commit(table, commit),
    maintain: (table, { keepSec = 3600, strayKeepSec = keepSec } = {}) => {
      const inUse = new Set([...viewed.values()].flatMap((paths) => [...paths]))
      return maintainTable(delta, table, { keepSec, strayKeepSec, inUse })
    },
    async fence(prepare) {
      const inside = newSession()
      try {
        await prepare({ sql: inside, view: viewIn(inside) })
        await inside.lock(near.root)
        return { sql: inside, close: () => inside.close() }
      } catch (cause) {
        await inside.close()
        throw cause
      }
    },
    async close() {
      await session.close()
      await near.close()
    },
  }
}
