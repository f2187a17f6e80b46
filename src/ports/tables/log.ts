import { join } from 'node:path'
import { FloeError } from '../../model/errors.ts'
import type { Json } from '../../model/json.ts'
import type { Files } from '../files/files.ts'
import { damaged } from './faults.ts'
import { refuseLostLog } from './lost-log.ts'

/*
 * Delta log, reader version 1, writer version 2 (https://github.com/delta-io/delta/blob/master/PROTOCOL.md), as floe writes it.
 *
 *   _delta_log/00000000000000000007.json              commit 7: NDJSON, one action a line
 *     {"commitInfo":{timestamp, operation, engineInfo, operationMetrics:{numAddedFiles, numRemovedFiles},
 *                    floe, floeVersion, floeRows}}
 *     {"protocol":…} {"metaData":…}                   in commit 0, and metaData again when columns were added
 *     {"txn":{appId, version, lastUpdated}}           when the commit can be repeated
 *     {"remove":{path, deletionTimestamp, dataChange}} {"add":{path, partitionValues, size, modificationTime, dataChange, stats}}
 *   _delta_log/00000000000000000100.checkpoint.parquet  all that holds after commit 100, one action a row
 *   _delta_log/_last_checkpoint                       {"version":100,"size":rows}
 *   _delta_log/.first-<uuid>                          empty; the first commit is being made: parts may lie there that no log lists yet
 *
 * `floe` holds the facts of the newest commit that stated some, carried on by each later one, `floeVersion` the version that stated
 * them, and `floeRows` the newest version by which rows came or went: the newest file alone tells the facts. `operationMetrics` count the add and
 * remove lines, so a file cut at the end of a line is found out.
 */

export interface Add {
  readonly path: string
  readonly partitionValues: Readonly<Record<string, string>>
  readonly size: number
  readonly modificationTime: number
  readonly dataChange: boolean
  readonly stats?: string
}

export interface Remove {
  readonly path: string
  readonly deletionTimestamp: number
  readonly dataChange: boolean
}

export interface MetaData {
  readonly id: string
  readonly format: { readonly provider: string; readonly options: Readonly<Record<string, string>> }
  readonly schemaString: string
  readonly partitionColumns: readonly string[]
  readonly configuration: Readonly<Record<string, string>>
  readonly createdTime: number
}

export interface CommitInfo {
  readonly timestamp: number
  readonly operation: string
  readonly engineInfo: string
  readonly operationMetrics?: Readonly<Record<string, string>>
  readonly floe?: Readonly<Record<string, Json>>
  readonly floeVersion?: number
  readonly floeRows?: number
}

export interface Action {
  readonly commitInfo?: CommitInfo
  readonly protocol?: { readonly minReaderVersion: number; readonly minWriterVersion: number }
  readonly metaData?: MetaData
  readonly txn?: { readonly appId: string; readonly version: number; readonly lastUpdated?: number }
  readonly add?: Add
  readonly remove?: Remove
}

/** All that holds at a version. */
export interface LogState {
  version: number
  checkpoint: number
  adds: Map<string, Add>
  removes: Map<string, Remove>
  txns: Map<string, number>
  facts: Readonly<Record<string, Json>>
  factsVersion: number
  rowsVersion: number
  protocol: { readonly minReaderVersion: number; readonly minWriterVersion: number }
  metaData: MetaData | undefined
}

export type Head = Pick<LogState, 'version' | 'facts' | 'factsVersion' | 'rowsVersion'>

export const LOG = '_delta_log'
export const ENGINE = 'floe'
export const PROTOCOL = { minReaderVersion: 1, minWriterVersion: 2 }

export function emptyState(): LogState {
  return {
    version: -1,
    checkpoint: -1,
    adds: new Map(),
    removes: new Map(),
    txns: new Map(),
    facts: {},
    factsVersion: -1,
    rowsVersion: -1,
    protocol: PROTOCOL,
    metaData: undefined,
  }
}

export function commitName(version: number): string {
  return `${String(version).padStart(20, '0')}.json`
}

