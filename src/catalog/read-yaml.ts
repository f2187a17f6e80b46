import { isUtf8 } from 'node:buffer'
import { FloeError } from '../model/errors.ts'
import type { Adding, JobFile } from './adding.ts'
import { excerpt } from './given.ts'
import type { Given } from './job-form.ts'
import { LINE_MAX, lineBlocks } from './lines.ts'
import { notUtf8, tooLongFault } from './read-ndjson.ts'
import { Spool } from './spool.ts'
import { expandTemplates } from './templates.ts'
import { named, type ReadPiece } from './yaml-job.ts'
import { parsePlain } from './yaml-plain.ts'

/** Lines that begin with a key at the margin, and all up to the next. */
interface Piece {
  readonly line: number
  readonly lines: string[]
  /** Bytes, when it is too long to be kept. */
  tooLong: number | null
}

/**
 * Reads the users' form as a stream: each key at the margin is a job, `templates:` is expanded. Memory holds one job and a page, whatever the
 * size of the file. A job that is no YAML is rejected, the others are kept.
 */
export async function readYaml(adding: Adding, file: JobFile): Promise<void> {
  const spool = new Spool(adding, file)
  const templates: { line: number; given: Given }[] = []
  for await (const piece of pieces(file, adding.signal)) {
    const read = await readPiece(piece)
    for (const { line, form, templates: given } of read) {
      if (given !== undefined) templates.push({ line, given })
      else if (spool.push(line, form!)) await spool.flush()
    }
  }
  await spool.end()
  for (const { line, given } of templates) await expandTemplates(adding, file, { line, given })
}

async function* pieces(file: JobFile, signal: AbortSignal | undefined): AsyncGenerator<Piece> {
  let piece: Piece | undefined
  let held = 0
  for await (const block of lineBlocks(file.path, { signal })) {
    if (block.tooLong !== null) {
      piece ??= { line: block.line, lines: [], tooLong: null }
      piece.tooLong = (piece.tooLong ?? 0) + block.tooLong
      continue
    }
    const text = isUtf8(block.bytes) ? block.bytes.toString('utf8') : undefined
    const lines = (text ?? block.bytes.toString('latin1')).split('\n')
    if (lines.at(-1) === '') lines.pop()
    const starts = text === undefined ? badLines(block.bytes) : undefined
    for (const [at, raw] of lines.entries()) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (isMargin(line, piece)) {
        if (piece) yield piece
        piece = undefined
        if (line.startsWith('---') || line.startsWith('...')) {
          if (line.slice(3).trim() !== '') throw notMap(file, block.line + at, line)
          continue
        }
        piece = { line: block.line + at, lines: [], tooLong: null }
        held = 0
      }
      if (!piece) {
        if (line.trim() === '' || line.trimStart().startsWith('#') || line.startsWith('%')) continue
        throw notMap(file, block.line + at, line)
      }
      held += line.length + 1
      if (held > LINE_MAX) {
        piece.tooLong = held
        piece.lines.length = 1
      } else piece.lines.push(starts?.has(at) ? `${line}\0` : line)
    }
  }
  if (piece) yield piece
}

/** Numbers of the lines of a block that are not UTF-8; such a line ends in NUL in its piece. */
function badLines(bytes: Buffer): Set<number> {
  const bad = new Set<number>()
  let number = 0
  for (let from = 0; from < bytes.length; number++) {
    const end = bytes.indexOf(10, from)
    const to = end < 0 ? bytes.length : end
    if (!isUtf8(bytes.subarray(from, to))) bad.add(number)
    from = to + 1
  }
  return bad
}

/** Whether a line begins something new at the margin. A list may stand at the margin below its key. */
function isMargin(line: string, piece: Piece | undefined): boolean {
  const first = line.charCodeAt(0)
  if (line === '' || first === 32 || first === 9 || first === 35 || first === 37) return false
  if (first !== 45) return true
  if (line.startsWith('---')) return true
  return !(piece && !piece.lines[0]!.startsWith('- '))
}

const notMap = (file: JobFile, line: number, text: string): FloeError =>
  new FloeError('JOB_FILE_INVALID', `${file.name}:${line}: no job begins here: ${excerpt(text.trim())}`, {
    hint: 'Write each job as `NAME:` at the margin, and what belongs to it indented below.',
    details: { file: file.name, line },
  })

const NAME = /^([A-Za-z0-9_][\w. +/=@-]*):(?: *| +#.*)$/

async function readPiece({ line, lines, tooLong }: Piece): Promise<ReadPiece[]> {
  if (tooLong !== null) return [{ line, form: tooLongFault(tooLong) }]
  const bad = lines.findIndex((one) => one.endsWith('\0'))
  if (bad >= 0) return [{ line: line + bad, form: notUtf8(Buffer.from(lines[bad]!.slice(0, -1), 'latin1')) }]
  const name = NAME.exec(lines[0]!)?.[1]?.trimEnd()
  if (name !== undefined && !/^(?:~|null|true|false)$/i.test(name)) {
    const value = parsePlain(lines.slice(1))
    if (value !== undefined) return [named(line, name, value)]
  }
  // The full parser is loaded when it is needed: most files are plain.
  const { parsePiece } = await import('./yaml-piece.ts')
  return parsePiece(line, lines)
}
