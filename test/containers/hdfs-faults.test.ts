import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { ended, openPlace, type Place } from '../cli/place.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, namesIn, startHdfs } from './hdfs.ts'
import { until } from './machine.ts'

/* What befalls an HDFS while a campaign in it is at work. */

describeSite('a campaign in HDFS, meanwhile', { timeout: 300_000 }, () => {
  let site: HdfsSite
  beforeAll(async () => {
    site = await startHdfs({ dataNodes: 3 })
    for (const folder of ['/campaigns', '/data']) await site.ask('PUT', folder, 'op=MKDIRS&permission=1777')
  })
  afterAll(() => site?.stop())
  const alice = () => hdfsFiles(site.client({ user: 'alice', idleMs: 20_000 }))

  /** A new campaign there, and floe on a machine that knows the way. */
  async function campaign(name: string, settings = '') {
    const place: Place = openPlace()
    const sites = { hdfs: { namenode: { user: 'alice', hosts: site.hosts } } }
    place.file('config/floe/sites.yaml', JSON.stringify(sites), 0o600)
    const env = Object.fromEntries(
      ['config', 'cache', 'state'].map((kind) => [`XDG_${kind.toUpperCase()}_HOME`, place.path(kind)]),
    )
    const root = `/campaigns/${name}-${place.directory.split('-').at(-1)}`
    const url = `${site.url}${root}`
    const start = (...args: string[]) => place.start(['-C', url, ...args], { env })
    const floe = async (...args: string[]) => {
      const told = await ended(start(...args))
      expect([told.status, told.stderr], args.join(' ')).toEqual([0, ''])
      return told.stdout
    }
    expect(await place.run(['init', url], { env })).toMatchObject({ status: 0 })
    await alice().write(`${root}/floe.yaml`, settings)
    return { place, root, start, floe }
  }
  const job = (id: string, script: string, more: object = {}) => ({
    ...{ id, executable: 'sh', arguments: ['-c', script], data: { input: [], output: [] }, ...more },
  })

  it('goes on while the name node is started again, is in safe mode, and a data node stands still', async () => {
    const { place, root, start, floe } = await campaign('befallen', `outputs: ${site.url}/data/befallen\nslots: 1\n`)
    const bytes = randomBytes(4_000_000)
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const name of names) await alice().write(`/data/${name}.bin`, bytes)
    const gate = (name: string) =>
      `touch '${place.path(`begun-${name}`)}'; until [ -e '${place.path(`go-${name}`)}' ]; do sleep 0.1; done;`
    place.jobs(
      'jobs.ndjson',
      names.map((name, at) =>
        job(name, `${at < 3 ? gate(name) : ''} cp ${name}.bin ${name}.out`, {
          ...{ priority: 9 - at, data: { input: [`${site.url}/data/${name}.bin`], output: [`${name}.out`] } },
        }),
      ),
    )
    await floe('add', place.path('jobs.ndjson'))
    const running = ended(start('run', '--jobs-per-batch', '1', '--json'))
    const early = running.then((told) => Promise.reject(new Error(`it ended too early: ${JSON.stringify(told)}`)))
    early.catch(() => {})
    const begun = (name: string) =>
      Promise.race([
        early,
        until(() => existsSync(place.path(`begun-${name}`)), { what: `job ${name} runs`, waitMs: 150_000 }),
      ])
    const safeMode = (word: string) => site.nameNode.ask(`/start.sh admin -safemode ${word}`)

    await begun('a')
    await site.nameNode.kill()
    place.file('go-a', '')
    await site.nameNode.start()
    await begun('b')
    await safeMode('enter')
    place.file('go-b', '')
    await safeMode('leave')
    await begun('c')
    const [stuck] = site.dataNodes
    await stuck!.pause()
    try {
      place.file('go-c', '')
      const { stdout, stderr } = await running
      expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 6, failed: 0, lost: 0 })
    } finally {
      await stuck!.unpause()
    }
    await site.ready()
    const once = 'select count(*)::int as rows, count(distinct job_id)::int as jobs from results'
    expect(await floe('query', once, '--csv')).toBe('rows,jobs\n6,6\n')
    for (const name of names) expect((await alice().read(`/data/befallen/${name}.out`))!.equals(bytes)).toBe(true)
    await floe('clean', '--all')
    for (const folder of [root, '/data/befallen'])
      expect((await namesIn(alice(), folder)).filter((name) => name.startsWith('.'))).toEqual([])
  })
})
