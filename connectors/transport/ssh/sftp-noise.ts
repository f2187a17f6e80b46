// @ts-expect-error: ssh2 exports the class nowhere else, and declares no types for this file.
import { SFTP } from 'ssh2/lib/protocol/SFTP.js'

/** A login that prints more than this is none that waits for sftp. */
const NOISE_MAX_BYTES = 1 << 20

interface Session {
  readonly server: boolean
  _version: number
  push(data: Buffer | null): unknown
}

/*
 * sshd starts its sftp server through the login shell, and what .bashrc or .cshrc print comes first: ssh2 1.17 (as sftp itself) then ends with
 * "Packet length 1466264675 exceeds max length". Nobody gets at a session before its first bytes, hence the change of the class: until the
 * server has said its version, what comes before that packet is dropped.
 */
const waiting = new WeakMap<Session, Buffer>()
const push = (SFTP.prototype as Session).push

;(SFTP.prototype as Session).push = function (this: Session, data) {
  if (data === null || this.server || this._version !== -1) return push.call(this, data)
  const bytes = Buffer.concat([waiting.get(this) ?? Buffer.alloc(0), data])
  const start = versionAt(bytes)
  if (start === undefined && bytes.length < NOISE_MAX_BYTES) {
    waiting.set(this, bytes)
    return true
  }
  waiting.delete(this)
  return push.call(this, bytes.subarray(start ?? 0))
}

/** Where a packet of type 2 (version) of version 3 begins: length (4 bytes, small), 2, 0 0 0 3. Text has no zeros. */
export function versionAt(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf(VERSION_3); at >= 0; at = bytes.indexOf(VERSION_3, at + 1))
    if (at >= 4 && bytes.readUInt16BE(at - 4) === 0) return at - 4
  return undefined
}

const VERSION_3 = Buffer.from([2, 0, 0, 0, 3])
