import { closeSync, constants, mkdirSync, openSync, statSync, writeSync } from 'node:fs'
import { join, posix } from 'node:path'
import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'

interface Grown {
  /** `<array>/records/<task>.<attempt>` */
  readonly name: string
  readonly from: number
  readonly bytes: number
}

/** A file system that hangs must not hold everything else. */
const TIMEOUT_MS = 120_000
/** Bytes and files of one answer. */
const ANSWER_MAX_BYTES = 64 * 2 ** 20
const ANSWER_MAX_FILES = 2000
const NOT_THERE = 79

/**
 * Brings what record files of arrays have gained into their mirrors: a listing of all, then the new bytes of those that grew. Answers the
 * arrays whose directory is gone; while the scratch itself is away, as during maintenance, none is, and it throws `unreachable`. Killed at
 * any instruction, the mirror of a file is a beginning of it.
 */
export async function pullRecords(
  transport: Transport,
  { scratch, there, here, ids }: { scratch: string; there: string; here: string; ids: readonly string[] },
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set()
  const { gone, sizes } = await listing(transport, { scratch, there }, ids)
  for (const id of ids) mkdirSync(join(here, id, 'records'), { recursive: true, mode: 0o700 })
  const grown: Grown[] = []
  for (const [name, size] of sizes) {
    const from = statSync(join(here, name), { throwIfNoEntry: false })?.size ?? 0
    for (let at = from; at < size; at += ANSWER_MAX_BYTES)
      grown.push({ name, from: at, bytes: Math.min(size - at, ANSWER_MAX_BYTES) })
  }
  for (const some of answersOf(grown)) await bring(transport, some, { there, here })
  return gone
}

async function listing(
  transport: Transport,
  { scratch, there }: { scratch: string; there: string },
  ids: readonly string[],
): Promise<{ gone: Set<string>; sizes: Map<string, number> }> {
  const { stdout, stderr, exit } = await transport.run(
    `LC_ALL=C; export LC_ALL
     cd ${quote(scratch)} || exit 1
     if [ -e ${quote(there)} ]; then cd ${quote(there)} || exit 1; else cd /dev; fi
     for id in ${ids.map(quote).join(' ')}; do
       if [ -d "$id/records" ]; then printf ':%s\\n' "$id"; ls -ln "$id/records" || exit 1
       elif ! [ -e "$id" ]; then printf '!%s\\n' "$id"; fi
     done
     cd ${quote(scratch)}`,
    { timeoutMs: TIMEOUT_MS },
  )
  if (exit !== 0) {
    throw new ConnectorError(
      'unreachable',
      `the records below ${there} at ${transport.where} cannot be listed: ${stderr.trim().split('\n')[0] || `exit ${exit}`}`,
      'Nothing was concluded from it; floe looks again.',
    )
  }
  const gone = new Set<string>()
  const sizes = new Map<string, number>()
  let id = ''
  for (const line of stdout.split('\n')) {
    if (line.startsWith(':')) id = line.slice(1)
    else if (line.startsWith('!')) gone.add(line.slice(1))
    else {
      // -rw------- 1 1000 1000 5124 Nov 25 23:04 17.1
      const [, size, name] = /^-\S+\s+\d+\s+\d+\s+\d+\s+(\d+)\s.*\s(\d+\.\d+)$/.exec(line) ?? []
      if (name !== undefined) sizes.set(`${id}/records/${name}`, Number(size))
    }
  }
  return { gone, sizes }
}

function* answersOf(grown: readonly Grown[]): Generator<Grown[]> {
  let some: Grown[] = []
  let bytes = 0
  for (const one of grown) {
    if (some.length > 0 && (some.length === ANSWER_MAX_FILES || bytes + one.bytes > ANSWER_MAX_BYTES)) {
      yield some
      some = []
      bytes = 0
    }
    some.push(one)
    bytes += one.bytes
  }
  if (some.length > 0) yield some
}

/** Pieces come one after the other, each behind a line with its number, so that a file that shrank meanwhile spoils only itself. */
async function bring(
  transport: Transport,
  some: readonly Grown[],
  { there, here }: { there: string; here: string },
): Promise<void> {
  const pieces = some.map(
    ({ name, from, bytes }, at) => `printf '\\n@%s\\n' ${at}; ${piece(quote(`${name}`), from, bytes)}`,
  )
  const { stdout } = await transport.runBytes(`cd ${quote(there)} || exit 3\n${pieces.join('\n')}`, {
    timeoutMs: TIMEOUT_MS,
  })
  let at = 0
  for (const [number, { name, from, bytes }] of some.entries()) {
    const mark = Buffer.from(`\n@${number}\n`)
    const start = stdout.indexOf(mark, at)
    if (start < 0) throw cutShort(there, transport)
    const content = stdout.subarray(start + mark.length, start + mark.length + bytes)
    at = start + mark.length + content.length
    const isWhole = at === stdout.length || stdout.indexOf(`\n@${number + 1}\n`, at) === at
    if (content.length !== bytes || !isWhole) throw cutShort(there, transport)
    append(join(here, name), from, content)
  }
}

/** What was not read must not be taken for what was not written. */
const cutShort = (there: string, { where }: Transport): ConnectorError =>
  new ConnectorError(
    'unreachable',
    `the records below ${there} at ${where} could not be read to their end`,
    'Nothing was concluded from it; floe looks again.',
  )

/** `tail` counts from 1. */
const piece = (file: string, from: number, bytes: number): string =>
  `tail -c +${from + 1} ${file} 2>/dev/null | head -c ${bytes}`

/**
 * At its place, never at the end: another process of this campaign (`logs`, `show`) may be bringing the same bytes, and the same bytes at
 * the same place do no harm.
 */
function append(path: string, from: number, content: Buffer): void {
  // Taken away meanwhile: a hole would be read as damage.
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < from) return
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600)
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at, from + at)
  } finally {
    closeSync(fd)
  }
}

/** Bytes of a file on the site; undefined: it is not there. */
export async function readPartThere(
  transport: Transport,
  path: string,
  { offset, bytes }: { offset: number; bytes: number },
): Promise<Buffer | undefined> {
  const file = quote(posix.normalize(path))
  const { exit, stdout, stderr } = await transport.runBytes(
    `[ -e ${file} ] || exit ${NOT_THERE}; [ -r ${file} ] && ${piece(file, offset, bytes)}`,
  )
  if (exit === NOT_THERE) return undefined
  if (exit !== 0) {
    throw new ConnectorError(
      'refused',
      `${path} at ${transport.where} cannot be read: ${stderr.trim() || `exit ${exit}`}`,
      'Look at it there; it may lie on a disk that has failed.',
    )
  }
  return stdout
}
