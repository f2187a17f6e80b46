import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir, hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { ConnectorError } from '../../connector.ts'

/** What a site says beside `ssh: alice@login.frost`; the rest comes from ~/.ssh/config. */
export interface HostOptions {
  readonly port?: number
  /** A private key file; tried first. */
  readonly identity?: string
  /** As ProxyJump: `user@host:port`, several separated by commas; `none`. */
  readonly jump?: string
  /** Socket of an agent; `none`. */
  readonly agent?: string
  /** A known_hosts file that counts beside the user's and the system's. */
  readonly knownHosts?: string
  /** Instead of ~/.ssh/config and /etc/ssh/ssh_config. */
  readonly configFile?: string
}

/** Everything that is needed to open a connection to one host. */
export interface HostPlan {
  /** As the user wrote it. */
  readonly target: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly identityFiles: readonly string[]
  readonly identitiesOnly: boolean
  readonly agent: string | undefined
  readonly knownHostsFiles: readonly string[]
  /** Under which the host's key is known, instead of its name and port. */
  readonly hostKeyAlias: string | undefined
  readonly connectTimeoutMs: number
  readonly aliveIntervalMs: number
  readonly aliveCountMax: number
  readonly addressFamily: 4 | 6 | undefined
  /** Hosts to go through, nearest first. */
  readonly jumps: readonly string[]
  /** A command line whose streams are the connection. */
  readonly proxyCommand: string | undefined
}

/**
 * What OpenSSH itself would do for `target`, by its own `ssh -G`: Include, Match, patterns, defaults are as people know them. Costs some
 * 10 ms. Where there is no `ssh`, and no config that would need it, its defaults.
 */
export async function planFor(target: string, options: HostOptions): Promise<HostPlan> {
  const plan = toPlan(target, options, parseSettings(await settingsText(target, options)))
  const [first] = plan.identityFiles
  if (options.identity !== undefined && (first === undefined || !existsSync(first)))
    throw new ConnectorError(
      'refused',
      `there is no key file ${first ?? options.identity}, which the site names as its identity`,
      'Correct `identity` of the site, or leave it out: then the agent and ~/.ssh/config are asked.',
    )
  return plan
}

async function settingsText(target: string, options: HostOptions): Promise<string> {
  const args = ['-G', ...optionWords(options), '--', target]
  const { failure, stdout, stderr } = await new Promise<{ failure: Error | null; stdout: string; stderr: string }>(
    (resolve) =>
      execFile('ssh', args, { timeout: 20_000 }, (failure, stdout, stderr) => resolve({ failure, stdout, stderr })),
  )
  if (failure === null) return stdout
  if ((failure as NodeJS.ErrnoException).code !== 'ENOENT')
    throw new ConnectorError(
      'refused',
      `the SSH settings for ${target} cannot be read: ${stderr.trim() || failure.message}`,
      `Correct ~/.ssh/config or the site's options until \`ssh -G ${target}\` prints settings.`,
      failure,
    )
  const config = options.configFile ?? join(homedir(), '.ssh', 'config')
  if (existsSync(config) || options.jump !== undefined)
    throw new ConnectorError(
      'refused',
      `${options.jump === undefined ? config : 'jump'} needs the program ssh, which is not installed here`,
      'Install the OpenSSH client: floe lets it read its own settings, and connects by itself.',
      failure,
    )
  return defaultSettings(target, options)
}

const optionWords = ({ port, identity, jump, agent, configFile }: HostOptions): string[] => [
  ...(configFile === undefined ? [] : ['-F', configFile]),
  ...(port === undefined ? [] : ['-p', String(port)]),
  ...(identity === undefined ? [] : ['-o', `IdentityFile="${identity}"`]),
  ...(jump === undefined ? [] : ['-o', `ProxyJump=${jump}`]),
  ...(agent === undefined ? [] : ['-o', `IdentityAgent="${agent}"`]),
]

function defaultSettings(target: string, { port = 22, identity, agent }: HostOptions): string {
  const [, user = userInfo().username, host] = /^(?:(.*)@)?([^@]*)$/s.exec(target)!
  const keys = ['id_rsa', 'id_ecdsa', 'id_ed25519'].map((name) => `~/.ssh/${name}`)
  return [
    ...[`user ${user}`, `hostname ${host}`, `port ${port}`],
    ...(identity === undefined ? keys : [identity, ...keys]).map((file) => `identityfile ${file}`),
    ...(agent === undefined ? [] : [`identityagent ${agent}`]),
    'userknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2',
    'globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2',
  ].join('\n')
}

