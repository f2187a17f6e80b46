import { open } from 'node:fs/promises'
import { FloeError } from '../model/errors.ts'

/** Longest line of a job file, and longest text of one job. What is longer is rejected without being kept in memory. */
export const LINE_MAX = 16e6

const CHUNK = 1 << 20

/** Whole lines with their newlines; or one line that is too long to be kept, of which the beginning is there. */
export interface LineBlock {
  /** Number of the first line, from 1. */
  readonly line: number
  readonly bytes: Buffer
  /** Bytes of the line, when it is too long. */
  readonly tooLong: number | null
}

/**
 * Lines of a file in blocks of about 1 MiB. Memory stays below twice `max`, whatever the lines are. The bytes are valid until the next
 * block is asked for. A UTF-8 byte order mark at the beginning is left out.
 */
export async function* lineBlocks(
  path: string,
  { signal, max = LINE_MAX }: LineOptions = {},
): AsyncGenerator<LineBlock> {
  let line = 1
  let carry: Buffer[] = []
  let carried = 0
  let skipped = 0
  for await (const chunk of fileChunks(path, signal)) {
    let rest = chunk
    if (skipped > 0) {
      const end = rest.indexOf(NEWLINE)
      skipped += end < 0 ? rest.length : end
      if (end < 0) continue
      yield { line: line++, bytes: Buffer.concat(carry), tooLong: skipped }
      ;[carry, carried, skipped] = [[], 0, 0]
      rest = rest.subarray(end + 1)
    }
    const last = rest.lastIndexOf(NEWLINE)
    if (last < 0) {
      carry.push(Buffer.from(rest))
      carried += rest.length
    } else {
      const whole = rest.subarray(0, last + 1)
      const bytes = carried === 0 ? whole : Buffer.concat([...carry, whole])
      yield { line, bytes, tooLong: null }
      line += countLines(bytes)
      carry = last + 1 === rest.length ? [] : [Buffer.from(rest.subarray(last + 1))]
      carried = rest.length - last - 1
    }
    if (carried > max) [carry, carried, skipped] = [[Buffer.concat(carry).subarray(0, 4096)], 0, carried]
  }
  if (skipped > 0) yield { line, bytes: Buffer.concat(carry), tooLong: skipped }
  else if (carried > 0) yield { line, bytes: Buffer.concat(carry), tooLong: null }
}

export interface LineOptions {
  readonly signal?: AbortSignal | undefined
  readonly max?: number
}

const NEWLINE = 10

function countLines(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

/** Content of a file in pieces, without a UTF-8 byte order mark; each is valid until the next is asked for. */
export async function* fileChunks(path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const file = await openFile(path)
  try {
    const buffer = Buffer.allocUnsafe(CHUNK)
    for (let isFirst = true; ; isFirst = false) {
      if (signal?.aborted) throw new FloeError('INTERRUPTED', 'adding was interrupted; nothing was changed')
      const { bytesRead } = await file.read(buffer, 0, CHUNK, null)
      if (bytesRead === 0) return
      const chunk = buffer.subarray(0, bytesRead)
      yield isFirst && chunk.subarray(0, 3).equals(MARK) ? chunk.subarray(3) : chunk
    }
  } finally {
    await file.close()
  }
}

const MARK = Buffer.from([0xef, 0xbb, 0xbf])

async function openFile(path: string) {
  try {
    const file = await open(path, 'r')
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'is not there' : `cannot be read: ${message}`
    throw new FloeError('JOB_FILE_INVALID', `${path} ${why}`, {
      hint: 'Name a job file that exists and that you may read.',
      details: { file: path },
      cause,
    })
  }
  throw new FloeError('JOB_FILE_INVALID', `${path} is no file`, {
    hint: 'Name job files, for example with a pattern of the shell: jobs/*.yaml.',
    details: { file: path },
  })
}
