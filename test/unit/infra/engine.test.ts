import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/* infra/engine.sh with a dockerd, a docker and a pgrep of our own: what it starts, and what it leaves alone. */

const ENGINE = join(import.meta.dirname, '../../../infra/engine.sh')
const canStart = process.getuid?.() === 0 && existsSync('/etc/debian_version')

const PROGRAMS = {
  // Notes who it is and which descriptors it was given, and runs until it is told to end.
  dockerd: `#!/bin/bash
while [ $# -gt 0 ]; do case $1 in --pidfile) pidfile=$2;; esac; shift; done
echo $$ >> "$STATE/started"; ls -l /proc/$$/fd > "$STATE/descriptors"; echo $$ > "$pidfile"
trap 'rm -f "$STATE/answers"; exit 0' TERM
touch "$STATE/answers"
while :; do sleep 0.05; done`,
  docker: `#!/bin/sh
case $1 in version) [ -e "$STATE/answers" ] && echo 1.0 || { echo "no engine there"; exit 1; };; esac`,
  pgrep: `#!/bin/sh
cat "$STATE/running" 2> /dev/null`,
  'apt-get': `#!/bin/sh
echo "$@" >> "$STATE/apt"`,
  'dpkg-query': `#!/bin/sh
echo installed`,
}

describe.runIf(canStart)('infra/engine.sh', () => {
  let state = ''
  let env: NodeJS.ProcessEnv = {}
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), 'floe-engine-'))
    mkdirSync(join(state, 'bin'))
    for (const [name, text] of Object.entries(PROGRAMS)) {
      writeFileSync(join(state, 'bin', name), `${text}\n`)
      chmodSync(join(state, 'bin', name), 0o755)
    }
    env = { PATH: `${join(state, 'bin')}:${process.env.PATH}`, STATE: state, FLOE_ENGINE_DIR: join(state, 'engine') }
  })
  afterEach(() => {
    for (const pid of lines('started')) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch {
        // It has ended, as it should.
      }
    }
    rmSync(state, { recursive: true, force: true })
  })

  const lines = (name: string): string[] => {
    const path = join(state, name)
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
  }
  const engine = (verb: string, more: NodeJS.ProcessEnv = {}) => {
    const { status, stdout, stderr } = spawnSync(ENGINE, [verb], { env: { ...env, ...more }, encoding: 'utf8' })
    return { status, printed: stdout, said: stderr }
  }
  const isAlive = (pid: string | number): boolean =>
    existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

  it('starts one engine, however often and at once, and ends it', async () => {
    const starts = [1, 2, 3].map(() => spawn(ENGINE, ['start'], { env, stdio: 'ignore' }))
    const exits = await Promise.all(starts.map((one) => new Promise((resolve) => one.on('exit', resolve))))
    expect(exits).toEqual([0, 0, 0])
    expect(engine('start').status).toBe(0)
    const [pid, ...others] = lines('started')
    expect(others).toEqual([])
    expect(engine('status')).toMatchObject({ status: 0, said: expect.stringContaining(`it is ours, pid ${pid}`) })
    expect(engine('stop').status).toBe(0)
    expect(isAlive(pid!)).toBe(false)
    expect(readdirSync(join(state, 'engine'))).not.toContain('dockerd.pid')
    expect(engine('status').status).toBe(1)
    expect(engine('stop').status).toBe(0)
  })

  it('keeps no descriptor of whoever starts it', () => {
    const held = join(state, 'held')
    const { status } = spawnSync('bash', ['-c', 'exec 7> "$0"; "$1" start', held, ENGINE], { env, stdio: 'ignore' })
    expect(status).toBe(0)
    expect(lines('descriptors').length).toBeGreaterThan(2)
    expect(lines('descriptors').filter((line) => /held|lock$/.test(line))).toEqual([])
  })

  it('uses an engine that answers, and does not end it', () => {
    writeFileSync(join(state, 'answers'), '')
    expect(engine('start')).toMatchObject({ status: 0, printed: '', said: expect.stringContaining('nothing to start') })
    expect(engine('stop').said).toContain('no engine of ours runs')
    expect(lines('started')).toEqual([])
    expect(existsSync(join(state, 'answers'))).toBe(true)
  })

  it('starts again after its engine was killed, though another process has its pid now', () => {
    mkdirSync(join(state, 'engine'))
    writeFileSync(join(state, 'engine', 'dockerd.pid'), String(process.pid))
    expect(engine('start')).toMatchObject({ status: 0, printed: 'started\n' })
    expect(lines('started').length).toBe(1)
    process.kill(Number(lines('started')[0]), 'SIGKILL')
    rmSync(join(state, 'answers'))
    writeFileSync(join(state, 'engine', 'dockerd.pid'), String(process.pid))
    expect(engine('stop').said).toContain('no engine of ours runs')
    expect(engine('start').status).toBe(0)
    expect(lines('started').length).toBe(2)
  })

  it('never starts a second one beside one that does not answer', () => {
    writeFileSync(join(state, 'running'), `${process.pid}\n`)
    const { status, said } = engine('start')
    expect(status).toBe(1)
    expect(said).toContain(`dockerd runs (pid ${process.pid}) but does not answer: no engine there`)
    expect(lines('started')).toEqual([])
  })

  it('leaves an engine elsewhere to whoever set DOCKER_HOST, and says so', () => {
    expect(engine('start', { DOCKER_HOST: 'tcp://127.0.0.1:9' })).toMatchObject({
      status: 1,
      said: expect.stringContaining('no engine answers at DOCKER_HOST'),
    })
  })
})
