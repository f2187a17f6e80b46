import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  fingerprint,
  hostKeyAlgorithms,
  judge,
  linesFor,
  lookupName,
  parseKnownHosts,
} from '../../../connectors/transport/ssh/known-hosts.ts'

/** A key in wire form: its type, then anything. */
function key(type: string, rest: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(type.length)
  return Buffer.concat([length, Buffer.from(type), Buffer.from(rest)])
}
const ed = key('ssh-ed25519', 'first')
const other = key('ssh-ed25519', 'second')
const rsa = key('ssh-rsa', 'third')
const line = (hosts: string, bytes: Buffer, marker = ''): string => {
  const type = bytes.toString('latin1', 4, 4 + bytes.readUInt32BE(0))
  return `${marker}${hosts} ${type} ${bytes.toString('base64')} a comment`
}
const hashed = (name: string): string => {
  const salt = Buffer.from('0123456789abcdefghij')
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}
const verdict = (text: string, name: string, shown: Buffer) =>
  judge(linesFor(parseKnownHosts(text, 'known'), name), shown)

describe('a host key', () => {
  it.each([
    ['by name', 'login.frost', 'login.frost'],
    ['by one name of several', 'frost,login.frost,10.0.0.1', 'login.frost'],
    ['whatever the case', 'Login.FROST', 'login.frost'],
    ['by a port', '[login.frost]:2222', '[login.frost]:2222'],
    ['hashed', hashed('login.frost'), 'login.frost'],
    ['hashed with a port', hashed('[login.frost]:2222'), '[login.frost]:2222'],
    ['by a pattern', '*.frost', 'login.frost'],
    ['by a pattern of one character', 'login?.frost', 'login2.frost'],
  ])('is known %s', (_how, hosts, name) => {
    expect(verdict(line(hosts, ed), name, ed)).toEqual({ is: 'known' })
    expect(verdict(line(hosts, ed), name, other).is).toBe('changed')
    expect(verdict(line(hosts, ed), 'mail.example.org', ed).is).toBe('unknown')
  })

  it.each([
    ['of the same host at another port', '[login.frost]:2222', 'login.frost'],
    ['without its port', 'login.frost', '[login.frost]:2222'],
    ['of another name that is hashed', hashed('login.frost'), 'loginxfrost'],
    ['where a dot is not any character', 'login.frost', 'loginxfrost'],
    ['that a pattern takes out', '*.frost,!login.frost', 'login.frost'],
    ['of the beginning of a name', 'login', 'login.frost'],
  ])('is not known %s', (_how, hosts, name) => {
    expect(verdict(line(hosts, ed), name, ed).is).toBe('unknown')
  })

  it('may be one of several', () => {
    const text = [line('frost', other), line('frost', ed), line('frost', rsa)].join('\n')
    for (const one of [ed, other, rsa]) expect(verdict(text, 'frost', one)).toEqual({ is: 'known' })
  })

  it('that is revoked is refused, although it is known too', () => {
    const text = [line('frost', ed), line('*', ed, '@revoked ')].join('\n')
    expect(verdict(text, 'frost', ed)).toMatchObject({ is: 'revoked', by: { file: 'known', line: 2 } })
  })

  it('that has changed is told with the line that says so', () => {
    const text = ['# comment', '', line('frost', ed)].join('\n')
    expect(verdict(text, 'frost', other)).toMatchObject({ is: 'changed', by: { line: 3 } })
  })

  it('of another type than those that are known is not known', () => {
    expect(verdict(line('frost', rsa), 'frost', ed)).toMatchObject({ is: 'unknown', others: [{ line: 1 }] })
  })

  it('of an authority knows no host', () => {
    expect(verdict(line('*.frost', ed, '@cert-authority '), 'login.frost', ed).is).toBe('unknown')
  })

  it('is not found in lines that are none', () => {
    for (const text of ['frost', 'frost ssh-ed25519', '@odd frost ssh-ed25519 AAAA', '|1|xx frost', '\0\0'])
      expect(verdict(text, 'frost', ed).is, text).toBe('unknown')
  })
})

describe('names and algorithms', () => {
  it('look a host up as OpenSSH does', () => {
    expect(lookupName('Login.Frost', 22)).toBe('login.frost')
    expect(lookupName('login.frost', 2222)).toBe('[login.frost]:2222')
  })

  it('ask first for what is known', () => {
    expect(hostKeyAlgorithms(parseKnownHosts(line('frost', rsa), 'f')).slice(0, 3)).toEqual([
      'rsa-sha2-512',
      'rsa-sha2-256',
      'ssh-rsa',
    ])
    expect(hostKeyAlgorithms([])[0]).toBe('ssh-ed25519')
    expect(hostKeyAlgorithms(parseKnownHosts(line('frost', rsa, '@revoked '), 'f'))[0]).toBe('ssh-ed25519')
  })

  it('show a fingerprint as ssh-keygen does', () => {
    const known = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl'
    expect(fingerprint(Buffer.from(known, 'base64'))).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU')
  })
})
