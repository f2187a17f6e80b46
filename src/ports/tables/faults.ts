import { FloeError } from '../../model/errors.ts'

/** DuckDB 1.5 tells these apart in words only. */
const FULL = /no space left on device|disk quota exceeded|file too large|failed to offload|max_temp_directory_size/i
const REFUSED = /permission denied|read-only file system|operation not permitted/i
const MISSING = /no files found that match the pattern "([^"]+)"|cannot open file "([^"]+)": no such file/i
const BROKEN =
  /no magic bytes found|too small to be a parquet file|not a parquet file|could not read|failed to read|corrupt|invalid|out of buffer|decompress/i
/** Of spoiled content the message does not always name the part. */
const SPOILED =
  /TProtocolException|thrift|zstd decompression|decompression failure|parquet file is corrupt|invalid page|out of buffer/i

/** What an error of DuckDB means for the tables below `root`: a damaged part, a full disk, a folder that is not writable; else the error as it is. */
export function explainFault(cause: unknown, root: string): Error {
  if (cause instanceof FloeError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const text = message.split('\n\nLINE ')[0]!
  if (FULL.test(text)) return new FloeError('DISK_FULL', `the disk is full: ${text}`, { cause })
  const missing = MISSING.exec(text)
  const path = missing?.[1] ?? missing?.[2]
  if (path?.startsWith(root)) return damaged(path, 'the log lists this part, but it is missing', { cause })
  if (REFUSED.test(text)) return new FloeError('NOT_WRITABLE', text, { cause })
  const part = partIn(text, root)
  if (part && BROKEN.test(text)) return damaged(part, text, { cause })
  if (SPOILED.test(text))
    return damaged(partIn(message, root) ?? folderIn(message, root), `a part in it is no Parquet: ${text}`, { cause })
  return cause instanceof Error ? cause : new Error(message)
}

function partIn(text: string, root: string): string | undefined {
  const from = text.indexOf(root)
  const to = text.indexOf('.parquet', from)
  return from < 0 || to < 0 ? undefined : text.slice(from, to + '.parquet'.length)
}

/** The table that a message quotes the SQL of; DuckDB cuts the rest of the path off. */
function folderIn(text: string, root: string): string {
  const from = text.indexOf(`${root}/`)
  const table = from < 0 ? undefined : /^\w+/.exec(text.slice(from + root.length + 1))?.[0]
  return table ? `${root}/${table}` : root
}

export function damaged(path: string, what: string, more: { cause?: unknown; hint?: string } = {}): FloeError {
  return new FloeError('TABLE_DAMAGED', `${path} is damaged: ${what}`, { details: { path }, ...more })
}
