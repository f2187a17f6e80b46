/** Lets at most `count` things run at once; the rest wait in order of coming. */
export class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []
  readonly count: number

  constructor(count: number) {
    this.count = count
    this.#free = count
  }

  get isFull(): boolean {
    return this.#free === 0
  }

  get isWaitedFor(): boolean {
    return this.#waiting.length > 0
  }

  /** Resolves with a function that gives the slot back. Rejects with the signal's reason when that comes first. */
  take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal?.removeEventListener('abort', leave)
        this.#free--
        let isGiven = false
        resolve(() => {
          if (isGiven) return
          isGiven = true
          this.#free++
          this.#waiting.shift()?.()
        })
      }
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        reject(signal!.reason)
      }
      if (this.#free > 0) return enter()
      this.#waiting.push(enter)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}

/**
 * Runs `act` on each of `list`, `parallel` at a time. After the first failure nothing new begins; it rejects with that failure when all that
 * had begun has come to its end, so that what they use may be closed.
 */
export async function each<T>(list: readonly T[], parallel: number, act: (one: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < list.length && failures.length === 0) {
      try {
        await act(list[next++]!)
      } catch (failure) {
        failures.push(failure)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, list.length) }, lane))
  if (failures.length > 0) throw failures[0]
}
