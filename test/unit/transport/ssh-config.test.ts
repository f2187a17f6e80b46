import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type HostOptions, parseSettings, planFor, toPlan } from '../../../connectors/transport/ssh/config.ts'

const folder = mkdtempSync(join(tmpdir(), 'floe-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What OpenSSH and we make of a config. */
async function plan(config: string, target: string, options: HostOptions = {}) {
  const file = join(folder, 'config')
  writeFileSync(file, config)
  return planFor(target, { ...options, configFile: file })
}

describe('~/.ssh/config', () => {
  it('gives host, port, user, keys, files of a name', async () => {
    const config = `
Host frost
  HostName login.frost.example.org
  Port 2222
  User alice
  IdentityFile ~/.ssh/%r-at-%h
  IdentityFile /keys/second
  IdentitiesOnly yes
  IdentityAgent /run/agent-%u
  UserKnownHostsFile /known/%d-not-a-token /known/two
  HostKeyAlias frost-key
  ConnectTimeout 7
  ServerAliveInterval 30
  ServerAliveCountMax 5
  AddressFamily inet
Host *
  User nobody
  IdentityFile /keys/for-all
`
    const seen = await plan(config, 'frost')
    expect(seen).toMatchObject({
      ...{ target: 'frost', host: 'login.frost.example.org', port: 2222, user: 'alice', identitiesOnly: true },
      agent: `/run/agent-${userInfo().username}`,
      ...{
        hostKeyAlias: 'frost-key',
        connectTimeoutMs: 7000,
        aliveIntervalMs: 30_000,
        aliveCountMax: 5,
        addressFamily: 4,
      },
      ...{ jumps: [], proxyCommand: undefined },
    })
    expect(seen.identityFiles).toEqual([
      join(homedir(), '.ssh/alice-at-login.frost.example.org'),
      ...['/keys/second', '/keys/for-all'],
    ])
    expect(seen.knownHostsFiles).toContain('/known/two')
  })

  it('follows patterns, Match and Include', async () => {
    writeFileSync(join(folder, 'more'), 'Host *.frost\n  User from-include\n')
    const config = `Include ${join(folder, 'more')}\nMatch host *.ice\n  Port 2200\n  User of-ice\nHost * !gate.*\n  Port 22022\n`
    expect(await plan(config, 'login.frost')).toMatchObject({ user: 'from-include', port: 22022 })
    expect(await plan(config, 'a.ice')).toMatchObject({ user: 'of-ice', port: 2200 })
    expect(await plan(config, 'gate.frost')).toMatchObject({ user: 'from-include', port: 22 })
  })

  it('gives jumps, and a proxy command with its tokens', async () => {
    const config =
      'Host inner\n  ProxyJump alice@gate:2200,second\nHost other\n  HostName o.frost\n  ProxyCommand nc -X 5 %h %p 100%%\n'
    expect((await plan(config, 'inner')).jumps).toEqual(['alice@gate:2200', 'second'])
    expect((await plan(config, 'other')).proxyCommand).toBe('nc -X 5 o.frost 22 100%')
    expect((await plan(config, 'inner', { jump: 'none' })).jumps).toEqual([])
  })

  it('yields to what the site says', async () => {
    const config = 'Host frost\n  Port 2222\n  IdentityFile /keys/theirs\n  IdentityAgent /run/theirs\n'
    const mine = join(folder, 'a key of mine')
    writeFileSync(mine, '')
    const options = { port: 2200, identity: mine, agent: '/run/mine', jump: 'gate', knownHosts: '~/known' }
    const seen = await plan(config, 'bob@frost', options)
    expect(seen).toMatchObject({ user: 'bob', port: 2200, agent: '/run/mine', jumps: ['gate'] })
    expect(seen.identityFiles.slice(0, 2)).toEqual([mine, '/keys/theirs'])
    expect(seen.knownHostsFiles[0]).toBe(join(homedir(), 'known'))
    expect((await plan(config, 'frost', { agent: 'none' })).agent).toBeUndefined()
    await expect(plan(config, 'frost', { identity: '/keys/absent' })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('no key file /keys/absent'),
    })
  })

  it('that cannot be read is told with what ssh says of it', async () => {
    await expect(plan('Host frost\n  Prot 22\n', 'frost')).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/line 2.*[Pp]rot/s),
    })
  })
})

describe('a plan', () => {
  it('has defaults where ssh says nothing', () => {
    const seen = toPlan(
      'frost',
      {},
      parseSettings('hostname frost\nconnecttimeout none\nproxyjump none\nidentityagent none'),
    )
    expect(seen).toMatchObject({
      port: 22,
      connectTimeoutMs: 20_000,
      aliveIntervalMs: 15_000,
      jumps: [],
      agent: undefined,
    })
  })

  it.each(['$(reboot)', 'a;b', 'a b', '-oProxyCommand=x', "it's", 'a|b', '`x`'])('refuses the host %j', (host) => {
    expect(() => toPlan('frost', {}, parseSettings(`hostname ${host}\nproxycommand nc %h %p`))).toThrow(
      /cannot be the host/,
    )
  })

  it.each(['fe80::1%eth0', '10.0.0.1', 'login-1.frost_2.example.org', 'größe.example'])('takes the host %j', (host) => {
    expect(toPlan('x', {}, parseSettings(`hostname ${host}`)).host).toBe(host)
  })
})
