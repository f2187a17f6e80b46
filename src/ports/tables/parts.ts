import { join, relative } from 'node:path'
import type { Files } from '../files/files.ts'
import type { Add } from './log.ts'
import { quoteName, quoteText } from './quote.ts'
import type { Session } from './session.ts'
import type { NamedType } from './types.ts'

export interface PartsWanted {
  readonly folder: string
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
export async function writeParts(session: Session, files: Files, wanted: PartsWanted): Promise<Add[]> {
  await files.makeFolders(wanted.folder)
  const list = wanted.columns.map(({ name, type }) => `CAST(${quoteName(name)} AS ${type}) AS ${quoteName(name)}`)
  const partitioned = wanted.partitionBy.length > 0
  const options = ['FORMAT parquet', 'COMPRESSION zstd', 'RETURN_STATS true']
  if (partitioned) {
    options.push(`PARTITION_BY (${wanted.partitionBy.map(quoteName).join(', ')})`, 'WRITE_PARTITION_COLUMNS true')
    options.push('OVERWRITE_OR_IGNORE true', `FILENAME_PATTERN ${quoteText(`part-${wanted.id}-{uuid}`)}`)
  } else {
    options.push('WRITE_EMPTY_FILE false')
  }
  const target = partitioned ? wanted.folder : join(wanted.folder, `part-${wanted.id}.parquet`)
  try {
    const written = await session.rows<Written>(
      `COPY (SELECT ${list.join(', ')} FROM (${wanted.select})) TO ${quoteText(target)} (${options.join(', ')})`,
    )
    await files.settle(written.map((part) => part.filename))
    return written.map((part) => toAdd(part, wanted))
  } catch (cause) {
    await removeParts(files, wanted)
    throw cause
  }
}

async function removeParts(files: Files, wanted: PartsWanted): Promise<void> {
  const below = wanted.partitionBy.length === 0 ? [] : await files.names(wanted.folder).catch(() => [])
  for (const name of ['', ...below.filter((name) => name.includes('='))]) {
    const folder = join(wanted.folder, name)
    for (const part of await files.names(folder).catch(() => [])) {
      if (part.includes(wanted.id)) await files.remove(join(folder, part)).catch(() => {})
    }
  }
}

function toAdd(part: Written, wanted: PartsWanted): Add {
  const keys = Object.fromEntries(Object.entries(part.partition_keys ?? {}).map(([key, value]) => [bare(key), value]))
  return {
    path: relative(wanted.folder, part.filename),
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
