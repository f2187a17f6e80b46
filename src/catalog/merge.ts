import { FloeError } from '../model/errors.ts'
import { TABLES } from '../model/tables.ts'
import type { Snapshot, Tables } from '../ports/tables/tables.ts'
import type { Adding } from './adding.ts'
import { rejectAgainstCatalog, rejectChains } from './clashes.ts'
import { ROWS } from './resolve.ts'

export interface Merged {
  readonly added: number
  readonly unchanged: number
  readonly replaced: number
}

/** Other commits that may come in between before an add gives up. */
const TRIES = 20

/**
 * Brings the good rows of `add_lined` into the tables: what is new, what has another text than before (one revision more), what was withdrawn.
 * First the files, then the jobs, each in one commit; nothing to change makes no commit. Begins anew when the jobs were changed meanwhile.
 */
export async function mergeRows(
  adding: Adding,
  tables: Tables,
  given: { outputs: string; nowMs: number },
): Promise<Merged> {
  for (let tries = 1; ; tries++) {
    try {
      return await adding.withRoom(() => mergeOnce(adding, tables, given))
    } catch (cause) {
      if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries === TRIES) throw cause
    }
  }
}

async function mergeOnce(adding: Adding, tables: Tables, given: { outputs: string; nowMs: number }): Promise<Merged> {
  const { sql } = adding
  const jobs = await tables.view('jobs', undefined, 'add_jobs')
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_before AS
    SELECT r.row, j.revision, j.bucket, j.withdrawn, j.spec_digest = r.spec_digest AND NOT j.withdrawn AS same
    FROM add_lined r JOIN (SELECT job_key, revision, bucket, withdrawn, spec_digest FROM add_jobs) j USING (job_key)
    WHERE r.problem = 0`)
  const hasCatalog = jobs.parts.length > 0
  if (hasCatalog) await rejectAgainstCatalog(adding)
  await rejectChains(adding, given.outputs, hasCatalog)
  const { known, ...merged } = await countMerged(adding)
  if (merged.added + merged.replaced === 0) return merged
  const fresh = freshRows({ known, ...merged })
  adding.throwIfAborted()
  await commitFiles(adding, tables, fresh)
  await commitJobs(adding, tables, { jobs, fresh, nowMs: given.nowMs })
  return merged
}

/** `known`: rows that the catalog has, with whatever text. */
type Counted = Merged & { readonly known: number }

async function countMerged({ sql }: Adding): Promise<Counted> {
  const [counted] = await sql.rows<{ added: number; unchanged: number; replaced: number; known: number }>(
    `SELECT count(*) FILTER (WHERE b.row IS NULL OR b.withdrawn) AS added, count(*) FILTER (WHERE b.same) AS unchanged,
       count(*) FILTER (WHERE NOT b.same AND NOT b.withdrawn) AS replaced, count(b.row) AS known
     FROM (SELECT row FROM add_lined WHERE problem = 0) LEFT JOIN add_before b USING (row)`,
  )
  return counted!
}

/** Rows that the catalog does not have like this, with their revision. */
function freshRows({ known }: Counted): string {
  if (known === 0) return '(SELECT *, 1 AS revision FROM add_lined WHERE problem = 0)'
  return `(SELECT r.*, coalesce(b.revision, 0) + 1 AS revision FROM add_lined r LEFT JOIN add_before b USING (row)
    WHERE r.problem = 0 AND NOT coalesce(b.same, false))`
}

/** Each url that the new rows name and the table does not have yet, once. A program stays one whatever else it is (`max(kind)`). */
async function commitFiles({ sql }: Adding, tables: Tables, fresh: string): Promise<void> {
  await tables.view('files', undefined, 'add_files')
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_urls AS
    SELECT url, max(kind) AS kind, max(size_bytes) AS size_bytes, max(digest) AS digest FROM (
      SELECT unnest(inputs) AS url, 'input' AS kind, unnest(input_sizes) AS size_bytes, unnest(input_digests) AS digest
        FROM ${fresh} WHERE input_sizes IS NOT NULL
      UNION ALL SELECT DISTINCT unnest(inputs), 'input', NULL, NULL FROM ${fresh} WHERE input_sizes IS NULL
      UNION ALL SELECT DISTINCT unnest(files), 'file', NULL, NULL FROM ${fresh} WHERE files IS NOT NULL
      UNION ALL SELECT DISTINCT container, 'image', NULL, NULL FROM ${fresh} WHERE container IS NOT NULL
      UNION ALL SELECT DISTINCT executable, 'program', NULL, NULL FROM ${fresh} WHERE is_program) GROUP BY url`)
  const known = `SELECT u.* FROM add_urls u ANTI JOIN (SELECT url FROM add_files) f USING (url)`
  const [counted] = await sql.rows<{ n: number }>(`SELECT count(*) AS n FROM (${known})`)
  if (counted!.n === 0) return
  await tables.commit('files', {
    operation: 'add',
    select: `SELECT url, kind, size_bytes, NULL AS mtime, digest, CASE WHEN digest IS NOT NULL THEN 'declared' END AS digest_kind,
      NULL AS missing, NULL AS sites, NULL AS hosts, NULL AS seen_at FROM (${known})`,
  })
}

