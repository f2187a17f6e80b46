import { isUtf8 } from 'node:buffer'
import { readFile, stat } from 'node:fs/promises'
import { FloeError } from '../model/errors.ts'
import type { Adding, JobFile } from './adding.ts'
import { excerpt, type Fault, type GivenJob } from './given.ts'
import { type Given, jobForm } from './job-form.ts'
import { parseJsonTexts } from './json-text.ts'
import { LINE_MAX } from './lines.ts'
import { notUtf8, tooLongFault } from './read-ndjson.ts'
import { Spool } from './spool.ts'
import { expandTemplates } from './templates.ts'

/** Largest JSON document; it is held in memory. */
const JSON_MAX = 512e6

/** A value at the top of a document: its key in a map, its bytes, the line it begins in. */
interface Element {
  readonly key: string | undefined
  readonly from: number
  readonly to: number
  readonly line: number
}

/** Reads one JSON document: a list of jobs, or a map of names and jobs with `templates` beside them. The document is held in memory. */
export async function readJson(adding: Adding, file: JobFile): Promise<void> {
  const invalid = (line: number, message: string, hint: string) =>
    new FloeError('JOB_FILE_INVALID', `${file.name}:${line}: ${message}`, { hint, details: { file: file.name, line } })
  if ((await stat(file.path)).size > JSON_MAX) {
    throw invalid(1, `a JSON document of more than ${JSON_MAX / 1e6} MB`, 'Write NDJSON: one job a line.')
  }
  const bytes = await readFile(file.path)
  const spool = new Spool(adding, file)
  const templates: { line: number; given: Given }[] = []
  for (const { key, from, to, line } of elements(bytes, invalid)) {
    adding.throwIfAborted()
    const value = elementValue(bytes.subarray(from, to), key)
    if ('fault' in value) {
      if (spool.push(line, value.fault)) await spool.flush()
    } else if (key === 'templates') templates.push({ line, given: value.given })
    else {
      const form: GivenJob | Fault = jobForm(value.given, key)
      if (spool.push(line, form)) await spool.flush()
    }
  }
  await spool.end()
  for (const { line, given } of templates) await expandTemplates(adding, file, { line, given })
}

function elementValue(slice: Buffer, key: string | undefined): { given: Given } | { fault: Fault } {
  if (slice.length > LINE_MAX && key !== 'templates') {
    return { fault: { ...tooLongFault(slice.length), job: key ?? null } }
  }
  if (!isUtf8(slice)) return { fault: notUtf8(slice) }
  const text = slice.toString('utf8')
  try {
    return { given: parseJsonTexts(text) }
  } catch (error) {
    const reason = `no JSON: ${(error as Error).message.replace(/, (?:\.\.\.)?".*$/s, '')}`
    return { fault: { job: key ?? null, value: excerpt(text), reason, hint: 'correct the value' } }
  }
}

type Invalid = (line: number, message: string, hint: string) => FloeError

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_MAP, CLOSE_MAP, COMMA, COLON] = [34, 92, 91, 93, 123, 125, 44, 58]

/** The values at the top, found by brackets and quotes alone. Throws for a document that is no list and no map, or is cut off. */
function* elements(bytes: Buffer, invalid: Invalid): Generator<Element> {
  let at = bytes.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0
  let line = 1
  const blank = () => {
    for (; at < bytes.length && bytes[at]! <= 32; at++) if (bytes[at] === 10) line++
  }
  const cut = () => invalid(line, 'the document ends here, unfinished', 'It was cut off; write the file again.')
  blank()
  const isMap = bytes[at] === OPEN_MAP
  if (!isMap && bytes[at] !== OPEN_LIST)
    throw invalid(line, 'neither a list nor a map of jobs', 'Write [{"id": …}, …] or {"NAME": {…}, …}.')
  at++
  for (blank(); bytes[at] !== (isMap ? CLOSE_MAP : CLOSE_LIST); blank()) {
    if (at >= bytes.length) throw cut()
    let key: string | undefined
    const start = line
    if (isMap) {
      const from = at
      at = skip(at)
      key = JSON.parse(bytes.toString('utf8', from, at)) as string
      blank()
      if (bytes[at] !== COLON) throw invalid(line, 'no `:` behind a name', 'Write {"NAME": {…}}.')
      at++
      blank()
    }
    const from = at
    at = skip(at)
    yield { key, from, to: at, line: start }
    blank()
    if (bytes[at] === COMMA) at++
    else if (bytes[at] !== (isMap ? CLOSE_MAP : CLOSE_LIST)) {
      if (at >= bytes.length) throw cut()
      throw invalid(
        line,
        'no comma between two jobs',
        'Put a comma there, or write NDJSON: one job a line, name ending in .ndjson.',
      )
    }
  }
  at++
  blank()
  if (at < bytes.length)
    throw invalid(line, 'something follows the document', 'Name the file .ndjson if it has one job a line.')

  /** Behind the value that begins at `from`. */
  function skip(from: number): number {
    let depth = 0
    for (let i = from; i < bytes.length; i++) {
      const byte = bytes[i]
      if (byte === 10) line++
      if (byte === QUOTE) {
        for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
        if (depth === 0) return i + 1
      } else if (byte === OPEN_LIST || byte === OPEN_MAP) depth++
      else if (byte === CLOSE_LIST || byte === CLOSE_MAP) {
        if (depth === 0) return i
        if (--depth === 0) return i + 1
      } else if (depth === 0 && (byte === COMMA || byte === COLON || byte! <= 32)) return i
    }
    throw cut()
  }
}
