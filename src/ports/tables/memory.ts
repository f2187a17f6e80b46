import { createRequire } from 'node:module'
import type * as duck from '@duckdb/node-api'
import type { TableName } from '../../model/tables.ts'
import type { Clock } from '../clock.ts'
import { isPublished, shapeFor } from './commit.ts'
import { toSnapshot } from './delta.ts'
import type { Draft } from './draft.ts'
import { explainFault } from './faults.ts'
import { type Add, emptyState, type LogState } from './log.ts'
import { quoteName, quoteText } from './quote.ts'
import { lazySession, type Session } from './session.ts'
import type { Commit, Part, Snapshot, Tables } from './tables.ts'
import { type NamedType, sameType } from './types.ts'
import { columnsOf, selectParts } from './view.ts'

/**
 * One engine for the tables in memory of a process: to make one takes longer than a small campaign does in it. 1.5 GB and one thread, unless told
 * otherwise by who asks first.
 */
let engine: Promise<duck.DuckDBInstance> | undefined
let stores = 0

const engineOf = (threads: number): Promise<duck.DuckDBInstance> => {
  const { DuckDBInstance } = createRequire(import.meta.url)('@duckdb/node-api') as typeof duck
  engine ??= DuckDBInstance.create(':memory:', {
    ...{ memory_limit: '1500MiB', threads: String(threads), preserve_insertion_order: 'false' },
    ...{ autoinstall_known_extensions: 'false', autoload_known_extensions: 'false' },
  })
  return engine
}

/** Rows of one table with the same columns, of all parts that were ever written; which of them live is in the log. */
interface Heap {
  readonly name: string
  readonly columns: readonly NamedType[]
}

/** Number of the part of a row. */
const PART = '_part'

export interface MemoryOptions {
  readonly clock: Clock
  readonly threads?: number
}

/** Tables that live as long as this: sessions come and go, as those of a coordinator that dies and is started again. */
export interface MemoryTables {
  open(): Tables
  /** Paths of all parts that are held, live or not. */
  parts(table: TableName): Promise<string[]>
  close(): Promise<void>
}

/**
 * The tables port in memory: for rehearsals and simulations. Commits, versions, facts, conflicts and repeated publishes are as on disk; nothing is
 * written there, and `fence` gives a session that is not fenced, so no SQL of strangers may be run in it.
 */
export function memoryTables({ clock, threads = 1 }: MemoryOptions): MemoryTables {
  const base = `m${++stores}`
  const attached = attach(base, threads)
  const newSession = () =>
    lazySession({
      ...{ cache: '', memoryBytes: 0, uuid: () => clock.uuid(), explain: (cause) => explainFault(cause, 'memory') },
      shared: () => attached,
    })
  const held: Held = { base, clock, states: new Map(), heaps: new Map(), nextPart: 1, views: new Set() }
  const own = newSession()
  return {
    open: () => new MemorySession(held, newSession),
    parts: async (table) => {
      const found: string[] = []
      for (const { name } of held.heaps.get(table) ?? []) {
        const rows = await own.rows<{ part: number }>(`SELECT DISTINCT ${PART} AS part FROM ${base}.${quoteName(name)}`)
        for (const { part } of rows) found.push(pathOf(name, part))
      }
      return found.sort()
    },
    async close() {
      await own.run(`DETACH ${base}`)
      await own.close()
    },
  }
}

async function attach(base: string, threads: number): Promise<duck.DuckDBInstance> {
  const instance = await engineOf(threads)
  const connection = await instance.connect()
  await connection.run(`ATTACH ':memory:' AS ${base}`)
  connection.closeSync()
  return instance
}

interface Held {
  /** Name of the database. */
  readonly base: string
  readonly clock: Clock
  readonly states: Map<TableName, LogState>
  readonly heaps: Map<TableName, Heap[]>
  nextPart: number
  /** What views of open sessions read. */
  readonly views: Set<ReadonlyMap<string, ReadonlySet<string>>>
}

const pathOf = (heap: string, part: number): string => `${heap}/${part}`
const placeOf = (path: string): { heap: string; part: number } => {
  const [heap, part] = path.split('/') as [string, string]
  return { heap, part: Number(part) }
}

class MemorySession implements Tables {
  readonly hasReaders = false
  readonly sql: Session
  readonly #held: Held
  readonly #newSession: () => Session
  readonly #viewed = new Map<string, ReadonlySet<string>>()

