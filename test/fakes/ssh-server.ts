import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type AuthContext,
  type Connection,
  type ParsedKey,
  Server,
  type ServerChannel,
  type Session,
  utils,
} from 'ssh2'
import { onTestFinished } from 'vitest'
import { serveFiles } from './sftp-files.ts'

export interface SshServerOptions {
  /** What the start files of the login shell print, on stdout and stderr, also before sftp. */
  readonly banner?: string
  /** A login shell that knows nothing of sh: it takes `exec PROGRAM` and nothing else, as csh would stumble over the rest. */
  readonly isForeignShell?: boolean
  /** Instead of running anything: an account that may not. */
  readonly says?: string
  readonly maxSessions?: number
  /** Refuses signals to commands, as old servers do. */
  readonly refusesSignals?: boolean
  /** What it takes to log in, besides a key: the answers to these questions, in order. */
  readonly questions?: readonly { readonly prompt: string; readonly answer: string }[]
  /** Takes no key but these. */
  readonly keys: readonly string[]
  /** One key for each type that it shows. */
  readonly hostKeys: readonly string[]
  /** Lets connections through to other ports of this machine. */
  readonly isGate?: boolean
  /** Ends commands that take longer, as login nodes do. */
  readonly killsAfterMs?: number | undefined
}

export interface SshServer {
  readonly port: number
  /** Connections, logins, sessions that came so far; and sessions open at once, at most. */
  readonly seen: { connections: number; logins: number; sessions: number; open: number; openMax: number }
  /** Answers that were given to its questions. */
  readonly answers: readonly string[]
  options: SshServerOptions
  /** Ends all connections. */
  hangUp(): void
  close(): Promise<void>
}

/** An SSH server in this process, on the loopback: the login shell is spawned here, files are those of this machine. */
export async function startSshServer(options: SshServerOptions): Promise<SshServer> {
  const seen = { connections: 0, logins: 0, sessions: 0, open: 0, openMax: 0 }
  const answers: string[] = []
  const children = new Set<ChildProcess>()
  const connections = new Set<Connection>()
  const server = new Server({ hostKeys: [...options.hostKeys] }, (connection) => {
    seen.connections++
    connections.add(connection)
    let open = 0
    connection.on('error', () => undefined)
    connection.on('close', () => {
      connections.delete(connection)
      seen.open -= open
    })
    connection.on(
      'authentication',
      authentication(
        () => fake.options,
        (given) => answers.push(...given),
      ),
    )
    connection.on('ready', () => seen.logins++)
    connection.on('session', (accept, reject) => {
      if (open >= (fake.options.maxSessions ?? 10)) return reject()
      open++
      seen.sessions++
      seen.openMax = Math.max(seen.openMax, ++seen.open)
      const session = accept()
      session.on('close', () => {
        open--
        seen.open--
      })
      serveSession(session, fake.options, children)
    })
    connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
      if (fake.options.isGate) joinPort(accept(), destIP, destPort)
      else reject()
    })
  })
  // As sshd does; ssh2's own listener waits 40 ms for acknowledgements of small packets.
  const listener = createServer({ noDelay: true }, (socket) => server.injectSocket(socket))
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const fake: SshServer = {
    port: (listener.address() as { port: number }).port,
    seen,
    answers,
    options,
    hangUp() {
      for (const connection of connections) connection.end()
    },
    async close() {
      for (const connection of connections) connection.end()
      for (const child of children) if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL')
      listener.close()
    },
  }
  return fake
}

const refused = (context: AuthContext, ways: string[], isPartial: boolean): void =>
  context.reject(ways as never, isPartial)

function authentication(
  options: () => SshServerOptions,
  note: (answers: readonly string[]) => void,
): (context: AuthContext) => void {
  let hasKey = false
  return (context) => {
    const { keys, questions = [] } = options()
    if (context.method === 'publickey' && !hasKey) {
      const known = keys.map((key) => utils.parseKey(key)).filter((key): key is ParsedKey => !(key instanceof Error))
      const key = known.find((one) => one.getPublicSSH().equals(context.key.data))
      if (!key) return refused(context, ['publickey'], false)
      if (!context.signature) return context.accept()
      if (key.verify(context.blob!, context.signature, context.hashAlgo) !== true)
        return refused(context, ['publickey'], false)
      if (questions.length === 0) return context.accept()
      hasKey = true
      return refused(context, ['keyboard-interactive'], true)
    }
    const needsKey = keys.length > 0 && !hasKey
    if (context.method === 'keyboard-interactive' && !needsKey && questions.length > 0) {
      const prompts = questions.map(({ prompt }) => ({ prompt, echo: false }))
      return context.prompt(prompts, (answers) => {
        note(answers)
        if (questions.every(({ answer }, at) => answers[at] === answer)) context.accept()
        else refused(context, ['keyboard-interactive'], false)
      })
    }
    refused(context, [needsKey ? 'publickey' : 'keyboard-interactive'], false)
  }
}

