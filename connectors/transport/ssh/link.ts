import { readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
// Its CommonJS names are not seen by Node as names to import.
import ssh2, { type Client, type ConnectConfig } from 'ssh2'
import { ConnectorError } from '../../connector.ts'
import { type HostOptions, type HostPlan, planFor } from './config.ts'
import type { Ask, Unlocked } from './keys.ts'
import {
  fingerprint,
  hostKeyAlgorithms,
  judge,
  type KnownHost,
  keyType,
  linesFor,
  lookupName,
  parseKnownHosts,
} from './known-hosts.ts'
import { type Login, login } from './login.ts'
import { commandStream } from './proxy-command.ts'

/** More hops than anybody has: a host that jumps through itself would never end. */
const JUMPS_MAX = 8

export interface LinkOptions extends HostOptions {
  readonly ask?: Ask | undefined
  readonly unlocked: Unlocked
  readonly signal: AbortSignal
}

/** A live connection, logged in. */
export interface Link {
  readonly client: Client
  readonly plan: HostPlan
  /** How it was let in, e.g. `key ed25519`. */
  by: string
  /** Why it ended; undefined while it lives. */
  ended: string | undefined
  end(): void
}

/** Connects to a host through all that its settings say. Rejects with a ConnectorError that says which host refused what. */
export async function openLink(target: string, options: LinkOptions, depth = 0): Promise<Link> {
  options.signal.throwIfAborted()
  const plan = await planFor(target, options)
  const through = await openWay(plan, options, depth)
  try {
    return await connect(plan, options, through)
  } catch (failure) {
    through?.close()
    throw failure
  }
}

/** What carries the connection instead of a socket. */
interface Way {
  readonly stream: Duplex
  close(): void
  /** What it has to say when it ends. */
  words(): string
}

async function openWay(plan: HostPlan, options: LinkOptions, depth: number): Promise<Way | undefined> {
  if (plan.jumps.length > 0) return openJump(plan, options, depth)
  return plan.proxyCommand === undefined ? undefined : commandStream(plan.proxyCommand)
}

async function openJump(plan: HostPlan, options: LinkOptions, depth: number): Promise<Way> {
  if (depth >= JUMPS_MAX)
    throw new ConnectorError(
      'refused',
      `the way to ${plan.host} goes through more than ${JUMPS_MAX} hosts`,
      'A host may name itself as its ProxyJump: see `ssh -G`.',
    )
  const gate = plan.jumps.at(-1)!
  const before = plan.jumps.slice(0, -1).join(',')
  // As OpenSSH does: earlier hops are given to the last one, which else goes by its own settings.
  const { port: _port, jump: _jump, ...rest } = options
  const link = await openLink(...hopOf(gate, before === '' ? rest : { ...rest, jump: before }), depth + 1)
  return new Promise((resolve, reject) =>
    link.client.forwardOut('127.0.0.1', 0, plan.host, plan.port, (failure, stream) => {
      if (failure) {
        link.end()
        const message = `${link.plan.host} does not let us through to ${plan.host}:${plan.port}: ${failure.message}`
        return reject(new ConnectorError('unreachable', message, `Try \`ssh ${plan.target}\`.`, failure))
      }
      resolve({ stream, close: () => link.end(), words: () => link.ended ?? '' })
    }),
  )
}

/** `user@host:port`, as ProxyJump has it. */
function hopOf(text: string, options: LinkOptions): [string, LinkOptions] {
  const [, target, port] = /^(?:ssh:\/\/)?(.*?)(?::(\d+))?$/s.exec(text)!
  const bare = target!.replace(/\[(.*)\]$/, '$1')
  return port === undefined ? [bare, options] : [bare, { ...options, port: Number(port) }]
}

async function connect(plan: HostPlan, options: LinkOptions, through: Way | undefined): Promise<Link> {
  const client = new ssh2.Client()
  const link: Link = { client, plan, by: '', ended: undefined, end: () => void client.end() }
  const known = knownHosts(plan)
  return new Promise((resolve, reject) => {
    const patience = new Patience(plan.connectTimeoutMs, () => fail(tooSlow(plan)))
    const attempt = login({
      plan,
      ask: options.ask && patience.whileAsking(options.ask),
      unlocked: options.unlocked,
      hangUp: fail,
    })
    const onAbort = (): void => fail(options.signal.reason as Error)
    let isReady = false
    let hostRefusal: ConnectorError | undefined

    function fail(failure: Error): void {
      patience.stop()
      options.signal.removeEventListener('abort', onAbort)
      client.destroy()
      through?.close()
      reject(failure)
    }
    options.signal.addEventListener('abort', onAbort, { once: true })
    client.on('error', (failure: Error & { level?: string }) => {
      // The next key is tried.
      if (failure.level === 'agent') return
      link.ended ??= failure.message
      if (!isReady) fail(hostRefusal ?? explain(failure, { plan, attempt, through }))
    })
    client.on('close', () => {
      link.ended ??= 'the other side closed it'
      patience.stop()
      through?.close()
      if (!isReady)
        fail(hostRefusal ?? explain(new Error('it was closed before the login was done'), { plan, attempt, through }))
    })
    client.on('ready', () => {
      isReady = true
      link.by = attempt.by()
      patience.stop()
      options.signal.removeEventListener('abort', onAbort)
      // Small packets of several channels else wait for each other: 23 commands a second instead of some hundred (ssh2 1.17).
      client.setNoDelay(true)
      resolve(link)
    })
    client.connect({
      ...settingsOf(plan, through, attempt),
      algorithms: { serverHostKey: hostKeyAlgorithms(known) as never[] },
      hostVerifier: (key: Buffer) => {
        hostRefusal = hostKeyRefusal(plan, known, key)
        return hostRefusal === undefined
      },
    })
  })
}

function settingsOf(plan: HostPlan, through: Way | undefined, attempt: Login): ConnectConfig {
  return {
    ...(through ? { sock: through.stream } : { host: plan.host, port: plan.port }),
    ...(plan.addressFamily === 4 ? { forceIPv4: true } : plan.addressFamily === 6 ? { forceIPv6: true } : {}),
    username: plan.user,
    authHandler: attempt.authHandler,
    // Our own clock stands still while a person types.
    readyTimeout: 0,
    keepaliveInterval: plan.aliveIntervalMs,
    keepaliveCountMax: plan.aliveCountMax,
  }
}

/** Time in which a host must let us in, people's typing left out. */
class Patience {
  #leftMs: number
  #since = 0
  #timer: NodeJS.Timeout | undefined
  readonly #act: () => void

  constructor(ms: number, act: () => void) {
    this.#leftMs = ms
    this.#act = act
    this.#start()
  }

  #start(): void {
    this.#since = performance.now()
    this.#timer = setTimeout(this.#act, this.#leftMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#leftMs -= performance.now() - this.#since
  }

  whileAsking(ask: Ask): Ask {
    return async (prompt, options) => {
      this.stop()
      try {
        return await ask(prompt, options)
      } finally {
        this.#leftMs = Math.max(this.#leftMs, 5000)
        this.#start()
      }
    }
  }
}

