import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { asideOf, ownUnique } from '../../src/ports/files/aside.ts'
import type { Files } from '../../src/ports/files/files.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { epochOf } from '../../src/run/lease-elsewhere.ts'
import { ended, openPlace, type Place } from '../cli/place.ts'
import { readByRules } from '../conformance/delta-rules.ts'
import { temporaryFolder } from '../conformance/files.ts'
import { bundle } from '../property/delta-bundle.ts'
import { startSshHost } from './clusters.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, namesIn, startHdfs } from './hdfs.ts'
import { attemptOf, tablesAt } from './hdfs-machine.ts'
import { until } from './machine.ts'
import type { Site } from './site.ts'

/* A campaign that lies in HDFS. */

const REPOSITORY = join(import.meta.dirname, '../..')
const SECTORS = [
  'nordic',
  'barents',
  'kara',
  'laptev',
  'east-siberian',
  'chukchi-beaufort',
  'canadian-archipelago',
  'baffin-greenland',
]
/** A part of jobs/examples/winds. */
const WINDS = JSON.stringify({
  templates: [
    {
      for: { month: { range: [1, 4], format: '%02d' }, sector: SECTORS },
      combine: 'cross',
      job: {
        id: '1982-${month}-${sector}',
        data: {
          input: ['winds/1982-${month}.csv', 'climate/${month}.csv', 'sectors.csv'].map((name) =>
            join(REPOSITORY, 'data/arctic-winds', name),
          ),
          output: ['1982/${month}/${sector}.csv'],
        },
        executable: join(REPOSITORY, 'jobs/examples/winds/sector-mean.sh'),
        arguments: ['1982', '${month}', '${sector}', '{input:1}', '{input:2}', '{input:3}', '{output:1}'],
        check: 'test -s "$FLOE_OUTPUT_1"',
      },
    },
  ],
})