export function checkpointName(version: number): string {
  return `${String(version).padStart(20, '0')}.checkpoint.parquet`
}

/** Versions in the names of a log folder, ascending. */
export function versionsIn(names: readonly string[], kind: 'json' | 'checkpoint.parquet'): number[] {
  const found: number[] = []
  for (const name of names) {
    if (name.length === 21 + kind.length && name[20] === '.' && name.endsWith(kind) && /^\d{20}/.test(name)) {
      found.push(Number(name.slice(0, 20)))
    }
  }
  return found.sort((a, b) => a - b)
}

export interface LogSource {
  readonly files: Files
  /** Folder of the table. */
  readonly folder: string
  /** Actions of the checkpoint of a version. */
  readonly readCheckpoint: (version: number) => Promise<Action[]>
}

/**
 * Brings a state up to the newest version; with none, starts at the newest checkpoint or at commit 0. Costs one listing and the commits that
 * are new. Throws TABLE_DAMAGED naming the file that is missing or cannot be read, and leaves `known` as it was.
 */
export async function readLog(source: LogSource, known?: LogState): Promise<LogState> {
  try {
    return await readOnce(source, known)
  } catch (cause) {
    // Old commits are removed behind a checkpoint, and a listing over a network is no instant: look once more before crying.
    if (!(cause instanceof FloeError && cause.code === 'TABLE_DAMAGED')) throw cause
    const state = await readOnce(source, undefined)
    if (known && state.version < known.version) throw cause
    return state
  }
}

async function readOnce(source: LogSource, known: LogState | undefined): Promise<LogState> {
  const log = join(source.folder, LOG)
  const names = await source.files.names(log)
  const commits = versionsIn(names, 'json')
  const checkpoints = versionsIn(names, 'checkpoint.parquet')
  const newest = Math.max(commits.at(-1) ?? -1, checkpoints.at(-1) ?? -1)
  if (newest < 0) {
    if (known && known.version >= 0) throw damaged(join(log, commitName(known.version)), 'it was there before')
    if (names.includes('_last_checkpoint')) throw damaged(join(log, '_last_checkpoint'), 'it stands without a log')
    await refuseLostLog(source.files, source.folder, { log, names })
    return emptyState()
  }
  if (known && newest < known.version) throw damaged(join(log, commitName(known.version)), 'it was there before')
  const state = known ? copyState(known) : await startAt(source, checkpoints.at(-1))
  const listed = new Set(commits)
  const wanted: number[] = []
  for (let version = state.version + 1; version <= newest; version++) {
    if (!listed.has(version))
      throw damaged(join(log, commitName(version)), 'it is missing, though later ones are there')
    wanted.push(version)
  }
  for (let from = 0; from < wanted.length; from += 64) {
    const some = wanted.slice(from, from + 64)
    const read = await Promise.all(some.map((version) => readCommit(source.files, join(log, commitName(version)))))
    for (const [at, actions] of read.entries()) replay(state, actions, some[at]!)
  }
  state.checkpoint = checkpoints.at(-1) ?? -1
  if (!state.metaData) throw damaged(join(log, commitName(0)), 'no commit says what the columns are')
  return state
}

async function startAt(source: LogSource, checkpoint: number | undefined): Promise<LogState> {
  const state = emptyState()
  if (checkpoint === undefined) return state
  const path = join(source.folder, LOG, checkpointName(checkpoint))
  const actions = await source.readCheckpoint(checkpoint)
  replay(state, actions, checkpoint)
  if (!state.metaData) throw damaged(path, 'it does not say what the columns are')
  state.rowsVersion = checkpoint
  const commitPath = join(source.folder, LOG, commitName(checkpoint))
  const commit = await source.files.read(commitPath)
  if (commit) takeFacts(state, parseCommit(commit, commitPath)[0]?.commitInfo, checkpoint)
  return state
}

async function readCommit(files: Files, path: string): Promise<Action[]> {
  const content = await files.read(path)
  if (!content) throw damaged(path, 'it is missing')
  return parseCommit(content, path)
}