async function commitJobs(
  adding: Adding,
  tables: Tables,
  { jobs, fresh, nowMs }: { jobs: Snapshot; fresh: string; nowMs: number },
): Promise<void> {
  const touched = await adding.sql.rows<{ bucket: number }>('SELECT DISTINCT bucket FROM add_before WHERE NOT same')
  const buckets = new Set(touched.map(({ bucket }) => String(bucket)))
  const remove = jobs.parts.filter((part) => buckets.has(part.partitionValues.bucket ?? ''))
  const made: Readonly<Record<string, string>> = {
    withdrawn: 'false',
    added_at: `make_timestamptz(${Math.round(nowMs * 1000)})`,
    source: adding.sourceSql(),
    revision: 'revision',
  }
  const values = TABLES.jobs.columns.map(({ name, type }) => {
    const own = name in ROWS ? (adding.constant(name) ?? `"${name}"`) : `CAST(NULL AS ${type})`
    return { name, sql: made[name] ?? own }
  })
  const columns = values.map(({ name, sql }) => `${sql} AS "${name}"`)
  const read = values.filter(({ name, sql }) => sql === `"${name}"`).map(({ sql }) => sql)
  const order = adding.fitsMemory ? 'ORDER BY bucket' : ''
  const added = `SELECT ${columns.join(', ')} FROM (SELECT file, line, revision, ${read.join(', ')} FROM ${fresh} ${order})`
  const names = TABLES.jobs.columns.map(({ name }) => `"${name}"`).join(', ')
  const kept = `SELECT ${names} FROM add_jobs WHERE bucket IN (${[...buckets].join(', ')}) AND job_key NOT IN (
    SELECT r.job_key FROM add_lined r JOIN add_before b USING (row) WHERE r.problem = 0 AND NOT b.same)`
  const commit = {
    operation: 'add',
    select: remove.length === 0 ? added : `${added} UNION ALL ${kept}`,
    remove,
    expect: jobs.version,
  }
  await (adding.fitsMemory
    ? bucketByBucket(adding, () => tables.commit('jobs', commit))
    : tables.commit('jobs', commit))
}

/**
 * Rows that come in the order of their buckets take two thirds of the time to write: of each 2,048 rows a bucket would else get 32, copied into
 * each of its columns. They need not be kept until each bucket has many (DuckDB 1.5.6 keeps half a million a thread).
 */
async function bucketByBucket<T>({ sql }: Adding, act: () => Promise<T>): Promise<T> {
  await sql.run('SET partitioned_write_flush_threshold = 65536')
  try {
    return await act()
  } finally {
    await sql.run('RESET partitioned_write_flush_threshold')
  }
}
