import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Entrances } from '../../src/model/entrance.ts'
import { hostOf, type Places, parsePlaces, rackOf } from '../../src/model/places.ts'
import { type BytesRead, decodeRecord } from '../../src/model/record.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { type HdfsBlock, locatedBlocks } from '../../src/ports/files/webhdfs-blocks.ts'
import { Place } from '../cli/place.ts'
import { bundle } from '../fakes/bundle.ts'
import { describeSite } from './engine.ts'
import { type HdfsSite, servedBy, startHdfs } from './hdfs.ts'
import { until } from './machine.ts'

/* Jobs on a site whose nodes are data nodes: where inputs lie as HDFS says it, what the plan foretells, and what tasks read from where. */

const MB = 1_000_000
/** Bytes of a block there. */
const BLOCK = 8 * 2 ** 20
/** Of one block each, and of three. */
const [SMALL, LARGE] = [24, 2]

/** Each element has the task of its own number. As long as before: the index tells where lines begin. */
const bound = (manifest: string): string => manifest.replaceAll('"binds_late":true', '"binds_here":true')

type Blocks = { BlockLocations: { BlockLocation: { length: number; hosts: string[]; topologyPaths: string[] }[] } }

describeSite('a site of data nodes', () => {
  let site: HdfsSite
  const place = new Place()
  let env: Record<string, string>
  const sizes = new Map<string, number>()
  /** Of each file the bytes at each node, asked of the name node by this test itself. */
  const lies = new Map<string, Map<string, number>>()
  beforeAll(async () => {
    site = await startHdfs({ httpFs: true })
    await site.ask('PUT', '/data', 'op=MKDIRS&permission=1777')
    const alice = hdfsFiles(site.client({ user: 'alice', idleMs: 20_000 }))
    for (let at = 0; at < SMALL + LARGE; at++)
      sizes.set(`/data/in ${String(at).padStart(2, '0')}.bin`, at < SMALL ? MB : 20 * MB)
    await Promise.all(
      [...sizes].map(async ([path, bytes]) => {
        await alice.write(path, randomBytes(bytes))
        lies.set(path, await nodesOf(path))
      }),
    )
    const frost = `{connector: local, scratch: ${place.path('frost')}, interval: 1s, slots: 2, data_nodes_of: [namenode]}`
    place.file(
      'config/floe/sites.yaml',
      `sites: {frost: ${frost}}\nhdfs:\n  namenode: {user: alice, hosts: ${JSON.stringify(site.hosts)}}\n`,
      0o600,
    )
    place.file('frost/none', '')
    env = { XDG_CONFIG_HOME: place.path('config') }
    await place.run(['init', 'c'], { env })
    const job = (path: string) => ({
      ...{ id: path.slice(6, -4), executable: 'wc', arguments: ['-c', '{input:1}'] },
      data: { input: [`${site.url}${path}`] },
    })
    place.jobs('jobs.ndjson', [...sizes.keys()].map(job))
    expect(await place.run(['-C', 'c', 'add', 'jobs.ndjson'], { env })).toMatchObject({ status: 0 })
  })
  /** Data nodes tell the name node a moment later what they have. */
  async function nodesOf(path: string): Promise<Map<string, number>> {
    const blocks = await until(
      async () => {
        const said = await site.ask('GET', encodeURI(path), 'op=GETFILEBLOCKLOCATIONS')
        const { BlockLocation } = (JSON.parse(said) as Blocks).BlockLocations
        return BlockLocation.every(({ hosts }) => hosts.length === 2) && BlockLocation
      },
      { what: `both replicas of ${path} are known` },
    )
    const nodes = new Map<string, number>()
    for (const { length, hosts, topologyPaths } of blocks)
      for (const [i, host] of hosts.entries()) {
        const node = `/${topologyPaths[i]!.split('/')[1]}/${host}`
        nodes.set(node, (nodes.get(node) ?? 0) + length)
      }
    return nodes
  }
  afterAll(async () => {
    place.close()
    await site?.stop()
  })

  const floe = (...args: string[]) => place.run(['-C', 'c', ...args], { env })
  const rows = async (sql: string) =>
    (await floe('query', sql, '--json')).stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  const all = [...Array(SMALL).fill(MB), ...Array(LARGE).fill(20 * MB)].reduce((sum, bytes) => sum + bytes, 0)
  type Told = Record<'bytes_to_nodes' | 'bytes_local' | 'bytes_rack' | 'bytes_remote', number>
  let plan: Promise<Told> | undefined
  /** Made once: after the run there is nothing to plan. */
  const planned = () => {
    plan ??= floe('plan', '--site', 'frost', '--jobs-per-batch', '2', '--json').then(({ stdout }) => JSON.parse(stdout))
    return plan
  }

  it('says where blocks lie in two ways, and HttpFS as the name node', async () => {
    const path = [...sizes.keys()].at(-1)!
    const blocks = await site.client().blocks(path)
    expect(blocks!.map(({ offset, length, nodes }) => [offset, length, nodes.length])).toEqual([
      [0, BLOCK, 2],
      [BLOCK, BLOCK, 2],
      [2 * BLOCK, 20 * MB - 2 * BLOCK, 2],
    ])
    // The nearest come first, so their order differs with who asks.
    const sorted = (some: readonly HdfsBlock[] | undefined) =>
      some?.map((block) => ({ ...block, nodes: [...block.nodes].sort() }))
    const older = JSON.parse(await site.ask('GET', encodeURI(path), 'op=GET_BLOCK_LOCATIONS'))
    expect(sorted(locatedBlocks(older))).toEqual(sorted(blocks))
    expect(sorted(await site.client({}, site.httpFsUrl).blocks(path))).toEqual(sorted(blocks))
    expect(await site.client().blocks('/data/none')).toBeUndefined()
    expect(await site.client({}, site.httpFsUrl).blocks('/data/none')).toBeUndefined()
  })

  it('knows where inputs lie, and foretells what is read from where', async () => {
    const told = await planned()
    const found = await rows('select url, to_json(nodes)::varchar as nodes from files order by url')
    expect(found.map(({ nodes }) => new Map(Object.entries(JSON.parse(nodes as string))))).toEqual(
      [...sizes.keys()].map((path) => lies.get(path)),
    )
    // The batches are those of the plan; what the best node of each holds is counted here anew.
    const batches = await rows('select batch_id, list(job_id) as jobs from plan group by all')
    let best = 0
    for (const { jobs } of batches) {
      const held = new Map<string, number>()
      for (const job_id of jobs as string[])
        for (const [node, bytes] of lies.get(`/data/${job_id}.bin`)!) held.set(node, (held.get(node) ?? 0) + bytes)
      best += Math.max(...held.values())
    }
    expect(told).toMatchObject({ bytes_to_nodes: all, bytes_local: best })
    expect(told.bytes_local + told.bytes_rack + told.bytes_remote).toBe(all)
    expect((await floe('plan', '--site', 'frost')).stdout).toContain('from data nodes: ')
    // Of a site that is not said to be of data nodes nothing is told.
    expect(JSON.parse((await floe('plan', '--json')).stdout)).not.toHaveProperty('bytes_local')
  })

  it('tells its tasks, which read on the nodes that hold most of it as was foretold', async () => {
    const told = await planned()
    const before = await servedBy(site)
    expect(JSON.parse((await floe('run', '--site', 'frost', '--json')).stdout)).toMatchObject({
      succeeded: sizes.size,
    })
    // This machine is none of the nodes.
    const [read] = await rows(
      'select sum(bytes_local)::bigint as local, sum(bytes_rack)::bigint as rack, sum(bytes_remote)::bigint as remote from attempts',
    )
    expect(read).toEqual({ local: 0, rack: 0, remote: all })
    expect((await floe('show', 'in 00')).stdout).toMatch(/read +0 on this node, 0 in its rack, 1\.00 MB elsewhere/)
    // HDFS counts the sums that it keeps of its blocks too.
    expect((await servedBy(site)) - before).toBeLessThan(told.bytes_to_nodes * 1.1)

    const there = await readOn('best', ([most]) => most![0])
    expect(there.local + there.rack + there.remote).toBe(all)
    // A data node that is slow to say that it lives is asked last.
    expect(there.local).toBeGreaterThan(told.bytes_local * 0.7)

    // Its neighbour in the rack, of tasks of which that holds nothing itself. Left to choose, it would take others.
    let foretold = 0
    const near = await readOn('near', (places) => {
      const [best, bytes] = places[0]!
      const mate = nameIn(best).replace(/^dn(\d)/, (_, nth) => `dn${Number(nth) > 3 ? nth - 3 : Number(nth) + 3}`)
      if (places.some(([node]) => nameIn(node) === mate)) return undefined
      foretold += bytes
      return nodes.findIndex((node) => hostOf(node) === mate)
    })
    expect(foretold).toBeGreaterThan(0)
    expect(near.local).toBe(0)
    expect(near.rack).toBeGreaterThan(foretold * 0.7)
  })

  /** Of the array that was staged, once it was. */
  let nodes: readonly string[] = []
  const nameIn = (node: number): string => hostOf(nodes[node]!)

  /** Runs tasks of what was staged anew, by the runner itself, each on the data node that `choose` names, if any. */
  async function readOn(
    label: string,
    choose: (places: Places['tasks'][number]) => number | undefined,
  ): Promise<BytesRead> {
    const sum = { local: 0, rack: 0, remote: 0 }
    const [first] = site.dataNodes
    await first!.container.copyFilesToContainer([
      { source: process.execPath, target: '/scratch/node', mode: 0o755 },
      { source: await bundle('jobs/runner/main.ts', 'runner.js'), target: '/scratch/runner.mjs' },
    ])
    const below = readdirSync(place.path('frost'), { recursive: true, encoding: 'utf8' })
    for (const name of below.filter((one) => /\/arrays\/[^/]+\/places$/.test(one))) {
      const directory = join(place.path('frost'), name, '..')
      const array = `/scratch/${label}-${name.split('/').at(-2)}`
      const places = parsePlaces(readFileSync(join(directory, 'places'), 'utf8'))
      nodes = places.nodes
      expect(nodes.every((node) => /^\/r[123]$/.test(rackOf(node)))).toBe(true)
      const manifest = readFileSync(join(directory, 'manifest'), 'utf8')
      const entrances = JSON.parse(readFileSync(join(directory, 'hdfs'), 'utf8')) as Entrances
      // There the cluster's names are its own.
      const inside = Object.entries(entrances).map(([authority, one]) => [authority, { ...one, hosts: {} }])
      await first!.container.copyFilesToContainer(
        ['index', 'places'].map((file) => ({ source: join(directory, file), target: `${array}/${file}` })),
      )
      await first!.container.copyContentToContainer([
        { content: JSON.stringify(Object.fromEntries(inside)), target: `${array}/hdfs` },
        { content: label === 'near' ? bound(manifest) : manifest, target: `${array}/manifest` },
      ])
      await first!.ask(`mkdir -p ${array}/records ${array}/logs`)
      for (const [task, some] of places.tasks.entries()) {
        const chosen = choose(some)
        if (chosen === undefined) continue
        const node = site.dataNodes.find((one) => one.name === nameIn(chosen))!
        await node.ask(`/scratch/node /scratch/runner.mjs --array ${array} --task ${task}`)
      }
      // Which element took which task does not matter here.
      const records = await first!.ask(`cat ${array}/records/*`)
      for (const line of records.split('\n').map(decodeRecord)) {
        if (line?.event !== 'job ended') continue
        expect(line).toMatchObject({ verdict: 'succeeded' })
        for (const near of ['local', 'rack', 'remote'] as const) sum[near] += line.bytes_read![near]
      }
    }
    return sum
  }
})
