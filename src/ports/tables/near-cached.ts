import { createHash, randomUUID } from 'node:crypto'
import { link, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { FloeError } from '../../model/errors.ts'
import type { TableName } from '../../model/tables.ts'
import { diskFiles } from '../files/disk.ts'
import type { Files } from '../files/files.ts'
import { damaged } from './faults.ts'
import type { Near, NearPart } from './near.ts'

export interface CachedNearOptions {
  /** Where the tables lie. */
  readonly files: Files
  /** Folder of the tables there. */
  readonly root: string
  /** A name of that folder that no other has. */
  readonly url: string
  /** Folder of this machine's disk. */
  readonly cache: string
  /** What may stay in it between sessions; 10 GB. */
  readonly keepBytes?: number
}

/*
 * <cache>/parts/<digest of the address and size of a part>     its content, the least recently used are the first to go
 * <cache>/near.<host>.<pid>.<uuid>/<table>/…                   what one session reads and writes: names of its own for the same contents,
 *                                                              so that nothing that is in use can go
 */
const PARTS = 'parts'
const NEAR = 'near'

/** Files that are carried at once. */
const PARALLEL = 8
/** A session of another machine that shares the cache is over when its folder is so old. */
const OVER_MS = 7 * 86_400_000

/** For tables that lie where DuckDB cannot read: each part is carried once, and kept on disk in a cache of bounded size. */
export async function cachedNear(options: CachedNearOptions): Promise<Near> {
  const near = new CachedNear(options)
  await near.open()
  return near
}

class CachedNear implements Near {
  readonly root: string
  readonly files = diskFiles()
  readonly #options: CachedNearOptions
  readonly #parts: string
  /** Part → its arrival. */
  readonly #brought = new Map<string, Promise<void>>()
  /** Folders that are known to be there. */
  readonly #folders = new Set<string>()

  constructor(options: CachedNearOptions) {
    this.#options = options
    this.#parts = join(options.cache, PARTS)
    this.root = join(options.cache, `${NEAR}.${hostname()}.${process.pid}.${randomUUID()}`)
  }

  async open(): Promise<void> {
    const { cache } = this.#options
    await this.files.makeFolders(this.#parts)
    for (const name of await readdir(cache)) {
      if (name.startsWith(`${NEAR}.`) && (await isOver(join(cache, name))))
        await rm(join(cache, name), { recursive: true })
    }
    await this.files.makeFolders(this.root)
  }

  async bring(table: TableName, parts: readonly NearPart[]): Promise<void> {
    let isNew = false
    await inLanes(parts, async (part) => {
      const name = join(table, part.path)
      let arrival = this.#brought.get(name)
      if (!arrival) {
        arrival = this.#fetch(name, part.sizeBytes).then((fetched) => {
          isNew ||= fetched
        })
        this.#brought.set(name, arrival)
        // What failed is tried again by whoever asks next.
        arrival.catch(() => this.#brought.delete(name))
      }
      await arrival
    })
    if (isNew) await this.#makeRoom()
  }

  /** `true`: from there, not from the cache. */
  async #fetch(name: string, sizeBytes: number | undefined): Promise<boolean> {
    const { files, root } = this.#options
    const kept = this.#keptAs(name, sizeBytes)
    const isKept = await this.#take(kept, name)
    if (isKept) return false
    const arriving = join(this.#parts, `.${randomUUID()}.tmp`)
    try {
      if (!(await files.fetch(join(root, name), arriving)))
        throw damaged(join(root, name), 'the log lists this file, but it is missing')
      const { size } = await stat(arriving)
      if (sizeBytes !== undefined && size !== sizeBytes)
        throw damaged(join(root, name), `it has ${size} bytes, and by the log ${sizeBytes}`)
      await rename(arriving, kept)
    } finally {
      await rm(arriving, { force: true })
    }
    if (!(await this.#take(kept, name))) throw new FloeError('BUG', `${kept} was removed at once`)
    return true
  }

  #keptAs(name: string, sizeBytes: number | undefined): string {
    const text = `${this.#options.url}\n${name}\n${sizeBytes ?? ''}`
    return join(this.#parts, createHash('sha256').update(text).digest('hex'))
  }

  /** Gives what is kept its name in this session. */
  async #take(kept: string, name: string): Promise<boolean> {
    const target = join(this.root, name)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    try {
      await link(kept, target)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code === 'ENOENT') return false
      if (code !== 'EEXIST') throw cause
    }
    const now = new Date()
    await utimes(target, now, now)
    return true
  }

  async place(table: TableName, placed: readonly { name: string; as?: string }[]): Promise<void> {
    const { files, root } = this.#options
    const folders = new Set(placed.map(({ name, as = name }) => dirname(join(root, table, as))))
    const isNew = (folder: string) => !this.#folders.has(folder)
    await inLanes([...folders].filter(isNew), async (folder) => {
      await files.makeFolders(folder)
      this.#folders.add(folder)
    })
    await inLanes(placed, async ({ name, as = name }) => {
      const here = join(this.root, table, name)
      // A name that is taken has the same content: it holds a UUID, or what holds at a version.
      await files.publish(here, join(root, table, as))
      const { size } = await stat(here)
      await link(here, this.#keptAs(join(table, as), as === name ? size : undefined)).catch(() => {})
      this.#brought.set(join(table, name), Promise.resolve())
    })
    await this.#makeRoom()
  }

  async drop(table: TableName, names: readonly string[]): Promise<void> {
    const { files, root } = this.#options
    for (const name of names) {
      this.#brought.delete(join(table, name))
      await files.remove(join(root, table, name))
      await rm(join(this.root, table, name), { force: true })
    }
  }

  /** The least recently used go. What sessions read stays with them. */
  async #makeRoom(): Promise<void> {
    const { keepBytes = 10e9 } = this.#options
    const kept = (await this.files.list(this.#parts)).filter(({ name }) => !name.startsWith('.'))
    let left = kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) - keepBytes
    for (const { name, sizeBytes } of kept.sort((a, b) => a.mtime - b.mtime)) {
      if (left <= 0) return
      await rm(join(this.#parts, name), { force: true })
      left -= sizeBytes
    }
  }

  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true })
  }
}

async function isOver(path: string): Promise<boolean> {
  const [, host, pid] = /\.(.*)\.(\d+)\.[^.]*$/.exec(path.slice(path.lastIndexOf('/'))) ?? []
  const stats = await stat(path).catch(() => undefined)
  if (!stats) return false
  if (host !== hostname()) return Date.now() - stats.mtimeMs > OVER_MS
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

async function inLanes<T>(values: readonly T[], act: (value: T) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let at = next++; at < values.length; at = next++) await act(values[at]!)
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, values.length) }, lane))
}
