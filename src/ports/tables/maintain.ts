import { join } from 'node:path'
import { FloeError } from '../../model/errors.ts'
import type { TableName } from '../../model/tables.ts'
import { writeCheckpoint } from './checkpoint.ts'
import { type Delta, toSnapshot } from './delta.ts'
import { commitName, LOG, type LogState, versionsIn } from './log.ts'
import type { Part, Snapshot } from './tables.ts'
import { selectParts } from './view.ts'

/** Parts below this size are joined, when there are so many in one partition. */
const SMALL_BYTES = 32 * 2 ** 20
const SMALL_COUNT = 10

/** Rows that are asked for by range lie in that order. */
const ORDER: Partial<Record<TableName, string>> = { plan: 'plan_id, position' }

export interface Upkeep {
  readonly keepSec: number
  /** For what no version lists: it may be of a commit that is being made. */
  readonly strayKeepSec: number
  /** Parts that views of this session read. */
  readonly inUse: ReadonlySet<string>
}

/** Joins small parts, removes what no reader can want any more. Each step is whole in itself; a conflict with another process ends it quietly. */
export async function maintainTable(delta: Delta, table: TableName, upkeep: Upkeep) {
  const compacted = await compact(delta, table)
  const state = await delta.refresh(table)
  if (state.version < 0) return { compacted: 0, deleted: 0, freedBytes: 0 }
  const now = delta.clock.now()
  const kept = { state, keepFrom: now - upkeep.keepSec * 1000, strayKeepFrom: now - upkeep.strayKeepSec * 1000 }
  await trimLog(delta, table, kept)
  return { compacted, ...(await vacuum(delta, table, { ...kept, inUse: upkeep.inUse })) }
}

async function compact(delta: Delta, table: TableName): Promise<number> {
  const snapshot = toSnapshot(table, await delta.refresh(table))
  const small = smallParts(snapshot)
  if (small.length === 0) return 0
  const order = ORDER[table] ? ` ORDER BY ${ORDER[table]}` : ''
  const select = `${selectParts(join(delta.near.root, table), snapshot, small)}${order}`
  try {
    await delta.near.bring(table, small)
    await delta.commit(
      table,
      { select, remove: small, operation: 'OPTIMIZE', schema: snapshot.schema },
      { dataChange: false },
    )
    return small.length
  } catch (cause) {
    if (cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') return 0
    throw cause
  }
}

function smallParts(snapshot: Snapshot): Part[] {
  const groups = new Map<string, Part[]>()
  for (const part of snapshot.parts) {
    if (part.sizeBytes >= SMALL_BYTES) continue
    const key = JSON.stringify(part.partitionValues)
    groups.set(key, [...(groups.get(key) ?? []), part])
  }
  return [...groups.values()].filter((parts) => parts.length >= SMALL_COUNT).flat()
}

interface Kept {
  readonly state: LogState
  readonly keepFrom: number
  readonly strayKeepFrom: number
}

/** Commit files behind a checkpoint go, oldest first, but the newest, which tells the facts. */
async function trimLog(delta: Delta, table: TableName, { state, keepFrom, strayKeepFrom }: Kept): Promise<void> {
  const log = join(delta.folder(table), LOG)
  const entries = await delta.files.list(log)
  const namesBefore = (time: number) => entries.filter((entry) => entry.mtime / 1000 < time).map((entry) => entry.name)
  const isBehind = (version: number) => version < state.checkpoint && version < state.version
  const commits = versionsIn(namesBefore(keepFrom), 'json').filter(isBehind)
  // A writer may have died between its checkpoint and the file that points at it; without that file some readers begin at commit 0.
  if (commits.length > 0 && (await pointedAt(delta, log)) !== state.checkpoint) {
    await writeCheckpoint({ ...delta, table, folder: delta.folder(table), now: delta.clock.now() }, state)
  }
  for (const version of commits) await delta.files.remove(join(log, commitName(version)))
  const strays = namesBefore(strayKeepFrom).filter((name) => name.startsWith('.'))
  for (const name of strays) await delta.files.remove(join(log, name))
}

async function pointedAt(delta: Delta, log: string): Promise<number | undefined> {
  try {
    const content = await delta.files.read(join(log, '_last_checkpoint'))
    return content && (JSON.parse(content.toString('utf8')) as { version: number }).version
  } catch {
    return undefined
  }
}

async function vacuum(delta: Delta, table: TableName, kept: Kept & { inUse: ReadonlySet<string> }) {
  const { state } = kept
  const root = delta.folder(table)
  let deleted = 0
  let freedBytes = 0
  const top = await delta.files.list(root)
  for (const folder of [
    '',
    ...top.filter((entry) => entry.kind === 'folder' && entry.name.includes('=')).map((e) => e.name),
  ]) {
    const entries = folder === '' ? top : await delta.files.list(join(root, folder))
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.kind !== 'file' || !/\.parquet/.test(entry.name) || state.adds.has(path)) continue
      const removedAt = state.removes.get(path)?.deletionTimestamp
      const keepFrom = removedAt === undefined ? kept.strayKeepFrom : kept.keepFrom
      if (Math.max(removedAt ?? 0, entry.mtime / 1000) >= keepFrom || kept.inUse.has(join(root, path))) continue
      await delta.near.drop(table, [path])
      deleted += 1
      freedBytes += entry.sizeBytes
    }
  }
  return { deleted, freedBytes }
}
