import { createHash } from 'node:crypto'
import { constants, createReadStream, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { asideOf } from './aside.ts'
import { systemError } from './faults.ts'
import type { FileEntry, Files, Room } from './files.ts'

/** How many file calls are under way at once; libuv has four threads. */
const PARALLEL = 32

interface Modes {
  readonly file: number
  readonly folder: number
}

/**
 * The disk of this machine or a shared file system. Files are private to the user (0600, folders 0700); with `group` the unix group
 * reads and writes too and new folders keep the group. `create` rests on link(2), which is atomic on NFS and Lustre as well.
 */
export function diskFiles(options: { group?: boolean } = {}): Files {
  const modes = modesFor(options)
  return {
    read: (path) => absentIs(undefined, path, 'read', () => fs.readFile(path)),
    readRange: (path, range) => absentIs(undefined, path, 'read', () => readRange(path, range)),
    write: (path, content) => writeWhole(path, content, modes),
    create: (path, content) => createWhole(path, (file) => file.writeFile(content), modes),
    publish: (local, path) => createWhole(path, (file) => copyInto(file, local), modes),
    fetch: fetchFile,
    append: (path, content) => tried('append to', path, () => append(path, content, modes)),
    makeFolder: (path) => makeFolder(path, modes),
    makeFolders: (path) => makeFolders(path, modes),
    list,
    names: async (path) => (await absentIs([], path, 'list', () => fs.readdir(path))).sort(),
    entry: (path) => absentIs(undefined, path, 'look at', async () => toEntry(basename(path), await fs.stat(path))),
    rename: (from, to) => tried('rename', to, () => fs.rename(from, to)),
    remove: (path) => tried('remove', path, () => fs.rm(path, { recursive: true, force: true })),
    digest: (path) => absentIs(undefined, path, 'read', () => digest(path)),
    room: (path) => tried('look at', path, () => room(path)),
  }
}

const modesFor = ({ group }: { group?: boolean }): Modes =>
  group ? { file: 0o660, folder: 0o2770 } : { file: 0o600, folder: 0o700 }

async function tried<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    throw systemError(cause, `cannot ${verb} ${path}`)
  }
}

async function absentIs<T, A>(absent: A, path: string, verb: string, act: () => Promise<T>): Promise<T | A> {
  try {
    return await act()
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return absent
    throw systemError(cause, `cannot ${verb} ${path}`)
  }
}

function hasCode(cause: unknown, ...codes: string[]): boolean {
  return cause instanceof Error && 'code' in cause && codes.includes(String(cause.code))
}

