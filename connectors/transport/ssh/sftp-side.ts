import { posix } from 'node:path'
import ssh2, { type Stats } from 'ssh2'
import { ConnectorError } from '../../connector.ts'
import { type OpenFile, type Renaming, SAID_OF, type Said, type Side } from '../side.ts'
import type { Output } from '../transport.ts'
import { type Channels, cutOff, type FilesChannel } from './channels.ts'
import './sftp-noise.ts'
import {
  digestsScript,
  foldersScript,
  movesScript,
  parseDigests,
  parseMoves,
  parseRoom,
  roomScript,
} from './far-commands.ts'

/** OpenSSH takes up to 255 kB in a call (a third less CPU here than 32 kB); for servers that take less ssh2 divides it. */
const CHUNK_BYTES = 131_072
const { READ, WRITE, CREAT, TRUNC } = ssh2.utils.sftp.OPEN_MODE
const { NO_SUCH_FILE, PERMISSION_DENIED, FAILURE } = ssh2.utils.sftp.STATUS_CODE

export interface SftpSideOptions {
  readonly channels: Channels
  readonly where: string
  readonly signal: AbortSignal
  run(script: string): Promise<Output>
}

/**
 * The files of a site over sftp; what concerns many at once by a command. It holds one channel at a time: the sftp session while files are
 * open, given back before a command, so that a site that allows one channel is enough.
 */
export class SftpSide implements Side {
  readonly chunkBytes = CHUNK_BYTES
  readonly #options: SftpSideOptions
  #session: Promise<FilesChannel & { give(): void }> | undefined
  #said: Promise<Said> | undefined

  constructor(options: SftpSideOptions) {
    this.#options = options
  }

  /** Gives back what it holds; it can be used again. */
  async release(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    const held = await session?.catch(() => undefined)
    held?.give()
  }

  async openToRead(path: string): Promise<OpenFile> {
    const { sftp, calls } = await this.#files()
    const handle = await calls.ask<Buffer>((then) => sftp.open(path, READ as never, then))
    const stats = await calls.ask<Stats>((then) => sftp.fstat(handle, then))
    if (stats.mode !== undefined && !stats.isFile()) {
      await calls.ask((then) => sftp.close(handle, then))
      throw new ConnectorError('refused', `${path} on ${this.#options.where}: ${SAID_OF.noFile[0]}`, SAID_OF.noFile[1])
    }
    return openFile({ sftp, calls }, handle, { sizeBytes: stats.size, mtimeSec: stats.mtime, mode: undefined })
  }

  async openToWrite(path: string, isNew: boolean): Promise<OpenFile> {
    const { sftp, calls } = await this.#files()
    const flags = WRITE | CREAT | (isNew ? TRUNC : 0)
    const handle = await calls.ask<Buffer>((then) => sftp.open(path, flags as never, { mode: 0o600 }, then))
    // A new file is known to be empty; its mode is not, if it was there.
    if (isNew) return openFile({ sftp, calls }, handle, { sizeBytes: 0, mtimeSec: 0, mode: undefined })
    const stats = await calls.ask<Stats>((then) => sftp.fstat(handle, then))
    return openFile({ sftp, calls }, handle, {
      sizeBytes: stats.size,
      mtimeSec: stats.mtime,
      mode: stats.mode & 0o7777,
    })
  }

