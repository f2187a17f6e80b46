import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { LogRange, LogStart } from '../../src/model/record.ts'

/*
 * Logs. A slot's jobs append to two spools on the node (out, err); the shell marks in both where a job's stream ends. The runner takes the
 * streams from there into logs/<task>.<attempt>.<slot>.out and .err, one after the other without marks; the record says from where and
 * how long. Of a stream longer than HEAD_BYTES + TAIL_BYTES the middle is left out: head, a line that says how much, tail. So a job that
 * floods its output fills neither disk, and one that opens /dev/stdout anew (which truncates a file) spoils its own stream only.
 */
export const HEAD_BYTES = 5 << 20
export const TAIL_BYTES = 5 << 20

const READ_BYTES = 256 << 10
const RECENT_BYTES = 1000
const NOTHING = Buffer.alloc(0)
/** A spool longer than this is cut back as soon as nothing in it is needed. */
const SPOOL_MAX = 32 << 20

/** A file in logs/, made when there is something to say. Appends are gathered until `flush`. */
export class LogFile {
  readonly name: string
  readonly #path: string
  #fd = -1
  #size = 0
  #pending: Buffer[] = []

  constructor(directory: string, name: string) {
    this.name = name
    this.#path = join(directory, 'logs', name)
  }

  get start(): LogStart {
    return { file: this.name, offset: this.#size }
  }

  append(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#pending.push(bytes)
    this.#size += bytes.length
  }

  flush(): void {
    if (this.#pending.length === 0) return
    if (this.#fd < 0) this.#fd = openSync(this.#path, 'a', 0o600)
    // On a full disk the rest waits: offsets are promised already.
    let bytes = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)
    try {
      while (bytes.length > 0) bytes = bytes.subarray(writeSync(this.#fd, bytes))
    } finally {
      this.#pending = bytes.length > 0 ? [bytes] : []
    }
  }

  close(): void {
    this.flush()
    if (this.#fd >= 0) closeSync(this.#fd)
  }
}

/** One stream of a slot: what its jobs append, cut at the marks of the shell. */
export class LogSpool {
  readonly fd: number
  readonly #log: LogFile
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES)
  /** The buffer holds the spool from `#at`: bytes `#from` to `#to` of it. */
  #from = 0
  #to = 0
  #at = 0
  #start: LogStart
  #total = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  /** The last bytes of the stream that ended last. */
  #recent: Buffer = NOTHING

  constructor(path: string, log: LogFile) {
    this.fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL, 0o600)
    this.#log = log
    this.#start = log.start
  }

  /** Where the stream of the job that runs begins in logs/. */
  get start(): LogStart {
    return this.#start
  }

  /** True when the spool wants to be empty: the runner lets the slot fall idle and calls `trim`. */
  get isLong(): boolean {
    return this.#at > SPOOL_MAX
  }

  /** Only while nothing is told to the shell. */
  trim(): void {
    ftruncateSync(this.fd, 0)
    this.#rewind()
  }

  /** Takes what the running job has written so far. It must be the last that was told, so that no other job's bytes come behind its mark. */
  follow(mark: string): void {
    const { size } = fstatSync(this.fd)
    if (size < this.#at) this.#rewind()
    else if (size - this.#at > SPOOL_MAX) this.#leap(size)
    const sign = Buffer.from(mark)
    do {
      if (this.#find(sign) >= 0) return
      this.#take(this.#to - this.#from - this.#heldBack(sign))
    } while (this.#fill())
    if (this.#at <= SPOOL_MAX || this.#total <= HEAD_BYTES) return
    // The middle of a flood: what is written between this reading and the cut is lost, as the middle is anyway.
    this.#take(this.#to - this.#from)
    ftruncateSync(this.fd, 0)
    this.#rewind()
  }

  /** Passes over the middle of a flood: a program that writes faster than this reads would fill the disk meanwhile. */
  #leap(size: number): void {
    do this.#take(Math.min(this.#to - this.#from, Math.max(0, HEAD_BYTES - this.#total)))
    while (this.#total < HEAD_BYTES && this.#fill())
    const bytes = size - TAIL_BYTES - this.#at
    if (bytes <= this.#to - this.#from) return
    this.#total += bytes
    this.#at += bytes
    this.#from = this.#to = 0
    this.#tail = []
    this.#tailBytes = 0
  }

  /** The stream of the job whose mark this is, or all that is there; null when it wrote nothing. */
  end(mark: string | undefined): LogRange | null {
    const sign = Buffer.from(mark ?? '')
    if (this.#total === 0) this.#recent = NOTHING
    for (;;) {
      const found = mark === undefined ? -1 : this.#find(sign)
      if (found >= 0) {
        this.#take(found)
        this.#skip(sign.length)
        return this.#finish()
      }
      this.#take(Math.max(0, this.#to - this.#from - sign.length))
      if (this.#fill()) continue
      if (mark !== undefined && this.#isCutBefore(sign)) {
        this.#rewind()
        continue
      }
      // The mark is not there (the disk was full, or the job cut the file): the stream ends where the spool does.
      this.#take(this.#to - this.#from)
      return this.#finish()
    }
  }

  /** The last bytes that were written, as text of one line. */
  last(bytes: number): string {
    const size = fstatSync(this.fd).size
    const buffer = Buffer.alloc(Math.min(bytes, size))
    readSync(this.fd, buffer, 0, buffer.length, size - buffer.length)
    return buffer
      .toString('utf8')
      .trim()
      .replace(/\s*\n\s*/g, ' | ')
  }

  /** The end of the stream that ended last. */
  get lastText(): string {
    return this.#recent.subarray(-RECENT_BYTES).toString('utf8')
  }

  close(): void {
    closeSync(this.fd)
  }

  /** The job cut the spool: its mark lies before what was read already. */
  #isCutBefore(sign: Buffer): boolean {
    const read = Buffer.alloc(this.#at + this.#to - this.#from)
    return read.subarray(0, readSync(this.fd, read, 0, read.length, 0)).includes(sign)
  }

  #find(sign: Buffer): number {
    // Not in the whole buffer: what lies behind `#to` is old, and long.
    return this.#buffer.subarray(this.#from, this.#to).indexOf(sign)
  }

  /** Bytes at the end of what is read that may be the beginning of a mark. All else is shown: a few words of a quiet job too. */
  #heldBack(sign: Buffer): number {
    const at = this.#buffer.subarray(this.#from, this.#to).lastIndexOf(sign[0]!)
    const bytes = at < 0 ? 0 : this.#to - this.#from - at
    return bytes < sign.length ? bytes : 0
  }

  /** Reads more of the spool behind what the buffer holds; false: there is nothing more. */
  #fill(): boolean {
    if (this.#from > 0) {
      this.#buffer.copyWithin(0, this.#from, this.#to)
      this.#to -= this.#from
      this.#from = 0
    }
    if (this.#to === this.#buffer.length) return false
    const bytes = readSync(this.fd, this.#buffer, this.#to, this.#buffer.length - this.#to, this.#at + this.#to)
    this.#to += bytes
    return bytes > 0
  }

  #skip(bytes: number): void {
    this.#from += bytes
    this.#at += bytes
  }

  #take(bytes: number): void {
    if (bytes === 0) return
    const taken = Buffer.from(this.#buffer.subarray(this.#from, this.#from + bytes))
    this.#skip(bytes)
    this.#recent = bytes < RECENT_BYTES ? Buffer.concat([this.#recent, taken]).subarray(-RECENT_BYTES) : taken
    const head = Math.max(0, Math.min(bytes, HEAD_BYTES - this.#total))
    this.#total += bytes
    if (head > 0) this.#log.append(taken.subarray(0, head))
    if (head === bytes) return
    this.#tail.push(taken.subarray(head))
    this.#tailBytes += bytes - head
    while (this.#tailBytes - this.#tail[0]!.length >= TAIL_BYTES) this.#tailBytes -= this.#tail.shift()!.length
  }

  #finish(): LogRange | null {
    const { file, offset } = this.#start
    const total = this.#total
    if (total > HEAD_BYTES) {
      const left = total - HEAD_BYTES - Math.min(TAIL_BYTES, this.#tailBytes)
      if (left > 0) this.#log.append(Buffer.from(`\n[floe: ${left} bytes left out]\n`))
      const tail = Buffer.concat(this.#tail)
      this.#log.append(tail.subarray(Math.max(0, tail.length - TAIL_BYTES)))
      this.#tail = []
      this.#tailBytes = 0
    }
    this.#total = 0
    this.#start = this.#log.start
    return total === 0 ? null : { file, offset, bytes: this.#start.offset - offset, total }
  }

  #rewind(): void {
    this.#at = 0
    this.#from = 0
    this.#to = 0
  }
}
