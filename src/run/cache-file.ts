import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/* Small files of `.floe/` on which nothing rests: one JSON document each, whole or absent. */

/** On a full disk nothing is kept, or said. */
export function writeCacheFile(cache: string, name: string, value: unknown): void {
  const path = join(cache, name)
  const aside = `${path}.${process.pid}`
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    writeFileSync(aside, `${JSON.stringify(value)}\n`, { mode: 0o600 })
    renameSync(aside, path)
  } catch {
    rmSync(aside, { force: true })
  }
}

/** Undefined: it is not there, or no JSON. Who reads it looks whether it is of the form that is wanted. */
export function readCacheFile(cache: string, name: string): unknown {
  try {
    return JSON.parse(readFileSync(join(cache, name), 'utf8'))
  } catch {
    return undefined
  }
}
