import { randomUUID } from 'node:crypto'
import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, isElsewhere, nameProcess, type ProcessName } from './process.ts'

/*
 * The scheduler's lock: files `lock.<n>` with the JSON of a ProcessName. The largest n holds, if its process lives. Who finds it dead links
 * `lock.<n+1>`, which only one can; then looks whether a larger one came meanwhile. So a stale lock is never removed from under a new holder.
 * Whether a process of another machine lives cannot be seen from here: its lock holds until it is given back, or a person deletes the queue.
 */

/** The process that holds the lock and lives, or is of another machine. */
export function lockHolder(directory: string): ProcessName | undefined {
  const [last] = numbersIn(directory)
  const holder = last === undefined ? undefined : readHolder(join(directory, `lock.${last}`))
  return holder && (isElsewhere(holder) || isAlive(holder)) ? holder : undefined
}

/** Takes the lock for this process; undefined: another one lives. The function gives it back. */
export function takeLock(directory: string): (() => void) | undefined {
  const aside = join(directory, `taking.${randomUUID()}`)
  writeFileSync(aside, JSON.stringify(nameProcess(process.pid)), { mode: 0o600 })
  try {
    if (lockHolder(directory)) return undefined
    const own = (numbersIn(directory)[0] ?? 0) + 1
    const path = join(directory, `lock.${own}`)
    linkSync(aside, path)
    if (numbersIn(directory)[0] !== own) {
      rmSync(path, { force: true })
      return undefined
    }
    for (const older of numbersIn(directory)) if (older < own) rmSync(join(directory, `lock.${older}`), { force: true })
    return () => rmSync(path, { force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

/** Largest first. */
function numbersIn(directory: string): number[] {
  return readdirSync(directory)
    .map((name) => /^lock\.(\d+)$/.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => b - a)
}

function readHolder(path: string): ProcessName | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessName
  } catch {
    // Given back in this moment.
    return undefined
  }
}
