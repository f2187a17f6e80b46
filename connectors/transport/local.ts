import { type ChildProcess, spawn } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { homedir } from 'node:os'
import { ConnectorError } from '../connector.ts'
import { carry, groupsOf, toHauls } from './carry.ts'
import { aborted, deadline } from './deadline.ts'
import { diskSide } from './disk-side.ts'
import { Answer, frame, newMark } from './framing.ts'
import { PartNames } from './part.ts'
import { each, Slots } from './slots.ts'
import { type Carried, type CarryOptions, OUTPUT_MAX_BYTES, type Transport } from './transport.ts'

/** Between TERM and KILL. */
const GRACE_MS = 2000

/**
 * Commands and files of this machine, with the promises of every transport. A command runs in a process group of its own, in the home
 * folder; at a time-out or an abort the group gets TERM, after 2 s KILL, and the call rejects when the shell is gone.
 */
export function localTransport(options: { atOnce?: number; outputMaxBytes?: number } = {}): Transport {
  const { outputMaxBytes = OUTPUT_MAX_BYTES } = options
  const slots = new Slots(options.atOnce ?? 8)
  const names = new PartNames()
  const closed = new AbortController()
  setMaxListeners(0, closed.signal)
  const runBytes: Transport['runBytes'] = async (script, given = {}) => {
    const limit = deadline(given, 'a command on this machine', closed.signal)
    try {
      const give = await slots.take(limit.signal)
      return await runShell(script, limit.signal, outputMaxBytes).finally(give)
    } finally {
      limit.done()
    }
  }
  const carryAll = async (files: readonly Carried[], way: 'send' | 'fetch', given: CarryOptions): Promise<void> => {
    const limit = deadline(given, `carrying ${files.length} files`, closed.signal)
    const route = { from: diskSide, to: diskSide, names, signal: limit.signal, onBytes: given.onBytes ?? (() => {}) }
    try {
      await each(groupsOf(toHauls(files, way)), 2, (group) => carry(group, route))
    } finally {
      limit.done()
    }
  }
  return {
    where: 'this machine',
    isHere: true,
    runBytes,
    run: async (script, given) => {
      const { exit, stdout, stderr } = await runBytes(script, given)
      return { exit, stdout: stdout.toString('utf8'), stderr }
    },
    send: (files, given = {}) => carryAll(files, 'send', given),
    fetch: (files, given = {}) => carryAll(files, 'fetch', given),
    async close() {
      closed.abort(new ConnectorError('unreachable', 'this transport was closed', 'Open it again.'))
    },
  }
}

type Ending = { exit: number; stdout: Buffer; stderr: string }

async function runShell(script: string, signal: AbortSignal, outputMaxBytes: number): Promise<Ending> {
  const mark = newMark()
  const text = frame(script, mark)
  const answer = new Answer(mark)
  const shell = spawn('/bin/sh', [], { cwd: homedir(), detached: true, stdio: 'pipe' })
  const whole = new Promise<void>((resolve, reject) => {
    const take = (cut: Answer['stdout']) => (chunk: Buffer) => {
      cut.push(chunk)
      if (answer.sizeBytes > outputMaxBytes) reject(tooMuch(outputMaxBytes))
      if (answer.isWhole) resolve()
    }
    shell.stdout.on('data', take(answer.stdout))
    shell.stderr.on('data', take(answer.stderr))
    shell.once('error', (failure) => reject(cannotStart(failure)))
    shell.once('close', (code, word) => reject(cutOff(code, word)))
    // A child in the background may keep the streams open for ever; what the shell itself printed is there by then.
    shell.once('exit', (code, word) => setTimeout(() => reject(cutOff(code, word)), GRACE_MS).unref())
  })
  // A shell that ends early closes its input; what it was comes with `close`.
  shell.stdin.on('error', () => undefined)
  shell.stdin.end(text)
  try {
    await Promise.race([
      whole,
      aborted(signal).then(() => {
        throw signal.reason
      }),
    ])
    return answer.result()
  } catch (failure) {
    await end(shell)
    throw failure
  } finally {
    // A child in the background may hold them for ever.
    shell.stdout.destroy()
    shell.stderr.destroy()
    shell.unref()
  }
}

async function end(shell: ChildProcess): Promise<void> {
  const { pid } = shell
  if (pid === undefined) return
  const gone = new Promise<void>((resolve) => {
    if (shell.exitCode !== null || shell.signalCode !== null) resolve()
    else shell.once('exit', () => resolve())
  })
  signalGroup(pid, 'SIGTERM')
  const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), GRACE_MS)
  await gone
  clearTimeout(timer)
  signalGroup(pid, 'SIGKILL')
}

function signalGroup(pid: number, word: NodeJS.Signals): void {
  try {
    process.kill(-pid, word)
  } catch {
    // It has ended.
  }
}

const tooMuch = (outputMaxBytes: number): ConnectorError =>
  new ConnectorError(
    'unreadable',
    `a command on this machine printed more than ${outputMaxBytes / 2 ** 20} MB`,
    'Ask for less at a time, or fetch it as a file.',
  )

const cannotStart = (cause: Error): ConnectorError =>
  new ConnectorError(
    'unreachable',
    `/bin/sh could not be started on this machine: ${cause.message}`,
    'The machine may have run out of processes or memory: look at `ulimit -a` and `free`.',
    cause,
  )

const cutOff = (code: number | null, word: NodeJS.Signals | null): ConnectorError =>
  new ConnectorError(
    'unreachable',
    `a shell on this machine was ended ${word === null ? `with exit ${code}` : `by ${word}`} before its answer was whole`,
    'Something ended it from outside; whether its commands had run is not known.',
  )
