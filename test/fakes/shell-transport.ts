import { spawn } from 'node:child_process'
import type { Output, RunOptions, Transport } from '../../connectors/transport/transport.ts'

export interface ShellOptions {
  /** In front of PATH. */
  readonly bin: string
  readonly env?: Readonly<Record<string, string>>
  readonly shell?: string
  /** Changes a script before it is run; counts from 0. */
  readonly change?: (script: string, at: number) => string
}

/** Scripts fed to a bare `/bin/sh`, as they are: what a test breaks is broken. */
export function shellTransport({
  bin,
  env = {},
  shell: program = '/bin/sh',
  change = (script) => script,
}: ShellOptions): Transport & {
  readonly scripts: string[]
} {
  const scripts: string[] = []
  const PATH = `${bin}:${process.env.PATH}`
  function run(script: string, options: RunOptions = {}): Promise<Output> {
    const text = change(script, scripts.length)
    scripts.push(text)
    return new Promise((resolve, reject) => {
      const shell = spawn(program, [], { stdio: 'pipe', env: { ...process.env, ...env, PATH } })
      const timer = setTimeout(() => shell.kill('SIGKILL'), options.timeoutMs ?? 60_000)
      let stdout = ''
      let stderr = ''
      shell.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk))
      shell.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk))
      shell.on('error', reject)
      shell.on('close', (code) => {
        clearTimeout(timer)
        resolve({ exit: code ?? 137, stdout, stderr })
      })
      shell.stdin.on('error', () => {})
      shell.stdin.end(text)
    })
  }
  const none = async () => {
    throw new Error('this transport carries nothing')
  }
  return {
    where: 'this machine',
    isHere: true,
    scripts,
    run,
    runBytes: none,
    send: none,
    fetch: none,
    close: async () => {},
  }
}