  constructor(held: Held, newSession: () => Session) {
    this.#held = held
    this.#newSession = newSession
    this.sql = newSession()
    held.views.add(this.#viewed)
  }

  async snapshot(table: TableName): Promise<Snapshot> {
    return toSnapshot(table, this.#state(table))
  }

  async head(table: TableName): Promise<Pick<Snapshot, 'version' | 'facts' | 'factsVersion' | 'rowsVersion'>> {
    const { version, facts, factsVersion, rowsVersion } = this.#state(table)
    return { version, facts, factsVersion, rowsVersion }
  }

  view(table: TableName, snapshot?: Snapshot, name: string = table): Promise<Snapshot> {
    return this.#viewIn(this.sql, table, snapshot, name)
  }

  async #viewIn(session: Session, table: TableName, given: Snapshot | undefined, name: string): Promise<Snapshot> {
    const shown = given ?? (await this.snapshot(table))
    await session.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${this.#select(shown)}`)
    this.#viewed.set(name, new Set(shown.parts.map(({ path }) => path)))
    return shown
  }

  async holding(snapshot: Snapshot, keys: string, by: readonly string[]): Promise<readonly Part[]> {
    if (snapshot.parts.length === 0) return []
    const places = this.#heaps(snapshot.parts).map(
      ([heap, parts]) =>
        `SELECT ${[...by.map(quoteName), `${quoteText(heap)} || '/' || ${PART} AS path`].join(', ')} FROM ${this.#heap(heap)} WHERE ${within(parts)}`,
    )
    const found = await this.sql.rows<{ path: string }>(
      `SELECT DISTINCT path FROM (${places.join(' UNION ALL ')}) SEMI JOIN ${keys} USING (${by.map(quoteName).join(', ')})`,
    )
    const paths = new Set(found.map(({ path }) => path))
    return snapshot.parts.filter(({ path }) => paths.has(path))
  }

  async draft(table: TableName, select: string): Promise<Draft> {
    const adds = await this.#write(table, { select, operation: 'draft' }, true)
    const count = adds.reduce((sum, { stats }) => sum + (JSON.parse(stats!) as { numRecords: number }).numRecords, 0)
    const [place] = this.#heaps(adds)
    const rows =
      place && `(SELECT * EXCLUDE (${PART}), rowid AS row FROM ${this.#heap(place[0])} WHERE ${within(place[1])})`
    return { adds, count, rows, first: undefined }
  }

  async discard(table: TableName, { adds }: Draft): Promise<void> {
    const { adds: live } = this.#state(table)
    await this.#drop(adds.filter(({ path }) => !live.has(path)))
  }

  async commit(table: TableName, commit: Commit): Promise<number | undefined> {
    if (isPublished(table, commit, this.#state(table))) return undefined
    const written = commit.select === undefined ? [] : await this.#write(table, commit, true)
    try {
      await commit.guard?.()
      const state = this.#state(table)
      if (isPublished(table, commit, state)) {
        await this.#drop(written)
        return undefined
      }
      const next = following(state, table, commit, [...(commit.adopt ?? []), ...written], this.#held.clock)
      this.#held.states.set(table, next)
      return next.version
    } catch (cause) {
      await this.#drop(written)
      throw cause
    }
  }

  /** Nothing to join here; what no version of the last `keepSec` lists and no view reads is let go. */
  async maintain(
    table: TableName,
    { keepSec = 3600 }: { keepSec?: number } = {},
  ): Promise<{ compacted: number; deleted: number; freedBytes: number }> {
    const state = this.#state(table)
    const before = this.#held.clock.now() - keepSec * 1000
    const inUse = (path: string) =>
      [...this.#held.views].some((views) => [...views.values()].some((paths) => paths.has(path)))
    const due = [...state.removes.values()].filter((gone) => gone.deletionTimestamp < before && !inUse(gone.path))
    await this.#drop(due)
    const removes = new Map(state.removes)
    for (const { path } of due) removes.delete(path)
    this.#held.states.set(table, { ...state, removes })
    return { compacted: 0, deleted: due.length, freedBytes: 0 }
  }

  async fence(prepare: Parameters<Tables['fence']>[0]): ReturnType<Tables['fence']> {
    const inside = this.#newSession()
    try {
      await prepare({
        sql: inside,
        view: (table, snapshot, name = table) => this.#viewIn(inside, table, snapshot, name),
      })
      return { sql: inside, close: () => inside.close() }
    } catch (cause) {
      await inside.close()
      throw cause
    }
  }

  async close(): Promise<void> {
    this.#held.views.delete(this.#viewed)
    await this.sql.close()
  }

  #state(table: TableName): LogState {
    return this.#held.states.get(table) ?? emptyState()
  }

  #heap(name: string): string {
    return `${this.#held.base}.${quoteName(name)}`
  }

  #select(snapshot: Snapshot): string {
    if (snapshot.parts.length === 0) return selectParts('', snapshot, [])
    const columns = columnsOf(snapshot.table, snapshot.schema)
    const heaps = this.#held.heaps.get(snapshot.table) ?? []
    const selects = this.#heaps(snapshot.parts).map(([name, parts]) => {
      const there = new Set(heaps.find((heap) => heap.name === name)!.columns.map((column) => column.name))
      const list = columns.map((column) =>
        there.has(column.name) ? quoteName(column.name) : `CAST(NULL AS ${column.type}) AS ${quoteName(column.name)}`,
      )
      return `SELECT ${list.join(', ')} FROM ${this.#heap(name)} WHERE ${within(parts)}`
    })
    return selects.join(' UNION ALL ')
  }

