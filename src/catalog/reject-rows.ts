import type { Adding } from './adding.ts'

/** Rounds of a search that ends by itself; each settles at least one row for good. */
export const ROUNDS = 10_000

/** SQL that finds rows: row, value, reason, hint. They are rejected; returns how many. */
export async function reject({ sql }: Adding, found: string): Promise<number> {
  await sql.run(`CREATE OR REPLACE TEMP TABLE add_clashes AS ${found}`)
  const [counted] = await sql.rows<{ n: number }>('SELECT count(*) AS n FROM add_clashes')
  if (counted!.n === 0) return 0
  await sql.run(`INSERT INTO add_faults SELECT r.file, r.line, r.job_id, left(c.value, 200), c.reason, c.hint
    FROM add_clashes c JOIN add_lined r USING (row)`)
  await sql.run('INSERT INTO add_gone SELECT row FROM add_clashes')
  return counted!.n
}

/** Compared as text: a glob clashes with the same glob; a directory with or without its slash is the same. */
export const PATH = "CASE WHEN ends_with(output.path, '/') THEN rtrim(output.path, '/') ELSE output.path END"
