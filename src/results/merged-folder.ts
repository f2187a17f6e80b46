import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'

const prefixOf = (pid: number | string): string => `merge-${hostname()}-${pid}-`

/** A new folder below the cache for files of one merge; removes those that processes of this machine left when they were killed. */
export function makeFolder(cache: string): string {
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(cache)) {
    const pid = /-(\d+)-[^-]+$/.exec(name)?.[1]
    if (pid === undefined || !name.startsWith(prefixOf(pid)) || isAlive(Number(pid))) continue
    rmSync(join(cache, name), { recursive: true, force: true })
  }
  return mkdtempSync(join(cache, prefixOf(process.pid)))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM'
  }
}
