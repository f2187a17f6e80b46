import { join } from 'node:path'
import type { Files } from '../files/files.ts'
import { damaged } from './faults.ts'
import { type Action, checkpointName, LOG, type LogState } from './log.ts'
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
  readonly folder: string
  readonly now: number
}

/** Writes what holds at the state's version as one Parquet file and points `_last_checkpoint` at it. Readers see all of it or none. */
export async function writeCheckpoint(place: CheckpointPlace, state: LogState): Promise<void> {
  const { session, files } = place
  const log = join(place.folder, LOG)
  const target = join(log, checkpointName(state.version))
  const lines = actionsOf(state, place.now).map((action) => JSON.stringify(action))
  const source = join(log, `.${state.version}.${process.pid}.ndjson`)
  const temporary = join(log, `.${state.version}.${process.pid}.checkpoint`)
  try {
    await files.write(source, `${lines.join('\n')}\n`)
    await session.run(
      `COPY (SELECT txn, "add", "remove", "metaData", protocol FROM read_json(${quotePath(source)},
        format = 'newline_delimited', columns = ${COLUMNS}, maximum_object_size = 268435456))
       TO ${quoteText(temporary)} (FORMAT parquet, COMPRESSION zstd)`,
    )
    await files.settle([temporary])
    await files.rename(temporary, target)
  } finally {
    await files.remove(source)
    await files.remove(temporary)
  }
  await files.write(join(log, '_last_checkpoint'), JSON.stringify({ version: state.version, size: lines.length }))
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

/** The actions of a checkpoint file. */
export async function readCheckpoint(session: Session, path: string): Promise<Action[]> {
  try {
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
    throw damaged(path, 'the checkpoint cannot be read', { cause })
  }
}

/** Drops absent fields, which a struct column spells as null. */
function withoutNulls(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const kept = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutNulls(field)]))
}
