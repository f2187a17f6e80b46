import { randomBytes } from 'node:crypto'
import { quote } from '../quote.ts'

/*
 * What `/bin/sh` is fed, and how its answer is cut out of what a login prints around it:
 *   <mark> begin <pid of the shell>     on stdout and stderr, then what the script prints
 *   <mark> end <exit of the script>     on both; whatever comes later (a child in the background, a .bash_logout) is not the answer's
 * The script is one quoted word: a part of it that was cut off on its way is a syntax error and runs nothing; `exit`, `exec`, `cd` and its
 * own syntax errors end with the subshell; and no command of it can read the rest of the script, as it could with `sh -s`.
 */

const NEWLINE = 0x0a

/** Random, so that nothing else prints it. */
export const newMark = (): string => `floe-${randomBytes(12).toString('hex')}`

export function frame(script: string, mark: string): string {
  return [
    `printf '%s begin %s\\n' ${mark} $$; printf '%s begin %s\\n' ${mark} $$ >&2`,
    `(eval ${quote(script)}) </dev/null`,
    `_floe_exit=$?; printf '%s end %s\\n' ${mark} $_floe_exit; printf '%s end %s\\n' ${mark} $_floe_exit >&2`,
    'exit 0',
    '',
  ].join('\n')
}

/** One stream of an answer, bounded in memory. Pure but for what it holds. */
export class Cut {
  pid: number | undefined
  exit: number | undefined
  sizeBytes = 0
  readonly #mark: Buffer
  readonly #chunks: Buffer[] = []
  #noise = ''
  /** Not yet looked through to its end: a mark may be cut in two by the network. */
  #rest: Buffer = Buffer.alloc(0)

  constructor(mark: string) {
    this.#mark = Buffer.from(mark)
  }

  get isEnded(): boolean {
    return this.exit !== undefined
  }

  /** What a login printed before the answer began, for a message; at most 64 kB and a bit. */
  get noise(): string {
    return this.pid === undefined ? this.#noise + this.#rest.toString('utf8') : this.#noise
  }

  get content(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  push(chunk: Buffer): void {
    if (this.isEnded) return
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    if (this.pid === undefined) this.#begin()
    if (this.pid !== undefined) this.#end()
  }

  #begin(): void {
    const found = this.#line('begin')
    this.#noted(this.#rest.subarray(0, found?.start ?? this.#rest.length - this.#keep(this.#rest)))
    if (found === undefined) this.#rest = this.#rest.subarray(this.#rest.length - this.#keep(this.#rest))
    else {
      this.pid = found.number
      this.#rest = this.#rest.subarray(found.end)
    }
  }

  #end(): void {
    const found = this.#line('end')
    const upTo = found?.start ?? this.#rest.length - this.#keep(this.#rest)
    if (upTo > 0) this.#chunks.push(this.#rest.subarray(0, upTo))
    this.sizeBytes += upTo
    this.#rest = this.#rest.subarray(upTo)
    if (found !== undefined) this.exit = found.number
  }

  /** Bytes at the end that may be the beginning of a line of ours. */
  #keep(bytes: Buffer): number {
    const last = bytes.lastIndexOf(this.#mark)
    const isOpen = last >= 0 && bytes.indexOf(NEWLINE, last) < 0
    return isOpen ? bytes.length - last : Math.min(bytes.length, this.#mark.length - 1)
  }

  /** Our line of this word. The mark alone is none: a shell that traces (SHELLOPTS=xtrace) prints it in the command. */
  #line(word: 'begin' | 'end'): { start: number; end: number; number: number } | undefined {
    const line = new RegExp(`^ ${word} (\\d+)\\r?$`)
    for (let from = this.#rest.indexOf(this.#mark); from >= 0; from = this.#rest.indexOf(this.#mark, from + 1)) {
      const newline = this.#rest.indexOf(NEWLINE, from)
      if (newline < 0) return undefined
      const number = line.exec(this.#rest.toString('latin1', from + this.#mark.length, newline))?.[1]
      if (number !== undefined) return { start: from, end: newline + 1, number: Number(number) }
    }
    return undefined
  }

  #noted(bytes: Buffer): void {
    if (this.#noise.length < 65_536) this.#noise += bytes.toString('utf8')
  }
}

/** Both streams of an answer. */
export class Answer {
  readonly stdout: Cut
  readonly stderr: Cut

  constructor(mark: string) {
    this.stdout = new Cut(mark)
    this.stderr = new Cut(mark)
  }

  /** Whole on both streams: only then is it an answer. */
  get isWhole(): boolean {
    return this.stdout.isEnded && this.stderr.isEnded
  }

  get pid(): number | undefined {
    return this.stdout.pid ?? this.stderr.pid
  }

  get sizeBytes(): number {
    return this.stdout.sizeBytes + this.stderr.sizeBytes
  }

  /** What came instead of an answer, for a message. */
  get noise(): string {
    const text = `${this.stdout.noise}\n${this.stderr.noise}`.trim()
    return text.length > 500 ? `${text.slice(0, 500)}…` : text
  }

  result(): { exit: number; stdout: Buffer; stderr: string } {
    return { exit: this.stdout.exit!, stdout: this.stdout.content, stderr: this.stderr.content.toString('utf8') }
  }
}
