import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { asideOf, ownUnique } from '../../src/ports/files/aside.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { ended, openPlace, type Place } from '../cli/place.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, servedBy, startHdfs } from './hdfs.ts'
import { beginWrite } from './hdfs-writing.ts'
import { until } from './machine.ts'

/* Jobs whose inputs and programs lie in HDFS. */

const MB = 1_000_000

describeSite('inputs in HDFS', () => {
  let site: HdfsSite
  beforeAll(async () => {
    site = await startHdfs({ dataNodes: 3 })
    await site.ask('PUT', '/data', 'op=MKDIRS&permission=1777')
  })
  afterAll(() => site?.stop())

  const alice = () => hdfsFiles(site.client({ user: 'alice', idleMs: 20_000 }))
  async function put(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
    for (const [path, content] of Object.entries(files)) {
      await alice().makeFolders(path.slice(0, path.lastIndexOf('/')))
      await alice().write(path, content)
    }
  }

  /** A campaign on this machine that knows the way. */
  async function campaign(settings = ''): Promise<{ place: Place; env: Record<string, string> }> {
    const place = openPlace()
    const sites = `hdfs:\n  namenode:\n    user: alice\n    hosts: ${JSON.stringify(site.hosts)}\n`
    place.file('config/floe/sites.yaml', sites, 0o600)
    const env = { XDG_CONFIG_HOME: place.path('config'), TMPDIR: place.path('tmp') }
    place.file('tmp/none', '')
    await place.run(['init', 'c'], { env })
    place.file('c/floe.yaml', settings)
    return { place, env }
  }
  const rows = ({ stdout }: { stdout: string }) =>
    stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  /** Modes of the files by which arrays in a scratch directory get in. */
  const entrancesIn = (scratch: string): number[] =>
    readdirSync(scratch, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\/arrays\/a\d+\/hdfs$/.test(name))
      .map((name) => statSync(join(scratch, name)).mode & 0o777)

  it('come once a batch to the node, whatever they are called', async () => {
    const { place, env } = await campaign('slots: 2\n')
    const root = '/data/odd names'
    const names = ['a b.csv', '50%25 + x.csv', 'été 🧊.csv', 'q?x#y.csv', 'plain.csv', "it's $(x).csv"]
    const content = (name: string) => `${name}\n`
    await put(Object.fromEntries(names.map((name) => [`${root}/${name}`, content(name)])))
    await put({ [`${root}/empty.csv`]: '', [`${root}/tree/x.csv`]: 'x\n', [`${root}/tree/sub/y z.csv`]: 'y\n' })
    const large = randomBytes(20 * MB)
    await put({ [`${root}/large.bin`]: large })
    await put({ [`${root}/bin/print it.sh`]: '#!/bin/sh\ncat -- "$1" > "$2"\nreadlink -- "$1"\n' })
    const job = (id: string, input: string, more: object = {}) => ({
      ...{ id, executable: `${site.url}${root}/bin/print it.sh`, arguments: ['{input:1}', '{output:1}'] },
      ...{ data: { input: [`${site.url}${root}/${input}`], output: [`${id}.out`] }, ...more },
    })
    place.jobs('jobs.ndjson', [
      ...[...names, 'empty.csv'].map((name, at) => job(`odd${at}`, name)),
      ...Array.from({ length: 12 }, (_, at) => job(`large${at}`, 'large.bin')),
      {
        ...job('tree', 'tree/'),
        ...{ executable: 'sh', arguments: ['-c', 'cat tree/x.csv "tree/sub/y z.csv" > tree.out'] },
      },
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    expect(await floe('add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    const plan = await floe('plan', '--json')
    expect([plan.status, plan.stderr]).toEqual([0, ''])
    const distinct = large.length + names.reduce((sum, name) => sum + Buffer.byteLength(content(name)), 4)
    expect(JSON.parse(plan.stdout)).toMatchObject({ jobs: 20, missing: 0 })

    const before = await servedBy(site)
    const ran = await floe('run', '--json')
    expect([ran.status, ran.stderr]).toEqual([0, ''])
    expect(JSON.parse(ran.stdout)).toMatchObject({ succeeded: 20, failed: 0 })
    for (const [at, name] of names.entries()) expect(place.read(`c/outputs/odd${at}.out`)).toBe(content(name))
    expect(place.read('c/outputs/odd6.out')).toBe('')
    expect(place.read('c/outputs/tree.out')).toBe('x\ny\n')
    for (const at of [0, 11]) expect(readFileSync(place.path(`c/outputs/large${at}.out`)).equals(large)).toBe(true)
    const [batches] = rows(
      await floe(
        'query',
        `select count(distinct batch_id)::int as n from attempts where job_id like 'large%'`,
        '--json',
      ),
    )
    // HDFS counts the sums that it keeps of its blocks too.
    expect((await servedBy(site)) - before).toBeLessThan((batches!.n as number) * distinct * 1.1 + MB)
    expect(readdirSync(place.path('tmp')), 'nothing stays on the node').toEqual(['none'])

    // What is as it was is not run again; what changed is.
    expect(JSON.parse((await floe('run', '--json')).stdout)).toMatchObject({ decided: { succeeded: 0 }, succeeded: 20 })
    await put({ [`${root}/plain.csv`]: 'changed\n' })
    expect(await floe('run')).toMatchObject({
      status: expect.any(Number),
      stderr: expect.stringContaining('plain.csv'),
    })
    expect(await floe('run', '--rerun')).toMatchObject({ status: 0 })
    expect(place.read('c/outputs/odd4.out')).toBe('changed\n')
  })

  it.each(['.csv', ' +%20é.csv'])('lie in folders of any size: %s', async (end) => {
    const root = `/data/many${end.length}`
    const names = Array.from({ length: 2300 }, (_, at) => `${at}${end}`).sort()
    const rest = names.values()
    const lane = async () => {
      for (const name of rest) await site.ask('PUT', `${root}/${encodeURIComponent(name)}`, 'op=MKDIRS')
    }
    await Promise.all(Array.from({ length: 16 }, lane))
    expect(await alice().names(root)).toEqual(names)
  })

  it('that are missing are said before anything runs', async () => {
    const { place, env } = await campaign()
    await put({ '/data/some/here.csv': 'x\n' })
    const job = (id: string, url: string) => ({ id, executable: 'cat', data: { input: [url] } })
    place.jobs('jobs.ndjson', [
      job('here', `${site.url}/data/some/here.csv`),
      ...[0, 1, 2, 3].map((at) => job(`gone${at}`, `${site.url}/data/some/gone${at}.csv`)),
      job('folder', `${site.url}/data/some`),
      job('colon', `${site.url}/data/some/12:00.csv`),
      job('no path', `${site.url}/`),
      job('above', `${site.url}/data/../x`),
      job('port', 'webhdfs://namenode:http/x'),
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    const added = JSON.parse((await floe('add', place.path('jobs.ndjson'), '--json')).stdout)
    expect(added).toMatchObject({ added: 7, rejected: 3 })
    const plan = JSON.parse((await floe('plan', '--json')).stdout)
    expect(plan).toMatchObject({ jobs: 1, missing: 6 })
  })

  it('that are not as planned fail their jobs as input, and name why', async () => {
    const { place, env } = await campaign('slots: 1\n')
    const names = ['longer', 'same', 'removed', 'trashed', 'closed', 'fine', 'declared', 'lied']
    await put(Object.fromEntries(names.map((name) => [`/data/later/${name}`, 'as planned'])))
    const open = await beginWrite(site, '/data/later/open', 'half', { idleMs: 200_000 })
    const url = (name: string) => `${site.url}/data/later/${name}`
    const job = (id: string, input: unknown) => ({ id, executable: 'cat', data: { input: [input] } })
    const ofText = '2f1fec1c3ae5fb2aa7e0f9b8f3dfdb0a2c3fb1b4d1d5a3b1f5b8a4b4d8a0c1d2'
    place.jobs('first.ndjson', [
      {
        ...{ id: 'first', executable: 'sh', priority: 9 },
        arguments: ['-c', `touch ${place.path('begun')}; until [ -e ${place.path('go')} ]; do sleep 0.1; done`],
      },
      ...['longer', 'same', 'removed', 'trashed', 'closed', 'fine', 'open'].map((name) => job(name, url(name))),
      job('lied', { url: url('lied'), size_bytes: 10, digest: `sha256:${ofText}` }),
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    expect(await floe('add', place.path('first.ndjson'))).toMatchObject({ status: 0 })
    const running = place.start(['-C', place.path('c'), 'run', '--jobs-per-batch', '1', '--json'], { env })
    const told = ended(running)
    await until(async () => existsSync(place.path('begun')), { what: 'the first job runs' })
    await put({ '/data/later/longer': 'no longer as planned', '/data/later/same': 'as plannED' })
    await alice().remove('/data/later/removed')
    await site.nameNode.ask('/start.sh fs -rm /data/later/trashed')
    expect(await site.client().status('/user/root/.Trash/Current/data/later/trashed')).toMatchObject({ length: 10 })
    await site.ask('PUT', '/data/later/closed', 'op=SETPERMISSION&permission=000')
    place.file('go', '')
    expect(await told).toMatchObject({ status: 3 })
    await open.finish()
    const found = rows(
      await floe('query', 'select job_id, verdict, class, rule from attempts order by job_id, try', '--json'),
    )
    const of = (id: string) => found.find(({ job_id }) => job_id === id)
    expect(of('fine')).toMatchObject({ verdict: 'succeeded' })
    const fails = (id: string, words: string) =>
      expect(of(id)).toMatchObject({ verdict: 'failed', class: 'input', rule: expect.stringContaining(words) })
    fails('longer', '20 bytes, 10 when it was planned')
    fails('same', 'was changed')
    for (const id of ['removed', 'trashed']) fails(id, 'is not there')
    fails('closed', 'Permission denied')
    fails('open', 'still writing')
    fails('lied', `its job says sha256:${ofText}`)
    const modes = entrancesIn(place.path('c/scratch'))
    expect(modes.length).toBeGreaterThan(0)
    expect(new Set(modes)).toEqual(new Set([0o600]))
  })

  it('come from other nodes when one dies', async () => {
    const { place, env } = await campaign('slots: 1\n')
    const sites = place.read('config/floe/sites.yaml')
    const there = `sites:\n  there: {connector: local, scratch: ${place.path('there')}, interval: 1s, slots: 1}\n`
    place.file('config/floe/sites.yaml', `${sites}${there}`).file('there/none', '')
    const bytes = randomBytes(30 * MB)
    await put({ '/data/dies/a.bin': bytes })
    place.jobs('jobs.ndjson', [
      {
        ...{ id: 'a', executable: 'cp', arguments: ['{input:1}', '{output:1}'] },
        data: { input: [`${site.url}/data/dies/a.bin`], output: ['copy.bin'] },
      },
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    expect(await floe('add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    await site.dataNodes[0]!.kill()
    try {
      expect(await floe('run', '--site', 'there')).toMatchObject({ status: 0 })
    } finally {
      await site.dataNodes[0]!.start()
      await site.ready()
    }
    expect(await floe('fetch', '--all')).toMatchObject({ status: 0 })
    expect(readFileSync(place.path('c/outputs/copy.bin')).equals(bytes)).toBe(true)
    // Who got in is known there by a file that others cannot read.
    expect(entrancesIn(place.path('there'))).toEqual([0o600])
    expect(await floe('try', 'a')).toMatchObject({ status: 0 })
  })

  it('and outputs there: whole, replaced, merged, fetched', async () => {
    const root = '/data/out here'
    const { place, env } = await campaign(`slots: 2\noutputs: ${site.url}${root}\n`)
    await put({ '/data/in/a.csv': 'x,y\n1,2\n', '/data/in/b.csv': 'x,y\n3,4\n' })
    const job = (id: string, output: string[], command: string, more: object = {}) => ({
      ...{ id, executable: 'sh', arguments: ['-c', command] },
      ...{ data: { input: [`${site.url}/data/in/a.csv`, `${site.url}/data/in/b.csv`], output }, ...more },
    })
    place.jobs('jobs.ndjson', [
      job('copy', ['t/a b%20+.csv'], 'mkdir -p t; cp a.csv "t/a b%20+.csv"'),
      job('large', ['large.bin'], 'head -c 20000000 /dev/urandom > large.bin'),
      job('folder', ['maps/'], 'mkdir -p maps/sub; cp a.csv maps; cp b.csv "maps/sub/b c"'),
      job('glob', ['many/*.csv'], 'for n in 1 2 3; do cp b.csv many/$n.csv; done'),
      job('colon', ['at 12:00'], 'touch "at 12:00"'),
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    const result = async (sql: string) => rows(await floe('query', sql, '--json'))
    expect(await floe('add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    expect(await floe('run', '--json')).toMatchObject({ status: 3, stderr: '' })
    const tried = await result('select job_id, class, rule from attempts where class is not null')
    expect(tried).toMatchObject([{ job_id: 'colon', class: 'app', rule: expect.stringContaining('12:00') }])

    const read = async (name: string) => (await alice().read(`${root}/${name}`))?.toString()
    expect(await read('t/a b%20+.csv')).toBe('x,y\n1,2\n')
    expect(await read('maps/sub/b c')).toBe('x,y\n3,4\n')
    expect(await alice().names(root)).toEqual(['large.bin', 'many', 'maps', 't'])
    expect(await alice().names(`${root}/many`)).toEqual(['1.csv', '2.csv', '3.csv'])
    const urls = await result("select url from results where job_id = 'glob' order by url")
    expect(urls).toEqual([1, 2, 3].map((n) => ({ url: `${site.url}${root}/many/${n}.csv` })))
    expect(existsSync(place.path('c/outputs/t'))).toBe(false)
    expect(await result('select count(*)::int as n from merged')).toEqual([{ n: 4 }])

    expect(JSON.parse((await floe('fetch', '--all', '--json')).stdout)).toMatchObject({ fetched: 6, missing: 0 })
    expect(place.read('c/outputs/maps/sub/b c')).toBe('x,y\n3,4\n')
    expect(statSync(place.path('c/outputs/large.bin')).size).toBe(20 * MB)
    expect(await floe('retry', 'copy')).toMatchObject({ status: 0 })
    await put({ '/data/in/a.csv': 'x,y\n5,6\n' })
    await floe('run', '--rerun')
    expect(await read('t/a b%20+.csv')).toBe('x,y\n5,6\n')

    // As a runner that was killed leaves it.
    const left = asideOf(`${root}/many/4.csv`, ownUnique().replace(/-\d+-/, `-${2 ** 22}-`))
    await put({ [left]: 'half' })
    expect(JSON.parse((await floe('clean', '--json')).stdout).freed_bytes).toBeGreaterThanOrEqual(4)
    expect(await alice().names(`${root}/many`)).toEqual(['1.csv', '2.csv', '3.csv'])

    place.jobs('packed.ndjson', [job('packed', ['p.csv'], 'cp a.csv p.csv', { publish: 'pack' })])
    await floe('add', place.path('packed.ndjson'))
    expect(await floe('run')).toMatchObject({ status: 2, stderr: expect.stringContaining('publish: pack') })
  })

  it('over a quota on outputs: the job says so, the others go on, and with room it succeeds', async () => {
    const root = '/data/quota'
    await site.ask('PUT', root, 'op=MKDIRS&permission=1777')
    const quota = (words: string) => site.nameNode.ask(`/start.sh admin ${words} ${root}`)
    // Two replicas, and a block is counted whole when it is begun.
    await quota('-setSpaceQuota 36m')
    const { place, env } = await campaign(`slots: 1\npolicy: {staging: {tries: 2}}\noutputs: ${site.url}${root}\n`)
    const job = (id: string, bytes: number, priority: number) => ({
      ...{ id, executable: 'sh', arguments: ['-c', `head -c ${bytes} /dev/zero > ${id}.bin`], priority },
      data: { input: [], output: [`${id}.bin`] },
    })
    place.jobs('jobs.ndjson', [job('large', 20 * MB, 9), job('small', 1000, 1)])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    expect(await floe('add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    expect(await floe('run')).toMatchObject({ status: 3 })
    const tried = await floe(
      'query',
      `select job_id, verdict, class, rule like '%quota%' as says, count(*)::int as n from attempts group by all order by all`,
      '--json',
    )
    expect(rows(tried)).toEqual([
      { job_id: 'large', verdict: 'failed', class: 'staging', says: true, n: 2 },
      { job_id: 'small', verdict: 'succeeded', class: null, says: false, n: 1 },
    ])
    expect(await alice().names(root)).toEqual(['small.bin'])
    await quota('-clrSpaceQuota')
    expect(await floe('retry', 'large')).toMatchObject({ status: 0 })
    expect(await floe('run')).toMatchObject({ status: 0 })
    expect(await alice().names(root)).toEqual(['large.bin', 'small.bin'])
  })

  // Takes some 20 GB of disk and minutes: FLOE_LARGE=1.
  it.skipIf(process.env.FLOE_LARGE === undefined)('of 5 GB come whole, and the runner stays small', async () => {
    const { place, env } = await campaign('slots: 1\n')
    const [size, path] = [5_000_000_000, '/data/large/5gb.bin']
    await site.ask('PUT', '/data/large', 'op=MKDIRS&permission=1777')
    const file = place.path('5gb.bin')
    execFileSync('sh', [
      '-c',
      'openssl enc -aes-128-ctr -pass pass:floe -nosalt </dev/zero 2>/dev/null | head -c "$1" >"$2"',
      'sh',
      `${size}`,
      file,
    ])
    await alice().publish(file, path)
    place.jobs('jobs.ndjson', [
      {
        ...{
          id: 'sum',
          executable: 'sh',
          arguments: ['-c', 'sha256sum <5gb.bin >sum; grep VmHWM "/proc/$PPID/status" >peak'],
        },
        data: { input: [`${site.url}${path}`], output: ['sum', 'peak'] },
      },
    ])
    const floe = (...args: string[]) => place.run(['-C', place.path('c'), ...args], { env })
    expect(await floe('add', place.path('jobs.ndjson'))).toMatchObject({ status: 0 })
    expect(await floe('run')).toMatchObject({ status: 0 })
    const sum = execFileSync('sha256sum', {
      input: undefined,
      stdio: [openSync(file, 'r'), 'pipe', 'inherit'],
      encoding: 'utf8',
    })
    expect(place.read('c/outputs/sum')).toBe(sum)
    const [, peak] = /VmHWM:\s+(\d+) kB/.exec(place.read('c/outputs/peak')) ?? []
    expect(Number(peak)).toBeLessThan(400_000)
  })
})