  async rename(pairs: readonly Renaming[]): Promise<unknown[]> {
    const { sftp, calls } = await this.#files()
    // Plain rename of sftp refuses a target that is there.
    const one = ({ from, to }: Renaming): Promise<unknown> =>
      calls
        .ask((then) => sftp.ext_openssh_rename(from, to, then))
        .then(
          () => undefined,
          (failure: unknown) => failure,
        )
    const failures = await Promise.all(pairs.map(one))
    if (!failures.some((failure) => failure instanceof Error && /does not support/.test(failure.message)))
      return failures
    return parseMoves(await this.#run(movesScript(pairs)), pairs.length)
  }

  async remove(path: string): Promise<void> {
    const { sftp, calls } = await this.#files()
    await calls.ask((then) => sftp.unlink(path, then))
  }

  async makeFolders(paths: readonly string[]): Promise<void> {
    const { exit, stderr } = await this.#run(foldersScript(paths))
    if (exit === 0) return
    const [, hint] = /space/.test(stderr) ? SAID_OF.full : /quota/i.test(stderr) ? SAID_OF.quota : SAID_OF.forbidden
    throw new ConnectorError('refused', `cannot make folders on ${this.#options.where}: ${stderr.trim()}`, hint)
  }

  async digests(paths: readonly string[]): Promise<(string | undefined)[]> {
    return parseDigests(await this.#run(digestsScript(paths)), paths.length, this.#options.where)
  }

  async explain(failure: unknown, path: string, verb: string): Promise<Error> {
    if (failure instanceof ConnectorError) return failure
    const { where, signal } = this.#options
    if (signal.aborted) return signal.reason as Error
    const { code, message } = failure as Error & { code?: unknown }
    const session = await this.#session?.catch(() => undefined)
    if (session?.link.ended !== undefined || /No response from server|Not connected/.test(message))
      return cutOff(where, session?.link.ended ?? 'the sftp session ended', failure)
    const [said, hint] = await this.#words(code, path, message)
    return new ConnectorError('refused', `cannot ${verb} ${path} on ${where}: ${said}`, hint, failure)
  }

  async #words(code: unknown, path: string, message: string): Promise<Said> {
    if (code === NO_SUCH_FILE) return SAID_OF.missing
    if (code === PERMISSION_DENIED) return SAID_OF.forbidden
    if (code !== FAILURE) return [message, SAID_OF.other[1]]
    this.#said ??= this.#lookForRoom(posix.dirname(path))
    return this.#said
  }

  /** sftp says "Failure" of a full disk, of a quota, and of everything else. */
  async #lookForRoom(folder: string): Promise<Said> {
    const { sftp, calls } = await this.#files()
    const free = await calls
      .ask<{ f_bavail?: number; f_frsize?: number; f_favail?: number; f_files?: number }>((then) =>
        sftp.ext_openssh_statvfs(folder, then as never),
      )
      .catch(() => undefined)
    if (free && ((free.f_bavail ?? 1) === 0 || ((free.f_files ?? 0) > 0 && free.f_favail === 0))) return SAID_OF.full
    if (!this.#options.channels.hasRoom) return SAID_OF.other
    return this.#options.run(roomScript(folder)).then(parseRoom, () => SAID_OF.other)
  }

  async #run(script: string): Promise<Output> {
    await this.release()
    return this.#options.run(script)
  }

  async #files(): Promise<FilesChannel> {
    const { channels, signal } = this.#options
    this.#session ??= channels.files(signal)
    try {
      return await this.#session
    } catch (failure) {
      this.#session = undefined
      throw failure
    }
  }
}

interface Known {
  readonly sizeBytes: number
  readonly mtimeSec: number
  /** Permissions that it has; undefined: not known. */
  readonly mode: number | undefined
}

type Files = Pick<FilesChannel, 'sftp' | 'calls'>

function openFile({ sftp, calls }: Files, handle: Buffer, known: Known): OpenFile {
  return {
    sizeBytes: known.sizeBytes,
    mtimeSec: known.mtimeSec,
    read(position, sizeBytes) {
      const buffer = Buffer.allocUnsafe(sizeBytes)
      return calls.ask<Buffer>((then) =>
        sftp.read(handle, buffer, 0, sizeBytes, position, (failure, count) => then(failure, buffer.subarray(0, count))),
      )
    },
    write: (position, bytes) => calls.ask((then) => sftp.write(handle, bytes, 0, bytes.length, position, then)),
    size: async () => (await calls.ask<Stats>((then) => sftp.fstat(handle, then))).size,
    async chmod(mode) {
      if (mode !== known.mode) await calls.ask((then) => sftp.fchmod(handle, mode, then))
    },
    close: () => calls.ask((then) => sftp.close(handle, then)),
  }
}
