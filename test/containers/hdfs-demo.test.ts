import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { ended, Place } from '../cli/place.ts'
import { startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, namesIn, startHdfs } from './hdfs.ts'
import { until } from './machine.ts'
import type { Site } from './site.ts'

/* The demo from HDFS to HDFS: catalog, inputs, program and outputs lie there, Slurm's nodes read and write them, and a data node dies meanwhile. */

const REPOSITORY = join(import.meta.dirname, '../..')
const DATA = join(REPOSITORY, 'data/arctic-winds')
const EXAMPLE = join(REPOSITORY, 'jobs/examples/winds')
/** Digests of inputs differ: HDFS names files by size and time. */
const ROWS = 'select * exclude (output, job_digest) from merged order by job_id'

describeSite('the demo from HDFS to HDFS', { timeout: 600_000 }, () => {
  const place = new Place()
  let hdfs: HdfsSite
  let slurm: Site
  beforeAll(async () => {
    ;[hdfs, slurm] = await Promise.all([startHdfs({ dataNodes: 3 }), startSlurm({ nodes: 2 })])
    for (const machine of slurm.machines) await machine.join(hdfs.network)
    for (const folder of ['/data', '/campaigns', '/out']) await hdfs.ask('PUT', folder, 'op=MKDIRS&permission=1777')
  })
  afterAll(async () => {
    place.close()
    await Promise.all([hdfs?.stop(), slurm?.stop()])
  })

  const alice = () => hdfsFiles(hdfs.client({ user: 'alice', idleMs: 20_000 }))

  it('has the rows of this machine, though a data node dies', async () => {
    const campaign = `${hdfs.url}/campaigns/winds`
    const files = readdirSync(DATA, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.csv'))
    for (const name of files) await putAs(`/data/${name}`, readFileSync(join(DATA, name)))
    await putAs('/data/sector-mean.sh', readFileSync(join(EXAMPLE, 'sector-mean.sh')))
    const jobs = readFileSync(join(EXAMPLE, 'jobs.yaml'), 'utf8')
      .replaceAll('../../../data/arctic-winds', `${hdfs.url}/data`)
      .replace('./sector-mean.sh', `${hdfs.url}/data/sector-mean.sh`)
    place.file('jobs.yaml', jobs)
    const { host, port, user, identityFile, knownHostsFile } = await slurm.ssh()
    place.file(
      'config/floe/sites.yaml',
      `sites:
  frost:
    connector: slurm
    ssh: {to: ${user}@${host}, port: ${port}, identity: ${identityFile}, known_hosts: ${knownHostsFile}, agent: none}
    scratch: /scratch/alice
    interval: 2s
hdfs:
  namenode: {user: alice, hosts: ${JSON.stringify(hdfs.hosts)}}
`,
      0o600,
    )
    const env = Object.fromEntries(
      ['config', 'cache', 'state'].map((name) => [`XDG_${name.toUpperCase()}_HOME`, place.path(name)]),
    )
    const start = (...args: string[]) => place.start(['-C', campaign, ...args], { env })
    const floe = (...args: string[]) => ended(start(...args))
    expect(await place.run(['init', campaign], { env })).toMatchObject({ status: 0 })
    await alice().write('/campaigns/winds/floe.yaml', `outputs: ${hdfs.url}/out/winds\n`)
    expect(await floe('add', place.path('jobs.yaml'))).toMatchObject({ status: 0 })

    const run = ended(start('run', '--site', 'frost', '--json'))
    await until(
      async () =>
        (
          await alice()
            .names('/out/winds')
            .catch(() => [])
        ).length > 0,
      {
        what: 'an output is there',
        waitMs: 300_000,
      },
    )
    await hdfs.dataNodes[0]!.kill()
    const { stdout, stderr } = await run
    expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 1056, failed: 0, lost: 0, merged_rows: 1056 })

    await place.run(['init', 'here'])
    await place.run(['-C', 'here', 'add', join(EXAMPLE, 'jobs.yaml')])
    expect(await place.json('-C', 'here', 'run')).toMatchObject({ succeeded: 1056 })
    const rows = (await place.run(['-C', 'here', 'query', ROWS, '--csv'])).stdout
    expect(rows.split('\n')).toHaveLength(1058)
    expect((await floe('query', ROWS, '--csv')).stdout).toBe(rows)
    const once = 'select count(*)::int as rows, count(distinct job_id)::int as jobs from results'
    expect((await floe('query', once, '--csv')).stdout).toBe('rows,jobs\n1056,1056\n')
    expect(readByOthers('/out/winds/1984/07/kara.csv')).toBe(place.read('here/outputs/1984/07/kara.csv'))

    const again = await floe('run', '--site', 'frost', '--json')
    expect(JSON.parse(again.stdout)).toMatchObject({ succeeded: 1056, decided: { succeeded: 0, failed: 0 } })
    expect(await floe('clean', '--all')).toMatchObject({ status: 0 })
    for (const folder of ['/campaigns/winds', '/out/winds'])
      expect((await namesIn(alice(), folder)).filter((name) => /^\..*\.tmp$/.test(name))).toEqual([])
  })

  async function putAs(path: string, content: Uint8Array): Promise<void> {
    await alice().makeFolders(path.slice(0, path.lastIndexOf('/')))
    await alice().write(path, content)
  }

  /** By the client of others. */
  function readByOthers(path: string): string {
    const program = join(import.meta.dirname, 'webhdfs-client.mjs')
    const words = [program, hdfs.url.replace('webhdfs:', 'http:'), 'get', path]
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return stdout
  }
})
