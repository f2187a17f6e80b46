import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  cpSync,
  createReadStream,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { OutputWritten } from '../../src/model/record.ts'
import type { Produced } from './outputs.ts'

/** Contents up to this size are digested at once; larger ones in pieces, so that limits of other slots are kept meanwhile. */
export const SMALL_BYTES = 4 << 20

/** Where a job's outputs go. Each is whole before it is seen; publishing the same again is harmless. */
export interface Publisher {
  /** `wanted` is called just before the output is placed, and throws when it is not to be. */
  publish(produced: Produced, wanted: () => void): OutputWritten | Promise<OutputWritten>
  close(): void
}

export function digestSmall(path: string): string {
  return `sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}`
}

export async function digestLarge(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/**
 * Outputs as files. A content goes from the job's directory to its place by rename, which is atomic and replaces an older file; from
 * another file system, and when it has another name (a hard link to an input, say), it is copied beside its place first. Nothing is
 * synced: after a power cut the digest in the record tells what was lost.
 */
export class FilePublisher implements Publisher {
  readonly #outputs: string
  readonly #token: string
  readonly #made = new Set<string>()
  #count = 0

  constructor(outputs: string, token: string) {
    this.#outputs = outputs
    this.#token = token
  }

  publish(produced: Produced, wanted: () => void): OutputWritten | Promise<OutputWritten> {
    const isSmall = produced.isDirectory || produced.stats.size <= SMALL_BYTES
    if (!isSmall)
      return digestLarge(produced.source).then((digest) => {
        wanted()
        return this.#place(produced, digest)
      })
    wanted()
    return produced.isDirectory ? this.#publishDirectory(produced) : this.#place(produced, digestSmall(produced.source))
  }

  close(): void {}

  #place({ path, source, stats, isShared }: Produced, digest: string): OutputWritten {
    const target = this.#target(path)
    if (isShared || !moved(source, target)) {
      const aside = this.#aside(target)
      copyWhole(source, aside)
      moveOver(aside, target)
    }
    return { path, size_bytes: stats.size, digest }
  }

  #publishDirectory({ path, source, isShared }: Produced): OutputWritten {
    const target = this.#target(path)
    const size = directoryBytes(source)
    const aside = this.#aside(target)
    if (isShared || !moved(source, aside)) cpSync(source, aside, { recursive: true, verbatimSymlinks: true })
    moveOver(aside, target)
    return { path, size_bytes: size, digest: null }
  }

  #target(path: string): string {
    const target = `${this.#outputs}/${path}`
    const parent = dirname(target)
    if (!this.#made.has(parent)) {
      refuseOutside(this.#outputs, parent)
      mkdirSync(parent, { recursive: true })
      this.#made.add(parent)
    }
    return target
  }

  #aside(target: string): string {
    return join(dirname(target), `.floe-${this.#token}-${this.#count++}`)
  }
}

/** A link that was put below the outputs after `add` must not lead a job's files elsewhere. */
function refuseOutside(outputs: string, parent: string): void {
  let there = parent
  while (there !== outputs && lstatSync(there, { throwIfNoEntry: false }) === undefined) there = dirname(there)
  if (there === outputs) return
  const real = realpathSync(there)
  if (!real.startsWith(`${realpathSync(outputs)}/`))
    throw new Error(`a symbolic link below the outputs leads out of the campaign, to ${real}`)
}

/** False: another file system, or something stands there that a rename does not replace. */
function moved(source: string, target: string): boolean {
  try {
    renameSync(source, target)
    return true
  } catch (error) {
    if (['EXDEV', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return false
    throw error
  }
}

/** A directory cannot be replaced by rename: the older one is put aside first. */
function moveOver(aside: string, target: string): void {
  if (moved(aside, target)) return
  const older = `${aside}.older`
  renameSync(target, older)
  renameSync(aside, target)
  rmSync(older, { recursive: true, force: true })
}

function copyWhole(source: string, aside: string): void {
  const buffer = Buffer.allocUnsafe(1 << 20)
  const from = openSync(source, 'r')
  const to = openSync(aside, 'wx', 0o600)
  try {
    for (let bytes = readSync(from, buffer); bytes > 0; bytes = readSync(from, buffer))
      writeWhole(to, buffer.subarray(0, bytes))
    fsyncSync(to)
    chmodSync(aside, statSync(source).mode & 0o777)
  } catch (error) {
    rmSync(aside, { force: true })
    throw error
  } finally {
    closeSync(from)
    closeSync(to)
  }
}

export function writeWhole(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}

export function directoryBytes(path: string): number {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
