import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { decodeRecord, RECORD_VERSION, type ReadLine } from '../model/record.ts'

/** How far each record file (`<task>.<attempt>`) was read, bytes. */
export type Offsets = Readonly<Record<string, number>>

/** Bytes read from one file in one go; a bound on memory, not on files. */
const READ_MAX = 8 << 20

/**
 * The complete lines that record files of an array hold behind `from`, and the new offsets. One listing and one stat a file. A last line
 * without newline was being written: it is left for the next reading. A line in the middle whose checksum is wrong is passed over and counted.
 * Throws NOT_SUPPORTED for lines of another version.
 */
export function readRecords(
  directory: string,
  from: Offsets,
  wanted: (name: string) => boolean = () => true,
): { lines: ReadLine[]; offsets: Offsets; damaged: number } {
  const folder = join(directory, 'records')
  const offsets: Record<string, number> = { ...from }
  const lines: ReadLine[] = []
  let damaged = 0
  for (const name of namesIn(folder)) {
    const [, task, attempt] = /^(\d+)\.(\d+)$/.exec(name) ?? []
    if (task === undefined || !wanted(name)) continue
    const start = offsets[name] ?? 0
    const bytes = readFrom(join(folder, name), start)
    let at = 0
    for (let newline = bytes.indexOf(10, at); newline >= 0; newline = bytes.indexOf(10, at)) {
      const line = decodeRecord(bytes.toString('utf8', at, newline))
      at = newline + 1
      if (line) checkVersion(line, join(folder, name))
      if (line) lines.push({ task: Number(task), attempt: Number(attempt), end: start + at, line })
      else damaged++
    }
    offsets[name] = start + at
  }
  return { lines, offsets, damaged }
}

/** Passing over the verdicts of a runner that knows more would run its jobs again. */
function checkVersion({ v }: { readonly v: number }, path: string): void {
  if (v === RECORD_VERSION) return
  throw new FloeError('NOT_SUPPORTED', `${path} is of another version of floe (records ${v}, not ${RECORD_VERSION}).`, {
    hint: 'Go on with the floe that sent this array. Nothing was changed.',
    details: { path },
  })
}

/** Empty where there is no such folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))) return []
    throw error
  }
}

function readFrom(path: string, start: number): Buffer {
  // Taken away since the listing: what was read stays read.
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size <= start) return Buffer.alloc(0)
  const fd = openSync(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(Math.min(size - start, READ_MAX))
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start))
  } finally {
    closeSync(fd)
  }
}
