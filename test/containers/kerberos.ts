import { dirname, join } from 'node:path'
import { xmlOf } from './hadoop-conf.ts'
import { type Machine, until } from './machine.ts'
import { openFleet } from './site.ts'

const REPOSITORY = join(import.meta.dirname, '../..')
const PACKAGES = join(import.meta.dirname, 'sources/node_modules')
const HTTP_PORT = 9870

export interface KerberizedSite {
  /** Where people are; `kinit` them by `login`. floe and its package `kerberos` are there. */
  readonly desk: Machine
  readonly nameNode: Machine
  readonly dataNode: Machine
  /** `webhdfs://namenode:9870` */
  readonly url: string
  /** A ticket for a person; `life` as kinit takes it. */
  login(user: string, life?: string): Promise<void>
  /** floe's command line as a person at the desk; HOME keeps what it keeps. */
  floe(user: string, ...args: string[]): ReturnType<Machine['run']>
  /** One operation of the name node, as its superuser. */
  ask(method: 'GET' | 'PUT', path: string, query: string): Promise<string>
  /** Writes a file of the desk to HDFS, by the client of others. */
  put(user: string, local: string, path: string): Promise<void>
  stop(): Promise<void>
}

/** `token`: seconds until a delegation token has to be renewed, and until none may be any more. */
export async function startKerberizedHdfs(token: { renewSec: number; maxSec: number }): Promise<KerberizedSite> {
  const files = {
    '/etc/krb5.conf': KRB5,
    '/etc/hadoop/core-site.xml': xmlOf({
      'fs.defaultFS': 'hdfs://namenode:8020',
      'hadoop.tmp.dir': '/var/lib/hadoop',
      'hadoop.security.authentication': 'kerberos',
      'hadoop.security.token.service.use_ip': 'false',
      'hadoop.http.authentication.type': 'kerberos',
      'hadoop.http.authentication.kerberos.principal': 'HTTP/namenode@FLOE.TEST',
      'hadoop.http.authentication.kerberos.keytab': '/scratch/keytabs/HTTP-namenode',
    }),
    '/etc/hadoop/hdfs-site.xml': xmlOf({
      ...Object.fromEntries(
        ['namenode', 'datanode'].flatMap((role) => [
          [`dfs.${role}.kerberos.principal`, 'hdfs/hadoop@FLOE.TEST'],
          [`dfs.${role}.keytab.file`, '/scratch/keytabs/hdfs-hadoop'],
        ]),
      ),
      'dfs.web.authentication.kerberos.principal': 'HTTP/namenode@FLOE.TEST',
      'dfs.web.authentication.kerberos.keytab': '/scratch/keytabs/HTTP-namenode',
      'dfs.block.access.token.enable': 'true',
      'ignore.secure.ports.for.testing': 'true',
      'dfs.replication': '1',
      'dfs.namenode.rpc-bind-host': '0.0.0.0',
      'dfs.namenode.datanode.registration.ip-hostname-check': 'false',
      'dfs.namenode.safemode.extension': '0',
      'dfs.heartbeat.interval': '1',
      'dfs.namenode.delegation.token.renew-interval': String(token.renewSec * 1000),
      'dfs.namenode.delegation.token.max-lifetime': String(token.maxSec * 1000),
    }),
  }
  const plan = (name: string, role: string, port: number) => ({
    ...{ name, role, files },
    environment: { PORT: String(port) },
  })
  const desk = {
    ...{ name: 'kdc', role: 'kdc', image: 'kerberos' },
    environment: { PRINCIPALS: 'hdfs/hadoop HTTP/namenode', PACKAGES },
    mounts: [process.execPath, join(REPOSITORY, 'dist'), join(REPOSITORY, 'node_modules'), dirname(PACKAGES)],
  }
  const fleet = await openFleet('hadoop', [
    [desk],
    [plan('namenode', 'namenode', HTTP_PORT)],
    [plan('dn1', 'datanode', 9864)],
  ])
  const [kdc, nameNode] = [fleet.machine('kdc'), fleet.machine('namenode')]
  const login = async (user: string, life = '1d') => {
    await kdc.ask(`echo secret | kinit -l ${life} ${user}`, user === 'hdfs' ? 'root' : user)
  }
  const site: KerberizedSite = {
    ...{ desk: kdc, nameNode, dataNode: fleet.machine('dn1'), login, stop: fleet.stop },
    url: `webhdfs://namenode:${HTTP_PORT}`,
    floe: (user, ...args) =>
      kdc.run(
        `NODE_PATH=/opt/node_modules '${process.execPath}' '${join(REPOSITORY, 'dist/cli.js')}' ${args.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')}`,
        user,
      ),
    async put(user, local, path) {
      const to = `http://namenode:${HTTP_PORT}/webhdfs/v1${path}?op=CREATE&overwrite=true`
      await kdc.ask(`curl --fail-with-body -sSL --negotiate -u : -X PUT -T '${local}' '${to}'`, user)
    },
    ask: (method, path, query) =>
      kdc.ask(
        `curl --fail-with-body -sS --negotiate -u : -X ${method} 'http://namenode:${HTTP_PORT}/webhdfs/v1${path}?${query}'`,
      ),
  }
  await login('hdfs')
  const live = async () => (await kdc.run(`curl -s --negotiate -u : 'http://namenode:${HTTP_PORT}/jmx'`)).stdout
  await until(async () => /"NumLiveDataNodes" : 1\b/.test(await live()), { what: 'the data node lives' }).catch(
    async (cause: unknown) => {
      await fleet.stop()
      throw cause
    },
  )
  return site
}

const KRB5 = `[libdefaults]
  default_realm = FLOE.TEST
  dns_lookup_kdc = false
  udp_preference_limit = 1
[realms]
  FLOE.TEST = {
    kdc = kdc
  }
`