async function readRange(path: string, range: { offset: number; length: number }): Promise<Buffer> {
  const file = await fs.open(path, 'r')
  try {
    const buffer = Buffer.alloc(range.length)
    let filled = 0
    while (filled < range.length) {
      const { bytesRead } = await file.read(buffer, filled, range.length - filled, range.offset + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return buffer.subarray(0, filled)
  } finally {
    await file.close()
  }
}

let temporaries = 0

function temporaryFor(path: string): string {
  temporaries += 1
  return asideOf(path, `${process.pid}.${Date.now()}.${temporaries}`)
}

type Fill = (file: fs.FileHandle) => Promise<void>

async function writeTemporary(path: string, fill: Fill, modes: Modes): Promise<string> {
  const temporary = temporaryFor(path)
  try {
    const file = await fs.open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, modes.file)
    try {
      await file.chmod(modes.file)
      await fill(file)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    await fs.rm(temporary, { force: true }).catch(() => {})
    throw systemError(cause, `cannot write ${path}`)
  }
  return temporary
}

async function writeWhole(path: string, content: string | Uint8Array, modes: Modes): Promise<void> {
  const temporary = await writeTemporary(path, (file) => file.writeFile(content), modes)
  await tried('write', path, () => fs.rename(temporary, path))
  await syncFolder(dirname(path))
}

async function createWhole(path: string, fill: Fill, modes: Modes): Promise<boolean> {
  const temporary = await writeTemporary(path, fill, modes)
  try {
    return await link(temporary, path)
  } finally {
    await fs.rm(temporary, { force: true })
  }
}

async function copyInto(file: fs.FileHandle, local: string): Promise<void> {
  for await (const chunk of createReadStream(local)) await file.writeFile(chunk as Buffer)
}

async function fetchFile(path: string, local: string): Promise<boolean> {
  if (!(await absentIs(undefined, path, 'read', () => fs.stat(path)))) return false
  await tried(`copy to ${local} from`, path, () =>
    fs.copyFile(path, local, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE),
  )
  return true
}

async function digest(path: string): Promise<{ kind: 'hashed'; digest: string }> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return { kind: 'hashed', digest: `sha256:${hash.digest('hex')}` }
}

async function room(path: string): Promise<Room> {
  const { bavail, bsize, files, ffree } = await fs.statfs(path)
  // Some file systems make places for files as they need them, and count none.
  return { freeBytes: bavail * bsize, freeFiles: files === 0 ? null : ffree }
}

async function link(existing: string, path: string): Promise<boolean> {
  try {
    await fs.link(existing, path)
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return isSameFile(existing, path)
    throw systemError(cause, `cannot make ${path}`)
  }
  await syncFolder(dirname(path))
  return true
}

// Over NFS the reply to a link that was made can get lost; the client asks again and hears EEXIST (open(2), O_EXCL notes).
// Then our file has two names and is the one at `path`.
async function isSameFile(existing: string, path: string): Promise<boolean> {
  try {
    const [ours, there] = await Promise.all([fs.stat(existing), fs.stat(path)])
    return ours.nlink > 1 && ours.ino === there.ino && ours.dev === there.dev && basename(existing).endsWith('.tmp')
  } catch {
    return false
  }
}

async function append(path: string, content: string | Uint8Array, modes: Modes): Promise<void> {
  const file = await fs.open(path, 'a', modes.file)
  try {
    if ((await file.stat()).size === 0) await file.chmod(modes.file) // the umask may have taken the group's bits
    await file.appendFile(content)
  } finally {
    await file.close()
  }
}

async function makeFolder(path: string, modes: Modes): Promise<boolean> {
  try {
    await fs.mkdir(path, { mode: modes.folder })
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false
    throw systemError(cause, `cannot make the folder ${path}`)
  }
  await fs.chmod(path, modes.folder)
  return true
}

async function makeFolders(path: string, modes: Modes): Promise<void> {
  const missing: string[] = []
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    if (await absentIs(undefined, folder, 'look at', () => fs.stat(folder))) break
    missing.push(folder)
  }
  for (const folder of missing.reverse()) await makeFolder(folder, modes)
}

async function list(path: string): Promise<FileEntry[]> {
  const entries = await absentIs([], path, 'list', () => fs.readdir(path, { withFileTypes: true }))
  const found = await inParallel(entries, async (entry) => {
    const stats = await absentIs(undefined, join(path, entry.name), 'look at', () => fs.stat(join(path, entry.name)))
    if (stats) return toEntry(entry.name, stats)
    // Gone since the folder was read, unless it is a link to nothing.
    return entry.isSymbolicLink()
      ? { name: entry.name, kind: 'other' as const, sizeBytes: 0, mtime: 0, id: 0 }
      : undefined
  })
  return found.filter((entry) => entry !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function toEntry(name: string, stats: Stats): FileEntry {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other'
  return { name, kind, sizeBytes: stats.size, mtime: Math.round(stats.mtimeMs * 1000), id: stats.ino }
}

/** Makes sure that files written by others (DuckDB) and their names survive a power cut, and gives them the modes that `diskFiles` gives. */
export async function settleFiles(paths: readonly string[], options: { group?: boolean } = {}): Promise<void> {
  const modes = modesFor(options)
  await inParallel(paths, (path) =>
    tried('write', path, async () => {
      const file = await fs.open(path, 'r+')
      try {
        await file.chmod(modes.file)
        await file.sync()
      } finally {
        await file.close()
      }
    }),
  )
  await inParallel([...new Set(paths.map(dirname))], async (folder) => {
    await fs.chmod(folder, modes.folder).catch(() => {}) // the folder of somebody else in the group
    await syncFolder(folder)
  })
}

// A file system that cannot sync a folder (some FUSE and network mounts: EINVAL, EPERM) has made the name durable in its own way or not at all.
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await fs.open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (cause) {
    if (!hasCode(cause, 'EINVAL', 'EPERM', 'EISDIR', 'EACCES', 'ENOTSUP'))
      throw systemError(cause, `cannot sync ${path}`)
  }
}

async function inParallel<T, R>(values: readonly T[], act: (value: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(values.length)
  let next = 0
  const lane = async () => {
    for (let at = next++; at < values.length; at = next++) results[at] = await act(values[at]!)
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, values.length) }, lane))
  return results
}
