import { generateKeyPairSync } from 'node:crypto'

/** A user's key for ssh: the private one in a form that OpenSSH and ssh2 read, the public one as in authorized_keys. */
export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

export function makeKey(): KeyPair {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = pair.publicKey.export({ format: 'jwk' })
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')])
  // RFC 5656, section 3.1: name of the kind, name of the curve, the point uncompressed.
  const blob = Buffer.concat(['ecdsa-sha2-nistp256', 'nistp256', point].map(field))
  return {
    privateKey: pair.privateKey.export({ type: 'sec1', format: 'pem' }) as string,
    publicKey: `ecdsa-sha2-nistp256 ${blob.toString('base64')}`,
  }
}

function field(value: string | Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(value.length)
  return Buffer.concat([length, Buffer.from(value)])
}
