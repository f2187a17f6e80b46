import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** Where tasks of a site read and write, for tests. */
export interface Disk {
  /** A new, empty directory. */
  make(prefix: string): Promise<string>
  /** Folders above it are made. */
  write(path: string, text: string): Promise<void>
  /** Undefined: there is no such file. */
  text(path: string): Promise<string | undefined>
  names(directory: string): Promise<string[]>
  remove(directory: string): Promise<void>
}

export const thisDisk: Disk = {
  make: async (prefix) => mkdtempSync(join(tmpdir(), prefix)),
  async write(path, text) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  },
  text: async (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined),
  names: async (directory) => readdirSync(directory),
  remove: async (directory) => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
}
