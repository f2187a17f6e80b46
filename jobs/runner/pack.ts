import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, readSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { OutputWritten } from '../../src/model/record.ts'
import type { Produced } from './outputs.ts'
import { type Publisher, SMALL_BYTES, writeWhole } from './publish.ts'

/*
 * `publish: pack`: outputs/.packs/<array>-<task>.<attempt>.tar, a POSIX tar (ustar, pax headers for long names and sizes). Content begins
 * at the `offset` that the record gives; the tar is closed when the task ends, and without its end `tar` reads it too.
 * `publish: table`: tables/<task>.<attempt> in the array's directory, contents one behind the other and nothing else: `offset` and
 * `size_bytes` of the record say which. What lies behind the last verdict was being written when the runner died.
 */

interface Appended {
  readonly offset: number
  readonly digest: string
}

/** A file that contents are appended to; made with the first. */
class AppendFile {
  readonly path: string
  #fd = -1
  #size = 0

  constructor(path: string) {
    this.path = path
  }

  get size(): number {
    return this.#size
  }

  write(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#fd < 0) {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
      this.#fd = openSync(this.path, 'wx', 0o600)
    }
    writeWhole(this.#fd, bytes)
    this.#size += bytes.length
  }

  /** Appends a file and digests it on the way. */
  append(source: string, bytes: number): Appended {
    const offset = this.#size
    const hash = createHash('sha256')
    if (bytes <= SMALL_BYTES) {
      const content = readFileSync(source)
      if (content.length !== bytes) throw new Error(`${source} changed while it was packed`)
      hash.update(content)
      this.write(content)
    } else this.#appendLarge(source, bytes, hash)
    return { offset, digest: `sha256:${hash.digest('hex')}` }
  }

  #appendLarge(source: string, bytes: number, hash: ReturnType<typeof createHash>): void {
    const buffer = Buffer.allocUnsafe(1 << 20)
    const fd = openSync(source, 'r')
    try {
      for (let left = bytes; left > 0; ) {
        const read = readSync(fd, buffer, 0, Math.min(left, buffer.length), null)
        if (read === 0) throw new Error(`${source} changed while it was packed`)
        hash.update(buffer.subarray(0, read))
        this.write(buffer.subarray(0, read))
        left -= read
      }
    } finally {
      closeSync(fd)
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
  }
}

/** Outputs in one tar a task. Directories are refused: they are published as they are by `publish: files`. */
export class PackPublisher implements Publisher {
  readonly #file: AppendFile
  readonly #name: string

  constructor(outputs: string, name: string) {
    this.#name = `.packs/${name}.tar`
    this.#file = new AppendFile(join(outputs, this.#name))
  }

  publish({ path, source, stats }: Produced): OutputWritten {
    this.#file.write(tarHeader(path, stats.size, stats.mtimeMs))
    const { offset, digest } = this.#file.append(source, stats.size)
    this.#file.write(padding(this.#file.size))
    return { path, size_bytes: stats.size, digest, pack: this.#name, offset }
  }

  close(): void {
    if (this.#file.size > 0) this.#file.write(Buffer.alloc(1024))
    this.#file.close()
  }
}

/** Outputs for the merged table: contents in one file a task. */
export class TablePublisher implements Publisher {
  readonly #file: AppendFile
  readonly #name: string

  constructor(array: string, name: string) {
    this.#name = `tables/${name}`
    this.#file = new AppendFile(join(array, this.#name))
  }

  publish({ path, source, stats }: Produced): OutputWritten {
    const { offset, digest } = this.#file.append(source, stats.size)
    return { path, size_bytes: stats.size, digest, table: this.#name, offset }
  }

  close(): void {
    this.#file.close()
  }
}

const BLOCK = 512
const padding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)

/** Header of one file; names over 100 bytes, names that are not ASCII, and sizes over 8 GiB go into a pax header before it. */
export function tarHeader(name: string, size: number, mtimeMs: number): Buffer {
  const isLong = Buffer.byteLength(name) > 100 || !/^[\x20-\x7e]*$/.test(name)
  const isLarge = size >= 8 ** 11
  const records = [...(isLong ? [paxRecord('path', name)] : []), ...(isLarge ? [paxRecord('size', String(size))] : [])]
  const plain = header(isLong ? 'floe-output' : name, isLarge ? 0 : size, { mtimeMs, kind: '0' })
  if (records.length === 0) return plain
  const body = Buffer.concat(records)
  return Buffer.concat([header('floe-pax', body.length, { mtimeMs, kind: 'x' }), body, padding(body.length), plain])
}

/** `<length of all> <key>=<value>\n`, its own digits counted. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return Buffer.from(`${length} ${key}=${value}\n`)
}

function header(name: string, size: number, { mtimeMs, kind }: { mtimeMs: number; kind: string }): Buffer {
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, length: number) =>
    block.write(
      `${Math.floor(value)
        .toString(8)
        .padStart(length - 1, '0')}\0`,
      at,
      'latin1',
    )
  block.write(name, 0, 100, 'utf8')
  octal(0o644, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(Math.max(0, mtimeMs / 1000), 136, 12)
  block.write('        ', 148, 'latin1')
  block.write(kind, 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
