import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { TABLES } from '../../../src/model/tables.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Row, type Tables } from '../../../src/ports/tables/tables.ts'

/** A published output: its text goes to a file, or `pack` says where it lies. */
export interface Published {
  readonly job: string
  readonly output: string
  readonly content: string | Buffer
  readonly revision?: number
  readonly jobDigest?: string
  readonly pack?: { readonly path: string; readonly offset: number }
}

export interface Campaign {
  readonly root: string
  readonly tables: Tables
  addJobs(
    jobs: readonly { id: string; revision?: number; withdrawn?: boolean; labels?: Record<string, string> }[],
  ): Promise<void>
  /** Files, rows of results and succeeded attempts, as a run publishes them. */
  publish(outputs: readonly Published[], attempts?: { tryNumber?: number }): Promise<void>
  /** The merged view, by job and row. */
  rows(sql: string): Promise<Row[]>
}

export const digestOf = (content: string | Buffer): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`

const keyOf = (id: string): bigint => BigInt(`0x${createHash('sha256').update(id).digest('hex').slice(0, 15)}`)

const key = (published: Published): string => published.jobDigest ?? `digest-of-${published.job}`

/** A campaign in a new directory with real tables. The clock of published_at goes on by a second with each publication. */
export async function openCampaign(root = mkdtempSync(join(tmpdir(), 'floe-merged-'))): Promise<Campaign> {
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock, threads: 2 })
  let seconds = 1_700_000_000
  const commit = async (table: 'jobs' | 'attempts' | 'results', rows: readonly Row[]) => {
    const { columns } = TABLES[table]
    const given = columns.filter(({ name }) => rows.some((row) => row[name] !== undefined))
    await tables.sql.load(
      'given',
      given.map(({ name, type }) => ({ name, type })),
      [rows],
    )
    const list = columns.map(({ name, type }) =>
      given.some((column) => column.name === name) ? `"${name}"` : `CAST(NULL AS ${type}) AS "${name}"`,
    )
    await tables.commit(table, { select: `SELECT ${list.join(', ')} FROM given`, operation: 'test' })
  }
  return {
    root,
    tables,
    addJobs: (jobs) =>
      commit(
        'jobs',
        jobs.map(({ id, revision = 1, withdrawn = false, labels = {} }) => ({
          job_id: id,
          job_key: keyOf(id),
          revision,
          withdrawn,
          labels,
          bucket: 0,
        })),
      ),
    async publish(outputs, { tryNumber = 1 } = {}) {
      seconds += 1
      for (const { output, content, pack } of outputs) {
        const path = join(root, 'outputs', output)
        mkdirSync(dirname(path), { recursive: true })
        if (!pack) writeFileSync(path, content)
      }
      await commit(
        'results',
        outputs.map((one) => ({
          job_digest: key(one),
          job_id: one.job,
          job_key: keyOf(one.job),
          revision: one.revision ?? 1,
          output: one.output,
          url: one.pack ? null : join(root, 'outputs', one.output),
          pack: one.pack?.path ?? null,
          offset_bytes: one.pack?.offset ?? null,
          size_bytes: Buffer.byteLength(one.content),
          digest: digestOf(one.content),
          published_at: seconds * 1e6,
        })),
      )
      const attempts = new Map(outputs.map((one) => [one.job, one]))
      await commit(
        'attempts',
        [...attempts.values()].map((one) => ({
          job_id: one.job,
          job_key: keyOf(one.job),
          revision: one.revision ?? 1,
          try: tryNumber,
          job_digest: key(one),
          verdict: 'succeeded',
          superseded: false,
        })),
      )
    },
    rows: (sql) => tables.sql.rows(sql),
  }
}

/** The same tables, with a chance to stop before and after each statement and commit. */
export function stopAfter(tables: Tables, stop: () => void): Tables {
  const around = async <T>(act: () => Promise<T>): Promise<T> => {
    stop()
    const answer = await act()
    stop()
    return answer
  }
  const sql: Tables['sql'] = {
    ...tables.sql,
    run: (...given) => around(() => tables.sql.run(...given)),
    rows: (...given) => around(() => tables.sql.rows(...given)) as never,
    load: (...given) => around(() => tables.sql.load(...given)),
  }
  return { ...tables, sql, commit: (...given) => around(() => tables.commit(...given)) }
}
