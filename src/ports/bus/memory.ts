import type { Bus, Received } from './bus.ts'

/** A bus within this process, for simulations. `keep` lives as long as the caller wishes, so that several may share it. */
export interface MemoryLog {
  readonly messages: Received[]
  readonly committed: Map<string, number>
  readonly listeners: Set<() => void>
}

export const memoryLog = (): MemoryLog => ({ messages: [], committed: new Map(), listeners: new Set() })

/** Messages a delivery has at most. */
const DELIVERY_MAX = 1000

export function memoryBus(log: MemoryLog): Bus {
  return {
    where: 'memory',
    async send(messages) {
      for (const { key, value } of messages) log.messages.push({ key, value: Buffer.from(value) })
      for (const wake of log.listeners) wake()
    },
    async *read({ group, from, signal }) {
      const starts = { earliest: 0, latest: log.messages.length, committed: log.committed.get(group) }
      let at = starts[from] ?? log.messages.length
      while (!signal.aborted) {
        const messages = log.messages.slice(at, at + DELIVERY_MAX)
        if (messages.length === 0) {
          await news(log, signal)
          continue
        }
        const end = at + messages.length
        at = end
        yield { messages, waiting: null, done: async () => void log.committed.set(group, end) }
      }
    },
    async close() {},
  }
}

function news({ listeners }: MemoryLog, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      listeners.delete(wake)
      signal.removeEventListener('abort', wake)
      resolve()
    }
    listeners.add(wake)
    signal.addEventListener('abort', wake)
  })
}
