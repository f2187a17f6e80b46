import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import * as fs from 'node:fs/promises'
import { ConnectorError } from '../connector.ts'
import type { OpenFile, Side } from './side.ts'

/** The files of this machine. */
export const diskSide: Side = {
  chunkBytes: 262_144,
  openToRead: async (path) => opened(await fs.open(path, 'r')),
  openToWrite: async (path, isNew) => opened(await openToWrite(path, isNew)),
  rename: (from, to) => fs.rename(from, to),
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

const SAID: Readonly<Record<string, readonly [string, string]>> = {
  ENOENT: ['there is no such file or folder', 'Check the path.'],
  ENOTDIR: ['a part of the path is not a folder', 'Check the path.'],
  EISDIR: ['it is not a file', 'Name a file.'],
  EACCES: ['permission denied', 'Check owner and permissions.'],
  EPERM: ['permission denied', 'Check owner and permissions.'],
  EROFS: ['the file system is read-only', 'Name another folder.'],
  ENOSPC: [
    'no space is left on the device',
    'Free some space, or name another folder; what was carried so far is kept and goes on.',
  ],
  EDQUOT: [
    'the disk quota is exceeded',
    'Free some space within the quota; what was carried so far is kept and goes on.',
  ],
  ENAMETOOLONG: ['the name is too long', 'Shorten the name.'],
}

function explainOnDisk(failure: unknown, path: string, verb: string): Error {
  if (failure instanceof ConnectorError) return failure
  const { code = '', message } = failure as NodeJS.ErrnoException
  const [said, hint] = SAID[code] ?? [message, 'See what the system says.']
  return new ConnectorError('refused', `cannot ${verb} ${path} on this machine: ${said}`, hint, failure)
}
