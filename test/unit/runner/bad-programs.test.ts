import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { JobEnded } from '../../../src/model/record.ts'
import { fakeJob } from '../../fakes/array.ts'
import { processesWith, type RanTask, script, useRunner } from '../../fakes/task.ts'

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('bad programs', () => {
  const runner = useRunner()
  const program = (name: string, content: string, mode = 0o755): string => {
    const path = join(runner.scratch, name)
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }
  const job = (ran: RanTask, name: string): JobEnded => ran.ended.get(name)!

  it('tells a program that could not start from one that ended so', async () => {
    const ran = await runner.run([
      fakeJob('path', { program: 'no-such-program-here' }),
      fakeJob('absent', { program: '/no/such/program' }),
      fakeJob('mode', { program: program('mode.sh', '#!/bin/sh\n', 0o644) }),
      fakeJob('folder', { program: '/tmp' }),
      fakeJob('shebang', { program: program('shebang.py', '#!/usr/bin/pyhton\n') }),
      fakeJob('env', { program: program('env.py', '#!/usr/bin/env no-such-python\n') }),
      fakeJob('windows', { program: program('windows.sh', '#!/bin/sh\r\necho hi\r\n') }),
      fakeJob('nul', { program: '/bin/echo', arguments: ['a\0b'] }),
      fakeJob('long', { program: '/bin/echo', arguments: ['x'.repeat(140_000)] }),
      fakeJob('own126', script('exit 126')),
      fakeJob('own127', script('no-such-command-within')),
      fakeJob('plain', { program: program('plain', 'echo no shebang\n') }),
      fakeJob('builtin', { program: 'test', arguments: ['1', '=', '1'] }),
    ])
    for (const name of ['path', 'absent', 'mode', 'folder', 'shebang', 'env', 'windows', 'nul', 'long'])
      expect(job(ran, name), name).toMatchObject({ verdict: 'failed', class: 'launch' })
    expect(job(ran, 'path').rule).toContain('is not on PATH')
    expect(job(ran, 'absent').rule).toBe('program /no/such/program is not there')
    expect(job(ran, 'mode').rule).toContain('has no run bit')
    expect(job(ran, 'shebang').rule).toContain('/usr/bin/pyhton, which is not there')
    expect(job(ran, 'env').rule).toContain('no-such-python, which is not on PATH')
    expect(job(ran, 'windows').rule).toContain('carriage return')
    expect(job(ran, 'own126')).toMatchObject({ class: 'app', rule: 'exit 126', exit: 126 })
    expect(job(ran, 'own127')).toMatchObject({ class: 'app', rule: 'exit 127', exit: 127 })
    expect(ran.log(job(ran, 'plain').stdout)).toBe('no shebang\n')
    expect(job(ran, 'builtin').verdict).toBe('succeeded')
  })

  it('gives the signal that ended a job, and an exit that only looks like one', async () => {
    const names = ['KILL', 'SEGV', 'TERM', 'PIPE', 'INT', 'ABRT']
    const ran = await runner.run([
      ...names.map((name) => fakeJob(name, script(`kill -${name} $$`))),
      fakeJob('own137', script('exit 137')),
      fakeJob('own200', script('exit 200')),
    ])
    for (const name of names)
      expect(job(ran, name), name).toMatchObject({ class: 'app', signal: name, exit: null, rule: `signal ${name}` })
    expect(job(ran, 'own137')).toMatchObject({ signal: null, exit: 137 })
    expect(job(ran, 'own200')).toMatchObject({ signal: null, exit: 200 })
  })

  it('fails a job that exits 0 without its output, and publishes nothing of it', async () => {
    const outputs = [
      { path: 'a', optional: false },
      { path: 'b', optional: false },
    ]
    const ran = await runner.run([fakeJob('half', { ...script('echo 1 > a'), outputs })])
    expect(job(ran, 'half')).toMatchObject({ verdict: 'failed', class: 'app', rule: 'output b is not there', exit: 0 })
    expect(existsSync(join(ran.outputs, 'a'))).toBe(false)
    expect(readFileSync(join(ran.directory, job(ran, 'half').sandbox!, 'a'), 'utf8')).toBe('1\n')
  })

  it('keeps head and tail of a flood and says how much was left out', async () => {
    const flood = 'echo first; head -c 90000000 /dev/zero | tr "\\0" x; echo; echo last; echo small >&2'
    const ran = await runner.run([
      fakeJob('before', script('echo before')),
      fakeJob('flood', script(flood)),
      fakeJob('slow', script(`${flood}; sleep 0.5; echo end`)),
      fakeJob('after', script('echo after')),
    ])
    for (const name of ['flood', 'slow']) {
      const { stdout, stderr, verdict } = job(ran, name)
      expect(verdict).toBe('succeeded')
      expect(stdout!.total).toBeGreaterThan(85e6)
      expect(stdout!.bytes).toBeLessThan(10.6e6)
      const text = ran.log(stdout)
      expect(text.startsWith('first\nxxx')).toBe(true)
      expect(text.endsWith(name === 'slow' ? 'xxx\nlast\nend\n' : 'xxx\nlast\n')).toBe(true)
      expect(text).toMatch(/\n\[floe: \d+ bytes left out\]\n/)
      expect(ran.log(stderr)).toBe('small\n')
    }
    expect(ran.log(job(ran, 'before').stdout)).toBe('before\n')
    expect(ran.log(job(ran, 'after').stdout)).toBe('after\n')
  })

  it('keeps streams apart when jobs open or cut them anew', async () => {
    const ran = await runner.run([
      fakeJob('a', script('echo a1; echo a2 >&2')),
      fakeJob('b', script('echo lost; echo b1 > /dev/stdout; echo b2 >> /dev/stderr')),
      fakeJob('c', script('echo c1; echo c2 >&2')),
      ...Array.from({ length: 40 }, (_, i) => fakeJob(`n${i}`, script(`printf ${i}`))),
    ])
    expect(ran.log(job(ran, 'a').stdout)).toBe('a1\n')
    expect(ran.log(job(ran, 'b').stdout)).toContain('b1\n')
    expect(ran.log(job(ran, 'b').stderr)).toBe('b2\n')
    expect(ran.log(job(ran, 'c').stdout)).toBe('c1\n')
    for (let i = 0; i < 40; i++) expect(ran.log(job(ran, `n${i}`).stdout)).toBe(`${i}`)
  })

  it('ends jobs over their walltime, also those that ignore TERM, and goes on', async () => {
    const token = `walltime-${process.pid}-${Math.random()}`
    const ran = await runner.run(
      [
        fakeJob('sleep', { ...script('sleep 30'), environment: { T: token } }),
        fakeJob('stubborn', {
          ...script('trap "" TERM INT HUP; while :; do sleep 0.2; done'),
          environment: { T: token },
        }),
        fakeJob('tidy', { ...script('trap "echo tidied; exit 0" TERM; sleep 30 & wait'), environment: { T: token } }),
        fakeJob('shown', {
          // What shows an image to it is still there when it tidies up.
          ...script(
            `cp "$(command -v sleep)" squashfuse_ll; ./squashfuse_ll 30 & s=$!
             trap 'grep -q ") [SR] " /proc/$s/stat && echo shown; exit 0' TERM; sleep 30 & wait`,
          ),
          environment: { T: token },
        }),
        fakeJob('next', script('echo next')),
      ],
      { walltime_sec: 3 },
    )
    for (const name of ['sleep', 'stubborn', 'tidy'])
      expect(job(ran, name), name).toMatchObject({
        verdict: 'failed',
        class: 'walltime',
        rule: 'ran longer than its 3 s',
      })
    expect(job(ran, 'sleep').signal).toBe('TERM')
    expect(job(ran, 'stubborn').signal).toBe('KILL')
    expect(ran.log(job(ran, 'tidy').stdout)).toBe('tidied\n')
    expect(ran.log(job(ran, 'shown').stdout)).toBe('shown\n')
    expect(job(ran, 'next').verdict).toBe('succeeded')
    expect(job(ran, 'sleep').wall_sec).toBeLessThan(job(ran, 'stubborn').wall_sec)
    expect(processesWith(token)).toEqual([])
  })

  it('ends jobs over their memory, all processes counted', async () => {
    const eat = (mb: number) => `node -e "const b = Buffer.alloc(${mb}e6, 1); setTimeout(() => b, 20000)"`
    const ran = await runner.run(
      [
        fakeJob('one', script(eat(400))),
        fakeJob('two', script(`${eat(130)} & ${eat(130)} & wait`)),
        fakeJob('small', script('sleep 2')),
      ],
      { memory_bytes: 250e6 },
    )
    for (const name of ['one', 'two']) {
      expect(job(ran, name), name).toMatchObject({ verdict: 'failed', class: 'memory', signal: 'KILL' })
      expect(job(ran, name).rule).toMatch(/^used \d+\.\d+ MB of 250\.0 MB$/)
      expect(job(ran, name).memory_max_bytes).toBeGreaterThan(250e6)
    }
    expect(job(ran, 'small').verdict).toBe('succeeded')
    expect(job(ran, 'small').memory_max_bytes).toBeGreaterThan(0)
  })

  it('ends what jobs leave behind, in their session or out of it', async () => {
    const token = `left-${process.pid}-${Math.random()}`
    const environment = { T: token }
    const ran = await runner.run([
      fakeJob('child', { ...script('sleep 300 & echo $!'), environment }),
      fakeJob('session', { ...script('setsid sleep 300 >/dev/null 2>&1 & echo x'), environment }),
      fakeJob('deep', {
        ...script('(setsid sh -c "setsid sleep 300 & sleep 300" >/dev/null 2>&1 &) ; sleep 1.2'),
        environment,
      }),
      fakeJob('cleared', { ...script('env -i sleep 300 & echo x'), environment }),
      fakeJob('last', script('sleep 1.2')),
    ])
    for (const { verdict } of ran.ended.values()) expect(verdict).toBe('succeeded')
    expect(processesWith(token)).toEqual([])
    const pid = Number(ran.log(job(ran, 'child').stdout))
    expect(existsSync(`/proc/${pid}`)).toBe(false)
  })

  it('survives a job that kills its shell, and blames it', async () => {
    const ran = await runner.run([
      fakeJob('a', script('echo a')),
      fakeJob('shell', script('kill -9 $PPID; sleep 5')),
      fakeJob('group', script('echo told; kill -9 0')),
      fakeJob('b', script('echo b')),
    ])
    expect(ran.seal).toBe('done')
    expect(job(ran, 'shell')).toMatchObject({ class: 'app', rule: 'the shell of its slot ended with signal KILL' })
    expect(job(ran, 'group')).toMatchObject({ class: 'app' })
    expect(ran.log(job(ran, 'group').stdout)).toBe('told\n')
    expect(job(ran, 'b').verdict).toBe('succeeded')
    expect(ran.log(job(ran, 'b').stdout)).toBe('b\n')
  })

  it('stops on TERM: what runs gets its grace, what waits is not decided', async () => {
    const directory = runner.array([
      fakeJob('done', script('true')),
      fakeJob('running', script('sleep 30')),
      fakeJob('waiting', script(`touch '${runner.scratch}/started'`)),
    ])
    const { child, exit } = await runner.start(directory, { env: { FLOE_GRACE_SEC: '0.2' } })
    while (!runner.read(directory).lines.some((line) => line.event === 'job started' && line.job === 'running'))
      await wait(30)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
    const ran = runner.read(directory)
    expect(ran.seal).toBe('drained')
    expect([...ran.ended.keys()]).toEqual(['done'])
    expect(existsSync(join(runner.scratch, 'started'))).toBe(false)
  })

  it.each(['TERM', 'KILL'])('does not blame a job for %s that the whole task was told', async (signal) => {
    const pid = join(runner.scratch, 'pid')
    const directory = runner.array([
      fakeJob('told', script(`echo $$ >'${pid}'; exec sleep 30`)),
      fakeJob('next', script('sleep 30')),
    ])
    const { child, exit } = await runner.start(directory, { env: { FLOE_GRACE_SEC: '0.2' } })
    const told = (): number => (existsSync(pid) ? Number(readFileSync(pid, 'utf8')) : 0)
    while (!runner.read(directory).lines.some(({ event }) => event === 'job started') || !told()) await wait(30)
    process.kill(told(), `SIG${signal}`)
    await wait(50)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
    const ran = runner.read(directory)
    expect(ran.seal).toBe('drained')
    expect([...ran.ended.keys()]).toEqual([])
  })

  it('publishes nothing of a job that was cancelled before it ended, however late', async () => {
    const array = join(runner.scratch, 'arrays', 'a1')
    const outputs = ['small', 'large'].map((path) => ({ path, optional: false }))
    const late = `head -c 6000000 /dev/zero >large; echo x >small; echo '"late"' >'${array}/cancel'`
    const ran = await runner.run([
      fakeJob('late', { ...script(late), outputs }),
      fakeJob('after', { ...script('echo x >after'), outputs: [{ path: 'after', optional: false }] }),
    ])
    expect(ran.ended.get('late')).toMatchObject({ verdict: 'cancelled', class: 'cancelled', outputs: [] })
    expect(ran.ended.get('after')).toMatchObject({ verdict: 'succeeded' })
    expect(readdirSync(ran.outputs)).toEqual(['after'])
  })

  it('cancels one job or all on request', async () => {
    const jobs = ['a', 'b "\n"', 'c'].map((name) => fakeJob(name, script('sleep 30')))
    const directory = runner.array(jobs)
    const { exit } = await runner.start(directory)
    while (!runner.read(directory).lines.some(({ event }) => event === 'job started')) await wait(30)
    writeFileSync(join(directory, 'cancel.0'), `${JSON.stringify('a')}\n${JSON.stringify('b "\n"')}\n`)
    while (runner.read(directory).ended.size < 2) await wait(30)
    expect(runner.read(directory).ended.get('c')).toBeUndefined()
    writeFileSync(join(directory, 'cancel'), '')
    await exit
    const ran = runner.read(directory)
    expect(ran.seal).toBe('cancelled')
    for (const { verdict, class: failure } of ran.ended.values())
      expect({ verdict, failure }).toEqual({ verdict: 'cancelled', failure: 'cancelled' })
    expect(ran.ended.size).toBe(3)
  })
})
