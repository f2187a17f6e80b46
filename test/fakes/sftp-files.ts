import * as fs from 'node:fs'
import { type SFTPWrapper, utils } from 'ssh2'

const { STATUS_CODE, OPEN_MODE } = utils.sftp

const statusOf = (failure: NodeJS.ErrnoException | null): number => {
  if (failure === null) return STATUS_CODE.OK
  if (failure.code === 'ENOENT') return STATUS_CODE.NO_SUCH_FILE
  if (failure.code === 'EACCES' || failure.code === 'EPERM') return STATUS_CODE.PERMISSION_DENIED
  return STATUS_CODE.FAILURE
}

const flagsOf = (pflags: number): number => {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL } = fs.constants
  const has = (flag: number): boolean => (pflags & flag) !== 0
  const way = has(OPEN_MODE.WRITE) ? (has(OPEN_MODE.READ) ? O_RDWR : O_WRONLY) : O_RDONLY
  return (
    way |
    (has(OPEN_MODE.CREAT) ? O_CREAT : 0) |
    (has(OPEN_MODE.TRUNC) ? O_TRUNC : 0) |
    (has(OPEN_MODE.EXCL) ? O_EXCL : 0)
  )
}

/**
 * The files of this machine over sftp, as far as floe asks for: no extensions, so a rename over a file that is there fails, as with servers
 * other than OpenSSH's. `banner` is printed before the protocol begins, as a noisy start file does.
 */
export function serveFiles(sftp: SFTPWrapper, banner: string): void {
  const handles = new Map<number, number>()
  let next = 0
  const fdOf = (handle: Buffer): number => handles.get(handle.readUInt32BE(0)) ?? -1
  const answer = (id: number) => (failure: NodeJS.ErrnoException | null) => sftp.status(id, statusOf(failure))
  if (banner !== '') {
    const { _protocol: protocol, outgoing } = sftp as unknown as Inside
    protocol.channelData(outgoing.id, Buffer.from(banner))
  }
  sftp.on('OPEN', (id, path, pflags, attrs) =>
    fs.open(path, flagsOf(pflags), attrs.mode ?? 0o666, (failure, fd) => {
      if (failure) return answer(id)(failure)
      const handle = Buffer.alloc(4)
      handle.writeUInt32BE(next)
      handles.set(next++, fd)
      sftp.handle(id, handle)
    }),
  )
  sftp.on('READ', (id, handle, offset, length) =>
    fs.read(fdOf(handle), Buffer.alloc(length), 0, length, offset, (failure, count, bytes) => {
      if (failure) answer(id)(failure)
      else if (count === 0) sftp.status(id, STATUS_CODE.EOF)
      else sftp.data(id, bytes.subarray(0, count))
    }),
  )
  sftp.on('WRITE', (id, handle, offset, data) => fs.write(fdOf(handle), data, 0, data.length, offset, answer(id)))
  sftp.on('FSTAT', (id, handle) =>
    fs.fstat(fdOf(handle), (failure, stats) => {
      if (failure) return answer(id)(failure)
      const { mode, uid, gid, size } = stats
      sftp.attrs(id, { mode, uid, gid, size, atime: stats.atimeMs / 1000, mtime: stats.mtimeMs / 1000 })
    }),
  )
  sftp.on('FSETSTAT', (id, handle, { mode }) => fs.fchmod(fdOf(handle), mode ?? 0o600, answer(id)))
  sftp.on('CLOSE', (id, handle) => {
    const fd = fdOf(handle)
    handles.delete(handle.readUInt32BE(0))
    fs.close(fd, answer(id))
  })
  sftp.on('REMOVE', (id, path) => fs.unlink(path, answer(id)))
  sftp.on('RENAME', (id, from, to) => {
    if (fs.existsSync(to)) sftp.status(id, STATUS_CODE.FAILURE)
    else fs.rename(from, to, answer(id))
  })
  // ssh2 does not answer the end of an sftp session by itself.
  sftp.on('end', () => sftp.end())
  sftp.on('close', () => {
    for (const fd of handles.values()) fs.close(fd, () => undefined)
    handles.clear()
  })
}

interface Inside {
  readonly _protocol: { channelData(id: number, data: Buffer): void }
  readonly outgoing: { readonly id: number }
}
