import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { onTestFinished } from 'vitest'

export interface ServerWish {
  /** Sessions of one connection at once. */
  readonly sessions?: number
  /** Printed by each login before its command. */
  readonly banner?: string
  /** Asks for this one-time password; without it the login needs nothing. */
  readonly code?: string
}

export interface SshServer {
  readonly target: string
  readonly port: number
  /** A file of known hosts that knows it. */
  readonly knownHosts: string
  /** Answers that were given to its questions. */
  readonly answers: readonly string[]
}

/** An SSH server on the loopback that runs `sh`; it carries no files. Ends with the test. */
export async function openSshServer({ sessions = 10, banner = '', code }: ServerWish = {}): Promise<SshServer> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
  const answers: string[] = []
  const server = new ssh2.Server({ hostKeys: [key] }, (client) => {
    let open = 0
    client.on('error', () => undefined)
    client.on('authentication', (context) => {
      if (code === undefined) return context.accept()
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive'])
      context.prompt([{ prompt: 'Verification code: ', echo: false }], (given) => {
        answers.push(...given)
        if (given[0] === code) context.accept()
        else context.reject(['keyboard-interactive'])
      })
    })
    client.on('session', (accept, reject) => {
      if (open >= sessions) return reject()
      open++
      const session = accept()
      session.on('close', () => open--)
      session.on('exec', (acceptExec, _rejectExec, { command }) => {
        const channel = acceptExec()
        channel.write(banner)
        const shell = spawn('/bin/sh', ['-c', command], { stdio: 'pipe' })
        shell.stdout.on('data', (chunk) => channel.write(chunk))
        shell.stderr.on('data', (chunk) => channel.stderr.write(chunk))
        shell.stdin.on('error', () => undefined)
        channel.pipe(shell.stdin)
        channel.on('close', () => shell.kill())
        shell.on('close', (exit) => {
          channel.exit(exit ?? 1)
          channel.end()
        })
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const directory = mkdtempSync(join(tmpdir(), 'floe-ssh-'))
  onTestFinished(() => {
    server.close()
    rmSync(directory, { recursive: true })
  })
  const known = ssh2.utils.parseKey(key)
  if (known instanceof Error) throw known
  const knownHosts = join(directory, 'known_hosts')
  writeFileSync(knownHosts, `[127.0.0.1]:${port} ssh-rsa ${known.getPublicSSH().toString('base64')}\n`)
  return { target: 'alice@127.0.0.1', port, knownHosts, answers }
}
