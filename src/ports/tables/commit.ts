import { join } from 'node:path'
import { FloeError } from '../../model/errors.ts'
import { type Column, TABLES, type TableName } from '../../model/tables.ts'
import type { Files } from '../files/files.ts'
import { type Action, type Add, commitName, ENGINE, LOG, type LogState, type MetaData, PROTOCOL } from './log.ts'
import type { Commit } from './tables.ts'
import { fromSchemaString, type NamedType, sameType, toSchemaString } from './types.ts'

/** Columns and partition of a table as this commit leaves them. */
export interface CommitShape {
  readonly columns: readonly NamedType[]
  readonly partitionBy: readonly string[]
  /** Null: the table says so already. */
  readonly metaData: MetaData | null
}

/** Columns of the table after the commit: those that it has, then new ones. A column never changes its type and never goes. */
export function shapeFor(
  table: TableName,
  commit: Commit,
  state: LogState,
  made: { id: string; now: number },
): CommitShape {
  const fixed: { columns: readonly Column[]; partitionBy: readonly string[] } | undefined =
    table === 'merged' ? undefined : TABLES[table]
  const partitionBy = fixed?.partitionBy ?? []
  const wanted = fixed?.columns ?? commit.schema ?? []
  // A full rewrite leaves no part of the old columns behind: it may give them other types.
  const isRewrite = commit.select !== undefined && (commit.remove?.length ?? 0) === state.adds.size
  const there = state.metaData && !isRewrite ? fromSchemaString(state.metaData.schemaString) : []
  const columns: NamedType[] = there.map((column) => ({ ...column }))
  for (const { name, type } of wanted) {
    const old = there.find((column) => column.name.toLowerCase() === name.toLowerCase())
    if (!old) columns.push({ name, type })
    else if (!sameType(old.type, type)) refuseType(table, old, type)
  }
  if (columns.length === 0) throw new FloeError('BUG', `the table ${table} would have no columns`)
  if (columns.length === there.length) return { columns, partitionBy, metaData: null }
  const schemaString = toSchemaString(columns)
  if (schemaString === state.metaData?.schemaString) return { columns, partitionBy, metaData: null }
  const metaData: MetaData = {
    id: state.metaData?.id ?? made.id,
    format: { provider: 'parquet', options: {} },
    schemaString,
    partitionColumns: partitionBy,
    // Parts from before a new column lack it: a view has to match columns by name, and pays for looking into each part.
    configuration: there.length > 0 ? { ...state.metaData?.configuration, 'floe.evolved': 'true' } : {},
    createdTime: state.metaData?.createdTime ?? made.now,
  }
  return { columns, partitionBy, metaData }
}

function refuseType(table: TableName, old: NamedType, type: string): never {
  throw new FloeError('NOT_SUPPORTED', `column ${old.name} of ${table} is ${old.type} and cannot become ${type}`, {
    hint: `Give the new values another column name, or cast them to ${old.type}.`,
    details: { table, column: old.name, is: old.type, wanted: type },
  })
}

/** Throws TABLE_CONFLICT when the commit cannot follow this state; says whether its txn was published before. */
export function isPublished(table: TableName, commit: Commit, state: LogState): boolean {
  if (commit.txn && (state.txns.get(commit.txn.appId) ?? -Infinity) >= commit.txn.version) return true
  if (commit.expect !== undefined && commit.expect !== state.version) {
    throw conflict(table, `it is at version ${state.version}, not ${commit.expect}`)
  }
  for (const part of commit.remove ?? []) {
    if (!state.adds.has(part.path)) throw conflict(table, `another process took out ${part.path}`)
  }
  return false
}

export function conflict(table: TableName, what: string): FloeError {
  return new FloeError('TABLE_CONFLICT', `the table ${table} was changed meanwhile: ${what}`, { details: { table } })
}

export interface CommitLines {
  readonly commit: Commit
  readonly state: LogState
  readonly adds: readonly Add[]
  readonly metaData: MetaData | null
  readonly now: number
  readonly dataChange: boolean
}

/** The text of the next commit file. */
export function commitText(lines: CommitLines): string {
  const { commit, state, now } = lines
  const removed = commit.remove ?? []
  const actions: Action[] = [
    {
      commitInfo: {
        timestamp: now,
        operation: commit.operation,
        engineInfo: ENGINE,
        operationMetrics: { numAddedFiles: String(lines.adds.length), numRemovedFiles: String(removed.length) },
        ...factsAfter(lines),
      },
    },
  ]
  if (state.version < 0) actions.push({ protocol: PROTOCOL })
  if (lines.metaData) actions.push({ metaData: lines.metaData })
  if (commit.txn) actions.push({ txn: { ...commit.txn, lastUpdated: now } })
  for (const { path } of removed)
    actions.push({ remove: { path, deletionTimestamp: now, dataChange: lines.dataChange } })
  for (const add of lines.adds) actions.push({ add })
  return actions.map((action) => `${JSON.stringify(action)}\n`).join('')
}

/** Facts are carried on until a commit states others. */
function factsAfter({ commit, state, adds, dataChange }: CommitLines) {
  const next = state.version + 1
  const isSame = !dataChange || (adds.length === 0 && (commit.remove?.length ?? 0) === 0)
  const facts = commit.facts
    ? { floe: commit.facts, floeVersion: next }
    : { floe: state.facts, floeVersion: state.factsVersion }
  return { ...facts, floeRows: isSame ? state.rowsVersion : next }
}

/**
 * Makes the file of a version appear if it is absent. `false`: another process has made that version. After an error it looks whether
 * the file got its name all the same: only then may the caller know that the commit did not happen.
 */
export async function publish(files: Files, folder: string, made: { version: number; text: string }): Promise<boolean> {
  const path = join(folder, LOG, commitName(made.version))
  try {
    return await files.create(path, made.text)
  } catch (cause) {
    const there = await files.read(path)
    if (there?.toString('utf8') === made.text) return true
    throw cause
  }
}
