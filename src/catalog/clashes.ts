import { FloeError } from '../model/errors.ts'
import { quoteText } from '../ports/tables/tables.ts'
import type { Adding } from './adding.ts'
import { LEVEL, rejectNestedInCatalog, rejectNestedOutputs } from './nested-outputs.ts'
import { isGlob } from './paths.ts'
import { PATH, ROUNDS, reject } from './reject-rows.ts'

/** Of rows with one id all but the first are rejected; also ids that share a key, which nobody has ever seen. */
export async function rejectDuplicates(adding: Adding): Promise<void> {
  const [counted] = await adding.sql.rows<{ same: boolean }>(
    'SELECT count(*) = count(DISTINCT job_key) AS same FROM add_lined',
  )
  if (counted!.same) return
  await reject(
    adding,
    `SELECT row, job_id AS value, 'a second job of this id; the first is ' || first AS reason,
       'give it another id' AS hint
     FROM (SELECT row, job_id, first_value(source) OVER w AS first, row_number() OVER w AS n FROM add_lined
       WHERE job_key IN (SELECT job_key FROM add_lined GROUP BY job_key HAVING count(*) > 1)
       WINDOW w AS (PARTITION BY job_key ORDER BY file, line, row)) WHERE n > 1`,
  )
}

/** Of rows that write one output, or of which one writes below an output of the other, the first is kept. */
export async function rejectSharedOutputs(adding: Adding): Promise<void> {
  const [counted] = await adding.sql.rows<{ differ: boolean; level: boolean }>(
    `SELECT count(*) = count(DISTINCT hash(output.path)) AS differ, ${LEVEL} AS level
     FROM (SELECT {'path': ${PATH}} AS output FROM (SELECT unnest(outputs) AS output FROM add_lined))`,
  )
  if (!counted!.differ) await rejectSameOutputs(adding)
  if (!counted!.level) await rejectNestedOutputs(adding)
}

