import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getContainerRuntimeClient } from 'testcontainers'
import { imageOf } from './images.ts'
import { type KeyPair, makeKey } from './keys.ts'
import { type Machine, type MachineOptions, startMachine, until } from './machine.ts'
import { labels } from './owner.ts'
import { type SlurmOptions, slurmConf } from './slurm-conf.ts'

/* Real clusters for tests, each on a network of its own, gone after `stop`. A start takes seconds once the image is built. */

/** All that an ssh client needs. */
export interface SshEntry {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly identityFile: string
  /** The text of `identityFile`. */
  readonly privateKey: string
  /** `ssh-ed25519 AAAA…`, as the host says it itself. */
  readonly hostKey: string
  /** Knows this host under this port, and no other. */
  readonly knownHostsFile: string
}

/** Machines that share /scratch, with a user `alice` who may log in with a key made for this site. */
export interface Site {
  readonly login: Machine
  readonly machines: readonly Machine[]
  machine(name: string): Machine
  /** The way in. Ask again after the login machine was restarted or unplugged: its port has changed then. */
  ssh(user?: string): Promise<SshEntry>
  /** Removes containers, network and volume. */
  stop(): Promise<void>
}

export interface SlurmSite extends Site {
  readonly controller: Machine
  /** With slurmdbd; undefined without accounting. */
  readonly accounting: Machine | undefined
  readonly nodes: readonly Machine[]
}

/**
 * Slurm 22.05: a login machine, a controller, accounting, compute nodes of 16 CPUs. alice has the account ice and the QOS normal and
 * tiny (5 jobs, 10 minutes, 2 CPUs at once), bob the accounts ice and polar.
 */
export async function startSlurm(options: SlurmOptions = {}): Promise<SlurmSite> {
  const { nodes = 3, accounting = true } = options
  const conf = { '/etc/slurm/slurm.conf': slurmConf(options) }
  const compute = Array.from({ length: nodes }, (_, at) => `c${at + 1}`)
  const roles: readonly (readonly [name: string, role: string])[] = [
    ['login', 'login'],
    ['controller', 'controller'],
    ...(accounting ? [['accounting', 'accounting'] as const] : []),
    ...compute.map((name) => [name, 'node'] as const),
  ]
  const environment = accounting ? { ACCOUNTING: 'yes' } : {}
  const site = await openSite(
    'slurm',
    roles.map(([name, role]) => ({ name, command: [role], files: conf, environment })),
  )
  await until(async () => (await site.login.run('sinfo -h -t idle -o %D')).stdout.trim() === String(nodes), {
    what: `${nodes} nodes are idle`,
  })
  return {
    ...site,
    controller: site.machine('controller'),
    accounting: accounting ? site.machine('accounting') : undefined,
    nodes: compute.map(site.machine),
  }
}

type Plan = Pick<MachineOptions, 'name' | 'command'> & Partial<Pick<MachineOptions, 'files' | 'environment'>>

/** Starts machines of one image at once; the one called login gets alice's key and a published port. */
async function openSite(imageName: string, plans: readonly Plan[]): Promise<Site> {
  const image = await imageOf(imageName)
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const name = `floe-${imageName}-${randomBytes(4).toString('hex')}`
  const network = await docker.createNetwork({ Name: name, Labels: { ...labels } })
  await docker.createVolume({ Name: name, Labels: { ...labels } })
  const key = makeKey()
  const keys = Object.fromEntries(
    ['alice', 'bob'].map((user) => [`/etc/ssh/authorized_keys/${user}`, `${key.publicKey}\n`]),
  )
  const settled = await Promise.allSettled(
    plans.map(({ files, ...plan }) =>
      startMachine({
        ...{ ...plan, image, network: name, scratch: name },
        ...(plan.name === 'login' ? { port: 22, files: { ...files, ...keys } } : { files: { ...files } }),
      }),
    ),
  )
  const remove = async () => {
    const there = await docker.listContainers({ all: true, filters: { network: [name] } })
    await Promise.all(there.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
    await network.remove()
    await docker.getVolume(name).remove()
  }
  const failed = settled.find(({ status }) => status === 'rejected')
  if (failed) {
    const said = await logsOf(name)
    await remove()
    throw new Error(`${imageName} does not start: ${(failed as PromiseRejectedResult).reason}\n${said}`)
  }
  return siteOf(
    settled.map((one) => (one as PromiseFulfilledResult<Machine>).value),
    { key, remove },
  )
}

async function logsOf(network: string): Promise<string> {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const there = await docker.listContainers({ all: true, filters: { network: [network] } })
  const logs = there.map(async ({ Id, Command }) => {
    const text = await docker.getContainer(Id).logs({ stdout: true, stderr: true, tail: 15 })
    return `--- ${Command}\n${text}`
  })
  return (await Promise.all(logs)).join('\n')
}

function siteOf(machines: readonly Machine[], { key, remove }: { key: KeyPair; remove: () => Promise<void> }): Site {
  const folder = mkdtempSync(join(tmpdir(), 'floe-key-'))
  const identityFile = join(folder, 'id')
  const knownHostsFile = join(folder, 'known_hosts')
  writeFileSync(identityFile, key.privateKey, { mode: 0o600 })
  const machine = (name: string): Machine => {
    const found = machines.find((one) => one.name === name)
    if (!found) throw new Error(`no machine ${name}; there are ${machines.map((one) => one.name).join(', ')}`)
    return found
  }
  const login = machine('login')
  return {
    login,
    machines,
    machine,
    async ssh(user = 'alice') {
      const port = await login.port()
      const [kind, blob] = (await login.ask('cat /etc/ssh/ssh_host_ed25519_key.pub')).split(' ')
      const hostKey = `${kind} ${blob}`
      writeFileSync(knownHostsFile, `[127.0.0.1]:${port} ${hostKey}\n`)
      return { host: '127.0.0.1', port, user, identityFile, privateKey: key.privateKey, hostKey, knownHostsFile }
    },
    async stop() {
      rmSync(folder, { recursive: true, force: true })
      await remove()
    },
  }
}
