import { join } from 'node:path'
import type { TableName } from '../../model/tables.ts'
import type { Clock } from '../clock.ts'
import type { Files } from '../files/files.ts'
import { CHECKPOINT_EVERY, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { commitText, conflict, isPublished, publish, shapeFor } from './commit.ts'
import { type Draft, draftRows } from './draft.ts'
import { type Add, type Head, LOG, type LogState, readHead, readLog } from './log.ts'
import { FIRST } from './lost-log.ts'
import type { Near } from './near.ts'
import { writeParts } from './parts.ts'
import type { Session } from './session.ts'
import type { Commit, Part, Snapshot } from './tables.ts'
import { fromSchemaString } from './types.ts'

/** So many other commits may come in between before one gives up. */
const TRIES = 1000

export interface DeltaOptions {
  readonly files: Files
  readonly session: Session
  readonly near: Near
  readonly clock: Clock
  /** `tables/` of the campaign. */
  readonly root: string
}

/** The log of each table, read once and followed from there. */
export interface Delta extends DeltaOptions {
  folder(table: TableName): string
  refresh(table: TableName): Promise<LogState>
  commit(table: TableName, commit: Commit, options?: { dataChange: boolean }): Promise<number | undefined>
  head(table: TableName): Promise<Head>
  draft(table: TableName, select: string): Promise<Draft>
  discard(table: TableName, draft: Draft): Promise<void>
}

export function openDelta(options: DeltaOptions): Delta {
  const states = new Map<TableName, LogState>()
  const folder = (table: TableName) => join(options.root, table)
  const refresh = async (table: TableName) => {
    const source = {
      files: options.files,
      folder: folder(table),
      readCheckpoint: (version: number) => readCheckpoint({ ...options, table, folder: folder(table) }, version),
    }
    const state = await readLog(source, states.get(table))
    states.set(table, state)
    return state
  }
  const delta: Delta = {
    ...options,
    folder,
    refresh,
    head: (table) => readHead(options.files, folder(table)),
    draft: (table, select) => draftOf(delta, table, select),
    discard: (table, draft) => discard(delta, table, draft),
    commit: (table, commit, { dataChange } = { dataChange: true }) => commitTo(delta, { table, commit, dataChange }),
  }
  return delta
}

interface Asked {
  readonly table: TableName
  readonly commit: Commit
  readonly dataChange: boolean
}

async function commitTo(delta: Delta, asked: Asked): Promise<number | undefined> {
  const { table, commit } = asked
  let state = await delta.refresh(table)
  if (isPublished(table, commit, state)) return undefined
  const id = delta.clock.uuid()
  const first = state.version < 0 ? await beginFirst(delta, table, id) : undefined
  const written = commit.select === undefined ? [] : await addsFor(delta, { ...asked, id, state })
  const adds = [...(commit.adopt ?? []), ...written]
  try {
    for (let tries = 0; tries < TRIES; tries++) {
      const now = delta.clock.now()
      const { metaData } = shapeFor(table, commit, state, { id, now })
      const text = commitText({ commit, state, adds, metaData, now, dataChange: asked.dataChange })
      await commit.guard?.()
      const version = state.version + 1
      if (await publish(delta.files, delta.folder(table), { version, text })) {
        if (first !== undefined) await delta.files.remove(first).catch(() => {})
        // The commit is made whatever becomes of the checkpoint; the next commit tries again.
        await checkpointIfDue(delta, table).catch(() => {})
        return version
      }
      state = await delta.refresh(table)
      if (isPublished(table, commit, state)) {
        await dropParts(delta, table, written)
        return undefined
      }
    }
    throw conflict(table, `${TRIES} other commits came first`)
  } catch (cause) {
    await dropUnlisted(delta, table, written)
    throw cause
  }
}

/** Parts lie there before the first commit; with this file beside them nobody takes them for a table that lost its log. It stays if we fail. */
async function beginFirst(delta: Delta, table: TableName, id: string): Promise<string> {
  const log = join(delta.folder(table), LOG)
  const path = join(log, `${FIRST}${id}`)
  await delta.files.makeFolders(log)
  await delta.files.create(path, '')
  return path
}

async function addsFor(delta: Delta, asked: Asked & { id: string; state: LogState }): Promise<Add[]> {
  const now = delta.clock.now()
  const { columns, partitionBy } = shapeFor(asked.table, asked.commit, asked.state, { id: asked.id, now })
  return writeParts(delta.session, delta.near, {
    table: asked.table,
    columns,
    partitionBy,
    select: asked.commit.select!,
    id: asked.id,
    now,
    dataChange: asked.dataChange,
  })
}

async function draftOf(delta: Delta, table: TableName, select: string): Promise<Draft> {
  const state = await delta.refresh(table)
  const id = delta.clock.uuid()
  const first = state.version < 0 ? await beginFirst(delta, table, id) : undefined
  const adds = await addsFor(delta, { table, commit: { select, operation: 'draft' }, dataChange: true, id, state })
  const count = adds.reduce((sum, add) => sum + rowsOf(add)!, 0)
  return { adds, first, count, rows: draftRows(join(delta.near.root, table), adds) }
}

async function discard(delta: Delta, table: TableName, { adds, first }: Draft): Promise<void> {
  await dropUnlisted(delta, table, adds)
  if (first !== undefined) await delta.files.remove(first).catch(() => {})
}

async function dropParts(delta: Delta, table: TableName, adds: readonly Add[]): Promise<void> {
  for (const { path } of adds) await delta.near.drop(table, [path]).catch(() => {})
}

/** After a failure: only parts that the log can be seen not to list. What remains is for `maintain` to find. */
async function dropUnlisted(delta: Delta, table: TableName, adds: readonly Add[]): Promise<void> {
  const state = await delta.refresh(table).catch(() => undefined)
  if (state)
    await dropParts(
      delta,
      table,
      adds.filter((add) => !state.adds.has(add.path)),
    )
}

async function checkpointIfDue(delta: Delta, table: TableName): Promise<void> {
  const state = await delta.refresh(table)
  if (state.version - state.checkpoint < CHECKPOINT_EVERY) return
  await writeCheckpoint({ ...delta, table, folder: delta.folder(table), now: delta.clock.now() }, state)
}

export function toSnapshot(table: TableName, state: LogState): Snapshot {
  return {
    table,
    version: state.version,
    parts: [...state.adds].map(([path, add]) => toPart(path, add)),
    txns: new Map(state.txns),
    facts: state.facts,
    factsVersion: state.factsVersion,
    rowsVersion: state.rowsVersion,
    schema: state.metaData ? fromSchemaString(state.metaData.schemaString) : [],
    isEvolved: state.metaData?.configuration['floe.evolved'] === 'true',
  }
}

function toPart(path: string, add: Add): Part {
  return { path, partitionValues: add.partitionValues, sizeBytes: add.size, rows: rowsOf(add) }
}

const rowsOf = ({ stats }: Add): number | null =>
  (stats ? (JSON.parse(stats) as { numRecords?: number }).numRecords : undefined) ?? null