async function rejectSameOutputs(adding: Adding): Promise<void> {
  const { sql } = adding
  const outputs = '(SELECT file, line, row, job_id, source, unnest(outputs) AS output FROM add_lined)'
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_outputs AS
    SELECT row, job_id, source, ${PATH} AS path, rank() OVER (ORDER BY file, line, row) AS place FROM ${outputs}
    WHERE ${PATH} IN (SELECT ${PATH} FROM ${outputs} GROUP BY 1 HAVING count(*) > 1)`)
  for (let round = 0; round < ROUNDS; round++) {
    // A row that comes first in all of its outputs stays; whoever shares one with it goes. Then the rest is looked at again.
    const rejected = await reject(
      adding,
      `WITH owners AS (SELECT path, min(place) AS place FROM add_outputs GROUP BY path HAVING count(*) > 1),
         blocked AS (SELECT DISTINCT o.row FROM add_outputs o JOIN owners w ON o.path = w.path AND o.place > w.place),
         kept AS (SELECT o.* FROM add_outputs o JOIN owners w USING (path, place) ANTI JOIN blocked b ON b.row = o.row)
       SELECT o.row, any_value(o.path) AS value, 'output ' || value || ' is also written by ' || any_value(k.job_id) || ', ' ||
           any_value(k.source) AS reason, 'give it an output of its own' AS hint
       FROM add_outputs o JOIN kept k ON o.path = k.path AND o.row <> k.row GROUP BY o.row`,
    )
    if (rejected === 0) return
    await sql.run('DELETE FROM add_outputs WHERE row IN (SELECT row FROM add_clashes)')
  }
  throw new FloeError('BUG', 'the outputs of this catalog share each other without end')
}

/** What `rejectAgainstCatalog` needs to know: `add_jobs`, the jobs table, and `add_before`, the rows that are there already. */
export async function rejectAgainstCatalog(adding: Adding): Promise<void> {
  // A rejected job keeps its old outputs in the catalog: others may clash with those.
  do await rejectSameInCatalog(adding)
  while ((await rejectNestedInCatalog(adding)) > 0)
}

async function rejectSameInCatalog(adding: Adding): Promise<void> {
  await reject(
    adding,
    `SELECT r.row, r.job_id AS value, 'its key is that of job ' || j.job_id AS reason, 'give it another id' AS hint
     FROM add_lined r JOIN add_jobs j USING (job_key) WHERE r.job_id <> j.job_id`,
  )
  for (let round = 0; round < ROUNDS; round++) {
    // A rejected job keeps what is in the catalog, and so its outputs there: the next round sees them.
    const rejected = await reject(
      adding,
      `WITH fresh AS (SELECT r.row, r.job_key, r.outputs FROM add_lined r ANTI JOIN (SELECT row FROM add_before WHERE same) b USING (row)),
         wanted AS (SELECT row, ${PATH} AS path FROM (SELECT row, unnest(outputs) AS output FROM fresh)),
         others AS (FROM (SELECT job_id, job_key, outputs FROM add_jobs WHERE NOT withdrawn) ANTI JOIN fresh USING (job_key)),
         owned AS (SELECT job_id, ${PATH} AS path FROM (SELECT job_id, unnest(outputs) AS output FROM others))
       SELECT row, any_value(path) AS value, 'output ' || value || ' is also written by ' || any_value(owned.job_id) ||
           ' of the catalog' AS reason, 'give it an output of its own, or remove that job first' AS hint
       FROM wanted JOIN owned USING (path) GROUP BY row`,
    )
    if (rejected === 0) return
  }
}

/** Inputs that other jobs of this campaign write: refused until jobs can wait for each other. `outputs` has no trailing slash. */
export async function rejectChains(adding: Adding, outputs: string, hasCatalog: boolean): Promise<void> {
  const { sql } = adding
  const below = `starts_with(url, ${quoteText(`${outputs}/`)})`
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_urls AS
    SELECT row, url, rtrim(substr(url, ${outputs.length + 2}), '/') AS path
    FROM (SELECT row, unnest(list_concat(inputs, files)) AS url FROM add_lined) WHERE ${below}`)
  const [counted] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_urls')
  if (counted!.n === 0) return
  const live = 'ANTI JOIN (SELECT job_key FROM add_lined) r USING (job_key)'
  const all = `SELECT job_id, outputs FROM add_lined
    ${hasCatalog ? `UNION ALL SELECT job_id, outputs FROM (SELECT * FROM add_jobs WHERE NOT withdrawn) ${live}` : ''}`
  await reject(
    adding,
    `WITH written AS (SELECT job_id, ${PATH} AS path FROM (SELECT job_id, unnest(outputs) AS output FROM (${all}))),
       parts AS (SELECT row, url, path, string_split(path, '/') AS part FROM add_urls),
       above AS (SELECT row, url, array_to_string(part[:n], '/') AS path FROM (SELECT *, unnest(range(1, len(part) + 1)) AS n FROM parts)),
       found AS (SELECT row, url, job_id FROM above JOIN written USING (path)
         UNION ALL SELECT row, url, job_id FROM add_urls u JOIN (SELECT * FROM written WHERE ${isGlob('path')}) w ON u.path GLOB w.path)
     SELECT row, any_value(url) AS value, 'not supported yet: input ' || value || ' is an output of ' || any_value(job_id) AS reason,
       'run this campaign, and give its outputs to the jobs of a second one' AS hint FROM found GROUP BY row`,
  )
}

/** Outputs that a symbolic link would lead out of the campaign. `prefixes` are such links, relative to the outputs. */
export async function rejectBehindLinks(adding: Adding, prefixes: readonly string[]): Promise<void> {
  if (prefixes.length === 0) return
  const list = `[${prefixes.map(quoteText).join(', ')}]`
  const behind = (path: string) => `list_filter(${list}, lambda link: starts_with(${path}, link || '/'))`
  await reject(
    adding,
    `SELECT row, any_value(output.path) AS value, 'output ' || value || ' leaves the campaign through a symbolic link' AS reason,
       'name it elsewhere, or take the link away' AS hint
     FROM (SELECT row, unnest(outputs) AS output FROM add_lined) WHERE len(${behind('output.path')}) > 0 GROUP BY row`,
  )
}
