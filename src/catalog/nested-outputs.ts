import { FloeError } from '../model/errors.ts'
import type { Adding } from './adding.ts'
import { isGlob } from './paths.ts'
import { PATH, ROUNDS, reject } from './reject-rows.ts'

/*
 * Outputs of which one lies below another: `t/` or `t` of one job, `t/leaf` of another. Whichever came last would take the other away. Two outputs of
 * one job may: it wrote both itself.
 */

const DEPTH = `len(string_split(${PATH}, '/'))`
/** All outputs are as deep, so that none lies below another: said of most catalogs by one scan. */
export const LEVEL = `coalesce(min(${DEPTH}) = max(${DEPTH}), true)`
const FOLDER = "parse_dirpath(path, 'forward_slash')"
const HINT = "'give each job a place of its own' AS hint"

/** SELECT of `folder` and `top`: folders of `below` and what of `above` each lies in, or is. Both have the column `path`. */
function tops(below: string, above: string): string {
  return `SELECT folder, top FROM (
      SELECT folder, unnest(list_transform(range(1, len(parts) + 1), lambda n: array_to_string(parts[:n], '/'))) AS top
      FROM (SELECT folder, string_split(folder, '/') AS parts FROM (SELECT DISTINCT ${FOLDER} AS folder FROM ${below}) WHERE folder <> ''))
    SEMI JOIN ${above} a ON a.path = top WHERE NOT ${isGlob('top')}`
}

const said = (isBelow: boolean, job: string): string =>
  isBelow
    ? `'output ' || path || ' lies below output ' || top || ' of ' || ${job}`
    : `'output ' || top || ' stands above output ' || path || ' of ' || ${job}`

/** Among the rows that are added: of two that clash the first is kept. Not needed when they are `LEVEL`. */
export async function rejectNestedOutputs(adding: Adding): Promise<void> {
  const { sql } = adding
  const outputs = '(SELECT row, unnest(outputs) AS output FROM add_lined)'
  const paths = `(SELECT row, ${PATH} AS path FROM ${outputs})`
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_tops AS ${tops(paths, paths)}`)
  const [found] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_tops')
  if (found!.n === 0) return
  const place = (row: string) => `SELECT row AS ${row}, {'file': file, 'line': line, 'row': row} AS ${row}_place,
    job_id || ', ' || source AS ${row}_job FROM add_lined`
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_nested AS
    WITH pairs AS (SELECT low.row AS low, high.row AS high, low.path, top
        FROM (SELECT *, ${FOLDER} AS folder FROM ${paths}) low JOIN add_tops USING (folder) JOIN ${paths} high ON high.path = top
        WHERE low.row <> high.row),
      told AS (FROM pairs JOIN (${place('low')}) USING (low) JOIN (${place('high')}) USING (high))
    SELECT low AS row, low_place AS place, high AS other, high_place AS other_place, path AS value, ${said(true, 'high_job')} AS reason FROM told
    UNION ALL SELECT high, high_place, low, low_place, top, ${said(false, 'low_job')} FROM told`)
  for (let round = 0; round < ROUNDS; round++) {
    // A row that comes before all that it clashes with stays; those go. Then the rest is looked at again.
    const rejected = await reject(
      adding,
      `WITH blocked AS (SELECT DISTINCT row FROM add_nested WHERE other_place < place),
         kept AS (SELECT DISTINCT row FROM add_nested ANTI JOIN blocked USING (row))
       SELECT n.row, arg_min(value, other_place) AS value, arg_min(reason, other_place) AS reason, ${HINT}
       FROM add_nested n JOIN kept k ON k.row = n.other GROUP BY n.row`,
    )
    if (rejected === 0) return
    await sql.run(`DELETE FROM add_nested
      WHERE row IN (SELECT row FROM add_clashes) OR other IN (SELECT row FROM add_clashes)`)
  }
  throw new FloeError('BUG', 'the outputs of this catalog lie in each other without end')
}

/** Against the jobs of the catalog, which stay; needs `add_jobs` and `add_before`. Returns how many rows were rejected. */
export async function rejectNestedInCatalog(adding: Adding): Promise<number> {
  const { sql } = adding
  const outputs = (rows: string) =>
    `(SELECT *, ${PATH} AS path FROM (SELECT * EXCLUDE (outputs), unnest(outputs) AS output FROM ${rows}))`
  const fresh = `(SELECT r.row, r.job_key, r.outputs FROM add_lined r ANTI JOIN (SELECT row FROM add_before WHERE same) b USING (row))`
  const [fewest] = await sql.rows<{ n: number }>(`SELECT count(*) AS n FROM (FROM ${fresh} LIMIT 1)`)
  if (fewest!.n === 0) return 0
  const others = `(FROM (SELECT job_id, job_key, outputs FROM add_jobs WHERE NOT withdrawn) ANTI JOIN ${fresh} f USING (job_key))`
  const all = `(SELECT output FROM ${outputs(fresh)} UNION ALL SELECT output FROM ${outputs(others)})`
  const [counted] = await sql.rows<{ level: boolean }>(`SELECT ${LEVEL} AS level FROM ${all}`)
  if (counted!.level) return 0
  const [mine, theirs] = [outputs(fresh), outputs(others)]
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_tops AS
    SELECT *, true AS is_below FROM (${tops(mine, theirs)}) UNION ALL SELECT *, false FROM (${tops(theirs, mine)})`)
  const [found] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_tops')
  if (found!.n === 0) return 0
  const owner = "job_id || ' of the catalog'"
  return reject(
    adding,
    `WITH told AS (
        SELECT mine.row, mine.path AS value, ${said(true, owner)} AS reason
        FROM (SELECT row, path, ${FOLDER} AS folder FROM ${mine}) mine JOIN add_tops t USING (folder)
          JOIN (SELECT job_id, path AS top FROM ${theirs}) theirs USING (top) WHERE is_below
        UNION ALL SELECT mine.row, top, ${said(false, owner)}
        FROM (SELECT job_id, path, ${FOLDER} AS folder FROM ${theirs}) theirs JOIN add_tops t USING (folder)
          JOIN (SELECT row, path AS top FROM ${mine}) mine USING (top) WHERE NOT is_below)
      SELECT row, any_value(value) AS value, any_value(reason) AS reason,
        'give each job a place of its own, or remove that job first' AS hint FROM told GROUP BY row`,
  )
}
