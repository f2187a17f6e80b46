import { FloeError } from '../model/errors.ts'
import { TABLES } from '../model/tables.ts'
import { quoteName, type Tables } from '../ports/tables/tables.ts'
import { forgetContents } from './merged-forget.ts'

/** Commits of others, as the joining of parts, that may come in between. */
const TRIES = 5

const MADE = ['known_digests', 'known_results', 'fresh_results', 'replaced_results', 'replaced_contents']
const KEY = ['job_digest', 'output']
const SAME = TABLES.results.columns
  .filter(({ name }) => name !== 'published_at')
  .map(({ name }) => `k.${quoteName(name)} is not distinct from n.${quoteName(name)}`)
  .join(' and ')

/**
 * Brings the rows of `new_results` into table results, which has one row a job digest and output: a row that is there already changes
 * nothing, one that says something else takes the place of the older (decision 0010). Costs a scan of the digests; the parts that hold
 * replaced rows are written anew. What an older revision made than the catalog has now is not published.
 */
export async function publishResults(tables: Tables, guard: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await publishOnce(tables, guard)
    } catch (cause) {
      if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries >= TRIES) throw cause
    } finally {
      for (const name of MADE) await tables.sql.run(`drop table if exists ${name}`)
    }
  }
}

async function publishOnce(tables: Tables, guard: () => Promise<void>): Promise<void> {
  const { sql } = tables
  const snapshot = await tables.view('results')
  await tables.view('jobs', undefined, 'jobs_rows')
  const fresh = 'select * from fresh_results'
  await chooseFresh(tables)
  const [counted] = await sql.rows<{ fresh: number; replaced: number }>(
    `select count(*)::integer as fresh, (select count(*)::integer from replaced_results) as replaced from fresh_results`,
  )
  if (counted!.fresh === 0) return
  if (counted!.replaced === 0) {
    await tables.commit('results', { operation: 'publish results', select: fresh, guard })
    return
  }
  // First the old content: a stop in between leaves less in the merged table for a while, the other way round it would stay there.
  await forgetContents(tables, { of: 'replaced_contents', guard })
  const remove = await tables.holding(snapshot, 'replaced_results', KEY)
  await tables.view('results', { ...snapshot, parts: remove }, 'touched_results')
  await tables.commit('results', {
    operation: 'replace results',
    select: `${fresh} union all select * from touched_results anti join replaced_results using (job_digest, output)`,
    remove,
    expect: snapshot.version,
    guard,
  })
}

/**
 * Makes the temporary tables `fresh_results`, `replaced_results` (keys of rows that they take the place of) and `replaced_contents` (those
 * of them that had another content).
 */
async function chooseFresh({ sql }: Tables): Promise<void> {
  // Only digests are read of all results; whole rows of those few that were published before.
  await sql.run(`create or replace temp table known_digests as
    select distinct job_digest from results semi join new_results using (job_digest)`)
  await sql.run(`create or replace temp table known_results as
    select r.* from results r semi join known_digests using (job_digest) semi join new_results using (job_digest, output)`)
  await sql.run(`create or replace temp table fresh_results as
    select n.* from (
      from new_results o anti join jobs_rows j on j.job_key = o.job_key and j.revision > o.revision
      qualify row_number() over (partition by job_digest, output order by revision desc) = 1) n
    anti join known_results k on ${SAME}`)
  await sql.run(`create or replace temp table replaced_results as
    select distinct job_digest, output from known_results semi join fresh_results using (job_digest, output)`)
  await sql.run(`create or replace temp table replaced_contents as
    select distinct job_digest, output from known_results k join fresh_results n using (job_digest, output)
    where k.digest is distinct from n.digest or k.size_bytes is distinct from n.size_bytes`)
}
