import { once } from 'node:events'
import { Client, type ConnectConfig } from 'ssh2'
import { afterEach, expect, it } from 'vitest'
import { openCampaignAt } from './campaign-at.ts'
import { type SshHostOptions, startSshHost } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'
import type { Site, SshEntry } from './site.ts'

/* What the tests of transports take for granted of the hosts in containers. */

describeSite('a host to log in to', () => {
  const opened: { site?: Site; clients: Client[] } = { clients: [] }
  afterEach(async () => {
    for (const client of opened.clients.splice(0)) client.end()
    await opened.site?.stop()
  })

  async function open(options: SshHostOptions = {}): Promise<SshEntry> {
    opened.site = await startSshHost(options)
    return opened.site.ssh()
  }

  function newClient(): Client {
    // A connection that failed may say more later.
    const client = new Client().on('error', () => {})
    opened.clients.push(client)
    return client
  }

  async function connect(entry: SshEntry, more: ConnectConfig = {}): Promise<Client> {
    const client = newClient()
    const { host, port, user, privateKey, hostKey } = entry
    const ready = once(client, 'ready')
    client.connect({
      ...{ host, port, username: user, privateKey },
      hostVerifier: (blob: Buffer) => blob.toString('base64') === hostKey.split(' ')[1],
      ...more,
    })
    await ready
    return client
  }

  const run = (client: Client, command: string): Promise<{ stdout: string; exit: number }> =>
    new Promise((resolve, reject) => {
      client.exec(command, (error, channel) => {
        if (error) return reject(error)
        let stdout = ''
        channel.on('data', (bytes: Buffer) => {
          stdout += bytes
        })
        channel.stderr.resume()
        channel.on('close', (exit: number) => resolve({ stdout, exit }))
      })
    })

  it('lets alice in with her key and no other, and is known by its own', async () => {
    const entry = await open()
    expect(await run(await connect(entry), 'id -un; exit 3')).toEqual({ stdout: 'alice\n', exit: 3 })
    await expect(connect({ ...entry, user: 'root' })).rejects.toThrow('authentication')
    await expect(connect({ ...entry, hostKey: 'ssh-ed25519 AAAA' })).rejects.toThrow('Host denied')
  })

  it('shows a banner before, noise around, and allows one channel', async () => {
    const entry = await open({ banner: 'Ice only.\n', noise: 'Welcome to frost!\n', maxSessions: 1 })
    const client = newClient()
    const banner = once(client, 'banner')
    client.connect({ host: entry.host, port: entry.port, username: 'alice', privateKey: entry.privateKey })
    expect((await banner)[0]).toContain('Ice only.')
    await once(client, 'ready')
    const first = run(client, 'sleep 2; echo hello')
    await expect(run(client, 'true')).rejects.toThrow('open failed')
    expect((await first).stdout).toBe('Welcome to frost!\nhello\n')
  })

  it('has csh as login shell, which prints its noise too', async () => {
    const client = await connect(await open({ shell: 'csh', noise: 'Welcome to frost!\n' }))
    expect((await run(client, 'echo $shell')).stdout).toBe('Welcome to frost!\n/bin/csh\n')
    expect((await run(client, 'X=1; echo $X')).exit).toBe(1)
  })

  it('asks for a password after the key', async () => {
    const entry = await open({ password: '271828' })
    await expect(connect(entry)).rejects.toThrow('authentication')
    const client = newClient()
    client.on('keyboard-interactive', (_name, _text, _lang, _prompts, finish) => finish(['271828']))
    const ready = once(client, 'ready')
    const { host, port, privateKey } = entry
    client.connect({ host, port, username: 'alice', privateKey, tryKeyboard: true })
    await ready
    expect((await run(client, 'echo in')).stdout).toBe('in\n')
  })

  it('leads to a machine behind it', async () => {
    const entry = await open({ inner: true })
    const outer = await connect(entry)
    const sock = await new Promise<import('ssh2').ClientChannel>((resolve, reject) =>
      outer.forwardOut('127.0.0.1', 0, 'inner', 22, (error, channel) => (error ? reject(error) : resolve(channel))),
    )
    const inner = await connect(entry, { sock, hostVerifier: () => true })
    expect((await run(inner, 'hostname')).stdout).toBe('inner\n')
  })

  it('is another after its key was changed, and can be paused, cut off and killed', async () => {
    const entry = await open()
    const { login } = opened.site!
    await login.ask('touch /scratch/kept')
    await login.unplug()
    await expect(connect(entry, { readyTimeout: 3000 })).rejects.toThrow()
    await login.plug()
    expect((await run(await connect(await opened.site!.ssh()), 'ls /scratch')).stdout).toContain('kept')
    await login.kill()
    await login.start()
    const after = await opened.site!.ssh()
    expect(after.hostKey).toBe(entry.hostKey)
    await login.pause()
    await expect(connect(after, { readyTimeout: 2000 })).rejects.toThrow('Timed out')
    await login.unpause()
    await login.ask('rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key')
    await login.ask('kill -HUP "$(cat /run/sshd.pid)"')
    expect((await opened.site!.ssh()).hostKey).not.toBe(entry.hostKey)
    await expect(connect(after)).rejects.toThrow('Host denied')
  })
})

describeSite('a machine without a scheduler, in a container', () => {
  it('goes on after a restart, with what was under way alone', async () => {
    const site = await startSshHost()
    let other: Site | undefined
    try {
      const campaign = await openCampaignAt(site, {
        ...{ connector: 'local', interval: '1s' },
        more: '    slots: 2\n',
        settings: 'batch: {jobs: 3}\n',
      })
      const { place } = campaign
      const text = 'echo "$FLOE_JOB" >>/scratch/alice/starts; sleep 1.5'
      const jobs = Array.from({ length: 9 }, (_, at) => ({
        id: `j${at}`,
        executable: '/bin/sh',
        arguments: ['-c', text],
      }))
      place.jobs('jobs.ndjson', jobs)
      await campaign.run('add', place.path('jobs.ndjson'))
      const starts = async () =>
        (await site.login.ask('cat /scratch/alice/starts 2>/dev/null; :')).split('\n').filter(Boolean)
      const { child, told } = campaign.follow()
      await until(async () => (await starts()).length >= 4, { what: 'jobs ended, and others run' })
      child.kill('SIGINT')
      await told
      await site.login.kill()
      // What it had of the kernel, as the number of its pids, is another's now.
      other = await startSshHost()
      await site.login.start()
      const before = await starts()
      await campaign.locate()
      const { stdout, stderr } = await campaign.run('run', '--site', 'frost', '--json')
      expect(JSON.parse(stdout || '{}'), stderr).toMatchObject({ succeeded: 9, failed: 0, lost: 0 })
      const all = (await starts()).sort()
      expect(new Set(all).size).toBe(9)
      // No more than ran on its two cores.
      const twice = all.filter((job, at) => all[at - 1] === job)
      expect(twice.length).toBeLessThanOrEqual(2)
      for (const job of twice) expect(before).toContain(job)
    } finally {
      await Promise.all([site.stop(), other?.stop()])
    }
  })
})
