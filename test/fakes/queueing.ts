import type { ArraySpec, Connector } from '../../connectors/connector.ts'
import { scriptedConnector } from './scripted-connector.ts'

/** A scheduler with a queue in which nothing moves; its tasks run when they are let. */
export function queueing() {
  const scripted = scriptedConnector()
  const queued = new Map<string, ArraySpec>()
  const cancelled: number[] = []
  let looks = 0
  const connector: Connector = {
    ...scripted,
    async submit(array) {
      queued.set(array.name, array)
      return array.name
    },
    async status(arrays) {
      looks++
      const waiting = new Map([...arrays].filter(([id]) => !scripted.submitted.includes(id)))
      return [
        ...(await scripted.status(arrays)),
        ...[...waiting].flatMap(([id, count]) =>
          Array.from({ length: count }, (_, index) => ({ id, index, state: 'queued' as const, reason: null })),
        ),
      ]
    },
    async cancel(_, indices = []) {
      cancelled.push(...indices)
    },
  }
  return {
    ...{ connector, cancelled, runs: scripted.runs },
    looks: () => looks,
    /** Lets so many tasks of each array run. */
    async begin(tasks = Number.POSITIVE_INFINITY) {
      for (const array of queued.values()) await scripted.submit({ ...array, count: Math.min(tasks, array.count) })
    },
  }
}
