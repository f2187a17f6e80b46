import { join, relative } from 'node:path'
import type { TableName } from '../../model/tables.ts'
import type { Add } from './log.ts'
import type { Near } from './near.ts'
import { quoteName, quoteText } from './quote.ts'
import type { Session } from './session.ts'
import type { NamedType } from './types.ts'

export interface PartsWanted {
  readonly table: TableName
  readonly columns: readonly NamedType[]
  readonly partitionBy: readonly string[]
  readonly select: string
  /** Begins the names of the parts: they are found by it when the writing failed. */
  readonly id: string
  readonly now: number
  readonly dataChange: boolean
}

type Written = {
  readonly filename: string
  readonly count: number
  readonly file_size_bytes: number
  readonly column_statistics: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly partition_keys: Readonly<Record<string, string>> | null
}

/**
 * Writes the rows of a SELECT as Parquet parts and returns an `add` for each. Nothing lists them yet. The partition columns stay in the
 * parts too: each part can be read alone, and no reader has to guess columns from the folders of a path. A failure leaves no part behind.
 */
export async function writeParts(session: Session, near: Near, wanted: PartsWanted): Promise<Add[]> {
  const folder = join(near.root, wanted.table)
  await near.files.makeFolders(folder)
  const list = wanted.columns.map(({ name, type }) => `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`)
  const partitioned = wanted.partitionBy.length > 0
  const options = ['FORMAT parquet', 'COMPRESSION zstd', 'RETURN_STATS true']
  if (partitioned) {
    options.push(`PARTITION_BY (${wanted.partitionBy.map(quoteName).join(', ')})`, 'WRITE_PARTITION_COLUMNS true')
    options.push('OVERWRITE_OR_IGNORE true', `FILENAME_PATTERN ${quoteText(`part-${wanted.id}-{uuid}`)}`)
  } else {
    options.push('WRITE_EMPTY_FILE false')
  }
  const target = partitioned ? folder : join(folder, `part-${wanted.id}.parquet`)
  try {
    const written = await session.rows<Written>(
      `COPY (SELECT ${list.join(', ')} FROM (${wanted.select})) TO ${quoteText(target)} (${options.join(', ')})`,
    )
    const names = written.map(({ filename }) => relative(folder, filename))
    await near.place(
      wanted.table,
      names.map((name) => ({ name })),
    )
    return written.map((part, at) => toAdd(part, names[at]!, wanted))
  } catch (cause) {
    await removeParts(near, folder, wanted)
    throw cause
  }
}

async function removeParts(
  { files, drop }: Near,
  folder: string,
  { table, partitionBy, id }: PartsWanted,
): Promise<void> {
  const below = partitionBy.length === 0 ? [] : await files.names(folder).catch(() => [])
  for (const name of ['', ...below.filter((name) => name.includes('='))]) {
    const parts = (await files.names(join(folder, name)).catch(() => [])).filter((part) => part.includes(id))
    for (const part of parts) await drop(table, [join(name, part)]).catch(() => {})
  }
}

function toAdd(part: Written, path: string, wanted: PartsWanted): Add {
  const keys = Object.fromEntries(Object.entries(part.partition_keys ?? {}).map(([key, value]) => [bare(key), value]))
  return {
    path,
    partitionValues: keys,
    size: part.file_size_bytes,
    modificationTime: wanted.now,
    dataChange: wanted.dataChange,
    stats: JSON.stringify(toStats(part, wanted)),
  }
}

/** Longer texts have no min and max in the log. */
const TEXT_MAX = 64

/** Delta's statistics of one part: the top-level scalar columns that are no partition columns. */
function toStats(part: Written, wanted: PartsWanted) {
  const minValues: Record<string, string | number> = {}
  const maxValues: Record<string, string | number> = {}
  const nullCount: Record<string, number> = {}
  for (const { name, type } of wanted.columns) {
    const found = part.column_statistics[quoteName(name)]
    if (!found || wanted.partitionBy.includes(name)) continue
    nullCount[name] = Number(found.null_count ?? 0)
    const [min, max] = [statValue(found.min, type), statValue(found.max, type)]
    if (min === undefined || max === undefined || found.has_nan === 'true') continue
    minValues[name] = min
    maxValues[name] = max
  }
  return { numRecords: part.count, minValues, maxValues, nullCount }
}

function statValue(text: string | undefined, type: string): string | number | undefined {
  if (text === undefined) return undefined
  if (type === 'VARCHAR') return text.length <= TEXT_MAX ? text : undefined
  if (type === 'TIMESTAMPTZ') return /^\d{4}-/.test(text) ? text.replace(' ', 'T').replace('+00', 'Z') : undefined
  if (type !== 'INTEGER' && type !== 'BIGINT' && type !== 'DOUBLE') return undefined
  const value = Number(text)
  // A key of 63 bits does not fit a number of JavaScript: no bounds rather than wrong ones.
  return Number.isFinite(value) && (type === 'DOUBLE' || Number.isSafeInteger(value)) ? value : undefined
}

/** `"bucket"` or `bucket`, as DuckDB spells keys. */
function bare(key: string): string {
  return key.startsWith('"') ? key.slice(1, -1).replaceAll('""', '"') : key
}
