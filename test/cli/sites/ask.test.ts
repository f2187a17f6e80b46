import { spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { openLogin } from '../../fakes/ssh-server.ts'
import { ended } from '../place.ts'
import { openScene, type Scene } from './scene.ts'

const CODE = '493027'

async function openOtpScene(): Promise<{ scene: Scene; answers: readonly string[] }> {
  const { server, target, port, knownHosts } = await openLogin({ code: CODE })
  const scene = await openScene('slurm')
  scene.settle({ ssh: { to: target, port, known_hosts: knownHosts, agent: 'none' } })
  return { scene, answers: server.answers }
}

const DOCTOR = ['doctor', 'frost', '--no-job', '--json']

test('a one-time password is typed on the terminal, unseen, whatever the standard streams are', async () => {
  const { scene, answers } = await openOtpScene()
  const { place } = scene
  const env = { ...process.env, XDG_CONFIG_HOME: place.path('config'), TERM: 'xterm' }
  const line = `'${process.execPath}' '${place.cli}' ${DOCTOR.join(' ')} </dev/null >report.json 2>errors`
  const terminal = spawn('script', ['-qec', line, '/dev/null'], { cwd: place.directory, env, stdio: 'pipe' })
  let screen = ''
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    const isNew = !screen.includes('Verification code: ')
    screen += text
    // A slip and its correction with the erase key, as a person types.
    if (isNew && screen.includes('Verification code: ')) terminal.stdin.write(`${CODE}9\u007f\r`)
  })
  await new Promise((resolve) => terminal.on('close', resolve))
  expect(answers).toEqual([CODE])
  expect(screen).toBe('(alice@127.0.0.1) Verification code: \r\n')
  expect(place.read('errors')).toBe('')
  expect(JSON.parse(place.read('report.json'))).toMatchObject({
    where: 'alice@127.0.0.1',
    version: 'Slurm 22.05.8',
    measured: { login: 'answers', sessions: 10, clock_sec: expect.closeTo(0, -1) },
  })
})

test('without a terminal it is refused, and nothing is read from stdin', async () => {
  const { scene, answers } = await openOtpScene()
  const { place } = scene
  const env = { ...process.env, XDG_CONFIG_HOME: place.path('config') }
  const child = spawn('setsid', ['-w', process.execPath, place.cli, ...DOCTOR], { cwd: place.directory, env })
  child.stdin.end(`${CODE}\n`)
  const { stdout, status } = await ended(child)
  expect(status).toBe(3)
  expect(answers).toEqual([])
  expect(JSON.parse(stdout)).toMatchObject({
    usable: false,
    findings: [
      {
        level: 'fail',
        about: 'way',
        found: 'alice@127.0.0.1 asks "Verification code:", and there is no terminal to ask on',
        floe: 'Start floe in a terminal, and give the one-time password there.',
      },
    ],
  })
})

test('Ctrl-C at the question ends floe', async () => {
  const { scene, answers } = await openOtpScene()
  const { place } = scene
  const env = { ...process.env, XDG_CONFIG_HOME: place.path('config'), TERM: 'xterm' }
  const line = `'${process.execPath}' '${place.cli}' doctor frost 2>errors; echo "exit $?"; stty -a`
  const terminal = spawn('script', ['-qec', line, '/dev/null'], { cwd: place.directory, env, stdio: 'pipe' })
  let screen = ''
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    const isNew = !screen.includes('Verification code: ')
    screen += text
    if (isNew && screen.includes('Verification code: ')) terminal.stdin.write('12\u0003')
  })
  await new Promise((resolve) => terminal.on('close', resolve))
  expect(screen).toContain('exit 130')
  // The terminal shows again what is typed.
  expect(screen).toMatch(/ echo /)
  expect(place.read('errors')).toMatch(/^floe: The look at frost was interrupted\./)
  expect(answers).toEqual([])
})
