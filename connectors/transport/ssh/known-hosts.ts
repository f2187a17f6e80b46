import { createHash, createHmac } from 'node:crypto'

/** A line of a known_hosts file. */
export interface KnownHost {
  readonly file: string
  readonly line: number
  readonly marker: 'revoked' | 'cert-authority' | undefined
  /** As written: patterns separated by commas, or one hashed name. */
  readonly hosts: string
  readonly type: string
  readonly key: Buffer
}

export type HostVerdict =
  | { readonly is: 'known' }
  /** `others`: what is known of this host, of other types. */
  | { readonly is: 'unknown'; readonly others: readonly KnownHost[] }
  | { readonly is: 'changed' | 'revoked'; readonly by: KnownHost }

/** Lines that are none are left out, as OpenSSH does. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  return text.split('\n').flatMap((line, at) => {
    const words = line.trim().split(/[ \t]+/)
    const marker = words[0]?.startsWith('@') ? words.shift()!.slice(1) : undefined
    const [hosts, type, key] = words
    if (!hosts || !type || !key || hosts.startsWith('#')) return []
    if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') return []
    return [{ file, line: at + 1, marker, hosts, type, key: Buffer.from(key, 'base64') } as const]
  })
}

/** The name under which a host is looked up. */
export const lookupName = (host: string, port: number): string =>
  port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`

/** Lines that speak of this host. */
export const linesFor = (lines: readonly KnownHost[], name: string): KnownHost[] =>
  lines.filter(({ hosts }) => (hosts.startsWith('|') ? isHashed(hosts, name) : isNamed(hosts, name)))

/** What lines for a host say of the key that it shows. A revoked key is revoked whatever else is there. */
export function judge(lines: readonly KnownHost[], shown: Buffer): HostVerdict {
  const same = lines.filter(({ key }) => key.equals(shown))
  const revoked = same.find(({ marker }) => marker === 'revoked')
  if (revoked) return { is: 'revoked', by: revoked }
  if (same.some(({ marker }) => marker === undefined)) return { is: 'known' }
  const others = lines.filter(({ marker }) => marker === undefined)
  const type = keyType(shown)
  const changed = others.find((line) => line.type === type)
  return changed ? { is: 'changed', by: changed } : { is: 'unknown', others }
}

const ALGORITHMS = [
  ...['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ...['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
]

/** Algorithms to ask for: those of known keys first, else a host with several keys may show one that is not known. */
export function hostKeyAlgorithms(lines: readonly KnownHost[]): string[] {
  const types = new Set(lines.filter(({ marker }) => marker === undefined).map(({ type }) => type))
  const isKnown = (name: string): boolean => types.has(name.startsWith('rsa-') ? 'ssh-rsa' : name)
  return [...ALGORITHMS.filter(isKnown), ...ALGORITHMS.filter((name) => !isKnown(name))]
}

/** The type that a key in wire form names itself. */
export const keyType = (key: Buffer): string =>
  key.length < 4 ? '' : key.toString('latin1', 4, 4 + key.readUInt32BE(0))

/** As `ssh-keygen -l` shows it. */
export const fingerprint = (key: Buffer): string =>
  `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`

function isHashed(hosts: string, name: string): boolean {
  const [, version, salt, hash] = hosts.split('|')
  if (version !== '1' || !salt || !hash) return false
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash
}

function isNamed(hosts: string, name: string): boolean {
  const patterns = hosts.toLowerCase().split(',')
  const isLike = (pattern: string): boolean => wildcard(pattern).test(name)
  if (patterns.some((pattern) => pattern.startsWith('!') && isLike(pattern.slice(1)))) return false
  return patterns.some(isLike)
}

/** `*` any text, `?` one character. */
const wildcard = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '.*')
      .replaceAll('?', '.')}$`,
    's',
  )
