import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getContainerRuntimeClient } from 'testcontainers'
import { imageOf } from './images.ts'
import { type KeyPair, makeKey } from './keys.ts'
import { type LoginOptions, loginSetup } from './login.ts'
import { type Machine, startMachine } from './machine.ts'
import { labels } from './owner.ts'

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
  /** Knows this host under this port, and those behind it by their names. */
  readonly knownHostsFile: string
}

/** Machines that share /scratch, with users `alice` and `bob` who may log in with a key made for this site. */
export interface Site extends Fleet {
  readonly login: Machine
  /** The way in. Ask again after the login machine was started or plugged in again: its port has changed then. */
  ssh(user?: string): Promise<SshEntry>
}

export interface MachinePlan {
  readonly name: string
  /** As the image's start.sh calls it; `login` is logged in to. */
  readonly role: string
  readonly files?: Readonly<Record<string, string>>
  readonly environment?: Readonly<Record<string, string>>
  readonly mounts?: readonly string[]
  readonly tmpMb?: number
  readonly port?: number
  readonly isSamePort?: boolean
  /** Other than that of the rest. */
  readonly image?: string
}

/** Machines of one image, on a network of their own. */
export interface Fleet {
  /** The volume at /scratch has the same name. */
  readonly network: string
  readonly machines: readonly Machine[]
  machine(name: string): Machine
  /** Removes containers, network and volume. */
  stop(): Promise<void>
}

/**
 * Starts machines of one image, those of a group at once, one group after the other. Once more when they do not: of many daemons that start on a
 * busy machine one fails now and then, and tests are tried again, but not what is before them.
 */
export async function openFleet(
  imageName: string,
  groups: readonly (readonly MachinePlan[])[],
  options: { scratchMb?: number | undefined } = {},
): Promise<Fleet> {
  try {
    return await startFleet(imageName, groups, options)
  } catch (cause) {
    console.error(`once more: ${(cause as Error).message}`)
    return startFleet(imageName, groups, options)
  }
}

async function startFleet(
  imageName: string,
  groups: readonly (readonly MachinePlan[])[],
  { scratchMb }: { scratchMb?: number | undefined },
): Promise<Fleet> {
  const image = await imageOf(imageName)
  const name = `floe-${imageName}-${randomBytes(4).toString('hex')}`
  const docker = (await getContainerRuntimeClient()).container.dockerode
  await docker.createNetwork({ Name: name, Labels: { ...labels } })
  await docker.createVolume({
    Name: name,
    Labels: { ...labels },
    ...(scratchMb !== undefined && { DriverOpts: inMemory(scratchMb) }),
  })
  const machines: Machine[] = []
  for (const plans of groups) {
    const starts = plans.map(async ({ role, image: own, ...plan }) =>
      startMachine({
        ...{ ...plan, command: [role], network: name, scratch: name },
        image: own === undefined ? image : await imageOf(own),
      }),
    )
    const settled = await Promise.allSettled(starts)
    const failed = settled.find(({ status }) => status === 'rejected')
    if (failed) {
      const said = await logsOf(name)
      await removeFleet(name)
      throw new Error(`${imageName} does not start: ${(failed as PromiseRejectedResult).reason}\n${said}`)
    }
    machines.push(...settled.map((one) => (one as PromiseFulfilledResult<Machine>).value))
  }
  const machine = (wanted: string): Machine => {
    const found = machines.find((one) => one.name === wanted)
    if (!found) throw new Error(`no machine ${wanted}; there are ${machines.map((one) => one.name).join(', ')}`)
    return found
  }
  return { network: name, machines, machine, stop: () => removeFleet(name) }
}

/** Starts machines of one image at once. The one named `login` is published on the loopback of this machine. */
export async function openSite(
  imageName: string,
  {
    machines: plans,
    login,
    scratchMb,
  }: { machines: readonly MachinePlan[]; login: LoginOptions; scratchMb?: number | undefined },
): Promise<Site> {
  const key = makeKey()
  const { files, environment } = loginSetup(login, key.publicKey)
  const entered = plans.filter(({ role }) => role === 'login').map(({ name }) => name)
  const group = plans.map((plan) => ({
    ...plan,
    ...(plan.name === 'login' && { port: 22 }),
    files: { ...plan.files, ...(plan.role === 'login' && files) },
    environment: { ...plan.environment, ...(plan.role === 'login' && environment) },
  }))
  const fleet = await openFleet(imageName, [group], { scratchMb })
  return siteOf(fleet, key, entered.map(fleet.machine))
}

/** A file system of that size, which machines share while one of them is up. */
const inMemory = (mb: number) => ({ type: 'tmpfs', device: 'tmpfs', o: `size=${mb}m` })

async function containersOf(site: string) {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  // By volume, since a machine may be unplugged from the network.
  return docker.listContainers({ all: true, filters: { volume: [site] } })
}

async function removeFleet(site: string): Promise<void> {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const there = await containersOf(site)
  await Promise.all(there.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
  await docker.getNetwork(site).remove()
  await docker.getVolume(site).remove()
}

async function logsOf(site: string): Promise<string> {
  const docker = (await getContainerRuntimeClient()).container.dockerode
  const logs = (await containersOf(site)).map(async ({ Id, Command }) => {
    const text = await docker.getContainer(Id).logs({ stdout: true, stderr: true, tail: 15 })
    return `--- ${Command}\n${text}`
  })
  return (await Promise.all(logs)).join('\n')
}

/** `entered` are those with an sshd. */
function siteOf(fleet: Fleet, key: KeyPair, entered: readonly Machine[]): Site {
  const folder = mkdtempSync(join(tmpdir(), 'floe-key-'))
  const identityFile = join(folder, 'id')
  const knownHostsFile = join(folder, 'known_hosts')
  writeFileSync(identityFile, key.privateKey, { mode: 0o600 })
  const login = fleet.machine('login')
  return {
    ...fleet,
    login,
    async ssh(user = 'alice') {
      const port = await login.port()
      const keys = await Promise.all(entered.map(hostKeyOf))
      const hosts = entered.map(({ name }) => (name === 'login' ? `[127.0.0.1]:${port}` : name))
      writeFileSync(knownHostsFile, hosts.map((host, at) => `${host} ${keys[at]}\n`).join(''))
      const hostKey = keys[entered.indexOf(login)]!
      return { host: '127.0.0.1', port, user, identityFile, privateKey: key.privateKey, hostKey, knownHostsFile }
    },
    async stop() {
      rmSync(folder, { recursive: true, force: true })
      await fleet.stop()
    },
  }
}

async function hostKeyOf(machine: Machine): Promise<string> {
  const [kind, blob] = (await machine.ask('cat /etc/ssh/ssh_host_ed25519_key.pub')).split(' ')
  return `${kind} ${blob}`
}
