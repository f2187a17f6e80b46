import { type GridEngineOptions, gridEngineSettings } from './gridengine-conf.ts'
import type { LoginOptions } from './login.ts'
import { type Machine, until } from './machine.ts'
import { openSite, type Site } from './site.ts'
import { CGROUP_CONF, type SlurmOptions, slurmConf } from './slurm-conf.ts'

/* Real clusters for tests, each on a network of its own, gone after `stop`. A start takes seconds once the image is built. */

export interface SlurmSite extends Site {
  readonly controller: Machine
  /** With slurmdbd; undefined without accounting. */
  readonly accounting: Machine | undefined
  readonly nodes: readonly Machine[]
}

const nodeNames = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `c${at + 1}`)

/**
 * Slurm 22.05: a login machine, a controller, accounting, compute nodes of 16 CPUs. alice has the account ice and the QOS normal and
 * tiny (5 jobs, 10 minutes, 2 CPUs at once), bob the accounts ice and polar.
 */
export async function startSlurm(options: SlurmOptions = {}): Promise<SlurmSite> {
  const { nodes: count = 3, accounting = true, login = {} } = options
  const names = nodeNames(count)
  const files = { '/etc/slurm/slurm.conf': slurmConf(options), '/etc/slurm/cgroup.conf': CGROUP_CONF }
  const mounts = options.cgroups ? ['/sys/fs/cgroup'] : []
  const environment: Readonly<Record<string, string>> = accounting ? { ACCOUNTING: 'yes' } : {}
  const plan = (name: string, role = name) => ({ name, role, files, environment, mounts })
  const site = await openSite('slurm', {
    machines: [
      plan('login'),
      plan('controller'),
      ...(accounting ? [plan('accounting')] : []),
      ...names.map((name) => ({ ...plan(name, 'node'), ...(options.tmpMb ? { tmpMb: options.tmpMb } : {}) })),
    ],
    login,
    scratchMb: options.scratchMb,
  })
  const idle = async () => (await site.login.run('sinfo -h -p main -t idle -o %D')).stdout.trim() === String(count)
  await until(idle, { what: `${count} nodes are idle` })
  return {
    ...site,
    controller: site.machine('controller'),
    accounting: accounting ? site.machine('accounting') : undefined,
    nodes: names.map(site.machine),
  }
}

export interface GridEngineSite extends Site {
  readonly master: Machine
  readonly nodes: readonly Machine[]
}

/**
 * Grid Engine 8.1.9: a login machine, which is an administrative host too, a master, compute nodes of 16 slots; queues main.q and short.q
 * (five minutes at most), the parallel environment smp.
 */
export async function startGridEngine(options: GridEngineOptions = {}): Promise<GridEngineSite> {
  const names = nodeNames(options.nodes ?? 2)
  const environment = { PEERS: ['login', 'master', ...names].join(' '), NODES: names.join(' ') }
  const plan = (name: string, role = name) => ({ name, role, files: gridEngineSettings(options), environment })
  const site = await openSite('gridengine', {
    machines: [plan('login'), plan('master'), ...names.map((name) => plan(name, 'node'))],
    login: options.login ?? {},
  })
  // A queue instance takes jobs once its node has told its load.
  const known = async () => (await site.login.ask('qstat -f -q main.q')).match(/^main\.q@.* lx-amd64 +$/gm)?.length
  await until(async () => (await known()) === names.length, { what: `${names.length} nodes take jobs` })
  return { ...site, master: site.machine('master'), nodes: names.map(site.machine) }
}

export interface SshHostOptions extends LoginOptions {
  /** A second machine, `inner`, that can be reached only by way of the first. */
  readonly inner?: boolean
}

/** A host to log in to, without a scheduler. */
export async function startSshHost({ inner = false, ...login }: SshHostOptions = {}): Promise<Site> {
  const names = inner ? ['login', 'inner'] : ['login']
  return openSite('sshhost', { machines: names.map((name) => ({ name, role: 'login' })), login })
}
