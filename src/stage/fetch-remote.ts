import { createHash } from 'node:crypto'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FloeError } from '../model/errors.ts'
import type { StagedFile } from './manifest-rows.ts'

/**
 * A file of a server in the site's cache, by content. Fetched once: `by-url/<digest of url>` remembers the content's digest.
 * Throws STAGE_FAILED when the server does not give it, INPUT differences when the content is not what was declared.
 */
export async function fetchRemote(
  cache: string,
  url: string,
  { digest, executable }: { digest: string | null; executable: boolean },
): Promise<StagedFile> {
  if (url.startsWith('webhdfs:')) throw new FloeError('NOT_SUPPORTED', `Inputs in HDFS are not read yet: ${url}`)
  const memo = join(cache, 'by-url', createHash('sha256').update(url).digest('hex'))
  const seen = existsSync(memo) ? readFileSync(memo, 'utf8') : undefined
  const wanted = digest?.startsWith('sha256:') ? digest : seen
  const held = wanted && join(cache, wanted.slice('sha256:'.length))
  if (!held || !existsSync(held)) {
    const fetched = await fetchInto(cache, url, executable)
    if (wanted && digest && wanted !== fetched) {
      throw new FloeError('STAGE_FAILED', `${url} is not what was declared: its digest is ${fetched}, not ${wanted}.`, {
        hint: 'Correct the digest in the job file, or the file on the server.',
      })
    }
    mkdirSync(join(cache, 'by-url'), { recursive: true, mode: 0o700 })
    writeFileSync(memo, fetched)
    return staged(cache, fetched)
  }
  return staged(cache, wanted)
}

function staged(cache: string, digest: string): StagedFile {
  const path = join(cache, digest.slice('sha256:'.length))
  return { path, digest, sizeBytes: statSync(path).size, mtimeUs: null }
}

async function fetchInto(cache: string, url: string, executable: boolean): Promise<string> {
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const aside = join(cache, `.fetch.${process.pid}.${createHash('sha256').update(url).digest('hex').slice(0, 16)}`)
  const hash = createHash('sha256')
  try {
    const answer = await fetch(url, { redirect: 'follow' })
    if (!answer.ok || !answer.body) throw new Error(`the server answered ${answer.status} ${answer.statusText}`)
    const tee = new Transform({
      transform(piece: Buffer, _encoding, done) {
        hash.update(piece)
        done(null, piece)
      },
    })
    await pipeline(
      Readable.fromWeb(answer.body as never),
      tee,
      createWriteStream(aside, { mode: executable ? 0o500 : 0o400, flush: true }),
    )
  } catch (cause) {
    rmSync(aside, { force: true })
    throw new FloeError('STAGE_FAILED', `Could not fetch ${url}: ${(cause as Error).message}.`, { cause })
  }
  const digest = hash.digest('hex')
  renameSync(aside, join(cache, digest))
  return `sha256:${digest}`
}
