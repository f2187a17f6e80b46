import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { type SshOptions, sshTransport } from '../../../connectors/transport/ssh.ts'
import type { Transport } from '../../../connectors/transport/transport.ts'
import { type CutLine, cutLine } from '../../fakes/cut-line.ts'
import { makeKey, type SshServer, type SshServerOptions, startSshServer } from '../../fakes/ssh-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'floe-login-'))
const user = makeKey()
const locked = makeKey('ed25519', 'ice floe')
const stranger = makeKey()
const host = makeKey()
const KEYS = { user, locked, stranger }
for (const [name, pair] of Object.entries(KEYS)) writeFileSync(join(folder, name), pair.private, { mode: 0o600 })
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const servers: SshServer[] = []
const transports: Transport[] = []
const lines: CutLine[] = []
afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.close()
  for (const line of lines.splice(0)) await line.close()
  for (const server of servers.splice(0)) await server.close()
})

async function serve(options: Partial<SshServerOptions> = {}): Promise<SshServer> {
  const server = await startSshServer({ keys: [user.public], hostKeys: [host.private], ...options })
  servers.push(server)
  return server
}

let files = 0
function write(text: string): string {
  const path = join(folder, `file-${files++}`)
  writeFileSync(path, text)
  return path
}
const known = (port: number, key = host.public, name = '127.0.0.1'): string => `[${name}]:${port} ${key}\n`

interface Given extends Partial<SshOptions> {
  /** Text of known_hosts. */
  readonly hosts?: string
  /** Text of ~/.ssh/config. */
  readonly config?: string
}

function open({ port }: { port: number }, { hosts = known(port), config = '', ...options }: Given = {}): Transport {
  const transport = sshTransport({
    ...{ target: 'alice@127.0.0.1', port, identity: join(folder, 'user'), agent: 'none' },
    knownHosts: write(hosts),
    configFile: write(`${config}\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n`),
    ...options,
  })
  transports.push(transport)
  return transport
}

/** Answers questions, and notes them. */
function person(...answers: string[]) {
  const asked: string[] = []
  const ask = async (prompt: string, { echo }: { echo: boolean }): Promise<string> => {
    asked.push(`${prompt}${echo ? ' (shown)' : ''}`)
    const answer = answers.shift()
    if (answer === undefined) throw new Error('nobody is there')
    return answer
  }
  return { ask, asked }
}

describe('a host', () => {
  it('whose key is not known is refused, with its fingerprint and what to do', async () => {
    const server = await serve()
    await expect(open(server, { hosts: '' }).run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /host key of \[127\.0\.0\.1\]:\d+ is not known here: it shows ssh-ed25519 SHA256:\S{43}$/,
      ),
      hint: expect.stringContaining('`ssh alice@127.0.0.1` once'),
    })
    expect(server.seen).toMatchObject({ logins: 0, sessions: 0 })
  })

  it('whose key has changed is refused, with the line that knows another', async () => {
    const server = await serve()
    const transport = open(server, { hosts: `# first\n${known(server.port, stranger.public)}` })
    const refused = {
      kind: 'refused',
      message: expect.stringMatching(/has changed.*file-\d+:2 has SHA256:.*nothing was sent/),
    }
    await expect(transport.run('true')).rejects.toMatchObject({
      ...refused,
      hint: expect.stringContaining('ssh-keygen -R'),
    })
    expect(server.seen.logins).toBe(0)
  })

  it('whose key is revoked is refused', async () => {
    const server = await serve()
    const hosts = `${known(server.port)}@revoked * ${host.public}\n`
    await expect(open(server, { hosts }).run('true')).rejects.toMatchObject({
      message: expect.stringContaining('revoked'),
    })
  })

  it('is not trusted because a config says so', async () => {
    const server = await serve()
    const config = 'StrictHostKeyChecking no'
    await expect(open(server, { hosts: '', config }).run('true')).rejects.toMatchObject({ kind: 'refused' })
  })

  it('with several keys shows the one that is known', async () => {
    const rsa = makeKey('rsa')
    const server = await serve({ hostKeys: [host.private, rsa.private] })
    expect(await open(server, { hosts: known(server.port, rsa.public) }).run('echo in')).toMatchObject({
      stdout: 'in\n',
    })
  })

  it('that is not there is unreachable, and not knocked at without pause', async () => {
    const server = await serve()
    await server.close()
    const transport = open(server)
    const failures = await Promise.all([1, 2, 3].map(() => transport.run('true').catch((failure: unknown) => failure)))
    expect(new Set(failures).size).toBe(1)
    expect(failures[0]).toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('nothing listens there'),
    })
    await expect(transport.run('true')).rejects.toBe(failures[0])
  })
})

