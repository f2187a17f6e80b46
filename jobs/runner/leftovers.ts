import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { readStat } from './processes.ts'

/*
 * A task's directory on its node is named `floe-<array>-<task>.<attempt>-<pid>-<start>-<place>`: pid and start name the runner on this machine,
 * or in this container, and the place is a digest of which that is: a directory may be shared by machines, and by containers with pids of
 * their own. Without /proc the last two are left out, and nobody removes what is left.
 */
const NAME = /^floe-.+-\d+\.\d+-(\d+)-(\d+)-([0-9a-f]{8})$/

/** `task` is `<array>-<task>.<attempt>`. */
export function rootName(task: string): string {
  const start = readStat(process.pid)?.start
  return `floe-${task}-${process.pid}${start === undefined ? '' : `-${start}-${placeOf()}`}`
}

function placeOf(): string {
  const words = [hostname(), readlinkSync('/proc/self/ns/pid')]
  return createHash('sha256').update(JSON.stringify(words)).digest('hex').slice(0, 8)
}

/** Removes what runners of this user left in these directories that were killed, on this machine. Costs a listing of each. */
export async function removeLeftovers(directories: Iterable<string>): Promise<void> {
  const own = readStat(process.pid) && placeOf()
  if (own === undefined) return
  const left = [...new Set(directories)].flatMap((directory) =>
    namesIn(directory)
      .filter((name) => isOfDead(name, own))
      .map((name) => join(directory, name))
      .filter(isOwn),
  )
  await Promise.allSettled(left.map((path) => rm(path, { recursive: true, force: true })))
}

function isOfDead(name: string, own: string): boolean {
  const [, pid, start, place] = NAME.exec(name) ?? []
  return place === own && readStat(Number(pid))?.start !== Number(start)
}

function isOwn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isDirectory() === true && stat.uid === process.getuid?.()
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