/** The actions of one commit file; TABLE_DAMAGED when it is cut short or no NDJSON. */
export function parseCommit(content: Buffer, path: string): Action[] {
  let actions: Action[]
  try {
    actions = content
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Action)
  } catch (cause) {
    throw damaged(path, 'it is cut short or no NDJSON', { cause })
  }
  if (actions.length === 0) throw damaged(path, 'it is empty')
  if (!actions.every(isAction)) throw damaged(path, 'a line of it is no action')
  const metrics = actions[0]?.commitInfo?.operationMetrics
  if (metrics && actions[0]!.commitInfo!.engineInfo?.startsWith(ENGINE)) {
    const adds = actions.filter((action) => action.add).length
    const removes = actions.filter((action) => action.remove).length
    if (String(adds) !== metrics.numAddedFiles || String(removes) !== metrics.numRemovedFiles) {
      throw damaged(path, `it names ${adds} parts and should name ${metrics.numAddedFiles}`)
    }
  }
  return actions
}

function isAction(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Newest version and its facts from one file, without the parts. Throws TABLE_DAMAGED like `readLog`. */
export async function readHead(files: Files, folder: string): Promise<Head> {
  try {
    return await readHeadOnce(files, folder)
  } catch (cause) {
    if (!(cause instanceof FloeError && cause.code === 'TABLE_DAMAGED')) throw cause
    return readHeadOnce(files, folder)
  }
}

async function readHeadOnce(files: Files, folder: string): Promise<Head> {
  const log = join(folder, LOG)
  const names = await files.names(log)
  const newest = versionsIn(names, 'json').at(-1) ?? -1
  const version = Math.max(newest, versionsIn(names, 'checkpoint.parquet').at(-1) ?? -1)
  if (version < 0) await refuseLostLog(files, folder, { log, names })
  const path = join(log, commitName(newest))
  const content = version >= 0 && newest === version ? await files.read(path) : undefined
  const state = emptyState()
  if (content) takeFacts(state, parseCommit(content, path)[0]?.commitInfo, version)
  const { facts, factsVersion, rowsVersion } = state
  return { version, facts, factsVersion, rowsVersion }
}

function takeFacts(state: LogState, commit: CommitInfo | undefined, version: number): void {
  // A commit of another writer says nothing of facts: rows may have come and gone by it.
  state.rowsVersion = commit?.floeRows ?? version
  if (!commit?.floe) return
  state.facts = commit.floe
  state.factsVersion = commit.floeVersion ?? -1
}

function replay(state: LogState, actions: readonly Action[], version: number): void {
  for (const action of actions) {
    if (action.add) {
      state.adds.set(decodePath(action.add.path), action.add)
      state.removes.delete(decodePath(action.add.path))
    } else if (action.remove) {
      state.adds.delete(decodePath(action.remove.path))
      state.removes.set(decodePath(action.remove.path), action.remove)
    } else if (action.txn) {
      state.txns.set(action.txn.appId, action.txn.version)
    } else if (action.metaData) {
      state.metaData = action.metaData
    } else if (action.protocol) {
      state.protocol = action.protocol
      refuseFeatures(action.protocol)
    } else if (action.commitInfo) {
      takeFacts(state, action.commitInfo, version)
    }
  }
  state.version = version
}

function refuseFeatures(protocol: NonNullable<Action['protocol']>): void {
  if (protocol.minReaderVersion <= PROTOCOL.minReaderVersion) return
  throw new FloeError('NOT_SUPPORTED', `the table wants a Delta reader of version ${protocol.minReaderVersion}`, {
    hint: 'Another program has changed how this table is written; floe reads version 1. Restore it from a backup.',
  })
}

/** Paths in a log are URI-encoded. */
function decodePath(path: string): string {
  return path.includes('%') ? decodeURIComponent(path) : path
}

function copyState(state: LogState): LogState {
  return { ...state, adds: new Map(state.adds), removes: new Map(state.removes), txns: new Map(state.txns) }
}