describe('a login', () => {
  it('with a key that is not taken says which keys were tried', async () => {
    const server = await serve()
    const transport = open(server, { identity: join(folder, 'stranger') })
    await expect(transport.run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /alice@127\.0\.0\.1 did not let us in \(it takes: publickey\).*stranger was not taken/,
      ),
    })
  })

  it('asks once for a passphrase, however often it connects', async () => {
    const server = await serve({ keys: [locked.public] })
    const { ask, asked } = person('wrong', 'ice floe')
    const transport = open(server, { identity: join(folder, 'locked'), ask })
    expect((await transport.run('echo in')).stdout).toBe('in\n')
    server.hangUp()
    await expect
      .poll(() => transport.run('echo again').catch(() => undefined), { timeout: 20_000 })
      .toMatchObject({ stdout: 'again\n' })
    expect(asked).toEqual(Array.from({ length: 2 }, () => `Passphrase of ${join(folder, 'locked')}: `))
    expect(server.seen.logins).toBe(2)
  })

  it('does not ask for a passphrase of a key that the host would not take', async () => {
    const server = await serve()
    const { ask, asked } = person()
    await expect(open(server, { identity: join(folder, 'locked'), ask }).run('true')).rejects.toMatchObject({
      kind: 'refused',
    })
    expect(asked).toEqual([])
  })

  it('without a terminal says that the key has a passphrase', async () => {
    const server = await serve({ keys: [locked.public] })
    await expect(open(server, { identity: join(folder, 'locked') }).run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/passphrase.*no terminal.*ssh-add/),
    })
  })

  it('gives a key and then a one-time password, asked once', async () => {
    const server = await serve({ questions: [{ prompt: 'Verification code: ', answer: '123456' }] })
    const { ask, asked } = person('123456')
    const transport = open(server, { ask })
    const runs = await Promise.all([1, 2, 3, 4].map((n) => transport.run(`echo ${n}`)))
    expect(runs.map(({ stdout }) => stdout)).toEqual(['1\n', '2\n', '3\n', '4\n'])
    expect(asked).toEqual(['(alice@127.0.0.1) Verification code: '])
    expect(server.seen).toMatchObject({ connections: 1, logins: 1 })
  })

  it('says what the site asks for when there is nobody to ask, and hangs up', async () => {
    const server = await serve({ questions: [{ prompt: 'Verification code: ', answer: '123456' }] })
    await expect(open(server).run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('asks "Verification code:", and there is no terminal'),
      hint: expect.stringContaining('terminal'),
    })
  })

  it('keeps a wrong answer to itself', async () => {
    const server = await serve({ questions: [{ prompt: 'Code: ', answer: '123456' }] })
    const failure = await open(server, { ask: person('999secret').ask })
      .run('true')
      .catch((cause: unknown) => cause as Error)
    expect(failure).toMatchObject({ kind: 'refused', message: expect.stringContaining('the answer was not taken') })
    expect(JSON.stringify([failure, String((failure as Error).stack)])).not.toContain('999secret')
  })

  it('to an account that may not run commands says what the account says', async () => {
    const server = await serve({ says: 'This account is currently not available.\n', banner: 'Welcome\n' })
    await expect(open(server).run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/did not start \/bin\/sh.*not available/s),
    })
  })

  it('uses the keys of an agent', async () => {
    const socket = join(folder, 'agent.sock')
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] })
    await once(agent.stdout, 'data')
    try {
      for (const name of ['stranger', 'user']) {
        const add = spawn('ssh-add', ['-q', join(folder, name)], {
          env: { ...process.env, SSH_AUTH_SOCK: socket },
          stdio: 'ignore',
        })
        expect(await once(add, 'exit')).toEqual([0, null])
      }
      const server = await serve({ questions: [{ prompt: 'Code: ', answer: '1' }] })
      const config = `IdentityAgent ${socket}`
      const transport = open(server, {
        config,
        agent: socket,
        identity: join(folder, 'stranger'),
        ask: person('1').ask,
      })
      expect((await transport.run('echo in')).stdout).toBe('in\n')
    } finally {
      agent.kill()
    }
  })
})

