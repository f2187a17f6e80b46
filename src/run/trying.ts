import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../ports/clock.ts'
import { processStart } from './lease.ts'

/*
 * `floe try` needs no lease, since it changes nothing of the campaign, but it reads from the cache: it says so by a file `trying.<host>.<pid>`
 * with the start time of its process, before it stages anything.
 */

/** Marks of other hosts, where nobody can be asked, count for so long. */
const FOREIGN_MS = 86_400_000

/** Says that this process reads from the cache; the function takes it back. */
export function sayTrying(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `trying.${hostname()}.${process.pid}`)
  writeFileSync(path, processStart(process.pid) ?? '', { mode: 0o600 })
  return () => rmSync(path, { force: true })
}

export function isTrying(folder: string, clock: Clock): boolean {
  return names(folder).some((name) => {
    const [, host, pid] = /^trying\.(.+)\.(\d+)$/.exec(name) ?? []
    if (host === undefined) return false
    const path = join(folder, name)
    const at = statSync(path, { throwIfNoEntry: false })?.mtimeMs
    if (at === undefined) return false
    if (host !== hostname()) return clock.now() - at < FOREIGN_MS
    const started = processStart(Number(pid))
    // Empty for the moment in which it is being written.
    return started !== null && ['', started].includes(read(path) ?? 'it has just ended')
  })
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
