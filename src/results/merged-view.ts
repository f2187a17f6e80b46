import { quoteName, quoteText, type Tables } from '../ports/tables/tables.ts'

export interface MergedView {
  /** Columns of the view in its order: job_id, labels, content, output, job_digest. */
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** SQL to order rows by as the jobs and their files have them. */
  readonly order: string
  /** False when no output was merged yet. */
  readonly isThere: boolean
}

/** More labels than this do not become columns of their own; then a column `labels` holds them all. */
const LABELS_MAX = 64

/**
 * Makes the temporary view `merged`: the content of current results with the job's name and a column for each label. Current is what the
 * latest succeeded attempt of the job's present revision gave, of jobs that are not withdrawn; so what was replaced is not seen, though the
 * table keeps it. A content column hides a label of its name. Costs one scan of the labels; the joins are paid by who reads.
 */
export async function mergedView(tables: Pick<Tables, 'sql' | 'view'>): Promise<MergedView> {
  const { sql } = tables
  const content = await tables.view('merged', undefined, '_merged_content')
  await tables.view('jobs', undefined, '_merged_jobs')
  await tables.view('attempts', undefined, '_merged_attempts')
  await tables.view('results', undefined, '_merged_results')
  const untyped = (content.facts.untyped ?? []) as readonly string[]
  const keys = ['job_digest', 'output', 'output_row']
  const stored = content.schema.filter(({ name }) => !keys.includes(name))
  const taken = new Set([...keys, 'job_id', ...stored.map(({ name }) => name.toLowerCase())])
  const empty = untyped.filter((name) => !taken.has(name.toLowerCase()))
  for (const name of empty) taken.add(name.toLowerCase())
  const labels = await labelColumns(tables, taken)
  const columns = [
    { name: 'job_id', type: 'VARCHAR', sql: 'c.job_id' },
    ...labels,
    ...stored.map(({ name, type }) => ({ name, type, sql: `m.${quoteName(name)}` })),
    ...empty.map((name) => ({ name, type: 'VARCHAR', sql: 'CAST(NULL AS VARCHAR)' })),
    { name: 'output', type: 'VARCHAR', sql: 'm.output' },
    { name: 'job_digest', type: 'VARCHAR', sql: 'm.job_digest' },
  ]
  const isThere = content.version >= 0
  const source = isThere ? CURRENT : NOTHING
  const list = columns.map(({ name, sql: value }) => `${value} AS ${quoteName(name)}`).join(', ')
  await sql.run(`CREATE OR REPLACE TEMP VIEW _merged_rows AS SELECT ${list}, m.output_row AS output_row ${source}`)
  await sql.run('CREATE OR REPLACE TEMP VIEW merged AS SELECT * EXCLUDE (output_row) FROM _merged_rows')
  return { columns: columns.map(({ name, type }) => ({ name, type })), order: 'job_id, output, output_row', isThere }
}

const LATEST = `SELECT job_key, revision, arg_max(job_digest, "try") AS job_digest FROM _merged_attempts
  WHERE verdict = 'succeeded' AND superseded IS NOT TRUE GROUP BY job_key, revision`

const CURRENT = `FROM _merged_content m JOIN (
    SELECT j.job_id, j.labels, r.job_digest, r.output
    FROM _merged_jobs j
    JOIN (${LATEST}) l ON l.job_key = j.job_key AND l.revision = j.revision
    JOIN (SELECT DISTINCT job_key, job_digest, output FROM _merged_results) r ON r.job_key = j.job_key AND r.job_digest = l.job_digest
    WHERE j.withdrawn IS NOT TRUE
  ) c ON c.job_digest = m.job_digest AND c.output = m.output`

const NOTHING = `FROM (SELECT NULL::VARCHAR AS job_digest, NULL::VARCHAR AS output, NULL::BIGINT AS output_row WHERE false) m
  CROSS JOIN (SELECT NULL::VARCHAR AS job_id, NULL::MAP(VARCHAR, VARCHAR) AS labels) c`

async function labelColumns({ sql }: Pick<Tables, 'sql'>, taken: Set<string>) {
  const keys = await sql.rows<{ key: string }>(
    `SELECT key FROM (SELECT unnest(map_keys(labels)) AS key FROM _merged_jobs WHERE withdrawn IS NOT TRUE AND labels IS NOT NULL) GROUP BY key ORDER BY count(*) DESC, key LIMIT ${LABELS_MAX + 1}`,
  )
  const columns: { name: string; type: string; sql: string }[] = []
  for (const { key } of keys.slice(0, LABELS_MAX).sort((a, b) => (a.key < b.key ? -1 : 1))) {
    if (taken.has(key.toLowerCase())) continue
    taken.add(key.toLowerCase())
    columns.push({ name: key, type: 'VARCHAR', sql: `map_extract_value(c.labels, ${quoteText(key)})` })
  }
  if (keys.length > LABELS_MAX && !taken.has('labels')) {
    columns.push({ name: 'labels', type: 'MAP(VARCHAR, VARCHAR)', sql: 'c.labels' })
  }
  return columns
}
