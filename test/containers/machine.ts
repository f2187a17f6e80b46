import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers'
import { labels } from './owner.ts'

export interface Output {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

export interface MachineOptions {
  /** Its host name, and its name on the network. */
  readonly name: string
  readonly image: string
  readonly command: readonly string[]
  readonly network: string
  /** It shares addresses, ports and host name with that one, as two daemons of one machine do. */
  readonly beside?: Machine
  /** A volume, mounted at /scratch. */
  readonly scratch: string
  /** Folders of the engine's own machine, mounted under the same path. */
  readonly mounts?: readonly string[]
  /** Size of a /tmp in memory; that of the disk by default. */
  readonly tmpMb?: number
  readonly environment?: Readonly<Record<string, string>>
  /** Path → text, put in before it starts. */
  readonly files?: Readonly<Record<string, string>>
  /** Published on the loopback of this machine. */
  readonly port?: number
  /** Under the same number; then it does not change. */
  readonly isSamePort?: boolean
}

/** One container on one network, and not on the engine's default one: cutting the first cuts it off. */
class Networked extends GenericContainer {
  constructor({ name, image, network, beside, port, isSamePort = false }: MachineOptions) {
    super(image)
    if (beside) {
      this.withNetworkMode(`container:${beside.container.getId()}`)
      return
    }
    this.withNetworkMode(network).withHostname(name)
    this.createOpts.NetworkingConfig = { EndpointsConfig: { [network]: { Aliases: [name] } } }
    if (port === undefined) return
    // Tests have no business on other addresses of this machine.
    this.withExposedPorts(port)
    this.hostConfig.PortBindings = {
      [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: isSamePort ? String(port) : '0' }],
    }
  }
}

export async function startMachine(options: MachineOptions): Promise<Machine> {
  const container = new Networked(options)
    .withLabels(labels)
    .withCommand([...options.command])
    .withEnvironment({ ...options.environment })
    .withBindMounts([
      { source: options.scratch, target: '/scratch' },
      ...(options.mounts ?? []).map((path) => ({ source: path, target: path })),
    ])
    .withTmpFs(options.tmpMb === undefined ? {} : { '/tmp': `rw,mode=1777,size=${options.tmpMb}m` })
    .withCopyContentToContainer(Object.entries(options.files ?? {}).map(([target, content]) => ({ target, content })))
    .withWaitStrategy(Wait.forLogMessage(/^READY$/))
    .withStartupTimeout(120_000)
  return new Machine(options, await container.start())
}

/** A container that plays a machine of a site. What can befall a machine has a method. */
export class Machine {
  readonly name: string
  readonly container: StartedTestContainer
  readonly #options: MachineOptions

  constructor(options: MachineOptions, container: StartedTestContainer) {
    this.name = options.name
    this.container = container
    this.#options = options
  }

  /** Runs sh text as a user whose home is /home/<user>, root by default. Never throws for what the text does. */
  async run(script: string, user = 'root'): Promise<Output> {
    const home = user === 'root' ? '/root' : `/home/${user}`
    const { exitCode, stdout, stderr } = await this.container.exec(['/bin/sh', '-c', script], {
      user,
      workingDir: home,
      env: { HOME: home, USER: user, LOGNAME: user },
    })
    return { exit: exitCode, stdout, stderr }
  }

  /** As `run`, for what must succeed; answers stdout without its last newline. */
  async ask(script: string, user?: string): Promise<string> {
    const { exit, stdout, stderr } = await this.run(script, user)
    if (exit !== 0) throw new Error(`on ${this.name}, exit ${exit}: ${script}\n${stderr}${stdout}`)
    return stdout.replace(/\n$/, '')
  }

  /** SIGKILL to all of it, as a power cut; what it wrote to disk stays. */
  async kill(): Promise<void> {
    await (await this.#handle()).kill()
  }

  /** Starts it again after `kill`. A published port changes, unless it is published under the same number. */
  async start(): Promise<void> {
    // Ready is what this start says, not the one before.
    const since = Date.now() / 1000
    await (await this.#handle()).start()
    await until(
      async () => {
        const logs = await (await this.#handle()).logs({ stdout: true, stderr: true, since })
        return logs.toString().includes('READY')
      },
      { what: `${this.name} is ready again`, waitMs: 120_000 },
    )
  }

  /**
   * Stops all its processes where they are; connections stay open and silent. Nothing may be `run` there meanwhile: what an engine starts in a
   * machine that is being paused is stuck for ever (20.10, cgroups 1), and the machine with it.
   */
  async pause(): Promise<void> {
    await (await this.#handle()).pause()
  }

  async unpause(): Promise<void> {
    await (await this.#handle()).unpause()
  }

  /** Takes it off the network; its processes go on. */
  async unplug(): Promise<void> {
    await (await this.#network()).disconnect({ Container: this.container.getId() })
  }

  /** A published port changes. */
  async plug(): Promise<void> {
    const endpoint = { Container: this.container.getId(), EndpointConfig: { Aliases: [this.name] } }
    await (await this.#network()).connect(endpoint)
  }

  /** Puts it on another network besides, by its name. */
  async join(network: string): Promise<void> {
    const docker = (await getContainerRuntimeClient()).network.getById(network)
    await docker.connect({ Container: this.container.getId(), EndpointConfig: { Aliases: [this.name] } })
  }

  /** The port of this machine's loopback behind which the published one is now. */
  async port(): Promise<number> {
    const { NetworkSettings } = await (await this.#handle()).inspect()
    const bound = Object.values(NetworkSettings.Ports).flatMap((binding) => binding ?? [])
    if (!bound[0]) throw new Error(`${this.name} publishes no port; is it running, and plugged in?`)
    return Number(bound[0].HostPort)
  }

  async remove(): Promise<void> {
    await (await this.#handle()).remove({ force: true, v: true })
  }

  async #handle() {
    return (await getContainerRuntimeClient()).container.getById(this.container.getId())
  }

  async #network() {
    return (await getContainerRuntimeClient()).network.getById(this.#options.network)
  }
}

/** Waits for what another machine does. Time out: an error that says what was awaited, and what was seen last. */
export async function until<T>(
  look: () => T | Promise<T>,
  { what, waitMs = 90_000, everyMs = 100 }: { what: string; waitMs?: number; everyMs?: number },
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + waitMs
  for (;;) {
    const seen = await look()
    if (seen) return seen as NonNullable<Exclude<T, false>>
    if (Date.now() > deadline) throw new Error(`not within ${waitMs / 1000} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
