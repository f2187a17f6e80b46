import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPlace } from '../cli/place.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, startHdfs } from './hdfs.ts'
import { imageOf } from './images.ts'
import { type Machine, startMachine } from './machine.ts'

/* Tables of a campaign in HDFS, read there by programs of others. */

describeSite('tables in HDFS', () => {
  let site: HdfsSite
  let deltaRs: Machine
  beforeAll(async () => {
    site = await startHdfs({ dataNodes: 2 })
    await site.ask('PUT', '/campaigns', 'op=MKDIRS&permission=1777')
    deltaRs = await startMachine({
      ...{ name: 'reader', image: await imageOf('deltars'), command: [], network: site.network, scratch: site.network },
      environment: { HADOOP_USER_NAME: 'alice' },
    })
  })
  afterAll(() => site?.stop())

  it('are read by delta-rs, straight from the name node', async () => {
    const place = openPlace()
    const campaign = `${site.url}/campaigns/read`
    const sites = `hdfs:\n  namenode: {user: alice, hosts: ${JSON.stringify(site.hosts)}}\n`
    place.file('config/floe/sites.yaml', sites, 0o600)
    const env = Object.fromEntries(
      ['config', 'cache', 'state'].map((name) => [`XDG_${name.toUpperCase()}_HOME`, place.path(name)]),
    )
    const floe = (...args: string[]) => place.run(args, { env })
    const months = ['1982-01', '1982-02', '1983-01']
    place.jobs(
      'jobs.ndjson',
      months.map((month, at) => ({
        ...{ id: month, executable: 'sh', labels: { month } },
        arguments: ['-c', `printf 'month,speed\\n%s,%s\\n%s,\\n' ${month} ${at}.5 ${month} > ${month}.csv`],
        data: { input: [], output: [`${month}.csv`] },
      })),
    )
    expect(await floe('init', campaign)).toMatchObject({ status: 0 })
    expect(await floe('-C', campaign, 'add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    expect(await floe('-C', campaign, 'run')).toMatchObject({ status: 0 })

    type Read = { version: number; rows: Record<string, unknown>[] }
    const read = async (table: string): Promise<Read> =>
      JSON.parse(await deltaRs.ask(`python3 /read.py hdfs://namenode:8020/campaigns/read/tables/${table}`))
    const query = async (sql: string) =>
      (await floe('-C', campaign, 'query', sql, '--json')).stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>)

    const results = await read('results')
    const of = (names: readonly string[]) => (row: Record<string, unknown>) => names.map((name) => row[name])
    const named = ['job_id', 'output', 'size_bytes', 'digest', 'url'] as const
    const ours = await query(`select ${named.join(', ')} from results order by job_id`)
    expect(results.rows.map(of(named)).sort()).toEqual(ours.map(of(named)))
    expect(ours.map(({ job_id }) => job_id)).toEqual(months)
    const merged = (await read('merged')).rows.map(of(['month', 'speed']))
    expect(merged.sort()).toEqual(
      months
        .flatMap((month, at) => [
          [month, at + 0.5],
          [month, null],
        ])
        .sort(),
    )
    expect((await read('jobs')).rows).toHaveLength(3)
  })
})
