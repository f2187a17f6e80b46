import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { FloeError } from '../../../src/model/errors.ts'
import { endOf, tokenByKerberos, tokenInFile } from '../../../src/ports/files/hdfs-login.ts'
import { type KerberosPackage, negotiateWith } from '../../../src/ports/files/kerberos.ts'

/** Of alice, as HDFS 3.4.2 gives it: issued at 1796073758921, ended two minutes later. */
const TOKEN =
  'HgAFYWxpY2UFYWxpY2UAigGiLlagyYoBoi5YdYkBAhQwn8qOdzMrNLe3JW_mHzg7F2ZeKxJXRUJIREZTIGRlbGVnYXRpb24NbmFtZW5vZGU6ODAyMA'
const END = 1796073878921
const HOUR = 3_600_000

describe('a delegation token', () => {
  it('says when it ends', () => {
    expect(endOf(TOKEN)).toBe(END)
  })

  it.each(['', 'x', 'nonsense', TOKEN.slice(0, 20), `x${TOKEN}`, 'HgAF-_'])('is not %j', (text) => {
    expect(endOf(text)).toBeUndefined()
  })
})

describe('a token in a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'floe-token-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }

  it('is read again when it was refused', async () => {
    const path = file('new', `${TOKEN}\n`)
    const { tokens } = tokenInFile(path)
    const other = `${TOKEN.slice(0, -1)}B`
    expect(await tokens()).toBe(TOKEN)
    expect(await tokens(TOKEN)).toBe(TOKEN)
    file('new', other)
    expect(await tokens()).toBe(TOKEN)
    expect(await tokens(TOKEN)).toBe(other)
  })

  it('is warned of a day before it ends', async () => {
    const { keep } = tokenInFile(file('ends', TOKEN))
    expect(await keep(END - 25 * HOUR)).toBeNull()
    expect(await keep(END - 23 * HOUR)).toMatch(/ends ends at 2026-11-30 21:24 UTC: put a new one there$/)
    expect(await keep(END + HOUR)).toContain('ended at 2026-11-30 21:24 UTC')
  })

  it('that is absent, or none, is said', async () => {
    const refused = (words: string) => ({ code: 'HDFS_LOGIN', message: expect.stringContaining(words) })
    await expect(tokenInFile(join(folder, 'absent')).tokens()).rejects.toMatchObject(refused('cannot be read'))
    await expect(tokenInFile(file('none', 'secret')).tokens()).rejects.toMatchObject(refused('no delegation token'))
    expect(await tokenInFile(join(folder, 'absent')).keep(0)).toContain('cannot be read')
  })
})

