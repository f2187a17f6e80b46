import { createHash, randomBytes } from 'node:crypto'
import { posix } from 'node:path'
import type { OpenFile, Side } from './side.ts'

/** Bytes of one file that are on their way at once. What is no larger is sent again rather than asked for. */
const WINDOW_BYTES = 2 << 20

/** One file to carry, with `from` and `to` each on its own side. */
export interface Haul {
  readonly from: string
  readonly to: string
  readonly digest: string | undefined
  readonly mode: number
}

export interface Route {
  readonly from: Side
  readonly to: Side
  readonly names: PartNames
  readonly signal: AbortSignal
  onBytes(bytes: number): void
}

/** A file that was carried and does not bear its name yet. */
export interface Part {
  readonly haul: Haul
  readonly path: string
  readonly sizeBytes: number
  readonly isResumed: boolean
}

/**
 * Where files are written before they are whole: hidden, beside their targets. Names hold what is known of the content, so that the rest of
 * another file is not taken for a beginning; no two transfers of this process share one, and small ones none with other processes, since
 * who starts anew cuts off what another may be about to rename.
 */
export class PartNames {
  readonly #own = randomBytes(4).toString('hex')
  readonly #used = new Set<string>()

  take({ from, to, digest }: Haul, source: OpenFile, isNew: boolean): string {
    const { sizeBytes, mtimeSec } = source
    const known = JSON.stringify([digest ?? [from, mtimeSec], sizeBytes, isNew ? this.#own : ''])
    const key = createHash('sha256').update(known).digest('hex').slice(0, 12)
    // File systems end names at 255 bytes; half a character at the end is left out.
    const short = Buffer.from(posix.basename(to)).subarray(0, 200).toString('utf8').replaceAll('\ufffd', '')
    for (let count = 0; ; count++) {
      const path = posix.join(posix.dirname(to), `.${short}.${key}${count === 0 ? '' : `-${count}`}.part`)
      if (this.#used.has(path)) continue
      this.#used.add(path)
      return path
    }
  }

  give(path: string): void {
    this.#used.delete(path)
  }
}

/** Copies into a part and leaves it there, with its mode. */
export async function copy(haul: Haul, route: Route, how: 'go on' | 'anew'): Promise<Part> {
  const source = await tell(route.from, haul.from, 'read', () => route.from.openToRead(haul.from))
  try {
    const isNew = how === 'anew' || source.sizeBytes <= WINDOW_BYTES
    const path = route.names.take(haul, source, isNew)
    try {
      return await copyTo(path, { haul, route, source, isNew })
    } catch (failure) {
      route.names.give(path)
      // What cannot be gone on with is no use to anybody. Over a dead connection it stays.
      if (isNew) await route.to.remove(path).catch(() => undefined)
      throw failure
    }
  } finally {
    await source.close().catch(() => undefined)
  }
}

interface Copying {
  readonly haul: Haul
  readonly route: Route
  readonly source: OpenFile
  readonly isNew: boolean
}

async function copyTo(path: string, copying: Copying): Promise<Part> {
  const { haul, route, source, isNew } = copying
  const target = await tell(route.to, haul.to, 'write', () => route.to.openToWrite(path, isNew))
  let start = 0
  try {
    // The last window of a cut transfer may have holes: not all servers write in the order in which they are asked.
    start = isNew ? 0 : Math.max(0, Math.min(target.sizeBytes, source.sizeBytes) - WINDOW_BYTES)
    await pour(copying, target, start)
    await tell(route.to, haul.to, 'write', async () => {
      const wrote = haul.digest === undefined ? await target.size() : source.sizeBytes
      if (wrote !== source.sizeBytes) throw new Error(`it has ${wrote} bytes instead of ${source.sizeBytes}`)
      await target.chmod(haul.mode)
    })
  } catch (failure) {
    await target.close().catch(() => undefined)
    throw failure
  }
  // NFS says here that a quota was exceeded.
  await tell(route.to, haul.to, 'write', () => target.close())
  return { haul, path, sizeBytes: source.sizeBytes, isResumed: start > 0 }
}

/** Copies from `start` to the end that the source had when it was opened, a window of chunks at a time, in order. */
async function pour({ haul, route, source }: Copying, target: OpenFile, start: number): Promise<void> {
  const chunkBytes = Math.min(route.from.chunkBytes, route.to.chunkBytes)
  const depth = Math.floor(WINDOW_BYTES / chunkBytes)
  const underWay: Promise<void>[] = []
  const step = async (position: number): Promise<void> => {
    const sizeBytes = Math.min(chunkBytes, source.sizeBytes - position)
    const bytes = await tell(route.from, haul.from, 'read', () => readWhole(source, position, sizeBytes))
    await tell(route.to, haul.to, 'write', () => target.write(position, bytes))
    route.onBytes(sizeBytes)
  }
  try {
    for (let position = start; position < source.sizeBytes; position += chunkBytes) {
      route.signal.throwIfAborted()
      const one = step(position)
      // It is awaited below, in order; until then a failure must not count as unheard.
      one.catch(() => undefined)
      underWay.push(one)
      if (underWay.length >= depth) await underWay.shift()
    }
    await Promise.all(underWay)
  } finally {
    await Promise.allSettled(underWay)
  }
}

async function readWhole(source: OpenFile, position: number, sizeBytes: number): Promise<Buffer> {
  const first = await source.read(position, sizeBytes)
  if (first.length === sizeBytes) return first
  const pieces = [first]
  for (let have = first.length; have < sizeBytes; have += pieces.at(-1)!.length) {
    const next = await source.read(position + have, sizeBytes - have)
    if (next.length === 0) throw new Error(`it became shorter while it was read (${position + have} bytes)`)
    pieces.push(next)
  }
  return Buffer.concat(pieces)
}

/** Makes words of what `act` on a side throws. */
export async function tell<T>(side: Side, path: string, verb: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (failure) {
    throw await side.explain(failure, path, verb)
  }
}
