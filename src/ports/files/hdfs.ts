import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { FloeError } from '../../model/errors.ts'
import { asideOf, ownUnique } from './aside.ts'
import { systemError } from './faults.ts'
import type { FileEntry, Files, Room } from './files.ts'
import { fetchFile } from './hdfs-fetch.ts'
import type { HdfsStatus, WebHdfs } from './webhdfs.ts'
import { faultIn } from './webhdfs-faults.ts'
import { type Body, bytesOf } from './webhdfs-http.ts'

/** Bytes that are read or written at a time. */
const BLOCK = 2 ** 20

interface Store {
  readonly client: WebHdfs
  readonly file: string
  readonly folder: string
}

/**
 * Files in HDFS. An upload that is cut leaves a closed, visible, short file: so each is written aside, its length is looked at, and it gets its
 * name in one step. That step may be told twice when its reply is lost; who has the name is then known by HDFS's id of the file.
 */
export function hdfsFiles(client: WebHdfs, options: { group?: boolean } = {}): Files {
  // There is no set-group-id in HDFS: what is made has the group of the folder it is in.
  const store: Store = { client, ...(options.group ? { file: '660', folder: '770' } : { file: '600', folder: '700' }) }
  return {
    read: (path) => client.read(path, () => ({ offset: 0 }), whole),
    readRange: (path, range) => readRange(client, path, range),
    write: (path, content) => replace(store, path, inMemory(content)),
    create: (path, content) => create(store, path, inMemory(content)),
    publish: async (local, path) => create(store, path, await onDisk(local)),
    fetch: (path, local) => fetchFile(client, path, local),
    append: (path, content) => append(store, path, content),
    makeFolder: (path) => makeFolder(store, path),
    makeFolders: (path) => makeFolders(store, path),
    list: async (path) => (await entriesOf(client, path)).map((status) => toEntry(status.pathSuffix, status)),
    names: async (path) => (await entriesOf(client, path)).map(({ pathSuffix }) => pathSuffix),
    entry: async (path) => {
      const status = await client.status(path)
      return status && toEntry(basename(path), status)
    },
    rename: (from, to) => rename(client, from, to),
    remove: async (path) => {
      await client.remove(path)
    },
    digest: async (path) => {
      const digest = await client.checksum(path)
      return digest === undefined ? undefined : { kind: 'checksum', digest }
    },
    room: (path) => room(client, path),
  }
}

function inMemory(content: string | Uint8Array): Body {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  return { length: bytes.length, open: () => Readable.from(bytes.length > 0 ? [bytes] : []) }
}

async function onDisk(local: string): Promise<Body> {
  const { size } = await stat(local).catch((cause: unknown) =>
    Promise.reject(systemError(cause, `cannot read ${local}`)),
  )
  // What grows meanwhile is not sent on: the length was promised.
  return {
    length: size,
    open: () => (size === 0 ? Readable.from([]) : createReadStream(local, { end: size - 1, highWaterMark: BLOCK })),
  }
}

const whole = (reply: IncomingMessage): Promise<Buffer> => bytesOf(reply)

async function readRange(client: WebHdfs, path: string, range: { offset: number; length: number }) {
  if (range.length === 0) return (await client.status(path)) && Buffer.alloc(0)
  try {
    return await client.read(path, () => range, whole)
  } catch (cause) {
    // HDFS refuses to begin behind the end.
    const status = faultIn(cause) === 'other' ? await client.status(path) : undefined
    if (status && range.offset >= status.length) return Buffer.alloc(0)
    throw cause
  }
}

/** What cannot be taken away now is no more than a file that no reader looks at. */
const tidy = (client: WebHdfs, aside: string) => client.remove(aside, { patienceMs: 1000 }).catch(() => false)

interface Aside {
  readonly path: string
  readonly id: number | undefined
}

async function writeAside({ client, file }: Store, path: string, body: Body): Promise<Aside> {
  const aside = asideOf(path, ownUnique())
  try {
    await client.write(aside, body, file)
    // The permission that is given with a write loses what HDFS's own umask takes.
    if (file !== '600') await client.setPermission(aside, file)
    const status = await client.status(aside)
    if (status?.length !== body.length) {
      const found = status ? `${status.length} of ${body.length} bytes arrived` : 'it was removed meanwhile'
      throw new FloeError('HDFS_REFUSED', `cannot write ${client.urlOf(path)}: ${found}`)
    }
    return { path: aside, id: status.fileId }
  } catch (cause) {
    await tidy(client, aside)
    throw cause
  }
}

async function create(store: Store, path: string, body: Body): Promise<boolean> {
  const { client } = store
  const aside = await writeAside(store, path, body)
  let isNamed = false
  try {
    isNamed = await nameNew(client, aside, path)
    return isNamed
  } finally {
    if (!isNamed) await tidy(client, aside.path)
  }
}

/** Renames unless the name is taken: `false`. */
async function nameNew(client: WebHdfs, aside: Aside, path: string): Promise<boolean> {
  const outcome = await client.rename(aside.path, path, false)
  if (outcome === 'renamed') return true
  const there = await client.status(path)
  if (isSame(there, aside)) return true
  // HttpFS has moved it into a folder of that name.
  if (there?.type === 'DIRECTORY' && outcome === 'unclear') await client.remove(join(path, basename(aside.path)))
  if (there) return false
  throw notRenamed(client, aside.path, path)
}

const isSame = (there: HdfsStatus | undefined, { id }: Aside): boolean => id !== undefined && there?.fileId === id

const notRenamed = (client: WebHdfs, from: string, path: string): FloeError =>
  new FloeError('HDFS_REFUSED', `cannot write ${client.urlOf(path)}: ${client.urlOf(from)} was not renamed to it`, {
    hint: 'Is the folder there? Does another program remove or move files in it?',
  })

