import { type Code, FloeError } from '../model/errors.ts'
import type { NodePlace } from '../model/places.ts'
import type { Clock } from '../ports/clock.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'
import { inParallel, type RemoteStores } from './remote.ts'
import { overConflicts } from './sighting.ts'

export interface LocateOptions {
  /** SQL condition on `url`: it lies in an HDFS whose data nodes run jobs. */
  readonly at: string
  readonly clock: Clock
  readonly stores: Pick<RemoteStores, 'nodes'>
  readonly guard?: (() => Promise<void>) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Replicas move when nodes die and when an HDFS is balanced. */
const FRESH_MS = 24 * 3600 * 1000
/** A plan waits no longer for it; the next one asks for the rest. */
const WAIT_MS = 60_000
/** Questions in a row without an answer after which no more are asked. */
const VAIN_MAX = 8
/** What is true of the others too. */
const AWAY: readonly Code[] = ['HDFS_UNREACHABLE', 'HDFS_LOGIN', 'HDFS_REFUSED']
/** Files held at a time. */
const SLICE = 50_000

const LOCATED = [
  { name: 'url', type: 'VARCHAR' },
  { name: 'nodes', type: 'VARCHAR' },
] as const

/**
 * Asks HDFS where the inputs of the jobs in the temporary table `runnable` lie, and notes it in table `files`: one question a file that is
 * new, has changed, or was asked for long ago, several at once. It is good to know and no more: what does not answer is left out.
 */
export async function locateInputs(tables: Tables, options: LocateOptions): Promise<void> {
  const { sql } = tables
  const { clock, at, signal } = options
  await tables.view('files')
  await tables.view('jobs', undefined, 'jobs_rows')
  const old = `make_timestamptz(${Math.round((clock.now() - FRESH_MS) * 1000)})`
  await sql.run(`create or replace temp table files_to_locate as
    select url, row_number() over (order by url) as n from files
    semi join (select distinct unnest(j.inputs) as url from runnable r join jobs_rows j using (job_key, revision)) using (url)
    where ${at} and missing is not true and (nodes_at is null or nodes_at < ${old})`)
  await sql.run(
    `create or replace temp table files_located (${LOCATED.map(({ name, type }) => `${name} ${type}`).join(', ')})`,
  )
  const questions = new Questions(options)
  let located = 0
  for (let from = 0; !questions.isOver && !signal?.aborted; from += SLICE) {
    const rows = await sql.rows<{ url: string }>(
      `select url from files_to_locate where n > ${from} and n <= ${from + SLICE} order by n`,
    )
    if (rows.length === 0) break
    const news = await questions.ask(rows.map(({ url }) => url))
    located += news.length
    await sql.load('files_located_slice', LOCATED, [news])
    await sql.run('insert into files_located from files_located_slice')
  }
  if (located > 0) await overConflicts(() => commitOnce(tables, options))
}

/** Asks many things at once, until it takes too long or nothing answers. */
class Questions {
  readonly #options: LocateOptions
  readonly #until: number
  #vain = 0

  constructor(options: LocateOptions) {
    this.#options = options
    this.#until = options.clock.ticks() + WAIT_MS
  }

  get isOver(): boolean {
    const { clock, signal } = this.#options
    return this.#vain >= VAIN_MAX || clock.ticks() >= this.#until || signal?.aborted === true
  }

  async ask(urls: readonly string[]): Promise<Row[]> {
    const { clock, stores } = this.#options
    const found: Row[] = []
    const enough = new AbortController()
    const asked = inParallel(urls, async (url) => {
      if (this.isOver || enough.signal.aborted) return
      try {
        const nodes = await stores.nodes(url)
        this.#vain = 0
        if (nodes !== undefined) found.push({ url, nodes: textOf(nodes) })
      } catch (cause) {
        // That a file may not be looked at is an answer.
        if (!(cause instanceof FloeError)) throw cause
        this.#vain = AWAY.includes(cause.code) ? this.#vain + 1 : 0
      }
    })
    asked.catch(() => {})
    await Promise.race([asked, clock.sleep(Math.max(0, this.#until - clock.ticks()), enough.signal)])
    enough.abort()
    // What still comes is not waited for.
    return [...found]
  }
}

const textOf = (nodes: ReadonlyMap<NodePlace, number>): string => JSON.stringify(Object.fromEntries(nodes))

async function commitOnce(tables: Tables, { clock, guard }: LocateOptions): Promise<void> {
  const snapshot = await tables.view('files')
  await tables.commit('files', {
    operation: 'locate inputs',
    ...(guard && { guard }),
    expect: snapshot.version,
    remove: snapshot.parts,
    select: `select f.* replace (
        case when l.url is null then f.nodes else cast(l.nodes::json as map(varchar, bigint)) end as nodes,
        case when l.url is null then f.nodes_at else make_timestamptz(${Math.round(clock.now() * 1000)}) end as nodes_at)
      from files f left join files_located l using (url)`,
  })
  await tables.view('files')
}
