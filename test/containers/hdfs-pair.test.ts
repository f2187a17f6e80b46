import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ended, openPlace } from '../cli/place.ts'
import { describeSite } from './engine.ts'
import { type HdfsPair, startHdfsPair } from './hdfs-pair.ts'
import { until } from './machine.ts'

/* An HDFS of two name nodes that speak TLS with a certificate that nobody knows. */

describeSite('swebhdfs, with two name nodes', { timeout: 300_000 }, () => {
  let pair: HdfsPair
  beforeAll(async () => {
    pair = await startHdfsPair()
    await pair.ask('fs -mkdir /campaigns')
    await pair.ask('fs -chmod 1777 /campaigns')
  })
  afterAll(() => pair?.stop())

  function desk() {
    const place = openPlace()
    place.file('ca.pem', pair.certificate)
    const env = Object.fromEntries(
      ['config', 'cache', 'state'].map((name) => [`XDG_${name.toUpperCase()}_HOME`, place.path(name)]),
    )
    const start = (...args: string[]) => place.start(args, { env })
    return {
      ...{ place, start, floe: (...args: string[]) => ended(start(...args)) },
      know: (hdfs: object) => place.file('config/floe/sites.yaml', JSON.stringify({ hdfs }), 0o600),
      trusted: { user: 'alice', hosts: pair.hosts, ca: place.path('ca.pem') },
    }
  }

  it('says what is wrong with a certificate, or without TLS', async () => {
    const { floe, know, trusted } = desk()
    const { hosts, nn1 } = { hosts: pair.hosts, nn1: pair.ports.nn1 }
    const refused = async (url: string, message: RegExp, hint: RegExp) => {
      const { status, stderr } = await floe('init', url)
      expect([status, stderr]).toEqual([12, expect.stringMatching(message)])
      expect(stderr).toMatch(hint)
    }
    know({ nn1: { user: 'alice', hosts } })
    await refused(`swebhdfs://nn1:${nn1}/campaigns/a`, /self-signed certificate/, /`ca:` of this HDFS/)
    know({ other: { ...trusted, hosts: { other: '127.0.0.1' } } })
    await refused(`swebhdfs://other:${nn1}/campaigns/a`, /other.*altnames/, /as its certificate does/)
    know({ nn1: trusted })
    await refused(`webhdfs://nn1:${nn1}/campaigns/a`, /nn1/, /swebhdfs/)
  })

  it('carries a campaign from one name node to the other', async () => {
    const { place, floe, start, know, trusted } = desk()
    const { nn1, nn2 } = pair.ports
    know({ floe: { ...trusted, name_nodes: [`nn2:${nn2}`, `nn1:${nn1}`] } })
    const url = 'swebhdfs://floe/campaigns/pair'
    expect(await floe('init', url)).toMatchObject({ status: 0 })
    const job = (at: number) => ({
      ...{ id: `job${at}`, executable: 'sh' },
      arguments: [
        '-c',
        `touch ${place.path(`begun${at}`)}; until [ -e ${place.path('go')} ]; do sleep 0.1; done; cp campaign.json ${at}.txt`,
      ],
      data: { input: [`${url}/campaign.json`], output: [`${at}.txt`] },
    })
    place.jobs('jobs.ndjson', [job(0), job(1), job(2)])
    expect(await floe('-C', url, 'add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    const run = ended(start('-C', url, 'run', '--jobs-per-batch', '1', '--json'))
    await until(() => existsSync(place.path('begun0')), { what: 'a job runs' })
    await pair.activate('nn2')
    place.file('go', '')
    const { stdout, stderr } = await run
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 3, failed: 0 })
    await pair.activate('nn1')
    const once = 'select count(*)::int as rows, count(distinct job_id)::int as jobs from results'
    expect((await floe('-C', url, 'query', once, '--csv')).stdout).toBe('rows,jobs\n3,3\n')
  })
})
