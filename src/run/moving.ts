import { cancelTasks, lenient } from '../dispatch/dispatch.ts'
import { dropCut } from './arrays.ts'
import type { RunContext } from './context.ts'
import type { Feed } from './feed.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { piecesOf } from './movable.ts'
import { sealsOf } from './seals.ts'
import { type Room, soonerElsewhere } from './share.ts'

/** Looks at a site for which work may wait there while another one has room. */
const WAITS_MAX_LOOKS = 30

/** For how long things have waited, for the next run; milliseconds. */
export interface WaitsMemory {
  readonly arrays: Readonly<Record<string, number>>
  readonly cut: { readonly count: number; readonly forMs: number }
  readonly lastWaitMs: number
}

export interface MovingParts {
  readonly lease: Lease
  readonly feed: Feed
  readonly arrays: ReadonlyMap<string, LiveArray>
}

/** Knows how long work waits at a site, and gives up what another site would have done sooner. */
export class Moving {
  readonly #context: RunContext
  readonly #parts: MovingParts
  readonly #seenAt = new WeakMap<LiveArray, number>()
  readonly #begun = new WeakSet<LiveArray>()
  /** Arrays that were taken back to be planned for another site. */
  readonly #moved = new WeakSet<LiveArray>()
  #lastWaitMs = 0
  #cutSeen = { count: 0, at: 0 }
  /** What had better stay is not looked at all the time. */
  #askedAgainAt = Number.NEGATIVE_INFINITY

  constructor(context: RunContext, parts: MovingParts) {
    this.#context = context
    this.#parts = parts
  }

  isMoved(array: LiveArray): boolean {
    return this.#moved.has(array)
  }

  look(): void {
    const { arrays, feed } = this.#parts
    for (const array of arrays.values()) this.#waitingMs(array)
    if (feed.cut !== this.#cutSeen.count) this.#cutSeen = { count: feed.cut, at: this.#now }
  }

  /** What the site has to do, `without` some arrays, with `seconds` for a job of which nothing is known. */
  room(seconds: number, without: readonly LiveArray[] = []): Room {
    const { site } = this.#context
    const arrays = [...this.#parts.arrays.values()]
    const jobs = arrays.reduce((sum, array) => sum + (without.includes(array) ? 0 : array.undecidedJobs), 0)
    const waitingMs = Math.max(this.#lastWaitMs, ...arrays.map((array) => this.#waitingMs(array)))
    return { site: site.name, slots: site.slots, busySec: (jobs * seconds) / site.slots + waitingMs / 1000 }
  }

  /**
   * What has waited here for too long is given up, as far as it would be done sooner at one of the `others`: batches that are cut, and arrays
   * of which no task has begun, which are sealed first, so that none begins after all. False: nothing is to be planned for it now.
   */
  async giveWay(others: readonly { readonly context: RunContext; room(seconds: number): Room }[]): Promise<boolean> {
    this.look()
    const { arrays, feed, lease } = this.#parts
    const isLong = (ms: number) => ms > this.#waitsMaxMs
    const waiting = [...arrays.values()].filter((array) => isLong(this.#waitingMs(array)))
    // What is cut comes after them.
    const isCutLong = feed.cut > 0 && (waiting.length > 0 || isLong(this.#now - this.#cutSeen.at))
    if ((waiting.length === 0 && !isCutLong) || this.#now < this.#askedAgainAt) return false
    this.#askedAgainAt = this.#now + this.#waitsMaxMs
    const which = { arrays: waiting.map(({ id }) => id), cut: isCutLong }
    const { pieces, seconds } = await piecesOf(
      this.#context,
      which,
      others.map(({ context }) => context),
    )
    const rooms = others.map((other) => other.room(seconds))
    const batches: number[] = []
    for (const at of soonerElsewhere(pieces, this.room(seconds, waiting), rooms)) {
      const { arrayId, batchId } = pieces[at]!
      const array = arrayId === null ? undefined : arrays.get(arrayId)
      if (array) await (array.nativeId === undefined ? feed.withdraw(array) : this.#recall(array))
      else batches.push(batchId)
    }
    if (batches.length === 0) return false
    await dropCut(this.#context.tables, { of: this.#context.site.name, only: batches }, () => lease.guard())
    feed.cut = Math.max(0, feed.cut - batches.length)
    return true
  }

  async #recall(array: LiveArray): Promise<void> {
    const { site, clock } = this.#context
    const tasks = array.openTasks
    const seals = sealsOf(array, tasks, { nowMs: clock.now(), message: 'taken back: it waited too long here' })
    await this.#parts.lease.guard()
    // Also when the answer is lost.
    this.#moved.add(array)
    const begun = await lenient(() => site.seal(array.id, seals))
    if (!begun) return
    this.#lastWaitMs = this.#waitingMs(array)
    const { nativeId, elements } = array
    // Any element of those that are left may take a task that has begun nowhere else.
    if (elements.bindLate !== false && begun.size > 0) return
    const sealed = elements.of(tasks.filter((task) => !begun.has(task)))
    if (sealed.length > 0) await lenient(async () => cancelTasks(await site.connector(), nativeId!, sealed))
  }

  get memory(): WaitsMemory {
    const { count, at } = this.#cutSeen
    const untouched = [...this.#parts.arrays.values()].filter(({ isUntouched, over }) => isUntouched && !over)
    return {
      arrays: Object.fromEntries(untouched.map((array) => [array.id, this.#waitingMs(array)])),
      cut: { count, forMs: this.#now - at },
      lastWaitMs: this.#lastWaitMs,
    }
  }

  /** Nobody looked for `unseenMs`, of which a part counts: it takes some looks, however far they are apart. */
  recall({ arrays, cut, lastWaitMs }: WaitsMemory, unseenMs: number): void {
    const until = this.#now - Math.min(unseenMs, this.#waitsMaxMs / 3)
    for (const [id, forMs] of Object.entries(arrays)) {
      const array = this.#parts.arrays.get(id)
      if (array) this.#seenAt.set(array, until - forMs)
    }
    this.#cutSeen = { count: cut.count, at: until - cut.forMs }
    this.#lastWaitMs = lastWaitMs
  }

  /** How long none of its tasks has begun since it was first seen here; 0: one has. Remembers how long that took last. */
  #waitingMs(array: LiveArray): number {
    const since = this.#seenAt.get(array) ?? this.#now
    this.#seenAt.set(array, since)
    if (array.isUntouched) return array.over || array.goneSince !== undefined ? 0 : this.#now - since
    if (!this.#begun.has(array)) this.#lastWaitMs = this.#now - since
    this.#begun.add(array)
    return 0
  }

  get #waitsMaxMs(): number {
    return this.#context.site.rhythm.watchMs * WAITS_MAX_LOOKS
  }

  get #now(): number {
    return this.#context.clock.ticks()
  }
}