function knownHosts(plan: HostPlan): KnownHost[] {
  const name = plan.hostKeyAlias ?? lookupName(plan.host, plan.port)
  const lines = plan.knownHostsFiles.flatMap((file) => {
    try {
      return parseKnownHosts(readFileSync(file, 'utf8'), file)
    } catch {
      // Most of the files that are looked for are not there.
      return []
    }
  })
  return linesFor(lines, name)
}

function hostKeyRefusal(plan: HostPlan, known: readonly KnownHost[], key: Buffer): ConnectorError | undefined {
  const verdict = judge(known, key)
  if (verdict.is === 'known') return undefined
  const name = plan.hostKeyAlias ?? lookupName(plan.host, plan.port)
  const shown = `${keyType(key)} ${fingerprint(key)}`
  if (verdict.is === 'unknown') {
    const others = verdict.others.map(({ file, line }) => `${file}:${line}`).join(', ')
    return new ConnectorError(
      'refused',
      `the host key of ${name} is not known here: it shows ${shown}${others === '' ? '' : `; keys of other types are known (${others})`}`,
      `Compare it with what the site publishes; then run \`ssh ${plan.target}\` once and accept it.`,
    )
  }
  const { file, line, key: old } = verdict.by
  if (verdict.is === 'revoked')
    return new ConnectorError(
      'refused',
      `the host key of ${name}, ${shown}, is marked as revoked in ${file}:${line}; nothing was sent to it`,
      'Ask the people who run the site: this key must not be used any more.',
    )
  return new ConnectorError(
    'refused',
    `the host key of ${name} has changed: it shows ${shown}, but ${file}:${line} has ${fingerprint(old)}; nothing was sent to it`,
    `The site has new keys, or somebody is in between: ask the people who run it. If they confirm the new one: \`ssh-keygen -R '${name}' -f ${file}\`, then \`ssh ${plan.target}\` once.`,
  )
}

const tooSlow = ({ host, port, connectTimeoutMs, target }: HostPlan): ConnectorError =>
  new ConnectorError(
    'unreachable',
    `${host}:${port} did not let us in within ${connectTimeoutMs / 1000} s`,
    `Check the network (a VPN?) and whether \`ssh ${target}\` works; ConnectTimeout in ~/.ssh/config gives it longer.`,
  )

const SAID: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name cannot be looked up at the moment',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no network',
  ECONNRESET: 'it hung up',
}

interface Seen {
  readonly plan: HostPlan
  readonly attempt: Login
  readonly through: Way | undefined
}

function explain(failure: Error & { level?: string; code?: string }, { plan, attempt, through }: Seen): ConnectorError {
  if (failure.level === 'client-authentication') return attempt.refusal()
  const words = through?.words() ?? ''
  const said = `${SAID[failure.code ?? ''] ?? failure.message}${words === '' ? '' : ` (${words})`}`
  const tooMany = /too many authentication failures/i.test(said)
  if (tooMany)
    return new ConnectorError(
      'refused',
      `${plan.user}@${plan.host} hung up after too many keys`,
      'Name the right one: `identity` of the site, or IdentityFile with `IdentitiesOnly yes` in ~/.ssh/config.',
      failure,
    )
  return new ConnectorError(
    'unreachable',
    `${plan.host}:${plan.port} cannot be reached: ${said}`,
    `Check the name and the network (a VPN?), and whether \`ssh ${plan.target}\` works.`,
    failure,
  )
}
