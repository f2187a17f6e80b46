import { appendFileSync, mkdirSync, statSync, truncateSync } from 'node:fs'
import { join, posix } from 'node:path'
import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'

interface Grown {
  /** `<array>/records/<task>.<attempt>` */
  readonly name: string
  readonly from: number
  readonly bytes: number
}

/** Bytes and files of one answer. */
const ANSWER_MAX_BYTES = 64 * 2 ** 20
const ANSWER_MAX_FILES = 2000

/**
 * Brings what record files of arrays have gained into their mirrors: a listing of all, then the new bytes of those that grew. Answers the
 * arrays whose directory is gone. Killed at any instruction, the mirror of a file is a beginning of it.
 */
export async function pullRecords(
  transport: Transport,
  { there, here, ids }: { there: string; here: string; ids: readonly string[] },
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set()
  const { gone, sizes } = await listing(transport, there, ids)
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
  there: string,
  ids: readonly string[],
): Promise<{ gone: Set<string>; sizes: Map<string, number> }> {
  const { stdout } = await transport.run(
    `cd ${quote(there)} 2>/dev/null
     for id in ${ids.map(quote).join(' ')}; do
       if [ -d "$id/records" ]; then printf ':%s\\n' "$id"; LC_ALL=C ls -ln "$id/records"; else printf '!%s\\n' "$id"; fi
     done`,
  )
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
  const { stdout } = await transport.runBytes(`cd ${quote(there)} || exit 3\n${pieces.join('\n')}`)
  let at = 0
  for (const [number, { name, from, bytes }] of some.entries()) {
    const mark = Buffer.from(`\n@${number}\n`)
    const start = stdout.indexOf(mark, at)
    if (start < 0) return
    const content = stdout.subarray(start + mark.length, start + mark.length + bytes)
    at = start + mark.length + content.length
    const isWhole = at === stdout.length || stdout.indexOf(`\n@${number + 1}\n`, at) === at
    if (content.length === bytes && isWhole) append(join(here, name), from, content)
  }
}

/** `tail` counts from 1. */
const piece = (file: string, from: number, bytes: number): string =>
  `tail -c +${from + 1} ${file} 2>/dev/null | head -c ${bytes}`

function append(path: string, from: number, content: Buffer): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  // Another process of this campaign (`logs`, `status`) may have brought the same bytes.
  if (size > from) truncateSync(path, from)
  if (size >= from) appendFileSync(path, content, { mode: 0o600 })
}

/** Bytes of a file on the site; undefined: it is not there. */
export async function readPartThere(
  transport: Transport,
  path: string,
  { offset, bytes }: { offset: number; bytes: number },
): Promise<Buffer | undefined> {
  const file = quote(posix.normalize(path))
  const { exit, stdout } = await transport.runBytes(`[ -f ${file} ] || exit 9; ${piece(file, offset, bytes)}`)
  return exit === 9 ? undefined : stdout
}
