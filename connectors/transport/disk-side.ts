import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import * as fs from 'node:fs/promises'
import { ConnectorError } from '../connector.ts'
import { type OpenFile, SAID_OF, type Said, type Side } from './side.ts'

/** The files of this machine. */
export const diskSide: Side = {
  chunkBytes: 262_144,
  openToRead: async (path) => opened(await fs.open(path, 'r')),
  openToWrite: async (path, isNew) => opened(await openToWrite(path, isNew)),
  rename: (pairs) =>
    Promise.all(
      pairs.map(({ from, to }) =>
        fs.rename(from, to).then(
          () => undefined,
          (failure: unknown) => failure,
        ),
      ),
    ),
  remove: (path) => fs.rm(path, { force: true }),
  async makeFolders(paths) {
    for (const path of paths) await fs.mkdir(path, { recursive: true })
  },
  async digests(paths) {
    const digests: (string | undefined)[] = []
    for (const path of paths) digests.push(await digestOf(path))
    return digests
  },
  explain: async (failure, path, verb) => explainOnDisk(failure, path, verb),
}

async function openToWrite(path: string, isNew: boolean): Promise<fs.FileHandle> {
  if (isNew) return fs.open(path, 'w', 0o600)
  // Neither flag of fopen makes a file and lets one write anywhere in it.
  await (await fs.open(path, 'a', 0o600)).close()
  return fs.open(path, 'r+')
}

async function opened(file: fs.FileHandle): Promise<OpenFile> {
  const stats = await file.stat()
  if (!stats.isFile()) {
    await file.close()
    throw Object.assign(new Error('it is not a file'), { code: 'EISDIR' })
  }
  return {
    sizeBytes: stats.size,
    mtimeSec: Math.floor(stats.mtimeMs / 1000),
    async read(position, sizeBytes) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(sizeBytes), 0, sizeBytes, position)
      return buffer.subarray(0, bytesRead)
    },
    async write(position, bytes) {
      for (let at = 0; at < bytes.length; )
        at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten
    },
    size: async () => (await file.stat()).size,
    chmod: (mode) => file.chmod(mode),
    close: () => file.close(),
  }
}

async function digestOf(path: string): Promise<string | undefined> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  } catch (failure) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((failure as NodeJS.ErrnoException).code ?? '')) return undefined
    throw failure
  }
  return `sha256:${hash.digest('hex')}`
}

const SAID: Readonly<Record<string, Said>> = {
  ENOENT: SAID_OF.missing,
  ENOTDIR: SAID_OF.noFolder,
  EISDIR: SAID_OF.noFile,
  EACCES: SAID_OF.forbidden,
  EPERM: SAID_OF.forbidden,
  EROFS: SAID_OF.readOnly,
  ENOSPC: SAID_OF.full,
  EDQUOT: SAID_OF.quota,
}

function explainOnDisk(failure: unknown, path: string, verb: string): Error {
  if (failure instanceof ConnectorError) return failure
  const { code = '', message } = failure as NodeJS.ErrnoException
  const [said, hint] = SAID[code] ?? [message, SAID_OF.other[1]]
  return new ConnectorError('refused', `cannot ${verb} ${path} on this machine: ${said}`, hint, failure)
}
