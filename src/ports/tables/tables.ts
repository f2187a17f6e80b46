import type { Json } from '../../model/json.ts'
import type { TableName } from '../../model/tables.ts'

/** What DuckDB gives back as JavaScript: BIGINT as number when safe, timestamps as microseconds since 1970, lists as arrays, structs and maps as objects. */
export type Value = string | number | bigint | boolean | null | readonly Value[] | { readonly [key: string]: Value }
export type Row = Readonly<Record<string, Value>>

/** A DuckDB session, in memory, with bounded memory and threads; it spills to a folder of the campaign's cache. */
export interface Sql {
  run(sql: string, parameters?: readonly Value[]): Promise<void>
  /** All rows; for answers that are known to be small. */
  rows<T extends Row = Row>(sql: string, parameters?: readonly Value[]): Promise<T[]>
  /** Rows in chunks of at most 2,048, as they come. */
  stream<T extends Row = Row>(sql: string, parameters?: readonly Value[]): AsyncIterable<T[]>
  /** Chunk by chunk, column by column; fixed-width columns without nulls come as typed arrays. For millions of rows. */
  columns(sql: string, parameters?: readonly Value[]): AsyncIterable<readonly ColumnChunk[]>
  /** Rows into a temporary table through DuckDB's appender. `columns` are names and DuckDB types. */
  load(
    table: string,
    columns: readonly { name: string; type: string }[],
    rows: AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>,
  ): Promise<number>
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
  /** Null for a table that is not there yet. */
  readonly schema: readonly { readonly name: string; readonly type: string }[]
}

export interface Commit {
  /** SELECT that gives the new rows, all columns of the table by name; absent: only removals or facts. */
  readonly select?: string
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
  /** The newest version; version -1 and no parts when the table is not there. Throws TABLE_DAMAGED with the file that is. */
  snapshot(table: TableName): Promise<Snapshot>
  /** Makes (or makes anew) a temporary view over the snapshot, named `name` or as the table; typed and empty when the table is not there. */
  view(table: TableName, snapshot?: Snapshot, name?: string): Promise<Snapshot>
  /** Returns the new version, or undefined when `txn` was published before. Throws TABLE_CONFLICT. */
  commit(table: TableName, commit: Commit): Promise<number | undefined>
  /** Joins small parts, writes a checkpoint when due, deletes parts that no version of the last `keepSec` lists. Returns what it did. */
  maintain(
    table: TableName,
    options?: { keepSec?: number },
  ): Promise<{ compacted: number; deleted: number; freedBytes: number }>
  close(): Promise<void>
}