describeSite('a campaign in HDFS', () => {
  let site: HdfsSite
  let frost: Site
  const here = temporaryFolder()
  beforeAll(async () => {
    ;[site, frost] = await Promise.all([startHdfs({ dataNodes: 2 }), startSshHost()])
    await site.ask('PUT', '/campaigns', 'op=MKDIRS&permission=1777')
  })
  afterAll(async () => {
    await here.close()
    await Promise.all([site?.stop(), frost?.stop()])
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
  async function upload(from: string, to: string): Promise<void> {
    await files().makeFolders(to)
    const carried = readdirSync(from, { withFileTypes: true }).map(async (entry) => {
      const [source, target] = [join(from, entry.name), join(to, entry.name)]
      if (entry.isDirectory()) await upload(source, target)
      else await files().publish(source, target)
    })
    await Promise.all(carried)
  }
  const namesBelow = (path: string) => namesIn(files(), path)

  it('keeps every commit of two processes that commit at once, and each once', async () => {
    const root = '/campaigns/raced'
    const machine = (name: string) => ({ url: site.url, hosts: site.hosts, root, cache: join(here.root, name) })
    const committer = await bundle(new URL('./hdfs-committer.ts', import.meta.url))
    const committers = ['first', 'second'].map((name, at) => {
      const args = [committer, JSON.stringify(machine(name)), String(at), '100']
      return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    })
    const said = committers.map((child) => createInterface({ input: child.stdout })[Symbol.asyncIterator]())
    for (const lines of said) expect((await lines.next()).value).toBe('ready')
    for (const child of committers) child.stdin.end()
    const versions = await Promise.all(
      said.map(async (lines) => JSON.parse((await lines.next()).value ?? '[]') as number[]),
    )
    expect(versions.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, at) => at))
    const turns = versions[0]!.filter((version, at, all) => at > 0 && version !== all[at - 1]! + 1)
    expect(turns.length).toBeGreaterThan(10)

    const two = await Promise.all([tablesAt(machine('one')), tablesAt(machine('two'))])
    const { parts } = await two[0]!.snapshot('attempts')
    const rewrites = await Promise.allSettled(
      two.map((tables, at) =>
        tables.commit('attempts', { remove: parts.slice(0, 1), select: attemptOf(1000 + at), operation: 'x' }),
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

    const outside = await floe(['-C', url, 'query', "select * from read_text('/etc/hostname')"])
    expect(outside).toMatchObject({ status: 2 })
    // What sessions read is gone with them; what they brought stays for the next.
    const cache = place.path('third/floe/campaigns')
    const [id] = readdirSync(cache)
    expect(readdirSync(join(cache, id!, 'tables'))).toEqual(['parts'])
    expect(readdirSync(join(cache, id!, 'tables/parts')).length).toBeGreaterThan(0)
    expect((await namesBelow('/campaigns/winds of 1982')).filter((name) => name.startsWith('.'))).toEqual([])
  })

  /** A person at a machine of theirs: what floe keeps there is nowhere else. */
  async function people(place: Place) {
    const { host, port, user, identityFile: identity, knownHostsFile: known_hosts } = await frost.ssh()
    const ssh = { to: `${user}@${host}`, port, identity, known_hosts, agent: 'none' }
    const sites = {
      hdfs: { namenode: { user: 'alice', hosts: site.hosts } },
      sites: { frost: { connector: 'local', ssh, scratch: '/scratch/alice', slots: 2, interval: '1s' } },
    }
    const environment = (machine: string) => {
      place.file(`${machine}/config/floe/sites.yaml`, JSON.stringify(sites), 0o600)
      const kinds = ['config', 'cache', 'state'].map((kind) => [`XDG_${kind.toUpperCase()}_HOME`, kind] as const)
      return Object.fromEntries(kinds.map(([name, kind]) => [name, place.path(`${machine}/${kind}`)]))
    }
    const floe = (machine: string, ...args: string[]) => place.run(args, { env: environment(machine) })
    const json = async (machine: string, ...args: string[]) => {
      const told = await floe(machine, ...args, '--json')
      if (told.stdout === '') throw new Error(`floe ${args.join(' ')}: ${told.stderr}`)
      return told.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    }
    return {
      floe,
      json,
      start: (machine: string, ...args: string[]) => place.start(args, { env: environment(machine) }),
    }
  }
  const hidden = async (path: string) => (await namesBelow(path)).filter((name) => name.startsWith('.'))
  /** A test that is repeated begins anew. */
  const folderOf = (place: Place, name: string) => `/campaigns/${name}-${basename(place.directory)}`
  const dead = () => ownUnique().replace(/-\d+-/, `-${2 ** 22}-`)

  it('runs there as on a disk, and leaves nothing behind', async () => {
    const place = openPlace()
    const { floe, json } = await people(place)
    const root = folderOf(place, 'winds')
    const url = `${site.url}${root}`
    place.file('jobs.yaml', WINDS)
    const RESULTS = 'select job_id, output, size_bytes, digest from results order by all'
    const MERGED = 'select * from merged order by all'

    await floe('one', 'init', 'disk')
    const done: unknown[][] = []
    for (const at of [place.path('disk'), url]) {
      if (at === url) expect(await floe('one', 'init', at)).toMatchObject({ status: 0 })
      await json('one', '-C', at, 'add', place.path('jobs.yaml'))
      const [plan] = await json('one', '-C', at, 'plan')
      const [run] = await json('one', '-C', at, 'run')
      const { bytes_to_nodes, jobs } = plan!
      done.push([
        { bytes_to_nodes, jobs },
        { succeeded: run!.succeeded, merged: run!.merged_rows, left: run!.left_out },
        await json('one', '-C', at, 'query', RESULTS),
        await json('one', '-C', at, 'query', MERGED),
      ])
    }
    expect(done[1]).toEqual(done[0])
    expect(done[1]![1]).toMatchObject({ succeeded: 32 })
    expect(done[1]![2]).toHaveLength(32)

    const [where] = await json('one', '-C', url, 'query', "select url from results where job_id = '1982-01-kara'")
    expect(where!.url).toContain(place.path('one/state/floe/campaigns/'))
    expect(readFileSync(where!.url as string, 'utf8')).toContain('kara')
    expect((await floe('one', '-C', url, 'show', '1982-01-kara')).stdout).toContain('succeeded')
    expect(await floe('one', '-C', url, 'logs', '1982-01-kara')).toMatchObject({ status: 0 })
    expect((await floe('one', '-C', url, 'try', '1982-01-kara', '--json')).stdout).toContain('"verdict":"succeeded"')
    expect((await floe('one', '-C', url, 'run')).stdout).toContain('Nothing to do')
    expect((await floe('two', '-C', url, 'run')).stdout).toContain('Nothing to do')
    expect((await json('two', '-C', url, 'status'))[0]).toMatchObject({ succeeded: 32, runner: null })

    await files().write(asideOf(join(root, 'lease-9.json'), dead()), '{')
    await files().write(asideOf(join(root, 'tables/jobs/_delta_log/x.json'), dead()), '{')
    expect(await hidden(root)).toHaveLength(2)
    expect(await floe('two', '-C', url, 'clean', '--all')).toMatchObject({ status: 0 })
    expect(await hidden(root)).toEqual([])
    expect((await files().names(root)).filter((name) => name.startsWith('lease'))).toHaveLength(1)
    expect(await json('two', '-C', url, 'query', RESULTS)).toEqual(done[0]![2])
  })

  it('asks what is to become of it when it was moved or copied', async () => {
    const place = openPlace()
    const { floe, json } = await people(place)
    const [root, gales, storms] = ['winds', 'gales', 'storms'].map((name) => folderOf(place, name)) as [
      string,
      string,
      string,
    ]
    place.jobs('jobs.ndjson', [{ id: 'one', executable: 'true', data: { input: [], output: [] } }])
    await floe('one', 'init', `${site.url}${root}`)
    await json('one', '-C', `${site.url}${root}`, 'add', place.path('jobs.ndjson'))
    await files().rename(root, gales)
    const moved = `${site.url}${gales}`
    expect(await floe('one', '-C', moved, 'run')).toMatchObject({ stderr: expect.stringContaining('was moved here') })
    expect(await floe('one', 'init', '--adopt', moved)).toMatchObject({ status: 0 })
    expect(await json('one', '-C', moved, 'plan')).toMatchObject([{ jobs: 1 }])
    await upload(await copy(files(), gales, place.path('copy')), storms)
    const copied = `${site.url}${storms}`
    expect(await floe('one', '-C', copied, 'run')).toMatchObject({ stderr: expect.stringContaining('was copied from') })
    expect(await floe('one', 'init', '--fork', copied)).toMatchObject({ status: 0 })
    expect(await json('one', '-C', copied, 'plan')).toMatchObject([{ jobs: 1 }])
    const ids = await Promise.all([gales, storms].map((folder) => files().read(join(folder, 'campaign.json'))))
    expect(new Set(ids.map((text) => (JSON.parse(String(text)) as { id: string }).id)).size).toBe(2)
  })

  it('goes on from another machine when its coordinator was killed, and nothing runs twice', async () => {
    const place = openPlace()
    const { floe, json, start } = await people(place)
    const root = folderOf(place, 'taken')
    const url = `${site.url}${root}`
    const ledger = `/scratch/alice/${basename(place.directory)}`
    // Some are done at once, the others wait until the second machine is at work.
    const wait = `[ "$(wc -l <'${ledger}')" -le 6 ] || until [ -e '${ledger}.go' ]; do sleep 0.1; done`
    place.program('slow.sh', `echo "$FLOE_JOB" >>'${ledger}'\n${wait}\necho "$FLOE_JOB" >"$1"`)
    place.jobs(
      'jobs.ndjson',
      Array.from({ length: 40 }, (_, at) => ({
        ...{ id: `job${at}`, executable: './slow.sh', arguments: ['{output:1}'] },
        data: { input: [], output: [`${at}.txt`] },
      })),
    )
    await floe('one', 'init', url)
    await json('one', '-C', url, 'add', place.path('jobs.ndjson'))
    const ran = async () =>
      (await frost.login.ask(`touch ${ledger}; cat ${ledger}`, 'alice')).split('\n').filter(Boolean)
    const first = start('one', '-C', url, 'run', '--site', 'frost', '--jobs-per-batch', '4')
    const told = ended(first)
    const early = told.then(({ stdout, stderr }) => Promise.reject(new Error(`it ended too early: ${stdout}${stderr}`)))
    const begun = until(async () => (await ran()).length > 6, { what: 'some jobs are done', waitMs: 200_000 })
    await Promise.race([begun, early])
    first.kill('SIGKILL')
    await told
    expect((await ran()).length).toBeLessThan(40)

    // That machine is another one: nobody here can see that its process is dead.
    const names = (await files().names(root)).filter((name) => name.startsWith('lease'))
    expect(names).toHaveLength(1)
    const path = join(root, names[0]!)
    const lease = JSON.parse(String(await files().read(path))) as { epoch: number; pid: number }
    await files().write(path, JSON.stringify({ ...lease, host: 'elsewhere', expires_at: Date.now() + 3_600_000 }))
    expect((await json('two', '-C', url, 'status'))[0]).toMatchObject({ runner: { host: 'elsewhere', pid: lease.pid } })
    expect(await floe('two', '-C', url, 'run', '--site', 'frost')).toMatchObject({
      status: 11,
      stderr: expect.stringContaining(`process ${lease.pid} on elsewhere`),
    })
    await files().write(path, JSON.stringify({ ...lease, host: 'elsewhere', expires_at: Date.now() - 1 }))
    await frost.login.ask(`touch ${ledger}.go`, 'alice')
    const [report] = await json('two', '-C', url, 'run', '--site', 'frost')
    expect(report).toMatchObject({ succeeded: 40, failed: 0, pending: 0 })
    const all = await ran()
    expect([all.length, new Set(all).size]).toEqual([40, 40])
    expect(
      await json(
        'two',
        '-C',
        url,
        'query',
        'select count(*)::int as n, count(distinct job_id)::int as jobs from results',
      ),
    ).toEqual([{ n: 40, jobs: 40 }])
    expect(await json('two', '-C', url, 'query', 'select count(*)::int as n from attempts')).toEqual([{ n: 40 }])
    const [left] = (await files().names(root)).filter((name) => name.startsWith('lease'))
    expect(epochOf(left!)).toBeGreaterThan(lease.epoch)
    expect((await floe('two', '-C', url, 'logs', 'job7')).status).toBe(0)
    await floe('two', '-C', url, 'clean', '--all')
    expect(await hidden(root)).toEqual([])
  })

  it('does not run the work of the local site of another machine again, unless that is given up', async () => {
    const place = openPlace()
    const { floe, json } = await people(place)
    const url = `${site.url}${folderOf(place, 'alone')}`
    place.program('slow.sh', 'sleep 1\necho "$FLOE_JOB" >"$1"')
    place.jobs(
      'jobs.ndjson',
      Array.from({ length: 3 }, (_, at) => ({
        ...{ id: `job${at}`, executable: './slow.sh', arguments: ['{output:1}'] },
        data: { input: [], output: [`${at}.txt`] },
      })),
    )
    await floe('one', 'init', url)
    await json('one', '-C', url, 'add', place.path('jobs.ndjson'))
    await json('one', '-C', url, 'run', '--once')
    expect(await floe('two', '-C', url, 'run')).toMatchObject({
      status: 11,
      stderr: expect.stringMatching(/3 jobs of a000001.*local site of another machine[\s\S]*--adopt/),
    })
    expect(await floe('two', 'init', '--adopt', url)).toMatchObject({ status: 0 })
    expect((await json('two', '-C', url, 'run'))[0]).toMatchObject({ succeeded: 3 })
    expect(await json('one', '-C', url, 'run')).toMatchObject([{ succeeded: 3, decided: { succeeded: 0 } }])
    expect(await json('one', '-C', url, 'query', "select distinct url like '%/two/%' as two from results")).toEqual([
      { two: true },
    ])
  })
})
