import type { AnyAuthMethod, AuthenticationType, AuthHandlerMiddleware, Prompt } from 'ssh2'
import { ConnectorError } from '../../connector.ts'
import type { HostPlan } from './config.ts'
import { type Ask, identitiesFor, OneKey, type Unlocked } from './keys.ts'

/** One attempt to log in, as it goes: what was tried, and what to say if it fails. */
export interface Login {
  readonly authHandler: AuthHandlerMiddleware
  /** What was offered last, and what was taken before it, e.g. `key ed25519`: how one got in, once one is in. */
  by(): string
  /** Why nothing worked, once the client gave up. */
  refusal(): ConnectorError
}

export interface LoginOptions {
  readonly plan: HostPlan
  readonly ask: Ask | undefined
  readonly unlocked: Unlocked
  /** A question that nobody can answer: hang up rather than count as a wrong answer. */
  hangUp(why: ConnectorError): void
}

/**
 * Offers what the site allows, in the order of OpenSSH: keys, then questions (one-time passwords), then a password, each once. Sites that want
 * a key and then an answer get both.
 */
export function login(options: LoginOptions): Login {
  const { plan } = options
  const said: string[] = []
  let allowed: readonly string[] = []
  const course: Course = { said, taken: [], offered: '', isAllowed: (method) => allowed.includes(method) }
  const attempts = attemptsOf(options, course)
  return {
    authHandler(methods, _partial, next) {
      if (methods) allowed = methods
      attempts.next().then(
        ({ value, done }) => next(done ? (false as never) : value),
        (failure: unknown) => options.hangUp(failure instanceof ConnectorError ? failure : unasked(plan, failure)),
      )
      // Undefined says that the answer comes later.
    },
    by: () => [...course.taken, course.offered].filter(Boolean).join(' and '),
    refusal: () =>
      new ConnectorError(
        'refused',
        `${plan.user}@${plan.host} did not let us in (it takes: ${allowed.join(', ') || 'nothing'}): ${said.join('; ') || 'no key to offer'}`,
        `Try \`ssh ${plan.target}\`: when that works without a question, so does this.`,
      ),
  }
}

interface Course {
  readonly said: string[]
  /** What was taken, and was not enough. */
  readonly taken: string[]
  offered: string
  isAllowed(method: AuthenticationType): boolean
}

async function* attemptsOf(options: LoginOptions, course: Course): AsyncGenerator<AnyAuthMethod, void> {
  const { plan, ask, unlocked } = options
  const username = plan.user
  // Its refusal tells what the site takes.
  const none = { type: 'none', username } as const
  yield none
  const { identities, notes } = await identitiesFor(plan, ask, unlocked)
  course.said.push(...notes)
  for (const identity of identities) {
    if (!course.isAllowed('publickey')) break
    const agent = new OneKey(identity)
    course.offered = `key ${identity.key.type.replace(/^ssh-|-sha2-.*$/g, '')}`
    yield { type: 'agent', username, agent }
    if (agent.hasSigned) {
      course.taken.push(course.offered)
      course.offered = ''
      // ssh2 1.17 does not tell what an agent's key left to do: ask again what the site takes now.
      yield none
      course.said.push(`the key ${identity.label} was taken and is not enough`)
    } else course.said.push(agent.failure ?? `the key ${identity.label} was not taken`)
  }
  if (course.isAllowed('keyboard-interactive')) {
    course.offered = 'answers'
    yield { type: 'keyboard-interactive', username, prompt: questions(options) }
    course.said.push('the answer was not taken')
  }
  if (course.isAllowed('password')) {
    const prompt = `${username}@${plan.host}'s password: `
    if (ask === undefined) course.said.push('it takes a password, and there is no terminal to ask for it')
    else {
      course.offered = 'password'
      yield { type: 'password', username, password: await ask(prompt, { echo: false }) }
      course.said.push('the password was not taken')
    }
  }
}

type Questions = (
  name: string,
  instructions: string,
  lang: string,
  prompts: Prompt[],
  finish: (answers: string[]) => void,
) => void

function questions({ plan, ask, hangUp }: LoginOptions): Questions {
  return (name, instructions, _lang, prompts, finish) => {
    const first = prompts.map(({ prompt }) => prompt.trim()).join(' ')
    if (ask === undefined) {
      const message = `${plan.user}@${plan.host} asks ${JSON.stringify(first)}, and there is no terminal to ask on`
      return hangUp(
        new ConnectorError('refused', message, 'Start floe in a terminal, and give the one-time password there.'),
      )
    }
    const preface = [name, instructions].filter((text) => text.trim() !== '').join('\n')
    const answer = async (): Promise<string[]> => {
      const answers: string[] = []
      for (const [at, { prompt, echo = false }] of prompts.entries()) {
        const head = at === 0 ? `${preface === '' ? '' : `${preface}\n`}(${plan.user}@${plan.host}) ` : ''
        answers.push(await ask(`${head}${prompt}`, { echo }))
      }
      return answers
    }
    answer().then(finish, (failure: unknown) => hangUp(unasked(plan, failure)))
  }
}

const unasked = ({ user, host }: HostPlan, failure: unknown): ConnectorError =>
  new ConnectorError(
    'refused',
    `the login of ${user}@${host} was given up: ${failure instanceof Error ? failure.message : String(failure)}`,
    'Start it again, and answer what the site asks.',
    failure,
  )