function serveSession(session: Session, options: SshServerOptions, children: Set<ChildProcess>): void {
  let child: ChildProcess | undefined
  session.on('exec', (accept, _reject, { command }) => {
    const channel = accept()
    channel.write(options.banner ?? '')
    channel.stderr.write(options.banner ?? '')
    if (options.says !== undefined) return leave(channel, options.says)
    if (options.isForeignShell && !/^exec \/[\w/]+$/.test(command)) return leave(channel, 'Illegal variable name.\n')
    child = runShell(channel, command)
    const { pid } = child
    children.add(child)
    const limit = options.killsAfterMs
    const timer = limit === undefined ? undefined : setTimeout(() => pid && killGroup(pid, 'SIGKILL'), limit)
    child.once('close', () => {
      clearTimeout(timer)
      children.delete(child!)
    })
  })
  session.on('signal', (accept, _reject, { name }) => {
    accept?.()
    if (child?.pid !== undefined && !options.refusesSignals) killGroup(child.pid, `SIG${name}` as NodeJS.Signals)
  })
  session.on('sftp', (accept) => serveFiles(accept(), options.banner ?? ''))
}

function leave(channel: ServerChannel, words: string): void {
  channel.stderr.write(words)
  channel.exit(1)
  channel.end()
}

/** As sshd: its exit is told at once, the channel ends when nobody holds its streams. */
function runShell(channel: ServerChannel, command: string): ChildProcess {
  const child = spawn('/bin/sh', ['-c', command], { cwd: homedir(), detached: true, stdio: 'pipe' })
  child.stdin.on('error', () => undefined)
  channel.on('error', () => undefined)
  channel.pipe(child.stdin)
  let underWay = 0
  let isOver = false
  const passed = (): void => {
    // ssh2 ends a channel without what still waits on its stderr.
    if (--underWay === 0 && isOver) channel.end()
  }
  for (const [from, to] of [
    [child.stdout, channel],
    [child.stderr, channel.stderr],
  ] as const)
    from.on('data', (chunk: Buffer) => {
      underWay++
      from.pause()
      to.write(chunk, () => {
        passed()
        from.resume()
      })
    })
  child.once('exit', (code, word) => {
    if (word === null) channel.exit(code ?? 0)
    else channel.exit(word.replace(/^SIG/, ''))
  })
  // Its end is seen, and its place free, only when everything was read.
  child.stdin.once('close', () => channel.resume())
  child.once('close', () => {
    isOver = true
    if (underWay === 0) channel.end()
  })
  channel.once('close', () => {
    child.stdin.destroy()
    child.stdout.destroy()
    child.stderr.destroy()
  })
  return child
}

function killGroup(pid: number, word: NodeJS.Signals): void {
  try {
    process.kill(-pid, word)
  } catch {
    // It has ended.
  }
}

function joinPort(channel: ServerChannel, host: string, port: number): void {
  const socket = connect(port, host)
  socket.on('error', () => channel.end())
  channel.on('error', () => socket.destroy())
  channel.pipe(socket).pipe(channel)
}

/** A key pair, private half in OpenSSH's form, encrypted with a passphrase if there is one. */
export function makeKey(type: 'ed25519' | 'rsa' = 'ed25519', passphrase?: string): { private: string; public: string } {
  const locked = passphrase === undefined ? {} : { passphrase, cipher: 'aes256-ctr', rounds: 4 }
  for (;;) {
    const pair = utils.generateKeyPairSync(type, { bits: 2048, ...locked } as never)
    // Of some 256 keys that ssh2 1.17 makes one lacks its first byte, a zero.
    if (!(utils.parseKey(pair.public) instanceof Error)) return { private: pair.private, public: pair.public }
  }
}

export interface LoginWish extends Partial<SshServerOptions> {
  /** Asks for this one-time password, and for no key. */
  readonly code?: string
}

export interface Login {
  readonly server: SshServer
  readonly target: string
  readonly port: number
  /** A file of known hosts that knows it, and one with a key that it takes. */
  readonly knownHosts: string
  readonly identity: string
}

/** A server with all that one needs to log in. Ends with the test. */
export async function openLogin({ code, ...options }: LoginWish = {}): Promise<Login> {
  const [host, user] = [makeKey(), makeKey()]
  const server = await startSshServer({
    ...{ keys: code === undefined ? [user.public] : [], hostKeys: [host.private] },
    ...(code !== undefined && { questions: [{ prompt: 'Verification code: ', answer: code }] }),
    ...options,
  })
  const directory = mkdtempSync(join(tmpdir(), 'floe-ssh-'))
  onTestFinished(async () => {
    await server.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const [knownHosts, identity] = [join(directory, 'known_hosts'), join(directory, 'key')]
  writeFileSync(knownHosts, `[127.0.0.1]:${server.port} ${host.public}\n`)
  writeFileSync(identity, user.private, { mode: 0o600 })
  return { server, target: 'alice@127.0.0.1', port: server.port, knownHosts, identity }
}
