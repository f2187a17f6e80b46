import { FloeError } from '../model/errors.ts'
import { TABLES } from '../model/tables.ts'
import type { Draft, Snapshot, Tables } from '../ports/tables/tables.ts'
import type { Adding } from './adding.ts'
import { rejectAgainstCatalog, rejectChains } from './clashes.ts'

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
  given: { outputs: string; draft: Draft },
): Promise<Merged> {
  for (let tries = 1; ; tries++) {
    try {
      return await adding.withRoom(() => mergeOnce(adding, tables, given))
    } catch (cause) {
      if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries === TRIES) throw cause
    }
  }
}

async function mergeOnce(adding: Adding, tables: Tables, given: { outputs: string; draft: Draft }): Promise<Merged> {
  const { sql } = adding
  const jobs = await tables.view('jobs', undefined, 'add_jobs')
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_before AS
    SELECT r.row, j.revision, j.bucket, j.withdrawn, j.spec_digest = r.spec_digest AND NOT j.withdrawn AS same
    FROM add_lined r JOIN (SELECT job_key, revision, bucket, withdrawn, spec_digest FROM add_jobs) j USING (job_key)`)
  const hasCatalog = jobs.parts.length > 0
  if (hasCatalog) await rejectAgainstCatalog(adding)
  await rejectChains(adding, given.outputs, hasCatalog)
  const merged = await countMerged(adding)
  if (merged.added + merged.replaced === 0) return merged
  adding.throwIfAborted()
  await commitFiles(adding, tables)
  await commitJobs(adding, tables, { jobs, draft: given.draft })
  return merged
}

async function countMerged({ sql }: Adding): Promise<Merged> {
  const [counted] = await sql.rows<{ added: number; unchanged: number; replaced: number }>(
    `SELECT count(*) FILTER (WHERE b.row IS NULL OR b.withdrawn) AS added, count(*) FILTER (WHERE b.same) AS unchanged,
       count(*) FILTER (WHERE NOT b.same AND NOT b.withdrawn) AS replaced
     FROM (SELECT row FROM add_lined) LEFT JOIN add_before b USING (row)`,
  )
  return counted!
}

/** Rows that the catalog does not have like this, with their revision. */
const FRESH = `(SELECT r.* REPLACE (CAST(coalesce(b.revision, 0) + 1 AS INTEGER) AS revision) FROM add_lined r LEFT JOIN add_before b USING (row)
  WHERE NOT coalesce(b.same, false))`

/** Each url that the new rows name and the table does not have yet, once. A program stays one whatever else it is (`max(kind)`). */
async function commitFiles(adding: Adding, tables: Tables): Promise<void> {
  const { sql } = adding
  await tables.view('files', undefined, 'add_files')
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_programs AS
    SELECT DISTINCT executable FROM (${adding.resolved()}) WHERE is_program`)
  const declared = adding.has('input_sizes')
    ? adding.resolved()
    : 'SELECT CAST([] AS VARCHAR[]) AS inputs, CAST([] AS BIGINT[]) AS input_sizes, CAST([] AS VARCHAR[]) AS input_digests'
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_declared AS
    SELECT url, max(size_bytes) AS size_bytes, max(digest) AS digest FROM (
      SELECT unnest(inputs) AS url, unnest(input_sizes) AS size_bytes, unnest(input_digests) AS digest
      FROM (${declared}) WHERE input_sizes IS NOT NULL) GROUP BY url`)
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_urls AS
    SELECT url, max(kind) AS kind, any_value(size_bytes) AS size_bytes, any_value(digest) AS digest FROM (
      SELECT DISTINCT unnest(inputs) AS url, 'input' AS kind FROM ${FRESH}
      UNION ALL SELECT DISTINCT unnest(files), 'file' FROM ${FRESH}
      UNION ALL SELECT DISTINCT container, 'image' FROM ${FRESH} WHERE container IS NOT NULL
      UNION ALL SELECT DISTINCT executable, 'program' FROM ${FRESH} SEMI JOIN add_programs USING (executable))
    LEFT JOIN add_declared USING (url) GROUP BY url`)
  const known = `SELECT u.* FROM add_urls u ANTI JOIN (SELECT url FROM add_files) f USING (url)`
  const [counted] = await sql.rows<{ n: number }>(`SELECT count(*) AS n FROM (${known})`)
  if (counted!.n === 0) return
  await tables.commit('files', {
    operation: 'add',
    select: `SELECT url, kind, size_bytes, NULL AS mtime, digest, CASE WHEN digest IS NOT NULL THEN 'declared' END AS digest_kind,
      NULL AS missing, NULL AS sites, NULL AS hosts, NULL AS seen_at, NULL AS nodes, NULL AS nodes_at FROM (${known})`,
  })
}

/** The parts of the draft become those of the table, but for buckets of which rows were taken out, or are there already: these are written anew. */
async function commitJobs(
  adding: Adding,
  tables: Tables,
  { jobs, draft }: { jobs: Snapshot; draft: Draft },
): Promise<void> {
  const bucketsOf = async (select: string) =>
    new Set((await adding.sql.rows<{ bucket: number }>(select)).map(({ bucket }) => String(bucket)))
  const touched = await bucketsOf('SELECT DISTINCT bucket FROM add_before WHERE NOT same')
  const remove = jobs.parts.filter((part) => touched.has(part.partitionValues.bucket ?? ''))
  const mixed = draft.rows
    ? await bucketsOf(
        `SELECT DISTINCT bucket FROM ${draft.rows} SEMI JOIN (FROM add_gone UNION ALL SELECT row FROM add_before) USING (row)`,
      )
    : new Set<string>()
  const names = TABLES.jobs.columns.map(({ name }) => `"${name}"`).join(', ')
  const fresh = `SELECT ${names} FROM ${FRESH} WHERE bucket IN (${[...mixed].join(', ')})`
  const kept = `SELECT ${names} FROM add_jobs WHERE bucket IN (${[...touched].join(', ')}) AND job_key NOT IN (
    SELECT r.job_key FROM add_lined r JOIN add_before b USING (row) WHERE NOT b.same)`
  const selects = [...(mixed.size > 0 ? [fresh] : []), ...(remove.length > 0 ? [kept] : [])]
  await tables.commit('jobs', {
    operation: 'add',
    adopt: draft.adds.filter(({ partitionValues }) => !mixed.has(partitionValues.bucket!)),
    ...(selects.length > 0 && { select: selects.join(' UNION ALL ') }),
    remove,
    expect: jobs.version,
  })
}