describe('a token by Kerberos', () => {
  /** Tokens that live a day, and are renewed for an hour; `ticket` false: nobody can log in. */
  function clerk() {
    const asked: string[] = []
    const state = { nowMs: 1796073758921, ticket: true, asked }
    const check = () => {
      if (!state.ticket) throw new FloeError('HDFS_LOGIN', 'no ticket', { hint: '`kinit` gets a ticket.' })
    }
    const tokens = new Map<string, number>()
    return {
      state,
      async takeToken() {
        asked.push('take')
        check()
        const token = tokenFrom(state.nowMs, state.nowMs + 24 * HOUR)
        tokens.set(token, state.nowMs + 24 * HOUR)
        return token
      },
      async renewToken(token: string) {
        asked.push('renew')
        check()
        return Math.min(tokens.get(token)!, state.nowMs + 10 * HOUR)
      },
    }
  }

  it('is taken once, and again when it was refused', async () => {
    const one = clerk()
    const { tokens } = tokenByKerberos(one, 'webhdfs://nn:9870')
    const [first, second] = await Promise.all([tokens(), tokens()])
    expect(second).toBe(first)
    expect(one.state.asked).toEqual(['take'])
    one.state.nowMs += HOUR
    const other = await tokens(first)
    expect(other).not.toBe(first)
    expect(await tokens(first)).toBe(other)
  })

  it('is renewed halfway, and replaced before what cannot be renewed any more', async () => {
    const { state, ...one } = clerk()
    const login = tokenByKerberos(one, 'webhdfs://nn:9870')
    expect(await login.keep(state.nowMs)).toBeNull()
    expect(state.asked).toEqual([])
    const first = await login.tokens()
    let replacedAt: number | undefined
    for (let hour = 0; hour < 24; hour++) {
      expect(await login.keep(state.nowMs)).toBeNull()
      if (replacedAt === undefined && (await login.tokens()) !== first) replacedAt = hour
      state.nowMs += HOUR
    }
    expect(replacedAt).toBeGreaterThan(14)
    expect(replacedAt).toBeLessThan(24)
    expect(state.asked.length).toBeLessThan(10)
  })

  it('that cannot be kept alive is warned of, until there is a ticket again', async () => {
    const { state, ...one } = clerk()
    const login = tokenByKerberos(one, 'webhdfs://nn:9870')
    const first = await login.tokens()
    await login.keep(state.nowMs)
    state.ticket = false
    state.nowMs += 6 * HOUR
    expect(await login.keep(state.nowMs)).toMatch(
      /^the delegation token of webhdfs:\/\/nn:9870 ends at .* UTC: no ticket; `kinit` gets a ticket\.$/,
    )
    const asked = state.asked.length
    expect(await login.keep(state.nowMs + 1000)).not.toBeNull()
    expect(state.asked, 'not asked again at once').toHaveLength(asked)
    state.ticket = true
    state.nowMs += 2 * HOUR
    expect(await login.keep(state.nowMs)).toBeNull()
    expect(await login.tokens()).toBe(first)
  })

  function tokenFrom(issuedMs: number, endsMs: number): string {
    const time = (at: number) => [0x8a, ...Buffer.from(at.toString(16).padStart(12, '0'), 'hex')]
    const identifier = [0, 1, 97, 1, 97, 0, ...time(issuedMs), ...time(endsMs), 1, 2]
    return Buffer.from([identifier.length, ...identifier, 0]).toString('base64url')
  }
})

describe('a login by Kerberos', () => {
  const packageThat = (step: (service: string, mechanism: number) => string): KerberosPackage => ({
    ...{ GSS_MECH_OID_KRB5: 9, GSS_MECH_OID_SPNEGO: 6 },
    initializeClient: async (service, { mechOID }) => ({ step: async () => step(service, mechOID) }),
  })
  const fails = (text: string) => () => {
    throw new Error(text)
  }

  it('is made for the host, by SPNEGO', async () => {
    const negotiate = negotiateWith(() => packageThat((service, mechanism) => `${service} ${mechanism}`))
    expect(await negotiate('nn.example.org')).toBe('HTTP@nn.example.org 6')
  })

  // As MIT Kerberos 1.20 says them.
  it.each([
    ['Unspecified GSS failure.  Minor code may provide more information: Ticket expired', /: Ticket expired$/, 'kinit'],
    [
      'No credentials were supplied, or the credentials were unavailable or inaccessible: No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_2000)',
      /: No Kerberos credentials available/,
      'kinit',
    ],
    [
      'Unspecified GSS failure.  Minor code may provide more information: Server HTTP/nn@FLOE.TEST not found in Kerberos database',
      /not found/,
      'principal HTTP/host',
    ],
    ['Unspecified GSS failure.  Minor code may provide more information: Clock skew too great', /skew/, 'clock'],
    [
      'Unspecified GSS failure.  Minor code may provide more information: Cannot find KDC for realm "FLOE.TEST"',
      /KDC/,
      'krb5.conf',
    ],
  ])('%s', async (text, message, hint) => {
    await expect(negotiateWith(() => packageThat(fails(text)))('nn')).rejects.toMatchObject({
      ...{ code: 'HDFS_LOGIN', message: expect.stringMatching(message), hint: expect.stringContaining(hint) },
    })
  })

  it('says the reason that SPNEGO hides', async () => {
    const step = (_: string, mechanism: number) => {
      throw new Error(mechanism === 6 ? 'SPNEGO cannot find mechanisms to negotiate' : 'Ticket expired')
    }
    await expect(negotiateWith(() => packageThat(step))('nn')).rejects.toMatchObject({
      message: expect.stringContaining('Ticket expired'),
    })
  })

  it('without the package says how to install it', async () => {
    await expect(negotiateWith()('nn')).rejects.toMatchObject({
      ...{ code: 'CONFIG_INVALID', hint: expect.stringContaining('npm install kerberos') },
    })
  })
})
