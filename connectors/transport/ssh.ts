import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConnectorError } from '../connector.ts'
import { carry, groupsOf, toHauls } from './carry.ts'
import { aborted, deadline } from './deadline.ts'
import { diskSide } from './disk-side.ts'
import { PartNames } from './part.ts'
import { each } from './slots.ts'
import { Channels } from './ssh/channels.ts'
import type { HostOptions } from './ssh/config.ts'
import type { Ask, Unlocked } from './ssh/keys.ts'
import { type Link, openLink } from './ssh/link.ts'
import { runThere } from './ssh/remote-shell.ts'
import { SftpSide } from './ssh/sftp-side.ts'
import { surveyLink } from './ssh/survey.ts'
import { type Carried, type CarryOptions, OUTPUT_MAX_BYTES, type Output, type Transport } from './transport.ts'

export interface SshOptions extends HostOptions {
  /** `alice@login.frost`, or a Host of ~/.ssh/config. */
  readonly target: string
  /** Sessions at once; 4 by default, since sshd allows 10 for all logins that share a connection. A site may allow one. */
  readonly channels?: number
  /** Longest output of a command; OUTPUT_MAX_BYTES by default. */
  readonly outputMaxBytes?: number
  /** Asks for passphrases and one-time passwords. Absent: a site that asks is refused. */
  readonly ask?: Ask
}

/** Longest time between two tries to connect. */
const PAUSE_MAX_MS = 60_000

/**
 * Commands and files of a site over one SSH connection, opened when it is first needed and again, after a moment, when it was lost. Settings,
 * keys and host keys are those of OpenSSH. A host whose key is not known is refused, always. While a try to connect has failed a short
 * time ago calls reject with that failure, so that no site is knocked at without pause.
 */
export function sshTransport(options: SshOptions): Transport {
  const closed = new AbortController()
  setMaxListeners(0, closed.signal)
  const { target } = options
  const names = new PartNames()
  const line = new Line(options, closed.signal)
  const channels = new Channels(options.channels ?? 4, target, (signal) => line.link(signal))
  const reach = { channels, where: target, outputMaxBytes: options.outputMaxBytes ?? OUTPUT_MAX_BYTES }
  const lanes = Math.max(1, Math.min(3, (options.channels ?? 4) - 1))

  const runBytes: Transport['runBytes'] = async (script, given = {}) => {
    const limit = deadline(given, `a command on ${target}`, closed.signal)
    try {
      return await runThere(script, reach, limit.signal)
    } finally {
      limit.done()
    }
  }
  const run: Transport['run'] = async (script, given) => decoded(await runBytes(script, given))
  const carryAll = async (files: readonly Carried[], way: 'send' | 'fetch', given: CarryOptions): Promise<void> => {
    const limit = deadline(given, `carrying ${files.length} files`, closed.signal)
    const { signal } = limit
    setMaxListeners(0, signal)
    try {
      await each(groupsOf(toHauls(files, way)), lanes, async (group) => {
        const far = new SftpSide({
          channels,
          where: target,
          signal,
          run: async (script) => decoded(await runThere(script, reach, signal)),
        })
        const [from, to] = way === 'send' ? [diskSide, far] : [far, diskSide]
        await carry(group, { from, to, names, signal, onBytes: given.onBytes ?? (() => {}) }).finally(() =>
          far.release(),
        )
      })
    } finally {
      limit.done()
    }
  }
  return {
    where: target,
    isHere: false,
    ...{ run, runBytes },
    send: (files, given = {}) => carryAll(files, 'send', given),
    fetch: (files, given = {}) => carryAll(files, 'fetch', given),
    async survey(most, given = {}) {
      const limit = deadline(given, `looking at ${target}`, closed.signal)
      try {
        channels.close()
        return { ...(await surveyLink(await line.link(limit.signal), most, limit.signal)), used: channels.count }
      } finally {
        limit.done()
      }
    },
    async close() {
      closed.abort(new ConnectorError('unreachable', `the transport to ${target} was closed`, 'Open it again.'))
      channels.close()
      await line.close()
    },
  }
}

const decoded = ({ exit, stdout, stderr }: { exit: number; stdout: Buffer; stderr: string }): Output => ({
  ...{ exit, stderr },
  stdout: stdout.toString('utf8'),
})

/** The one connection to a site, and when it may be opened again. */
class Line {
  readonly #options: SshOptions
  readonly #closed: AbortSignal
  readonly #unlocked: Unlocked = new Map()
  #link: Promise<Link> | undefined
  #live: Link | undefined
  #failure: { why: unknown; count: number; until: number } | undefined

  constructor(options: SshOptions, closed: AbortSignal) {
    this.#options = options
    this.#closed = closed
  }

  /** The live connection. Who waits may leave; it is opened for the others. */
  async link(signal: AbortSignal): Promise<Link> {
    signal.throwIfAborted()
    if (this.#live?.ended === undefined && this.#live) return this.#live
    if (this.#failure && performance.now() < this.#failure.until) throw this.#failure.why
    this.#link ??= this.#open(this.#live === undefined ? 0 : 1000 * Math.random())
    return Promise.race([
      this.#link,
      aborted(signal).then(() => {
        throw signal.reason
      }),
    ])
  }

  async #open(pauseMs: number): Promise<Link> {
    const { target, channels: _channels, ...rest } = this.#options
    try {
      // Many that lost a site at once do not come back at once.
      await sleep(pauseMs, undefined, { signal: this.#closed })
      const link = await openLink(target, { ...rest, unlocked: this.#unlocked, signal: this.#closed })
      this.#live = link
      this.#failure = undefined
      return link
    } catch (why) {
      this.#live = undefined
      const count = (this.#failure?.count ?? 0) + 1
      const waitMs = Math.min(PAUSE_MAX_MS, 500 * 2 ** count) * (0.5 + Math.random() / 2)
      this.#failure = { why, count, until: performance.now() + waitMs }
      throw why
    } finally {
      this.#link = undefined
    }
  }

  async close(): Promise<void> {
    await this.#link?.catch(() => undefined)
    const link = this.#live
    if (link?.ended !== undefined || !link) return
    const gone = new Promise<void>((resolve) => link.client.once('close', () => resolve()))
    link.end()
    const isGone = await Promise.race([gone.then(() => true), sleep(250, false)])
    if (!isGone) link.client.destroy()
  }
}