async function replace(store: Store, path: string, body: Body): Promise<void> {
  const aside = await writeAside(store, path, body)
  await renameOver(store.client, aside, path).catch(async (cause: unknown) => {
    await tidy(store.client, aside.path)
    throw cause
  })
}

/** A file of this machine's disk, which stays, in place of what is there; as `write`, with the folders above it. */
export async function publishOver(client: WebHdfs, local: string, path: string): Promise<void> {
  const store: Store = { client, file: '600', folder: '700' }
  await makeFolders(store, dirname(path))
  await replace(store, path, await onDisk(local))
}

/** The same of a folder: it is written aside, and takes the place of an older one, for an instant of none. */
export async function publishFolder(client: WebHdfs, local: string, path: string): Promise<void> {
  const store: Store = { client, file: '600', folder: '700' }
  const aside = asideOf(path, ownUnique())
  const copy = async (from: string, to: string): Promise<void> => {
    await makeFolders(store, to)
    for (const entry of await readdir(from, { withFileTypes: true })) {
      const [below, there] = [join(from, entry.name), join(to, entry.name)]
      if ((await stat(below)).isDirectory()) await copy(below, there)
      else await client.write(there, await onDisk(below), store.file)
    }
  }
  try {
    await copy(local, aside)
    await client.remove(path)
    await renameOver(client, { path: aside, id: (await client.status(aside))?.fileId }, path)
  } catch (cause) {
    await tidy(client, aside)
    throw cause
  }
}

async function renameOver(client: WebHdfs, from: Aside, to: string): Promise<void> {
  const outcome = await client.rename(from.path, to, true)
  if (outcome === 'renamed') return
  const there = await client.status(to)
  if (isSame(there, from)) return
  if (outcome === 'unclear' && there?.type === 'FILE') {
    // HttpFS cannot replace: for an instant nothing is there.
    await client.remove(to)
    await client.rename(from.path, to, true)
    if (isSame(await client.status(to), from)) return
  }
  throw notRenamed(client, from.path, to)
}

async function rename(client: WebHdfs, from: string, to: string): Promise<void> {
  const status = await client.status(from)
  if (!status) throw new FloeError('HDFS_REFUSED', `cannot rename ${client.urlOf(from)} to ${to}: it is not there`)
  await renameOver(client, { path: from, id: status.fileId }, to)
}

async function append(store: Store, path: string, content: string | Uint8Array): Promise<void> {
  const { client } = store
  const body = inMemory(content)
  const before = await client.status(path)
  if (!before) {
    if (!(await create(store, path, body))) await append(store, path, content)
    return
  }
  try {
    if (await client.append(path, body)) return
  } catch (cause) {
    // Whether what is not there yet may still come nobody can tell: it is not sent again.
    if ((await client.status(path))?.length !== before.length + body.length || body.length === 0) throw cause
    return
  }
  throw new FloeError('HDFS_REFUSED', `cannot append to ${client.urlOf(path)}: it was removed meanwhile`)
}

async function makeFolder(store: Store, path: string): Promise<boolean> {
  const { client } = store
  if (await client.status(path)) return false
  // Making a folder that is there is no error in HDFS, whoever made it: renaming to it is one.
  const aside = asideOf(path, ownUnique())
  if (!(await client.status(dirname(path))))
    throw new FloeError('HDFS_REFUSED', `cannot make the folder ${client.urlOf(path)}: there is no folder above it`)
  await makeOne(store, aside)
  const id = (await client.status(aside))?.fileId
  const isNamed = await nameNew(client, { path: aside, id }, path)
  if (!isNamed) await tidy(client, aside)
  return isNamed
}

async function makeOne({ client, folder }: Store, path: string): Promise<void> {
  await client.makeFolders(path, folder)
  if (folder !== '700') await client.setPermission(path, folder)
}

async function makeFolders(store: Store, path: string): Promise<void> {
  const missing: string[] = []
  for (let folder = path; folder !== '/' && !(await store.client.status(folder)); folder = dirname(folder)) {
    missing.push(folder)
  }
  for (const folder of missing.reverse()) await makeOne(store, folder)
}

async function entriesOf(client: WebHdfs, path: string): Promise<readonly HdfsStatus[]> {
  const found = (await client.list(path)) ?? []
  // Of a file HDFS lists the file.
  return found.filter(({ pathSuffix }) => pathSuffix !== '').sort((a, b) => (a.pathSuffix < b.pathSuffix ? -1 : 1))
}

const KINDS = { FILE: 'file', DIRECTORY: 'folder', SYMLINK: 'other' } as const

function toEntry(name: string, { type, length, modificationTime, fileId = 0 }: HdfsStatus): FileEntry {
  return { name, kind: KINDS[type], sizeBytes: length, mtime: modificationTime * 1000, id: fileId }
}

async function room(client: WebHdfs, path: string): Promise<Room> {
  let freeBytes: number | null = null
  let freeFiles: number | null = null
  const least = (known: number | null, found: number) => Math.max(0, Math.min(known ?? found, found))
  for (let folder = path; ; folder = dirname(folder)) {
    // A folder above may be closed to us; what it limits is then not known.
    const usage = await client.quota(folder).catch((cause: unknown) => {
      if (faultIn(cause) === 'denied') return undefined
      throw cause
    })
    if (usage && usage.spaceQuota >= 0) freeBytes = least(freeBytes, usage.spaceQuota - usage.spaceConsumed)
    // The root has a quota of its own, of all that a number can say.
    if (usage && usage.quota >= 0 && usage.quota < Number.MAX_SAFE_INTEGER)
      freeFiles = least(freeFiles, usage.quota - usage.fileAndDirectoryCount)
    if (folder === '/') return { freeBytes, freeFiles }
  }
}
