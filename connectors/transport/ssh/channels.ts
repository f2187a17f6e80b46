import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel, SFTPWrapper } from 'ssh2'
import { ConnectorError } from '../../connector.ts'
import { Slots } from '../slots.ts'
import type { Link } from './link.ts'

/** How long a site may refuse a channel: sshd frees the places of closed ones late. */
const REFUSED_MS = 20_000
const IDLE_MS = 10_000

export interface ShellChannel {
  readonly link: Link
  readonly channel: ClientChannel
}

export interface FilesChannel {
  readonly link: Link
  readonly sftp: SFTPWrapper
  readonly calls: Calls
}

/** Calls that wait for an answer. ssh2 1.17 answers none that were made after a connection was cut. */
export class Calls {
  readonly #waiting = new Set<(failure: Error) => void>()
  #failure: Error | undefined

  /** A call that is answered through a callback. */
  ask<T = void>(call: (then: (failure: Error | null | undefined, value: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      this.#waiting.add(reject)
      const answered = (failure: Error | null | undefined, value: T): void => {
        this.#waiting.delete(reject)
        if (failure) reject(failure)
        else resolve(value)
      }
      try {
        call(answered)
      } catch (failure) {
        // What the server does not know is thrown at once.
        answered(failure as Error, undefined as T)
      }
    })
  }

  fail(failure: Error): void {
    this.#failure ??= failure
    for (const reject of this.#waiting) reject(failure)
    this.#waiting.clear()
  }
}

type Opened<T> = (failure: Error | undefined, channel: T) => void
interface Idle {
  readonly held: FilesChannel
  end(): void
}

/** The channels of a site: at most `count` at once, whatever they are for. */
export class Channels {
  readonly #slots: Slots
  readonly #where: string
  readonly #link: (signal: AbortSignal) => Promise<Link>
  #idle: Idle | undefined

  constructor(count: number, where: string, link: (signal: AbortSignal) => Promise<Link>) {
    this.#slots = new Slots(count)
    this.#where = where
    this.#link = link
  }

  /** Sessions at once. */
  get count(): number {
    return this.#slots.count
  }

  /** Whether one more could be opened at once. */
  get hasRoom(): boolean {
    return !this.#slots.isFull || this.#idle !== undefined
  }

  /** A shell that reads from its stdin; its place is free again when its channel has closed. */
  async shell(signal: AbortSignal): Promise<ShellChannel> {
    const give = await this.#place(signal)
    try {
      const link = await this.#link(signal)
      // These words mean the same to sh, csh, fish and the rest.
      const channel = await this.#open<ClientChannel>(link, signal, (done) => link.client.exec('exec /bin/sh', done))
      channel.once('close', give)
      return { link, channel }
    } catch (failure) {
      give()
      throw failure
    }
  }

  /** An sftp session. Given back, it is kept for a while for the next who wants one, unless its place is needed. */
  async files(signal: AbortSignal): Promise<FilesChannel & { give(): void }> {
    const kept = this.#idle
    this.#idle = undefined
    if (kept?.held.link.ended !== undefined) kept.end()
    const { held, end } = kept && kept.held.link.ended === undefined ? kept : await this.#files(signal)
    return {
      ...held,
      give: () => {
        if (this.#slots.isWaitedFor || this.#idle !== undefined || held.link.ended !== undefined) end()
        else this.#keep({ held, end })
      },
    }
  }

  close(): void {
    this.#idle?.end()
    this.#idle = undefined
  }

  #keep(idle: Idle): void {
    this.#idle = idle
    setTimeout(() => {
      if (this.#idle === idle) this.close()
    }, IDLE_MS).unref()
  }

  async #files(signal: AbortSignal): Promise<Idle> {
    const give = await this.#place(signal)
    try {
      const link = await this.#link(signal)
      const sftp = await this.#open<SFTPWrapper>(link, signal, (done) => link.client.sftp(done))
      const calls = new Calls()
      const lost = (): void => {
        calls.fail(cutOff(this.#where, link.ended ?? 'the sftp session ended'))
        give()
      }
      sftp.on('error', (failure: Error) => calls.fail(cutOff(this.#where, failure.message, failure)))
      sftp.once('close', lost)
      link.client.once('close', lost)
      return {
        held: { link, sftp, calls },
        end: () => {
          link.client.off('close', lost)
          sftp.end()
        },
      }
    } catch (failure) {
      give()
      throw failure
    }
  }

  async #place(signal: AbortSignal): Promise<() => void> {
    if (this.#slots.isFull) this.close()
    return this.#slots.take(signal)
  }

  async #open<T>(link: Link, signal: AbortSignal, start: (done: Opened<T>) => void): Promise<T> {
    const deadline = performance.now() + REFUSED_MS
    for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 2000)) {
      signal.throwIfAborted()
      const { failure, channel } = await opened(start)
      if (failure === undefined) return channel
      if (link.ended !== undefined) throw cutOff(this.#where, link.ended, failure)
      if (!isFull(failure) || performance.now() > deadline) throw this.#refused(failure)
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
    }
  }

  #refused(failure: Error): ConnectorError {
    return new ConnectorError(
      'unreachable',
      `${this.#where} does not open one more session: ${failure.message}`,
      `The site may allow fewer than ${this.#slots.count} at once: set \`channels\` of the site lower, or close other logins.`,
      failure,
    )
  }
}

async function opened<T>(
  start: (done: Opened<T>) => void,
): Promise<{ failure: undefined; channel: T } | { failure: Error; channel?: undefined }> {
  return new Promise((resolve) => {
    try {
      start((failure, channel) => resolve(failure ? { failure } : { failure: undefined, channel }))
    } catch (failure) {
      // Thrown when the connection ended a moment ago.
      resolve({ failure: failure as Error })
    }
  })
}

/** sshd at MaxSessions says "open failed" with reason 2; others say "prohibited" (1) or "resource shortage" (4). */
const isFull = (failure: Error & { reason?: unknown }): boolean =>
  failure.reason === 1 || failure.reason === 2 || failure.reason === 4

export const cutOff = (where: string, why: string, cause?: unknown): ConnectorError =>
  new ConnectorError(
    'unreachable',
    `the connection to ${where} was cut: ${why}`,
    'Whether what was under way has run is not known: look before it is sent again.',
    cause,
  )
