import type { Entrances } from '../model/entrance.ts'
import { FloeError } from '../model/errors.ts'
import type { NodePlace } from '../model/places.ts'
import type { FileEntry, Files } from '../ports/files/files.ts'
import type { Sight } from './look-up.ts'

/** What addresses of files in HDFS lead to. */
export interface RemoteStores {
  /** What holds the file, and where in it. Asks nothing of it yet. Throws USAGE, CONFIG_INVALID, HDFS_LOGIN. */
  at(url: string): Promise<RemoteFile>
  /** Bytes of a file, or of a folder (trailing slash), that lie at each node of its HDFS; undefined: it is not there. Throws as `at`, and HDFS errors. */
  nodes(url: string): Promise<ReadonlyMap<NodePlace, number> | undefined>
  /** Removes what writers that died left in a folder, and below it; answers how many files, and their bytes. Throws as `at`, and HDFS errors. */
  sweep(url: string, nowMs: number): Promise<{ readonly files: number; readonly bytes: number }>
  /** How nodes get to these; `hosts`: where hosts of HDFS are for them, undefined: as for this machine. Throws as `at`. */
  entrances(urls: Iterable<string>, hosts: Entrances[string]['hosts'] | undefined): Promise<Entrances>
  /** Has tokens that were used renewed in time. Answers what a person has to see to before one ends; null: nothing. Never throws. */
  keep(nowMs: number): Promise<string | null>
}

export interface RemoteFile {
  readonly files: Files
  /** Without a trailing slash. */
  readonly path: string
  /** `host:port` */
  readonly authority: string
}

/** A folder of which so many files are wanted is listed. */
const LISTED_MIN = 4
/** Questions at once. */
const AT_ONCE = 8

interface Wanted extends RemoteFile {
  readonly url: string
}

type Listing = ReadonlyMap<string, FileEntry>

/** Looks at files of HDFS, many at a time: one listing for each folder of which several are wanted, else one question a file. */
export class RemoteLook {
  readonly #stores: RemoteStores
  /** Of a folder, the last one: those of one folder come one after the other, but perhaps in two slices. */
  #last: { folder: string; listing: Promise<Listing | undefined> } | undefined

  constructor(stores: RemoteStores) {
    this.#stores = stores
  }

  /** What is absent, or may not be looked at, has none. A trailing slash asks for a folder: the bytes of all files below, the newest time. */
  async see(urls: readonly string[]): Promise<ReadonlyMap<string, Sight>> {
    const seen = new Map<string, Sight>()
    const folders = new Map<string, Wanted[]>()
    for (const url of urls) {
      const file = await this.#stores.at(url)
      const folder = url.endsWith('/') ? url : `${file.authority}${parentOf(file.path)}`
      const same = folders.get(folder)
      if (same) same.push({ url, ...file })
      else folders.set(folder, [{ url, ...file }])
    }
    await inParallel([...folders], async ([folder, wanted]) => {
      for (const [url, sight] of await this.#seeIn(folder, wanted)) seen.set(url, sight)
    })
    return seen
  }

  /** `checksum:…` of HDFS's own, of files that are there. */
  async digests(urls: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const known = new Map<string, string>()
    await inParallel(urls, async (url) => {
      const { files, path } = await this.#stores.at(url)
      const found = await unlessClosed(() => files.digest(path))
      if (found) known.set(url, `${found.kind}:${found.digest}`)
    })
    return known
  }

  async #seeIn(folder: string, wanted: readonly Wanted[]): Promise<[string, Sight][]> {
    const { files, path } = wanted[0]!
    if (wanted[0]!.url.endsWith('/')) {
      const sight = await unlessClosed(() => seeFolder(files, path))
      return sight ? wanted.map(({ url }) => [url, sight]) : []
    }
    let held = this.#last?.folder === folder ? this.#last : undefined
    if (!held && wanted.length >= LISTED_MIN) {
      held = { folder, listing: unlessClosed(() => listingOf(files, parentOf(path))) }
      this.#last = held
    }
    const listing = await held?.listing
    const found: [string, Sight][] = []
    await inParallel(wanted, async ({ url, path: own }) => {
      // A folder that may not be listed may have files that may be looked at.
      const entry = listing ? listing.get(nameOf(own)) : await unlessClosed(() => files.entry(own))
      if (entry?.kind === 'file') found.push([url, { sizeBytes: entry.sizeBytes, mtimeUs: entry.mtime }])
    })
    return found
  }
}

async function listingOf(files: Files, folder: string): Promise<Listing> {
  return new Map((await files.list(folder)).map((entry) => [entry.name, entry]))
}

async function seeFolder(files: Files, path: string): Promise<Sight | undefined> {
  const folder = await files.entry(path)
  if (folder?.kind !== 'folder') return undefined
  const seen = { sizeBytes: 0, mtimeUs: folder.mtime }
  const walk = async (below: string): Promise<void> => {
    for (const { name, kind, sizeBytes, mtime } of await files.list(below)) {
      if (kind === 'folder') await walk(`${below}/${name}`)
      else {
        seen.sizeBytes += sizeBytes
        seen.mtimeUs = Math.max(seen.mtimeUs, mtime)
      }
    }
  }
  await walk(path)
  return seen
}

/** What may not be looked at is for a job as good as absent, and so is a name that HDFS cannot hold. */
async function unlessClosed<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look()
  } catch (cause) {
    if (cause instanceof FloeError && (cause.code === 'NOT_WRITABLE' || cause.code === 'NOT_SUPPORTED'))
      return undefined
    throw cause
  }
}

export async function inParallel<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const rest = all.values()
  const lane = async () => {
    for (const one of rest) await act(one)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, all.length) }, lane))
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/'
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
