import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConnectorError } from '../../connector.ts'
import { aborted } from '../deadline.ts'
import { Answer, frame, newMark } from '../framing.ts'
import { type Channels, cutOff, type ShellChannel } from './channels.ts'

/** Between TERM and KILL, and again until it is given up. */
const GRACE_MS = 2000

type Ending = { exit: number; stdout: Buffer; stderr: string }

/** How a site is reached, for one command. */
export interface Reach {
  readonly channels: Channels
  readonly where: string
  readonly outputMaxBytes: number
}

/** Runs a script in a shell of the site and takes only a whole answer for one. */
export async function runThere(script: string, reach: Reach, signal: AbortSignal): Promise<Ending> {
  const { channels, where, outputMaxBytes } = reach
  const mark = newMark()
  const text = frame(script, mark)
  const answer = new Answer(mark)
  const shell = await channels.shell(signal)
  const { channel, link } = shell
  const whole = new Promise<void>((resolve, reject) => {
    const take = (cut: Answer['stdout']) => (chunk: Buffer) => {
      cut.push(chunk)
      if (answer.sizeBytes > outputMaxBytes) reject(tooMuch(where, outputMaxBytes))
      if (answer.isWhole) resolve()
    }
    channel.on('data', take(answer.stdout))
    channel.stderr.on('data', take(answer.stderr))
    let ending: Exit = []
    channel.once('exit', (...exit: Exit) => {
      ending = exit
      // After a normal end its words may still be on their way. A shell that was ended said nothing more; its children may hold its streams.
      if (exit[0] === 0) return
      setTimeout(() => reject(noAnswer({ where, answer, ended: link.ended, exit })), GRACE_MS / 2).unref()
    })
    channel.once('close', () => reject(noAnswer({ where, answer, ended: link.ended, exit: ending })))
    channel.on('error', (failure: Error) => reject(cutOff(where, failure.message, failure)))
  })
  // Its last line ends the shell. An ended stdin would keep ssh2 1.17 from sending signals.
  channel.write(text)
  try {
    await Promise.race([
      whole,
      aborted(signal).then(() => {
        throw signal.reason
      }),
    ])
    return answer.result()
  } catch (failure) {
    if (link.ended === undefined) await end(reach, shell, answer.pid)
    throw failure
  } finally {
    // Children in the background would keep it open.
    channel.close()
    channel.resume()
    channel.stderr.resume()
  }
}

/** Ends the processes of a shell: by a signal through its channel, which old servers and some accounts refuse; then by another shell. */
async function end(reach: Reach, { channel, link }: ShellChannel, pid: number | undefined): Promise<void> {
  const control = new AbortController()
  const isClosed = Promise.race([
    once(channel, 'close', { signal: control.signal }),
    endOf(link.client, control.signal),
  ]).then(
    () => true,
    () => true,
  )
  const isGone = (): Promise<boolean> => Promise.race([isClosed, sleep(GRACE_MS / 2, false)])
  try {
    // What it prints meanwhile would fill the window, and its end would never be seen.
    channel.resume()
    channel.stderr.resume()
    for (const word of ['TERM', 'KILL']) {
      if (channel.destroyed) return
      channel.signal(word)
      if (await isGone()) return
    }
    // Its place may be the only one.
    channel.close()
    if (pid === undefined || !(await isGone())) return
    // A shell of sshd leads a group of its own; where it does not, only the shell is ended.
    const script = `for word in TERM KILL; do kill -$word -${pid} 2>/dev/null || kill -$word ${pid}; sleep 1; done`
    await runThere(script, reach, AbortSignal.timeout(2 * GRACE_MS)).catch(() => undefined)
  } finally {
    control.abort()
  }
}

const endOf = (client: ShellChannel['link']['client'], signal: AbortSignal): Promise<unknown> =>
  once(client, 'close', { signal })

type Exit = [code?: number | null, signal?: string]

function noAnswer(seen: { where: string; answer: Answer; ended: string | undefined; exit: Exit }): ConnectorError {
  const { where, answer, ended, exit } = seen
  if (ended !== undefined) return cutOff(where, ended)
  const [code, word] = exit
  const how = word ? `by ${word}` : typeof code === 'number' ? `with exit ${code}` : 'without a word'
  if (answer.pid !== undefined)
    return new ConnectorError(
      'unreachable',
      `a shell on ${where} was ended ${how} before its answer was whole`,
      'Some sites end long processes on login nodes. Whether its commands had run is not known: look before they are sent again.',
    )
  const said = answer.noise
  return new ConnectorError(
    'refused',
    `the login shell on ${where} did not start /bin/sh and ended ${how}${said === '' ? '' : `; it said: ${said}`}`,
    'The account may not be allowed to run commands, or its start files (.cshrc, .bashrc) end the shell: try `ssh … exec /bin/sh`.',
  )
}

const tooMuch = (where: string, outputMaxBytes: number): ConnectorError =>
  new ConnectorError(
    'unreadable',
    `a command on ${where} printed more than ${outputMaxBytes / 2 ** 20} MB`,
    'Ask for less at a time, or fetch it as a file.',
  )
