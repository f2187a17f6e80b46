import { expect, onTestFinished, test } from 'vitest'
import type { Ask } from '../../../connectors/transport/ssh/keys.ts'
import { sshTransport } from '../../../connectors/transport/ssh.ts'
import { type LoginWish, openLogin } from '../../fakes/ssh-server.ts'

async function surveyed(wish: LoginWish, options: { ask?: Ask; channels?: number } = {}) {
  const { server, target, port, knownHosts, identity } = await openLogin(wish)
  const transport = sshTransport({ target, port, knownHosts, identity, agent: 'none', ...options })
  onTestFinished(() => transport.close())
  return { survey: await transport.survey!(10), transport, answers: server.answers }
}

test('sessions are counted until one is refused, and all are given back', async () => {
  const { survey, transport } = await surveyed({ maxSessions: 3, banner: 'Welcome to frost\n' }, { channels: 2 })
  expect(survey).toMatchObject({
    sessions: 3,
    isMore: false,
    used: 2,
    noise: expect.stringContaining('Welcome to frost'),
  })
  // The banner is none of its answer.
  expect(await Promise.all([1, 2, 3].map((n) => transport.run(`echo ${n}`)))).toMatchObject([
    { stdout: '1\n' },
    { stdout: '2\n' },
    { stdout: '3\n' },
  ])
})

test('who refuses none may let us have more', async () => {
  expect((await surveyed({ maxSessions: 50 })).survey).toMatchObject({ sessions: 10, isMore: true, used: 4, noise: '' })
})

test('a one-time password is asked once, and the way in is told', async () => {
  const prompts: string[] = []
  const ask: Ask = async (prompt, { echo }) => {
    prompts.push(`${prompt}${echo ? ' (shown)' : ''}`)
    return '123456'
  }
  const { survey, transport, answers } = await surveyed({ code: '123456' }, { ask })
  expect(survey.login).toBe('answers')
  await transport.run(':')
  expect(answers).toEqual(['123456'])
  expect(prompts).toEqual(['(alice@127.0.0.1) Verification code: '])
})

test('with nobody to ask the login is refused with what to do', async () => {
  await expect(surveyed({ code: '1' })).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/asks "Verification code:", and there is no terminal/),
    hint: expect.stringContaining('Start floe in a terminal'),
  })
})