type Settings = ReadonlyMap<string, readonly string[]>

/** Lines `keyword value`; some keywords come several times. */
export function parseSettings(text: string): Settings {
  const settings = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [, keyword, value] = /^(\S+) (.*)$/.exec(line) ?? []
    if (keyword === undefined || value === undefined) continue
    settings.set(keyword, [...(settings.get(keyword) ?? []), value])
  }
  return settings
}

export function toPlan(target: string, options: HostOptions, settings: Settings): HostPlan {
  const first = (keyword: string): string | undefined => {
    const value = settings.get(keyword)?.[0]
    return value === undefined || value === 'none' ? undefined : value
  }
  const seconds = (keyword: string, otherwise: number): number => (Number(first(keyword)) || otherwise) * 1000
  const host = first('hostname') ?? target
  const port = Number(first('port') ?? 22)
  const user = first('user') ?? userInfo().username
  for (const [what, text] of Object.entries({ host, user })) refuseOdd(what, text, target)
  const tokens: Tokens = {
    d: homedir(),
    h: host,
    l: hostname(),
    n: nameOf(target),
    p: String(port),
    r: user,
    u: userInfo().username,
    '%': '%',
  }
  const paths = (keyword: string): string[] =>
    (settings.get(keyword) ?? []).filter((path) => path !== 'none').map((path) => expandPath(path, tokens))
  const several = (keyword: string): string[] =>
    (first(keyword) ?? '')
      .split(' ')
      .filter(Boolean)
      .map((path) => expandPath(path, tokens))
  const command = first('proxycommand')
  const family = first('addressfamily')
  return {
    ...{ target, host, port, user },
    identityFiles: [...new Set(paths('identityfile'))],
    identitiesOnly: first('identitiesonly') === 'yes',
    agent: agentOf(settings, tokens),
    knownHostsFiles: [
      ...(options.knownHosts === undefined ? [] : [expandPath(options.knownHosts, tokens)]),
      ...[...several('userknownhostsfile'), ...several('globalknownhostsfile')],
    ],
    hostKeyAlias: first('hostkeyalias'),
    connectTimeoutMs: seconds('connecttimeout', 20),
    aliveIntervalMs: seconds('serveraliveinterval', 15),
    aliveCountMax: Number(first('serveralivecountmax') ?? 3),
    addressFamily: family === 'inet' ? 4 : family === 'inet6' ? 6 : undefined,
    jumps: first('proxyjump')?.split(',') ?? [],
    proxyCommand: command === undefined ? undefined : expand(command, tokens),
  }
}

function agentOf(settings: Settings, tokens: Tokens): string | undefined {
  const named = settings.get('identityagent')?.[0]
  if (named === 'none') return undefined
  if (named === undefined || named === 'SSH_AUTH_SOCK') return process.env.SSH_AUTH_SOCK || undefined
  if (named.startsWith('$')) return process.env[named.replace(/^\$\{?|\}$/g, '')]
  return expandPath(named, tokens)
}

type Tokens = Readonly<Record<string, string>>

const expand = (text: string, tokens: Tokens): string =>
  text.replace(/%(.)/g, (whole, letter: string) => tokens[letter] ?? whole)

const expandPath = (path: string, tokens: Tokens): string =>
  expand(path, tokens)
    .replace(/^~(?=\/|$)/, homedir())
    .replace(/\$\{(\w+)\}/g, (whole, name: string) => process.env[name] ?? whole)

const nameOf = (target: string): string => target.replace(/^.*@/s, '')

/** They end up in the user's ProxyCommand, which is a line for a shell. */
function refuseOdd(what: string, text: string, target: string): void {
  if (
    /^[\p{L}\p{N}_.%:[\]@\\+=/~-]+$/u.test(text) &&
    !text.startsWith('-') &&
    !/[\\]/.test(what === 'host' ? text : '')
  )
    return
  throw new ConnectorError(
    'refused',
    `${JSON.stringify(text)} cannot be the ${what} of ${JSON.stringify(target)}`,
    'Write `ssh: user@host`; see `ssh -G` for what ~/.ssh/config makes of it.',
  )
}
