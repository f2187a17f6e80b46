import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import type { Files } from '../../src/ports/files/files.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { cachedNear } from '../../src/ports/tables/near-cached.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { openPlace, type Place } from '../cli/place.ts'
import { readByRules } from '../conformance/delta-rules.ts'
import { temporaryFolder } from '../conformance/files.ts'
import { rowsOf } from '../conformance/rows.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, startHdfs } from './hdfs.ts'

/* A campaign that lies in HDFS. */

describeSite('a campaign in HDFS', () => {
  let site: HdfsSite
  const here = temporaryFolder()
  beforeAll(async () => {
    site = await startHdfs({ dataNodes: 2 })
    await site.ask('PUT', '/campaigns', 'op=MKDIRS&permission=1777')
  })
  afterAll(async () => {
    await here.close()
    await site?.stop()
  })

  const files = () => hdfsFiles(site.client({ user: 'alice', idleMs: 20_000 }))
  async function copy(store: Files, from: string, to: string): Promise<string> {
    mkdirSync(to, { recursive: true })
    const entries = await store.list(from)
    const one = ({ name, kind }: (typeof entries)[number]) =>
      kind === 'folder' ? copy(store, join(from, name), join(to, name)) : store.fetch(join(from, name), join(to, name))
    await Promise.all(entries.map(one))
    return to
  }
  async function namesBelow(path: string): Promise<string[]> {
    const entries = await files().list(path)
    const below = entries.map(async ({ name, kind }) => (kind === 'folder' ? namesBelow(join(path, name)) : [name]))
    return (await Promise.all(below)).flat()
  }

  it('keeps every commit of two machines that commit at once, and each once', async () => {
    const root = '/campaigns/raced'
    const machine = async (name: string): Promise<Tables> => {
      const cache = join(here.root, name)
      const near = await cachedNear({ files: files(), url: site.url, root: join(root, 'tables'), cache })
      return openTables({ root, cache, clock: systemClock, threads: 1, store: { files: files(), near } })
    }
    const two = await Promise.all([machine('one'), machine('two')])
    const row = (key: number) => rowsOf('attempts', { job_id: `'job${key}'`, job_key: String(key), try: '1' })
    const versions = await Promise.all(
      two.map(async (tables, at) => {
        const made: number[] = []
        for (let i = 0; i < 100; i++) {
          const commit = { select: row(2 * i + at), operation: 'race', txn: { appId: `of ${at}`, version: i } }
          made.push((await tables.commit('attempts', commit))!)
          // What was published is not published again, whoever came in between.
          if (i % 25 === 0) expect(await tables.commit('attempts', commit)).toBeUndefined()
        }
        return made
      }),
    )
    expect(versions.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, at) => at))
    const turns = versions[0]!.filter((version, at, all) => at > 0 && version !== all[at - 1]! + 1)
    expect(turns.length).toBeGreaterThan(10)

    const { parts } = await two[0]!.snapshot('attempts')
    const rewrites = await Promise.allSettled(
      two.map((tables, at) =>
        tables.commit('attempts', { remove: parts.slice(0, 1), select: row(1000 + at), operation: 'x' }),
      ),
    )
    expect(rewrites.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const lost = rewrites.find((one) => one.status === 'rejected') as PromiseRejectedResult
    expect(lost.reason).toMatchObject({ code: 'TABLE_CONFLICT' })

    const seen = await readByRules(await copy(files(), join(root, 'tables/attempts'), join(here.root, 'copy')))
    const keys = seen.rows.map(({ job_key: key }) => Number(key)).sort((a, b) => a - b)
    expect(seen.version).toBe(200)
    expect(keys).toHaveLength(200)
    expect(new Set(keys).size).toBe(200)
    expect(keys.filter((key) => key < 200)).toHaveLength(199)
    await two[1]!.view('attempts')
    expect(await two[1]!.sql.rows('SELECT count(DISTINCT job_key) AS n FROM attempts')).toEqual([{ n: 200 }])
    expect((await namesBelow(root)).filter((name) => name.startsWith('.'))).toEqual([])
    expect((await namesBelow(root)).filter((name) => name.endsWith('.checkpoint.parquet')).length).toBeGreaterThan(0)
    for (const tables of two) await tables.close()
  })

  it('is made, filled and asked by the command line, from any machine', async () => {
    const place: Place = openPlace()
    const url = `${site.url}/campaigns/winds of 1982`
    const sites = `hdfs:\n  namenode:\n    user: alice\n    hosts: ${JSON.stringify(site.hosts)}\n`
    place.file('config/floe/sites.yaml', sites, 0o600)
    const floe = (args: readonly string[], machine = 'first') =>
      place.run([...args], { env: { XDG_CONFIG_HOME: place.path('config'), XDG_CACHE_HOME: place.path(machine) } })

    expect(await floe(['-C', url, 'status'])).toMatchObject({ status: 10, stderr: expect.stringContaining(url) })
    expect(await floe(['init', url])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(`floe -C '${url}' add`),
    })
    expect(await floe(['init', url])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('a campaign already'),
    })
    const jobs = Array.from({ length: 500 }, (_, at) => ({
      ...{ id: `job ${at}`, executable: 'cat', labels: { year: String(1982 + (at % 5)) } },
      data: { input: [`in/${at % 50}.csv`], output: [`out/${at}.csv`] },
    }))
    const lines = [...jobs.map((job) => JSON.stringify(job)), '{"id": 7']
    place.file('jobs.ndjson', `${lines.join('\n')}\n`)
    const added = await floe(['-C', url, 'add', place.path('jobs.ndjson'), '--json'])
    expect([added.status, JSON.parse(added.stdout)]).toMatchObject([3, { added: 500, rejected: 1 }])
    const again = await floe(['-C', url, 'add', place.path('jobs.ndjson'), '--json'], 'second')
    expect(JSON.parse(again.stdout)).toMatchObject({ added: 0, unchanged: 500, rejected: 1 })

    const counted = await floe(
      ['-C', url, 'query', 'select labels.year as y, count(*)::int as n from jobs group by y order by y', '--json'],
      'third',
    )
    expect(
      counted.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(Array.from({ length: 5 }, (_, at) => ({ y: String(1982 + at), n: 100 })))
    expect(
      JSON.parse((await floe(['-C', url, 'hold', '--where', "labels.year = '1984'", '--json'])).stdout),
    ).toMatchObject({ jobs: 100 })
    expect(JSON.parse((await floe(['-C', url, 'status', '--json'], 'second')).stdout)).toMatchObject({
      jobs: 500,
      held: 100,
      pending: 400,
    })
    expect(
      (await floe(['-C', url, 'jobs', '--state', 'held', '--csv'], 'second')).stdout.trim().split('\n'),
    ).toHaveLength(101)
    expect(await floe(['-C', url, 'run'])).toMatchObject({ status: 2, stderr: expect.stringContaining('HDFS') })

    const outside = await floe(['-C', url, 'query', "select * from read_text('/etc/hostname')"])
    expect(outside).toMatchObject({ status: 2 })
    // What sessions read is gone with them; what they brought stays for the next.
    const cache = place.path('third/floe/campaigns')
    const [id] = readdirSync(cache)
    expect(readdirSync(join(cache, id!, 'tables'))).toEqual(['parts'])
    expect(readdirSync(join(cache, id!, 'tables/parts')).length).toBeGreaterThan(0)
    expect((await namesBelow('/campaigns/winds of 1982')).filter((name) => name.startsWith('.'))).toEqual([])
  })
})
