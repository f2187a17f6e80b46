import { freePorts } from './free-ports.ts'
import { xmlOf } from './hadoop-conf.ts'
import { type Machine, until } from './machine.ts'
import { openFleet } from './site.ts'

export interface HdfsPair {
  /** Of HTTPS. */
  readonly ports: Readonly<Record<'nn1' | 'nn2' | 'dn1', number>>
  readonly hosts: Readonly<Record<string, string>>
  /** The certificate that all have, which is its own authority. */
  readonly certificate: string
  /** Makes one name node the active one, and the other standby. */
  activate(name: 'nn1' | 'nn2'): Promise<void>
  /** As the superuser, by the commands of HDFS. */
  ask(command: string): Promise<string>
  stop(): Promise<void>
}

/** Two name nodes that share their edits, of which `nn1` is active and `nn2` standby, and a data node, which speak TLS only. */
export async function startHdfsPair(): Promise<HdfsPair> {
  const names = ['nn1', 'nn2', 'dn1'] as const
  const free = await freePorts(names.length)
  const ports = Object.fromEntries(names.map((name, at) => [name, free[at]!])) as HdfsPair['ports']
  const each = (key: string, value: (name: string) => string) =>
    Object.fromEntries(['nn1', 'nn2'].map((name) => [`${key}.floe.${name}`, value(name)]))
  const files = {
    '/etc/hadoop/core-site.xml': xmlOf({ 'fs.defaultFS': 'hdfs://floe', 'hadoop.tmp.dir': '/var/lib/hadoop' }),
    '/etc/hadoop/hdfs-site.xml': xmlOf({
      ...{ 'dfs.nameservices': 'floe', 'dfs.ha.namenodes.floe': 'nn1,nn2' },
      ...each('dfs.namenode.rpc-address', (name) => `${name}:8020`),
      ...each('dfs.namenode.https-address', (name) => `${name}:${ports[name as 'nn1']}`),
      'dfs.namenode.https-bind-host': '0.0.0.0',
      'dfs.namenode.rpc-bind-host': '0.0.0.0',
      'dfs.namenode.shared.edits.dir': 'file:///scratch/edits',
      'dfs.ha.standby.checkpoints': 'false',
      'dfs.ha.tail-edits.period': '1s',
      'dfs.client.failover.proxy.provider.floe':
        'org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider',
      'dfs.ha.fencing.methods': 'shell(/bin/true)',
      'dfs.http.policy': 'HTTPS_ONLY',
      'dfs.replication': '1',
      'dfs.permissions.superusergroup': 'root',
      'dfs.namenode.datanode.registration.ip-hostname-check': 'false',
      'dfs.namenode.safemode.extension': '0',
      'dfs.heartbeat.interval': '1',
    }),
    '/etc/hadoop/ssl-server.xml': xmlOf({
      'ssl.server.keystore.location': '/scratch/tls.p12',
      'ssl.server.keystore.type': 'PKCS12',
      'ssl.server.keystore.password': 'secret',
      'ssl.server.keystore.keypassword': 'secret',
    }),
  }
  const plan = (name: (typeof names)[number], role: string) => ({
    ...{ name, role, files, port: ports[name], isSamePort: true },
    environment: { PORT: String(ports[name]), TLS_NAMES: names.join(' '), SHARED_EDITS: '/scratch/edits' },
  })
  const fleet = await openFleet('hadoop', [
    [plan('nn1', 'namenode')],
    [plan('nn2', 'namenode')],
    [plan('dn1', 'datanode')],
  ])
  const nn1: Machine = fleet.machine('nn1')
  const admin = async (words: string) => nn1.ask(`/start.sh haadmin ${words}`)
  const activate = async (name: 'nn1' | 'nn2') => {
    await admin(`-transitionToStandby ${name === 'nn1' ? 'nn2' : 'nn1'}`)
    await admin(`-transitionToActive ${name}`)
  }
  try {
    await activate('nn1')
    const live = async () => (await nn1.ask('/start.sh admin -report -live')).includes('Live datanodes (1)')
    await until(live, { what: 'the data node lives' })
    const certificate = await nn1.ask('cat /scratch/tls.pem')
    const hosts = Object.fromEntries(names.map((name) => [name, '127.0.0.1']))
    return { ports, hosts, certificate, activate, ask: (command) => nn1.ask(`/start.sh ${command}`), stop: fleet.stop }
  } catch (cause) {
    await fleet.stop()
    throw cause
  }
}
