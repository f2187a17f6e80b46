import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel } from 'ssh2'
import { Answer, newMark } from '../framing.ts'
import type { Survey } from '../transport.ts'
import { cutOff } from './channels.ts'
import type { Link } from './link.ts'

/** For the first words of a login; slow profiles take seconds. */
const WORDS_MS = 10_000

/** Opens sessions one after the other, until one is refused or there are `most`, and closes them all. Sends nothing but an echo. */
export async function surveyLink(link: Link, most: number, signal: AbortSignal): Promise<Omit<Survey, 'used'>> {
  const open: ClientChannel[] = []
  let noise = ''
  try {
    while (open.length < most) {
      signal.throwIfAborted()
      const channel = await openShell(link)
      if (channel === undefined) break
      open.push(channel)
      if (open.length === 1) noise = await wordsAround(channel, signal)
    }
  } finally {
    for (const channel of open) {
      channel.close()
      channel.resume()
      channel.stderr.resume()
    }
  }
  if (link.ended !== undefined) throw cutOff(link.plan.target, link.ended)
  return { login: link.by, sessions: open.length, isMore: open.length === most, noise }
}

/** Undefined: it was refused. */
const openShell = (link: Link): Promise<ClientChannel | undefined> =>
  new Promise((resolve) => {
    try {
      link.client.exec('exec /bin/sh', (failure, channel) => {
        channel?.on('error', () => undefined)
        resolve(failure ? undefined : channel)
      })
    } catch {
      // Thrown when the connection ended a moment ago.
      resolve(undefined)
    }
  })

async function wordsAround(channel: ClientChannel, signal: AbortSignal): Promise<string> {
  const mark = newMark()
  const answer = new Answer(mark)
  const whole = new Promise<void>((resolve) => {
    const take = (cut: Answer['stdout']) => (chunk: Buffer) => {
      cut.push(chunk)
      if (answer.isWhole) resolve()
    }
    channel.on('data', take(answer.stdout))
    channel.stderr.on('data', take(answer.stderr))
    channel.once('close', () => resolve())
  })
  channel.write(
    `for word in begin end; do printf '%s %s 0\\n' ${mark} $word; printf '%s %s 0\\n' ${mark} $word >&2; done\n`,
  )
  await Promise.race([whole, sleep(WORDS_MS, undefined, { signal, ref: false })])
  return answer.noise
}
