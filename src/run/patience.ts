import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'

/** Pauses before a site is asked again. */
const PAUSE_MS = 1000
const PAUSE_MAX_MS = 300_000
/** How long a site that has answered may be away: a night of maintenance, and the morning after. */
const SILENCE_MAX_MS = 86_400_000

/**
 * Patience with one site. One that is full is asked again for ever, one that is silent for a day; of a site that never answered this run
 * silence is an error at once, for it is more likely misnamed than away.
 */
export class Patience {
  readonly #clock: Clock
  #pausedUntil = Number.NEGATIVE_INFINITY
  /** How often in a row it did not do what it was asked. */
  #putOffs = 0
  #silentSince: number | undefined
  #hasAnswered = false
  #blocked: string | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What the site said, or that it said nothing; null: it did the last thing that it was asked. */
  get blocked(): string | null {
    return this.#blocked
  }

  get isPaused(): boolean {
    return this.#clock.ticks() < this.#pausedUntil
  }

  /** The site is there. */
  heard(): void {
    if (this.#silentSince !== undefined) this.#blocked = null
    this.#hasAnswered = true
    this.#silentSince = undefined
  }

  /** The site did what it was asked. */
  done(): void {
    this.heard()
    this.#putOffs = 0
    this.#blocked = null
  }

  /** False: not done, and to be tried again later. What `act` hears of the site it tells by `heard` and `done`. */
  async tries(act: () => Promise<void>): Promise<boolean> {
    if (this.isPaused) return false
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof FloeError)) throw error
      if (error.code === 'SITE_FULL') this.heard()
      else if (error.code !== 'SITE_UNREACHABLE' || !this.#isBearable()) throw error
      this.#putOffs++
      const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(this.#putOffs, 9))
      this.#pausedUntil = this.#clock.ticks() + pauseMs
      this.#blocked = `${error.message.replace(/\.$/, '')}. ${error.hint}`
      return false
    }
  }

  #isBearable(): boolean {
    if (!this.#hasAnswered) return false
    const now = this.#clock.ticks()
    this.#silentSince ??= now
    return now - this.#silentSince <= SILENCE_MAX_MS
  }
}
