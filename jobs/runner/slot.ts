import { randomBytes } from 'node:crypto'
import { renameSync } from 'node:fs'
import type { ManifestJob } from '../../src/model/manifest.ts'
import type { Guard } from './guard.ts'
import { LogFile, LogSpool } from './log-spool.ts'
import { readStat, type SlotMarks } from './processes.ts'
import type { Sandbox } from './sandbox.ts'
import { type Report, SlotShell } from './shell.ts'
import { streamEnd } from './shell-text.ts'
import type { Killed } from './verdict.ts'

/** A job that was told to a shell, or is ready to be. */
export interface Flight {
  seq: number
  readonly job: ManifestJob
  sandbox: Sandbox
  readonly program: string
  isAnnounced: boolean
  /** CPU ticks of the shell's ended children when this job was first seen running alone. */
  ticksBefore: number | undefined
  memoryMax: number | undefined
}

/** How many milliseconds of work are told ahead: enough that Node's turns do not show, little enough that a limit or a cancel finds it. */
const AHEAD_MS = 40
const AHEAD_MAX = 64
/** With so many told ahead the shell is busy for long enough that nobody need listen for a moment. */
const REST_DEPTH = 10
const REST_MS = 8

/** The end that a running job was told to come to. Times are monotonic milliseconds. */
export interface Killing extends Killed {
  readonly termAt: number
  readonly killAt: number
  readonly giveUpAt: number
  /** Processes that have had TERM. */
  readonly told: Set<string>
}

export interface SlotPlace {
  readonly index: number
  readonly array: string
  /** `<task>.<attempt>`. */
  readonly name: string
  /** Directory on the node for sandboxes and spools. */
  readonly root: string
  readonly none: number
  readonly guard: Guard
  /** Variables of this slot alone. */
  readonly environment: Readonly<Record<string, string>>
}

export interface SlotListener {
  onReports(slot: Slot, reports: readonly Report[]): void
  onReady(slot: Slot, exit: number): void
  onGone(slot: Slot, how: string): void
}

/** One place for jobs: its shell, its streams, and the jobs that were told to the shell, in order; the first of them runs. */
export class Slot {
  readonly index: number
  readonly queue: Flight[] = []
  readonly out: LogSpool
  readonly err: LogSpool
  readonly logs: readonly [LogFile, LogFile]
  shell: SlotShell
  isReady = false
  isGone = false
  starts = 0
  /** When the first job of the queue started, as far as is known: the end of the one before, or when it was told. Milliseconds, monotonic. */
  since = 0
  killing: Killing | undefined
  depth = 1
  /** Processes of the machine that are none of this slot's jobs. */
  readonly others = new Set<number>()
  #marks: SlotMarks
  #jobMs = AHEAD_MS
  readonly #place: SlotPlace
  readonly #setup: string | null
  readonly #listener: SlotListener

  constructor(place: SlotPlace, setup: string | null, listener: SlotListener) {
    this.index = place.index
    this.#place = place
    this.#setup = setup
    this.#listener = listener
    const log = (kind: string) => new LogFile(place.array, `${place.name}.${place.index}.${kind}`)
    this.logs = [log('out'), log('err')]
    this.out = new LogSpool(`${place.root}/out.${place.index}`, this.logs[0])
    this.err = new LogSpool(`${place.root}/err.${place.index}`, this.logs[1])
    ;[this.shell, this.#marks] = this.#start()
  }

  get marks(): SlotMarks {
    return this.#marks
  }

  get running(): Flight | undefined {
    return this.queue[0]
  }

  restart(): void {
    ;[this.shell, this.#marks] = this.#start()
  }

  /** Learns from a job's time how many to tell ahead. */
  learn(ms: number): void {
    this.#jobMs = Math.max(ms, 0.7 * this.#jobMs + 0.3 * ms)
    this.depth = Math.max(1, Math.min(AHEAD_MAX, this.depth * 2, Math.round(AHEAD_MS / this.#jobMs)))
    if (this.depth >= REST_DEPTH) this.shell.rest(REST_MS)
  }

  /**
   * Takes back what was told behind the running job: with its directory gone a job does not start. Certain only when the running job still
   * runs after the rename, when all that the shell reported before is heard; else reports tell which were gone.
   */
  takeBack(newPath: () => string, confirm: (flights: Flight[]) => void): void {
    const running = this.queue[0]
    const behind = this.queue.slice(1)
    if (running === undefined || behind.length === 0) return
    for (const flight of behind) {
      const path = newPath()
      try {
        renameSync(flight.sandbox.path, path)
      } catch {
        // Another job removed it: gone is gone.
        continue
      }
      flight.sandbox = { ...flight.sandbox, path }
    }
    this.shell.hear(() => {
      if (this.queue[0] === running && !this.isGone) confirm(this.queue.splice(1))
    })
  }

  streamEnd(seq: number): string {
    return streamEnd(this.shell.nonce, seq)
  }

  /** Empties the spools; only while the queue is empty. */
  trim(): void {
    this.out.trim()
    this.err.trim()
  }

  flush(): void {
    for (const log of this.logs) log.flush()
  }

  close(): void {
    for (const log of this.logs) log.close()
    this.out.close()
    this.err.close()
  }

  #start(): [SlotShell, SlotMarks] {
    this.isReady = false
    this.isGone = false
    this.starts++
    this.others.clear()
    const token = `${this.#place.name}.${this.index}.${randomBytes(6).toString('hex')}`
    const shell = new SlotShell({
      setup: this.#setup,
      streams: [this.#place.none, this.out.fd, this.err.fd],
      environment: { ...process.env, ...this.#place.environment, FLOE_TOKEN: token },
      onReports: (reports) => {
        if (this.shell === shell) this.#listener.onReports(this, reports)
      },
      onGone: (how) => {
        this.isGone = true
        this.#place.guard.forget(shell.pid)
        this.#listener.onGone(this, how)
      },
    })
    this.#place.guard.heed(shell.pid)
    shell.ready.then((exit) => {
      if (!this.isGone) this.#listener.onReady(this, exit)
    })
    return [shell, { shell: shell.pid, since: readStat(shell.pid)?.start ?? 0, token: `FLOE_TOKEN=${token}` }]
  }
}

/** USER_HZ, which is 100 for user space on all architectures that Node runs on. */
const TICKS_A_SECOND = 100

export function cpuSince({ ticksBefore }: Flight, slot: Slot): number | null {
  const now = ticksBefore === undefined ? undefined : readStat(slot.shell.pid)?.childTicks
  return now === undefined ? null : (now - ticksBefore!) / TICKS_A_SECOND
}

/** An end that was ordered but not yet begun is no cause. */
export const begun = (killing: Killing | undefined, now: number): Killing | undefined =>
  killing !== undefined && now >= killing.termAt ? killing : undefined
