import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { ArraySpec } from '../../connectors/connector.ts'
import type { SshEntry } from './site.ts'
import { sshOptions } from './way.ts'

/** Processes that submit arrays, made to be killed. */
export interface Clients {
  /** One that is logged in and waits for `go`. Rejects when it cannot log in. */
  open(entry: SshEntry, array: ArraySpec): Promise<Client>
  close(): void
}

export interface Client {
  go(): void
  kill(): void
  /** The id that it said; undefined: it ended without. */
  readonly said: Promise<string | undefined>
}

export async function openClients(): Promise<Clients> {
  // Where its packages are found.
  const folder = mkdtempSync(join(import.meta.dirname, '../../node_modules/.floe-clients-'))
  const file = join(folder, 'client.mjs')
  await build({
    ...{ entryPoints: [join(import.meta.dirname, 'submit-client.ts')], outfile: file, bundle: true },
    ...{ platform: 'node', target: 'node20.19', format: 'esm', logLevel: 'warning', packages: 'external' },
  })
  const running = new Set<ChildProcess>()
  return {
    async open(entry, array) {
      const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'pipe'] })
      running.add(child)
      let [out, err] = ['', '']
      child.stdin.on('error', () => {})
      child.stderr.on('data', (bytes) => (err += bytes))
      const over = new Promise<void>((resolve) => child.once('close', () => resolve()))
      const ready = new Promise<void>((resolve, reject) => {
        child.stdout.on('data', (bytes) => {
          out += bytes
          if (out.startsWith('ready\n')) resolve()
        })
        void over.then(() => reject(new Error(`the client ended before it was logged in: ${err}`)))
      })
      child.stdin.write(`${JSON.stringify({ ssh: sshOptions(entry), array })}\n`)
      await ready
      return {
        go: () => void child.stdin.write('go\n'),
        kill: () => void child.kill('SIGKILL'),
        said: over.then(() => {
          running.delete(child)
          return /^ready\n(\d+)\n$/.exec(out)?.[1]
        }),
      }
    },
    close() {
      for (const child of running) child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
