import { join } from 'node:path'
import type { TableName } from '../../model/tables.ts'
import type { Files } from '../files/files.ts'
import { damaged } from './faults.ts'
import { type Action, checkpointName, LOG, type LogState } from './log.ts'
import type { Near } from './near.ts'
import { quotePath, quoteText } from './quote.ts'
import type { Session } from './session.ts'

/** A checkpoint is due when this many commits lie behind the last one. */
export const CHECKPOINT_EVERY = 100

/** Removals are told in checkpoints for as long as Delta readers expect by default. */
const TOMBSTONE_MS = 7 * 86_400_000

/** Columns of a checkpoint file, one struct for each kind of action. */
const COLUMNS = `{
  txn: 'STRUCT("appId" VARCHAR, "version" BIGINT, "lastUpdated" BIGINT)',
  "add": 'STRUCT("path" VARCHAR, "partitionValues" MAP(VARCHAR, VARCHAR), "size" BIGINT, "modificationTime" BIGINT, "dataChange" BOOLEAN, "stats" VARCHAR)',
  "remove": 'STRUCT("path" VARCHAR, "deletionTimestamp" BIGINT, "dataChange" BOOLEAN)',
  "metaData": 'STRUCT("id" VARCHAR, "format" STRUCT("provider" VARCHAR, "options" MAP(VARCHAR, VARCHAR)), "schemaString" VARCHAR, "partitionColumns" VARCHAR[], "configuration" MAP(VARCHAR, VARCHAR), "createdTime" BIGINT)',
  protocol: 'STRUCT("minReaderVersion" INTEGER, "minWriterVersion" INTEGER)'
}`

export interface CheckpointPlace {
  readonly session: Session
  readonly files: Files
  readonly near: Near
  readonly table: TableName
  /** Of the table. */
  readonly folder: string
  readonly now: number
}

/** Writes what holds at the state's version as one Parquet file and points `_last_checkpoint` at it. Readers see all of it or none. */
export async function writeCheckpoint(place: CheckpointPlace, state: LogState): Promise<void> {
  const { session, near, table } = place
  const name = join(LOG, `.${state.version}.${process.pid}.checkpoint`)
  const temporary = join(near.root, table, name)
  const lines = actionsOf(state, place.now).map((action) => JSON.stringify(action))
  const source = join(near.root, table, LOG, `.${state.version}.${process.pid}.ndjson`)
  try {
    await near.files.makeFolders(join(near.root, table, LOG))
    await near.files.write(source, `${lines.join('\n')}\n`)
    await session.run(
      `COPY (SELECT txn, "add", "remove", "metaData", protocol FROM read_json(${quotePath(source)},
        format = 'newline_delimited', columns = ${COLUMNS}, maximum_object_size = 268435456))
       TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION zstd)`,
    )
    await near.place(table, [{ name, as: join(LOG, checkpointName(state.version)) }])
  } finally {
    await near.files.remove(source)
    await near.files.remove(temporary)
  }
  const pointer = join(place.folder, LOG, '_last_checkpoint')
  await place.files.write(pointer, JSON.stringify({ version: state.version, size: lines.length }))
}

function actionsOf(state: LogState, now: number): Action[] {
  const actions: Action[] = [{ protocol: state.protocol }]
  if (state.metaData) actions.push({ metaData: state.metaData })
  for (const [appId, version] of state.txns) actions.push({ txn: { appId, version } })
  for (const remove of state.removes.values()) {
    if (now - remove.deletionTimestamp < TOMBSTONE_MS) actions.push({ remove: { ...remove, dataChange: false } })
  }
  for (const add of state.adds.values()) actions.push({ add: { ...add, dataChange: false } })
  return actions
}

/** The actions of the checkpoint of a version. */
export async function readCheckpoint(place: Omit<CheckpointPlace, 'now'>, version: number): Promise<Action[]> {
  const { session, near, table } = place
  const name = join(LOG, checkpointName(version))
  const path = join(near.root, table, name)
  try {
    await near.bring(table, [{ path: name }])
    const rows = await session.rows<Record<string, string | null>>(
      `SELECT CASE WHEN txn IS NOT NULL THEN json_object('txn', txn)
                   WHEN "add" IS NOT NULL THEN json_object('add', "add")
                   WHEN "remove" IS NOT NULL THEN json_object('remove', "remove")
                   WHEN "metaData" IS NOT NULL THEN json_object('metaData', "metaData")
                   WHEN protocol IS NOT NULL THEN json_object('protocol', protocol) END AS action
       FROM read_parquet(${quotePath(path)}, hive_partitioning = false)`,
    )
    return rows.filter((row) => row.action !== null).map((row) => withoutNulls(JSON.parse(row.action!)) as Action)
  } catch (cause) {
    throw damaged(join(place.folder, name), 'the checkpoint cannot be read', { cause })
  }
}

/** Drops absent fields, which a struct column spells as null. */
function withoutNulls(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const kept = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutNulls(field)]))
}