  /** Parts by the heap that they lie in. */
  #heaps(parts: readonly { readonly path: string }[]): [string, number[]][] {
    const found = new Map<string, number[]>()
    for (const { path } of parts) {
      const { heap, part } = placeOf(path)
      const same = found.get(heap)
      if (same) same.push(part)
      else found.set(heap, [part])
    }
    return [...found]
  }

  async #write(table: TableName, commit: Commit, dataChange: boolean): Promise<Add[]> {
    const now = this.#held.clock.now()
    const { columns, partitionBy } = shapeFor(table, commit, this.#state(table), { id: '', now })
    const heap = await this.#heapFor(table, columns)
    const list = columns.map(({ name, type }) => `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`)
    const rows = `(SELECT ${list.join(', ')} FROM (${commit.select}))`
    const first = this.#held.nextPart
    const add = (part: number, count: number, values: Add['partitionValues']): Add => ({
      ...{ path: pathOf(heap, part), partitionValues: values, size: 0, modificationTime: now, dataChange },
      stats: JSON.stringify({ numRecords: count }),
    })
    if (partitionBy.length === 0) {
      this.#held.nextPart++
      const [inserted] = await this.sql.rows<{ Count: number }>(
        `INSERT INTO ${this.#heap(heap)} SELECT ${first}, * FROM ${rows}`,
      )
      return inserted!.Count === 0 ? [] : [add(first, inserted!.Count, {})]
    }
    const by = partitionBy.map(quoteName).join(', ')
    // As many parts as there are rows at most.
    this.#held.nextPart += 2 ** 32
    await this.sql.run(
      `INSERT INTO ${this.#heap(heap)} SELECT ${first} + dense_rank() OVER (ORDER BY ${by}) - 1, * FROM ${rows}`,
    )
    const parts = await this.sql.rows<{ part: number; count: number }>(
      `SELECT ${PART} AS part, count(*)::DOUBLE AS count, ${by} FROM ${this.#heap(heap)}
       WHERE ${PART} BETWEEN ${first} AND ${first + 2 ** 32 - 1} GROUP BY ALL ORDER BY part`,
    )
    return parts.map(({ part, count, ...values }) =>
      add(part, count, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))),
    )
  }

  async #heapFor(table: TableName, columns: readonly NamedType[]): Promise<string> {
    const heaps = this.#held.heaps.get(table) ?? []
    const last = heaps.at(-1)
    if (last && isSame(last.columns, columns)) return last.name
    const heap = { name: `${table}_${heaps.length + 1}`, columns }
    const list = columns.map(({ name, type }) => `${quoteName(name)} ${type}`)
    await this.sql.run(`CREATE TABLE ${this.#heap(heap.name)} (${PART} BIGINT, ${list.join(', ')})`)
    this.#held.heaps.set(table, [...heaps, heap])
    return heap.name
  }

  async #drop(parts: readonly { readonly path: string }[]): Promise<void> {
    for (const [heap, numbers] of this.#heaps(parts))
      await this.sql.run(`DELETE FROM ${this.#heap(heap)} WHERE ${within(numbers)}`)
  }
}

const isSame = (some: readonly NamedType[], others: readonly NamedType[]): boolean =>
  some.length === others.length &&
  some.every(({ name, type }, at) => name === others[at]!.name && sameType(type, others[at]!.type))

/** As ranges: parts that were written one after the other make one. */
function within(parts: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const part of [...parts].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last && part <= last[1] + 1) last[1] = part
    else ranges.push([part, part])
  }
  return `(${ranges.map(([from, to]) => (from === to ? `${PART} = ${from}` : `${PART} BETWEEN ${from} AND ${to}`)).join(' OR ')})`
}

/** The state after a commit, as its file in a log would say it. */
function following(
  state: LogState,
  table: TableName,
  commit: Commit,
  adds: readonly Add[],
  { now, uuid }: Clock,
): LogState {
  const version = state.version + 1
  const { metaData } = shapeFor(table, commit, state, { id: state.metaData?.id ?? uuid(), now: now() })
  const live = new Map(state.adds)
  const removes = new Map(state.removes)
  for (const { path } of commit.remove ?? []) {
    live.delete(path)
    removes.set(path, { path, deletionTimestamp: now(), dataChange: true })
  }
  for (const add of adds) live.set(add.path, add)
  const txns = commit.txn ? new Map([...state.txns, [commit.txn.appId, commit.txn.version]]) : state.txns
  return {
    ...{ ...state, version, adds: live, removes, txns, metaData: metaData ?? state.metaData },
    ...(commit.facts && { facts: commit.facts, factsVersion: version }),
    rowsVersion: adds.length + (commit.remove?.length ?? 0) === 0 ? state.rowsVersion : version,
  }
}
