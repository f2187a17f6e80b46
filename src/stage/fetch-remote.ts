import { createHash } from 'node:crypto'
import {
  chmodSync,
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
import { hashContent } from './look-up.ts'
import type { StagedFile } from './manifest-rows.ts'
import type { RemoteStores } from './remote.ts'
import { isHdfs } from './site-path.ts'

export interface Fetched {
  /** Declared, or as planned. */
  readonly digest: string | null
  readonly sizeBytes: number | null
  readonly mtimeUs: number | null
  readonly executable: boolean
}

/**
 * A file of a server or of HDFS in the site's cache, by content. Fetched once: `by-url/<digest of url>` remembers the content's digest, in HDFS
 * of url, size and time. Throws STAGE_FAILED when it is not given, or the content is not what was declared.
 */
export async function fetchRemote(
  cache: string,
  url: string,
  { digest, executable, sizeBytes, mtimeUs }: Fetched,
  stores: RemoteStores,
): Promise<StagedFile> {
  const version = isHdfs(url) ? JSON.stringify([url, sizeBytes, mtimeUs]) : url
  const memo = join(cache, 'by-url', createHash('sha256').update(version).digest('hex'))
  const seen = existsSync(memo) ? readFileSync(memo, 'utf8') : undefined
  const wanted = digest?.startsWith('sha256:') ? digest : seen
  const held = wanted && join(cache, wanted.slice('sha256:'.length))
  if (!held || !existsSync(held)) {
    const fetched = await fetchInto(cache, url, { executable, stores })
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

async function fetchInto(
  cache: string,
  url: string,
  { executable, stores }: { executable: boolean; stores: RemoteStores },
): Promise<string> {
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const aside = join(cache, `.fetch.${process.pid}.${createHash('sha256').update(url).digest('hex').slice(0, 16)}`)
  let digest: string
  try {
    digest = isHdfs(url) ? await fromHdfs(stores, url, aside) : await fromServer(url, aside)
    chmodSync(aside, executable ? 0o500 : 0o400)
  } catch (cause) {
    rmSync(aside, { force: true })
    throw new FloeError('STAGE_FAILED', `Could not fetch ${url}: ${(cause as Error).message}.`, { cause })
  }
  renameSync(aside, join(cache, digest.slice('sha256:'.length)))
  return digest
}

async function fromHdfs(stores: RemoteStores, url: string, aside: string): Promise<string> {
  const { files, path } = await stores.at(url)
  rmSync(aside, { force: true })
  if (!(await files.fetch(path, aside))) throw new Error('it is not there')
  return hashContent(aside)
}

async function fromServer(url: string, aside: string): Promise<string> {
  const hash = createHash('sha256')
  const answer = await fetch(url, { redirect: 'follow' })
  if (!answer.ok || !answer.body) throw new Error(`the server answered ${answer.status} ${answer.statusText}`)
  const tee = new Transform({
    transform(piece: Buffer, _encoding, done) {
      hash.update(piece)
      done(null, piece)
    },
  })
  await pipeline(Readable.fromWeb(answer.body as never), tee, createWriteStream(aside, { mode: 0o600, flush: true }))
  return `sha256:${hash.digest('hex')}`
}
