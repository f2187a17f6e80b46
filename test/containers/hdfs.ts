import { join } from 'node:path'
import type { Files } from '../../src/ports/files/files.ts'
import { type HdfsAccess, WebHdfs } from '../../src/ports/files/webhdfs.ts'
import { parseHdfsUrl } from '../../src/ports/files/webhdfs-url.ts'
import { freePorts } from './free-ports.ts'
import { imageOf } from './images.ts'
import { type Machine, startMachine, until } from './machine.ts'
import { type Fleet, openFleet } from './site.ts'

export interface HdfsSite {
  readonly network: string
  readonly nameNode: Machine
  readonly dataNodes: readonly Machine[]
  /** `webhdfs://namenode:port`, as the cluster calls it. */
  readonly url: string
  /** `webhdfs://httpfs:port`. */
  readonly httpFsUrl: string
  /** Of the HTTP of data nodes, by their names; they stay when one is started again. */
  readonly ports: Readonly<Record<string, number>>
  /** Where its machines are for this one. */
  readonly hosts: Readonly<Record<string, string>>
  /** A client, by default of its superuser. */
  client(access?: HdfsAccess, url?: string): WebHdfs
  /** One operation of the name node, asked by the superuser; answers what it said. */
  ask(method: 'GET' | 'PUT', path: string, query: string): Promise<string>
  /** Waits until so many data nodes live, and the name node takes writes. */
  ready(dataNodes?: number): Promise<void>
  stop(): Promise<void>
}

/**
 * HDFS 3.4.2: a name node and data nodes dn1-r1 dn2-r2 dn3-r3 dn4-r1 … on three racks, replication 2, blocks of 8 MB; `root` is its superuser, and
 * alice and bob are users. A data node that was killed is known to be dead after some ten seconds.
 */
export async function startHdfs({ dataNodes: count = 6, httpFs = false } = {}): Promise<HdfsSite> {
  const names = Array.from({ length: count }, (_, at) => `dn${at + 1}-r${(at % 3) + 1}`)
  const [nameNodePort, httpFsPort, ...ports] = await freePorts(count + 2)
  const plan = (name: string, role: string, port: number) => ({
    ...{ name, role, port, isSamePort: true },
    environment: { PORT: String(port) },
  })
  const fleet = await openFleet('hadoop', [
    [plan('namenode', 'namenode', nameNodePort!)],
    [
      ...names.map((name, at) => plan(name, 'datanode', ports[at]!)),
      ...(httpFs ? [plan('httpfs', 'httpfs', httpFsPort!)] : []),
    ],
  ])
  const hosts = Object.fromEntries(fleet.machines.map(({ name }) => [name, '127.0.0.1']))
  const url = `webhdfs://namenode:${nameNodePort}`
  const state = async (): Promise<string> => {
    const query = 'qry=Hadoop:service=NameNode,name=FSNamesystem*'
    const reply = await fetch(`http://127.0.0.1:${nameNodePort}/jmx?${query}`).catch(() => undefined)
    const beans = ((await reply?.json().catch(() => undefined)) as { beans?: Record<string, unknown>[] })?.beans ?? []
    const all = Object.assign({}, ...beans) as { NumLiveDataNodes?: number; FSState?: string }
    return `${all.FSState} ${all.NumLiveDataNodes}`
  }
  const site: HdfsSite = {
    ports: Object.fromEntries(names.map((name, at) => [name, ports[at]!])),
    ...{ network: fleet.network, url, hosts, nameNode: fleet.machine('namenode'), dataNodes: names.map(fleet.machine) },
    httpFsUrl: `webhdfs://httpfs:${httpFsPort}`,
    client: (access = {}, at = url) =>
      new WebHdfs(parseHdfsUrl(`${at}/`), { user: 'root', hosts, idleMs: 3000, patienceMs: 30_000, ...access }),
    async ask(method, path, query) {
      const at = `http://127.0.0.1:${nameNodePort}/webhdfs/v1${path}?user.name=root&${query}`
      const reply = await fetch(at, { method, redirect: 'manual' })
      const text = await reply.text()
      if (!reply.ok) throw new Error(`${query}: ${text}`)
      return text
    },
    ready: async (live = count) => {
      await until(async () => (await state()) === `Operational ${live}`, { what: `${live} data nodes are at work` })
    },
    stop: fleet.stop,
  }
  const answers = async () => {
    await site.ready()
    if (!httpFs) return
    const look = () => fetch(`http://127.0.0.1:${httpFsPort}/webhdfs/v1/?op=GETFILESTATUS&user.name=root`)
    await until(async () => (await look().catch(() => undefined))?.ok, { what: 'HttpFS answers' })
  }
  await answers().catch(async (cause: unknown) => {
    await fleet.stop()
    throw cause
  })
  return site
}

/**
 * Machines of a site become data nodes of an HDFS that has none of its own, two of them a rack: /rack1, /rack2 … They go with the site. Only the
 * name node can be reached from here.
 */
export async function dataNodesOn(site: Fleet, names: readonly string[], hdfs: HdfsSite): Promise<readonly Machine[]> {
  const racks = names.map((name, at) => `${name} /rack${Math.floor(at / 2) + 1}`)
  await hdfs.nameNode.ask(`printf '%s\\n' ${racks.map((line) => `'${line}'`).join(' ')} >/etc/hadoop/racks`)
  await hdfs.nameNode.join(site.network)
  const image = await imageOf('hadoop')
  const starts = names.map((name) =>
    startMachine({
      ...{ name: `${name} as a data node`, image, command: ['datanode'], network: site.network, scratch: site.network },
      ...{ beside: site.machine(name), environment: { PORT: '9864' } },
    }),
  )
  const nodes = await Promise.all(starts)
  await hdfs.ready(names.length)
  return nodes
}

/** What its data nodes read for others, bytes. */
export async function servedBy(site: HdfsSite): Promise<number> {
  const read = site.dataNodes.map(async ({ name }) => {
    const query = 'qry=Hadoop:service=DataNode,name=DataNodeActivity-*'
    const reply = await fetch(`http://127.0.0.1:${site.ports[name]}/jmx?${query}`)
    const { beans } = (await reply.json()) as { beans: { BytesRead: number }[] }
    return beans[0]!.BytesRead
  })
  return (await Promise.all(read)).reduce((sum, bytes) => sum + bytes, 0)
}

/** Names of the files below a folder, at any depth. */
export async function namesIn(files: Files, folder: string): Promise<string[]> {
  const below = (await files.list(folder)).map(async ({ name, kind }) =>
    kind === 'folder' ? namesIn(files, join(folder, name)) : [name],
  )
  return (await Promise.all(below)).flat()
}
