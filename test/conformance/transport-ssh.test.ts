import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { sshTransport } from '../../connectors/transport/ssh.ts'
import { cutLine } from '../fakes/cut-line.ts'
import { makeKey, type SshServerOptions, startSshServer } from '../fakes/ssh-server.ts'
import { transportConformance } from './transport.ts'

const folder = mkdtempSync(join(tmpdir(), 'floe-ssh-'))
const user = makeKey()
const host = makeKey()
writeFileSync(join(folder, 'id'), user.private, { mode: 0o600 })
writeFileSync(join(folder, 'config'), '')

async function site(options: Partial<SshServerOptions>, channels: number) {
  const server = await startSshServer({ keys: [user.public], hostKeys: [host.private], ...options })
  const line = await cutLine('127.0.0.1', server.port)
  const knownHosts = join(folder, `known_hosts.${line.port}`)
  writeFileSync(knownHosts, `[127.0.0.1]:${line.port} ${host.public}\n`)
  afterAll(async () => {
    await line.close()
    await server.close()
  })
  const agent = 'none'
  const given = {
    target: 'alice@127.0.0.1',
    port: line.port,
    identity: join(folder, 'id'),
    agent,
    knownHosts,
    channels,
  }
  return {
    open: async () => sshTransport({ ...given, configFile: join(folder, 'config'), outputMaxBytes: 16 << 20 }),
    scratch: tmpdir(),
    cut: () => line.cut(),
  }
}
afterAll(() => rmSync(folder, { recursive: true, force: true }))

transportConformance('ssh', await site({}, 4))
transportConformance(
  'ssh with one session, banners, a foreign login shell, no signals',
  await site(
    {
      maxSessions: 1,
      banner: 'Welcome to Frost\n*** maintenance on Friday ***\n',
      isForeignShell: true,
      refusesSignals: true,
    },
    1,
  ),
)
