/** Time and chance, the only way in. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
  /** Monotonic milliseconds, for durations. */
  ticks(): number
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  uuid(): string
}

export const systemClock: Clock = {
  now: () => Date.now(),
  ticks: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, { once: true })
    }),
  uuid: () => crypto.randomUUID(),
}

/** A clock whose time goes on only by sleeping, for rehearsals. */
export interface VirtualClock extends Clock {
  /** Each sleep lasts so many times longer: who looks now and then looks less often. 1 at first. */
  stride: number
}

/** Who sleeps is woken at once; timers of others get a turn now and then. */
export function virtualClock(startMs: number): VirtualClock {
  let ms = 0
  let naps = 0
  return {
    stride: 1,
    now: () => startMs + ms,
    ticks: () => ms,
    async sleep(forMs) {
      ms += forMs * this.stride
      if (++naps % 32 === 0) await new Promise((done) => setImmediate(done))
    },
    uuid: () => crypto.randomUUID(),
  }
}
