import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { compressors } from './parquet-zstd.ts'

type Actions = Record<string, Record<string, unknown>>

/** What a table looks like to a reader that knows the Delta protocol only. */
export interface DeltaTable {
  readonly version: number
  readonly parts: readonly string[]
  readonly rows: readonly Record<string, unknown>[]
}

/**
 * Reads a table by the rules of the Delta protocol, without the code under test, and throws at the first rule that is broken: versions
 * contiguous; one protocol, metaData at first; each add for a part that is not live, each remove for one that is; sizes and row counts as
 * stated; a checkpoint equal to the replay; every part a whole Parquet file with the columns of the schema.
 */
export async function readByRules(folder: string): Promise<DeltaTable> {
  const log = join(folder, '_delta_log')
  const names = readdirSync(log)
  const commits = names.filter((name) => /^\d{20}\.json$/.test(name)).sort()
  const checkpoints = names.filter((name) => /^\d{20}\.checkpoint\.parquet$/.test(name)).sort()
  const versions = commits.map((name) => Number(name.slice(0, 20)))
  for (const [at, version] of versions.entries())
    rule(version === versions[0]! + at, `version ${version} follows ${versions[at - 1]}`)
  const checkpoint = checkpoints.at(-1)
  const state: State = { adds: new Map(), protocol: 0, schema: [], partitions: [] }
  if (versions[0] === 0) {
    for (const name of commits) {
      replay(state, readCommit(join(log, name)), name)
      const beside = name.replace('.json', '.checkpoint.parquet')
      if (checkpoints.includes(beside)) await compareCheckpoint(join(log, beside), state)
    }
  } else {
    rule(checkpoint !== undefined, 'there is a checkpoint when commit 0 is gone')
    replayCheckpoint(state, await readCheckpoint(join(log, checkpoint!)), checkpoint!)
    for (const name of commits.filter((name) => name.slice(0, 20) > checkpoint!.slice(0, 20))) {
      replay(state, readCommit(join(log, name)), name)
    }
  }
  rule(
    versions[0] === 0 || existsSync(join(log, '_last_checkpoint')),
    'a checkpoint is pointed at when commit 0 is gone',
  )
  if (existsSync(join(log, '_last_checkpoint'))) {
    const last = JSON.parse(readFileSync(join(log, '_last_checkpoint'), 'utf8')) as { version: number; size: number }
    rule(last.version <= Number(checkpoint?.slice(0, 20)), '_last_checkpoint names a checkpoint that is there')
  }
  rule(state.protocol === 1, 'there is one protocol')
  const rows: Record<string, unknown>[] = []
  for (const [path, add] of state.adds) rows.push(...(await readPart(folder, { path, add, state })))
  return { version: versions.at(-1) ?? -1, parts: [...state.adds.keys()], rows }
}

interface State {
  readonly adds: Map<string, Record<string, unknown>>
  protocol: number
  schema: { name: string; type: unknown }[]
  partitions: string[]
}

function rule(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the log breaks a rule of Delta: ${what}`)
}

function readCommit(path: string): Actions[] {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as Actions)
}

function replay(state: State, actions: readonly Actions[], name: string): void {
  const seen = new Set<string>()
  for (const action of actions) {
    const { add, remove, metaData, protocol, txn } = action
    if (protocol) {
      rule(protocol.minReaderVersion === 1 && protocol.minWriterVersion === 2, `${name} keeps to reader 1, writer 2`)
      state.protocol += 1
    }
    if (metaData) {
      state.schema = (JSON.parse(metaData.schemaString as string) as { fields: State['schema'] }).fields
      state.partitions = metaData.partitionColumns as string[]
    }
    if (txn) rule(Number.isInteger(Number(txn.version)), `${name} has a txn with a version`)
    if (remove) {
      rule(state.adds.delete(remove.path as string), `${name} removes ${remove.path}, which is live`)
      rule(!seen.has(remove.path as string), `${name} says one thing of ${remove.path}`)
      seen.add(remove.path as string)
    }
    if (add) {
      rule(!state.adds.has(add.path as string), `${name} adds ${add.path}, which is not live`)
      rule(!seen.has(add.path as string), `${name} says one thing of ${add.path}`)
      seen.add(add.path as string)
      state.adds.set(add.path as string, add)
    }
  }
  rule(state.schema.length > 0, `${name} stands after a metaData`)
}

async function readCheckpoint(path: string): Promise<Actions[]> {
  const rows = (await parquetReadObjects({ file: await asyncBufferFromFile(path), compressors })) as Actions[]
  return rows.map((row) => Object.fromEntries(Object.entries(row).filter(([, action]) => action)) as Actions)
}

async function compareCheckpoint(path: string, state: State): Promise<void> {
  const told: State = { adds: new Map(), protocol: 0, schema: [], partitions: [] }
  const actions = await readCheckpoint(path)
  for (const action of actions) rule(Object.keys(action).length === 1, `${path} has one action a row`)
  replayCheckpoint(told, actions, path)
  rule(told.protocol === 1, `${path} has one protocol`)
  const paths = (one: State) => JSON.stringify([...one.adds.keys()].sort())
  rule(paths(told) === paths(state), `${path} lists what the commits list`)
  rule(JSON.stringify(told.schema) === JSON.stringify(state.schema), `${path} has the schema of the commits`)
}

/** Rows of a checkpoint come in any order, and tell of removals that were made long ago. */
function replayCheckpoint(state: State, actions: readonly Actions[], name: string): void {
  const order = [...actions].sort((a, b) => Number(!!b.metaData) - Number(!!a.metaData))
  replay(
    state,
    order.filter((action) => !action.remove),
    name,
  )
}

async function readPart(
  folder: string,
  { path, add, state }: { path: string; add: Record<string, unknown>; state: State },
) {
  const file = join(folder, decodeURIComponent(path))
  rule(existsSync(file), `${path} is there`)
  rule(statSync(file).size === Number(add.size), `${path} has the size that the log states`)
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors })
  const stats = JSON.parse(add.stats as string) as { numRecords: number }
  rule(rows.length === stats.numRecords, `${path} has ${rows.length} rows, stated ${stats.numRecords}`)
  const names = new Set(state.schema.map(({ name }) => name))
  const values = add.partitionValues as Record<string, string>
  rule(JSON.stringify(Object.keys(values)) === JSON.stringify(state.partitions), `${path} has its partition values`)
  for (const row of rows.slice(0, 1)) {
    for (const name of Object.keys(row)) rule(names.has(name), `${path} has the column ${name} of the schema`)
    for (const [name, value] of Object.entries(values))
      rule(String(row[name]) === value, `${path} lies in its partition`)
  }
  return rows
}
