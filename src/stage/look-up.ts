import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'

/** A file as it lies there now. Times are UTC microseconds. */
export interface Sight {
  readonly sizeBytes: number
  readonly mtimeUs: number
}

/** Largest file whose content `digest: auto` reads, bytes; larger ones are known by size and time. */
export const HASHED_MAX_BYTES = 16e6

/** What lies at an absolute path; a trailing slash asks for a folder, whose size is that of all files below. Undefined: not there. */
export function seeFile(path: string): Sight | undefined {
  const stat = statOf(path)
  if (stat === undefined || stat.isDirectory() !== path.endsWith('/')) return undefined
  if (!stat.isDirectory()) return { sizeBytes: stat.size, mtimeUs: microseconds(stat) }
  const seen = { sizeBytes: 0, mtimeUs: microseconds(stat) }
  for (const { stat: below } of walk(path)) {
    seen.sizeBytes += below.size
    seen.mtimeUs = Math.max(seen.mtimeUs, microseconds(below))
  }
  return seen
}

/** `sha256:…` of a file's content; of a folder: of the names and contents below it. Reads in pieces of 1 MiB. */
export function hashContent(path: string): string {
  const hash = createHash('sha256')
  if (path.endsWith('/')) {
    for (const { name } of walk(path)) hash.update(`${JSON.stringify(name)}${hashContent(join(path, name))}\n`)
  } else {
    feed(path, (piece) => hash.update(piece))
  }
  return `sha256:${hash.digest('hex')}`
}

/** A digest from name, size and time, for files that are too large to read twice. */
export function sizeTimeDigest(url: string, sight: Sight): string {
  return `size_mtime:${createHash('sha256')
    .update(JSON.stringify([url, sight.sizeBytes, sight.mtimeUs]))
    .digest('hex')}`
}

const PIECE = Buffer.allocUnsafe(1 << 20)

function feed(path: string, take: (piece: Buffer) => void): void {
  const fd = openSync(path, 'r')
  try {
    for (let read = readSync(fd, PIECE); read > 0; read = readSync(fd, PIECE)) take(PIECE.subarray(0, read))
  } finally {
    closeSync(fd)
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    // ENOTDIR, EACCES, ELOOP: for a job that is as good as absent.
    return undefined
  }
}

const microseconds = (stat: Stats): number => Math.round(stat.mtimeMs * 1000)

function walk(root: string): { name: string; stat: Stats }[] {
  const found: { name: string; stat: Stats }[] = []
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() && !entry.isSymbolicLink()) continue
    const path = join(entry.parentPath, entry.name)
    const stat = statOf(path)
    if (stat?.isFile()) found.push({ name: path.slice(root.length), stat })
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}
