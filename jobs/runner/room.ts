import { statfsSync } from 'node:fs'
import { bytesText, type Judged } from './verdict.ts'

/** With less than this left a disk is full: a program that could not write may have taken away what it had written. */
const FULL_BYTES = 1 << 20
/** No disk takes so much in that time. */
const PLENTY_BYTES = 2 ** 30
const PLENTY_MS = 100
/** What the C library says of ENOSPC and EDQUOT: of a quota nothing else tells, nor when a program took away all that it had written. */
const SAID = /No space left on device|Disk quota exceeded/

/** Errors of the disk that all jobs would meet: the task ends, and nothing is said of the job. */
const DISK_ERRORS = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE']

export const isDiskError = (error: unknown): boolean =>
  DISK_ERRORS.includes((error as NodeJS.ErrnoException)?.code ?? '')

/** The disks that a task writes to. */
export interface Disks {
  /** Where directories of jobs are made. */
  readonly sandboxes: string
  /** The array's directory. */
  readonly array: string
}

/** Which of them has no room, in words; undefined: none, as far as can be seen. */
export function lackOf({ sandboxes, array }: Disks): string | undefined {
  const scratch = lackAt(array)
  if (scratch !== undefined) return `the scratch disk is full: ${scratch}`
  const own = lackAt(sandboxes)
  return own && `the node's disk is full: ${own}`
}

/** A job that a full disk may have spoiled: its verdict, and what was full. */
export interface Spoiled {
  readonly judged: Judged
  readonly lack: string
}

/** Looks at the disks of a task when a job ends; of jobs that end well, at a thousand a second, not each time while there is plenty. */
export class Room {
  readonly #disks: Disks
  #isCramped = false
  /** Since when there is room again, while no job has shown that it is enough; monotonic milliseconds. */
  #roomSince: number | undefined
  #plentySince = Number.NEGATIVE_INFINITY

  constructor(disks: Disks) {
    this.#disks = disks
  }

  get lack(): string | undefined {
    return lackOf(this.#disks)
  }

  /** A job met a full disk, and since then no room was seen. */
  get isCramped(): boolean {
    return this.#isCramped
  }

  look(): string | undefined {
    const { lack } = this
    this.#isCramped = lack !== undefined
    if (lack === undefined) this.#roomSince = performance.now()
    return lack
  }

  /** A job that began then was spoiled; true: with the room that another one had left, and none has done better since. */
  isSpoiledAgain(startedMs: number): boolean {
    this.#isCramped = true
    return this.#roomSince !== undefined && startedMs >= this.#roomSince
  }

  /** A job succeeded. */
  isEnough(): void {
    this.#roomSince = undefined
  }

  /** `judged` undefined: the job ended well, but what it was to write may have been cut: many a script does not look. Undefined: not spoiled. */
  spoiled(
    judged: Judged | undefined,
    { said, hasOutputs }: { said: string; hasOutputs: boolean },
  ): Spoiled | undefined {
    const lost = { verdict: 'lost', class: 'node' } as const
    if (judged === undefined) {
      const own = hasOutputs && !this.#hasPlenty() ? lackAt(this.#disks.sandboxes) : undefined
      if (own === undefined) return undefined
      const lack = `the node's disk is full: ${own}`
      return { lack, judged: { ...lost, rule: `${lack}; exit 0, but its outputs may be cut`, exit: 0, signal: null } }
    }
    if (judged.class !== 'app' && judged.class !== 'check') return undefined
    const words = SAID.exec(said)?.[0]
    const lack = this.lack ?? (words && `a disk is full: a job said "${words}"`)
    return lack === undefined ? undefined : { lack, judged: { ...judged, ...lost, rule: `${lack}; ${judged.rule}` } }
  }

  #hasPlenty(): boolean {
    const now = performance.now()
    if (now - this.#plentySince < PLENTY_MS) return true
    if ((leftAt(this.#disks.sandboxes) ?? 0) < PLENTY_BYTES) return false
    this.#plentySince = now
    return true
  }
}

function leftAt(directory: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize
  } catch {
    return undefined
  }
}

function lackAt(directory: string): string | undefined {
  try {
    const { bavail, blocks, bsize, ffree, files } = statfsSync(directory)
    if (bavail * bsize < FULL_BYTES)
      return `${leftText(bavail * bsize)} left of ${bytesText(blocks * bsize)} at ${directory}`
    // Where files are not counted there are none.
    return files > 0 && ffree === 0 ? `no more files than its ${files} at ${directory}` : undefined
  } catch {
    return undefined
  }
}

const leftText = (bytes: number): string => (bytes < 1000 ? `${bytes} B` : bytesText(bytes))
