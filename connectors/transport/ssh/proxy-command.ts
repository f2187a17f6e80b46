import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'

/**
 * Streams of a ProxyCommand: the user's own line of ~/.ssh/config, for the user's own shell, as OpenSSH runs it. Nothing but checked host,
 * port and user was put into it.
 */
export function commandStream(line: string): { stream: Duplex; close(): void; words(): string } {
  const shell = process.env.SHELL || '/bin/sh'
  const child = spawn(shell, ['-c', `exec ${line}`], { detached: true, stdio: 'pipe' })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 1000) said += chunk.toString('utf8')
  })
  const close = (): void => {
    stream.destroy()
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
    } catch {
      // It has ended.
    }
  }
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk, _encoding, done) => void child.stdin.write(chunk, () => done()),
    final: (done) => void child.stdin.end(() => done()),
  })
  child.stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause()
  })
  child.stdin.on('error', () => undefined)
  child.once('error', (failure) => stream.destroy(failure))
  child.once('close', () => {
    stream.push(null)
    stream.destroy()
  })
  return { stream, close, words: () => said.trim() }
}
