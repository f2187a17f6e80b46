import { statSync } from 'node:fs'
import { dirname, extname, join, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Draft, Tables } from '../ports/tables/tables.ts'
import { Adding, type JobFile } from './adding.ts'
import { rejectBehindLinks, rejectDuplicates, rejectSharedOutputs } from './clashes.ts'
import { nearest } from './keys.ts'
import { mergeRows } from './merge.ts'
import { outwardLinks } from './outward-links.ts'
import { readCsv, readTsv } from './read-csv.ts'
import { readJson } from './read-json.ts'
import { readNdjson } from './read-ndjson.ts'
import { readParquet } from './read-parquet.ts'
import { readXlsx } from './read-xlsx.ts'
import { readYaml } from './read-yaml.ts'
import { type Reject, writeRejects } from './rejects.ts'
import { type JobDefaults, NO_DEFAULTS } from './resolve.ts'

export interface AddOptions {
  /** Directory of the campaign; rejects.ndjson is written there. */
  readonly campaign: string
  /** Absolute directory that output paths are relative to. */
  readonly outputs: string
  /** The campaign's `.floe`, for files that are read in between. */
  readonly cache: string
  /** `jobs:` of floe.yaml. */
  readonly defaults?: JobDefaults
  readonly clock: Clock
  readonly onProgress?: (progress: { path: string; jobs: number }) => void
  readonly signal?: AbortSignal
}

export interface AddReport {
  readonly added: number
  readonly unchanged: number
  readonly replaced: number
  readonly rejected: number
  /** Path of rejects.ndjson, when something was rejected. */
  readonly rejectsFile?: string
  readonly files: readonly { readonly path: string; readonly jobs: number; readonly elapsedSec: number }[]
  readonly firstRejects: readonly Reject[]
}

/**
 * Reads job files into the jobs and files tables, in one commit of each. A row that is wrong is rejected with its line, what is wrong and
 * what to do; the good rows are kept. Jobs that are there with the same text change nothing; another text makes a new revision. Looks at no
 * input. Throws JOB_FILE_INVALID, with nothing changed, when a file as a whole cannot be read. Memory does not grow with the number of jobs
 * beyond what SQL keeps within its limit.
 */
export async function addJobFiles(tables: Tables, paths: readonly string[], options: AddOptions): Promise<AddReport> {
  const { clock } = options
  let current = ''
  const adding = new Adding({
    sql: tables.sql,
    scratch: join(options.cache, `add-${clock.uuid()}`),
    isLean: paths.some((path) => !BY_SQL.test(path)),
    signal: options.signal,
    onRows: (jobs) => options.onProgress?.({ path: current, jobs }),
  })
  let draft: Draft | undefined
  await adding.open()
  try {
    const elapsed: number[] = []
    for (const name of paths) {
      const started = clock.ticks()
      current = name
      await readJobFile(adding, name, options.defaults ?? NO_DEFAULTS)
      elapsed.push((clock.ticks() - started) / 1000)
    }
    const counts = await adding.countByFile()
    draft = await adding.draft(tables, clock.now())
    await rejectDuplicates(adding)
    await rejectSharedOutputs(adding)
    await rejectBehindLinks(adding, await outwardLinks(resolve(options.outputs)))
    const merged = await mergeRows(adding, tables, { outputs: resolve(options.outputs), draft })
    const rejected = await writeRejects(adding, options.campaign)
    return {
      ...merged,
      rejected: rejected.count,
      ...(rejected.path === undefined ? {} : { rejectsFile: rejected.path }),
      files: paths.map((path, at) => ({ path, jobs: counts[at] ?? 0, elapsedSec: elapsed[at] ?? 0 })),
      firstRejects: rejected.first,
    }
  } finally {
    if (draft) await tables.discard('jobs', draft)
    await adding.close()
  }
}

/** Formats that SQL reads by itself. */
const BY_SQL = /\.(?:ndjson|jsonl|parquet)$/i

type Reader = (adding: Adding, file: JobFile) => Promise<void>

const READERS: Readonly<Record<string, Reader>> = {
  '.ndjson': readNdjson,
  '.jsonl': readNdjson,
  '.json': readJson,
  '.yaml': readYaml,
  '.yml': readYaml,
  '.csv': readCsv,
  '.tsv': readTsv,
  '.parquet': readParquet,
  '.xlsx': readXlsx,
}

async function readJobFile(adding: Adding, name: string, defaults: JobDefaults): Promise<void> {
  const path = resolve(name)
  const extension = extname(path).toLowerCase()
  const read = READERS[extension]
  if (!read) {
    const near = nearest(extension, Object.keys(READERS))
    throw new FloeError('JOB_FILE_INVALID', `${name}: floe knows no job files that end in \`${extension}\``, {
      hint: `${near ? `Did you mean ${near}? ` : ''}Job files end in ${Object.keys(READERS).join(', ')}.`,
      details: { file: name },
    })
  }
  const base = dirname(path)
  const before = contentMark(path)
  await read(adding, adding.begin({ name, path, base: base === '/' ? base : `${base}/`, defaults }))
  // It is read several times: to find its lines, by SQL, and where rows are odd.
  if (contentMark(path) !== before) {
    throw new FloeError('JOB_FILE_INVALID', `${name} changed while it was read`, {
      hint: 'Wait until the file is complete and add it again; nothing was changed.',
      details: { file: name },
    })
  }
}

function contentMark(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stats && `${stats.ino} ${stats.size} ${stats.mtimeNs}`
}
