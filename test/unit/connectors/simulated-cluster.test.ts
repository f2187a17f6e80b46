import { describe, expect, test } from 'vitest'
import type { ArraySpec } from '../../../connectors/connector.ts'
import { type BegunTask, NO_TROUBLE, SimulatedCluster, type Troubles } from '../../../connectors/simulated/simulated.ts'

const array = (name: string, count: number, fields: Partial<ArraySpec> = {}): ArraySpec => ({
  ...{ name: `floe-${name}`, directory: `/arrays/${name}`, count, command: [], cpus: 1, memoryBytes: null },
  ...{ walltimeSec: null, gpus: 0, queue: null, account: null, ...fields },
})

/** A cluster of four cores, whose tasks take a hundred seconds. */
function made({ troubles = {}, waitSec = 60, seed = 1, queuedMax = null, callsPerMinute = null }: Wish = {}) {
  const clock = { sec: 0 }
  const begun: BegunTask[] = []
  const purged: string[] = []
  const cluster = new SimulatedCluster({
    ...{ seed, now: () => clock.sec * 1000, cores: 4, coresOfNode: 2, waitSec, callsPerMinute },
    troubles: { ...NO_TROUBLE, ...troubles },
    limits: {
      ...{ version: 'test', arrayMax: 10, queuedMax, arraysMax: null, queues: [], accounts: [] },
      ...{ forgetsAfterSec: null, hasAccounting: true, notes: [] },
    },
    begin: (task) => {
      begun.push(task)
      return { endsAt: task.startedAt + 100_000 * task.slowness, show: () => {} }
    },
    purge: ({ name }) => purged.push(name),
  })
  const states = async (id: string) => (await cluster.connector.status(new Map([[id, 0]]))).map(({ state }) => state)
  return { clock, begun, purged, cluster, states }
}

interface Wish {
  readonly troubles?: Partial<Troubles>
  readonly waitSec?: number
  readonly seed?: number
  readonly queuedMax?: number | null
  readonly callsPerMinute?: number | null
}

describe('a cluster in memory', () => {
  test('starts tasks when there is room, and ends them at their time, whenever somebody looks', async () => {
    const { clock, cluster, begun, states } = made({ waitSec: 0 })
    const id = await cluster.connector.submit(array('a1', 6))
    clock.sec = 50
    expect((await states(id)).sort()).toEqual(['queued', 'queued', 'running', 'running', 'running', 'running'])
    clock.sec = 1000
    expect(await states(id)).toEqual([])
    expect(begun.map(({ startedAt }) => startedAt)).toEqual([0, 0, 0, 0, 100_000, 100_000])
    expect(cluster.spent).toEqual({ coreMs: 600_000, lostCoreMs: 0, tasks: 6, lostTasks: 0 })
    expect(Math.max(...cluster.samples.map(({ running }) => running))).toBe(4)
    expect((await cluster.connector.endings([id])).map(({ cause }) => cause)).toEqual(Array(6).fill('succeeded'))
  })

  test('is the same with the same seed, and another with another', async () => {
    const lived = async (seed: number) => {
      const { clock, cluster, begun } = made({ seed, troubles: { preempted: 0.3, slowNodes: 0.5 } })
      for (const name of ['a1', 'a2', 'a3']) await cluster.connector.submit(array(name, 8))
      clock.sec = 100_000
      cluster.advance()
      return {
        begun: begun.map(({ array, index, startedAt, node }) => [array.name, index, startedAt, node]),
        ...cluster.spent,
      }
    }
    expect(await lived(1)).toEqual(await lived(1))
    expect(await lived(2)).not.toEqual(await lived(1))
  })

  test('has an array once by its name, also when the reply was lost', async () => {
    const { clock, cluster, begun } = made({ waitSec: 0, troubles: { lostReplies: 1 } })
    for (let i = 0; i < 3; i++)
      await expect(cluster.connector.submit(array('a1', 2))).rejects.toMatchObject({ kind: 'unreachable' })
    clock.sec = 500
    cluster.advance()
    expect(begun).toHaveLength(2)
    expect(cluster.calls).toMatchObject({ submit: 3, unanswered: 3 })
  })

  test('refuses what is over its limits', async () => {
    const { cluster } = made({ queuedMax: 3 })
    await cluster.connector.submit(array('a1', 2))
    await expect(cluster.connector.submit(array('a2', 2))).rejects.toMatchObject({ kind: 'wait' })
    const limited = made({ callsPerMinute: 2 })
    await limited.states('1')
    await limited.states('1')
    await expect(limited.states('1')).rejects.toMatchObject({ kind: 'unreachable' })
    limited.clock.sec = 61
    expect(await limited.states('1')).toEqual([])
  })

  test('ends tasks at their walltime, with their node, and for other work', async () => {
    const causes = async (troubles: Partial<Troubles>, fields: Partial<ArraySpec> = {}) => {
      const { clock, cluster } = made({ waitSec: 0, troubles })
      const id = await cluster.connector.submit(array('a1', 4, fields))
      clock.sec = 10_000
      const endings = await cluster.connector.endings([id])
      expect(cluster.spent.lostTasks).toBe(4)
      return [...new Set(endings.map(({ cause }) => cause))]
    }
    expect(await causes({}, { walltimeSec: 50 })).toEqual(['walltime'])
    expect(await causes({ nodeFailuresPerDay: 1e6 })).toEqual(['node'])
    expect(await causes({ preempted: 1 })).toEqual(['preempted'])
  })

  test('forgets tasks, lies about them, and takes directories away', async () => {
    const { clock, cluster, begun, states } = made({ waitSec: 0, troubles: { forgotten: 1 } })
    const id = await cluster.connector.submit(array('a1', 3))
    clock.sec = 500
    expect(await states(id)).toEqual([])
    expect(begun).toEqual([])
    await expect(made({ troubles: { lies: 1 } }).states('1')).rejects.toMatchObject({ kind: 'unknown state' })
    const { cluster: purging, purged } = made({ troubles: { purged: 1 } })
    await purging.connector.submit(array('a1', 3))
    expect(purged).toEqual(['floe-a1'])
  })

  test('cancels what waits and what runs', async () => {
    const { clock, cluster, states } = made({ waitSec: 0 })
    const id = await cluster.connector.submit(array('a1', 6))
    clock.sec = 10
    await cluster.connector.cancel(id, [0, 5])
    expect((await cluster.connector.endings([id])).map(({ index, cause }) => [index, cause])).toEqual([
      [0, 'cancelled'],
      [5, 'cancelled'],
    ])
    // The one that waited has the place that became free.
    clock.sec = 105
    expect((await states(id)).filter((state) => state === 'running')).toHaveLength(1)
  })
})
