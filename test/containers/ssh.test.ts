import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type SshOptions, sshTransport } from '../../connectors/transport/ssh.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { transportConformance } from '../conformance/transport.ts'
import { type CutLine, cutLine } from '../fakes/cut-line.ts'
import { type SshHostOptions, startSshHost } from './clusters.ts'
import { describeSite } from './engine.ts'
import type { Site, SshEntry } from './site.ts'

/* The way to a site against a real sshd. */

const folder = mkdtempSync(join(tmpdir(), 'floe-ssh-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Reached {
  readonly site: Site
  readonly line: CutLine
  open(options?: Partial<SshOptions>): Transport
  close(): Promise<void>
}

/** A host behind a line that can be cut. */
async function reach(host: SshHostOptions, channels = 4): Promise<Reached> {
  const site = await startSshHost(host)
  const entry: SshEntry = await site.ssh()
  const line = await cutLine(entry.host, entry.port)
  const knownHosts = join(folder, `known_hosts.${line.port}`)
  writeFileSync(knownHosts, `[${entry.host}]:${line.port} ${entry.hostKey}\n`)
  const opened: Transport[] = []
  return {
    ...{ site, line },
    open(options = {}) {
      const transport = sshTransport({
        ...{ target: `${entry.user}@${entry.host}`, port: line.port, identity: entry.identityFile, agent: 'none' },
        ...{ knownHosts, configFile: '/dev/null', channels, outputMaxBytes: 16 << 20 },
        ...options,
      })
      opened.push(transport)
      return transport
    },
    async close() {
      for (const transport of opened) await transport.close()
      await line.close()
      await site.stop()
    },
  }
}

const KINDS: readonly (readonly [string, SshHostOptions, number])[] = [
  ['a plain host', {}, 4],
  ['csh, noise before everything, sftp too', { shell: 'csh', noise: 'Welcome to frost!\n', sftp: 'program' }, 4],
  ['one channel', { maxSessions: 1, banner: 'Ice only.\n' }, 1],
]

for (const [name, host, channels] of KINDS)
  describeSite(`the transport to ${name}`, () => {
    let reached: Reached
    beforeAll(async () => {
      reached = await reach(host, channels)
      // Of the 64 MB that every container has there.
      await reached.site.login.run('head -c 60000000 /dev/zero > /dev/shm/filled')
    })
    afterAll(() => reached.close())
    transportConformance(`ssh (${name})`, {
      open: async () => reached.open(),
      scratch: '/scratch/alice',
      tight: '/dev/shm',
      cut: () => reached.line.cut(),
    })
  })

describeSite('a real host', () => {
  let reached: Reached | undefined
  afterEach(() => reached?.close())

  it('asks for a password after the key, once, and is told who asks when there is nobody', async () => {
    reached = await reach({ password: 'once-only' })
    await expect(reached.open().run('true')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('Password:'),
    })
    const asked: string[] = []
    const transport = reached.open({
      ask: async (prompt, { echo }) => {
        asked.push(`${prompt}${echo}`)
        return 'once-only'
      },
    })
    const runs = await Promise.all([1, 2, 3].map((n) => transport.run(`id -un; echo ${n}`)))
    expect(runs.map(({ stdout }) => stdout)).toEqual(['alice\n1\n', 'alice\n2\n', 'alice\n3\n'])
    expect(asked).toEqual([expect.stringMatching(/^\(alice@\S+\) Password: false$/)])
  })

  it('lets through to one behind it', async () => {
    reached = await reach({ inner: true })
    const entry = await reached.site.ssh()
    const config = join(folder, 'config')
    writeFileSync(
      config,
      `Host gate\n  HostName ${entry.host}\n  Port ${entry.port}\n  User alice\n  IdentityFile ${entry.identityFile}\n`,
    )
    const inner = sshTransport({
      ...{ target: 'alice@inner', identity: entry.identityFile, agent: 'none', jump: 'gate', configFile: config },
      knownHosts: entry.knownHostsFile,
    })
    try {
      expect((await inner.run('hostname')).stdout).toBe('inner\n')
    } finally {
      await inner.close()
    }
  })

  it('that allows fewer sessions than are wanted is waited for', async () => {
    reached = await reach({ maxSessions: 2 }, 5)
    const transport = reached.open()
    const outputs = await Promise.all(Array.from({ length: 20 }, (_, at) => transport.run(`sleep 0.1; echo ${at}`)))
    expect(outputs.map(({ stdout }) => Number(stdout))).toEqual(outputs.map((_, at) => at))
    expect(reached.line.count).toBe(1)
  })

  it('that stands still is noticed, and reached again', async () => {
    reached = await reach({})
    const config = join(folder, 'alive')
    writeFileSync(config, 'ServerAliveInterval 1\nServerAliveCountMax 2\n')
    const transport = reached.open({ configFile: config })
    await transport.run('true')
    const lost = expect(transport.run('sleep 30')).rejects.toMatchObject({ kind: 'unreachable' })
    reached.line.isFrozen = true
    await lost
    reached.line.isFrozen = false
    expect((await transport.run('echo back')).stdout).toBe('back\n')
  })
})