describe('the way', () => {
  it('goes through hosts, each with its own settings and its own host key', async () => {
    const inner = await serve()
    const gate = await serve({ isGate: true, hostKeys: [stranger.private] })
    const config = `Host gate\n  HostName 127.0.0.1\n  Port ${gate.port}\n  User bob\nHost *\n  IdentityFile ${join(folder, 'user')}\n`
    const hosts = known(inner.port) + known(gate.port, stranger.public)
    const transport = open(inner, { config, hosts, jump: 'gate' })
    expect((await transport.run('echo in')).stdout).toBe('in\n')
    expect([gate.seen.logins, inner.seen.logins, gate.seen.sessions]).toEqual([1, 1, 0])
    const unknown = open(inner, { config, hosts: known(inner.port), jump: 'gate' })
    await expect(unknown.run('true')).rejects.toMatchObject({
      message: expect.stringContaining(`[127.0.0.1]:${gate.port} is not known`),
    })
    const several = open(inner, { config, hosts, jump: `gate,alice@127.0.0.1:${gate.port}` })
    expect((await several.run('echo far')).stdout).toBe('far\n')
    expect(gate.seen.logins).toBe(3)
  })

  it('that a gate does not open is told with its name', async () => {
    const inner = await serve()
    const gate = await serve()
    const hosts = known(inner.port) + known(gate.port)
    await expect(open(inner, { hosts, jump: `alice@127.0.0.1:${gate.port}` }).run('true')).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('127.0.0.1 does not let us through'),
    })
  })

  it('goes through a command', async () => {
    const server = await serve()
    const script = write(
      `const s = require('net').connect(${server.port}, process.argv[2]); process.stdin.pipe(s).pipe(process.stdout)`,
    )
    const config = `ProxyCommand '${process.execPath}' ${script} %h`
    expect((await open(server, { config }).run('echo in')).stdout).toBe('in\n')
    const broken = open(server, { config: 'ProxyCommand sh -c "echo the gate is closed >&2; exit 1"' })
    await expect(broken.run('true')).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('the gate is closed'),
    })
  })

  it('that goes dead is noticed', async () => {
    const server = await serve()
    const line = await cutLine('127.0.0.1', server.port)
    lines.push(line)
    const config = 'ServerAliveInterval 1\nServerAliveCountMax 2'
    const transport = open(line, { config })
    await transport.run('true')
    const lost = expect(transport.run('sleep 60')).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/was cut.*timeout/i),
    })
    line.isFrozen = true
    await lost
  })

  it('is one connection, with as many sessions as are allowed, and waits when the site has fewer', async () => {
    const server = await serve({ maxSessions: 2 })
    const transport = open(server, { channels: 3 })
    const outputs = await Promise.all(Array.from({ length: 12 }, (_, at) => transport.run(`sleep 0.05; echo ${at}`)))
    expect(outputs.map(({ stdout }) => Number(stdout))).toEqual(outputs.map((_, at) => at))
    expect(server.seen).toMatchObject({ connections: 1, openMax: 2 })
  })
})
