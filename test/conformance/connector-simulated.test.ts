import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Connector } from '../../connectors/connector.ts'
import { openSimulatedConnector, type PlayedTask } from '../../connectors/simulated/simulated.ts'
import { thisDisk } from '../fakes/disk.ts'
import { connectorConformance } from './connector.ts'

/** What the suite's tasks do, without running them: note that they began, wait for `go` when told to, note that they ended. */
function play({ array: { command, directory }, index, startedAt, now }: PlayedTask): boolean {
  if (command[0] !== '/bin/sh') return true
  if (startedAt === now) appendFileSync(join(directory, 'ran'), `${index}\n`)
  const waits = command[3] === 'wait' && !existsSync(join(directory, 'go'))
  if (waits || now < startedAt + 20) return false
  appendFileSync(join(directory, 'done'), `${index}\n`)
  return true
}

const open = (directory: string): Connector =>
  openSimulatedConnector({ directory, slots: 4, seed: 1, queueDelaySec: 0.1, now: Date.now, play })

/** Nothing happens at such a site unless somebody looks. */
const looks = new Map<string, NodeJS.Timeout>()

connectorConformance('simulated', {
  async prepare(directory) {
    const connector = open(directory)
    looks.set(
      directory,
      setInterval(() => void connector.status(new Map()), 10),
    )
  },
  open,
  async close(directory) {
    clearInterval(looks.get(directory))
  },
})

it('waits and ends by its seed alone, though somebody else goes on', async () => {
  const directory = await thisDisk.make('floe-simulated-')
  try {
    const spans = async (seed: number, name: string): Promise<string[]> => {
      let now = 1_000_000
      const played = ({ startedAt, now: at }: PlayedTask): boolean => at >= startedAt + 3000
      const site = () =>
        openSimulatedConnector({
          ...{ directory: join(directory, name), slots: 2, seed, queueDelaySec: 10, now: () => now, play: played },
        })
      const spec = { name: 'a', directory, count: 3, command: ['x'], cpus: 1, memoryBytes: null, walltimeSec: null }
      const id = await site().submit({ ...spec, gpus: 0, queue: null, account: null })
      const states: string[] = []
      for (let sec = 0; sec < 30; sec++, now += 1000)
        states.push((await site().status(new Map([[id, 3]]))).map(({ state }) => state[0]).join(''))
      return states
    }
    const first = await spans(7, 'one')
    expect(await spans(7, 'two')).toEqual(first)
    const others = await Promise.all([8, 9, 10, 11].map((seed) => spans(seed, `other ${seed}`)))
    expect(new Set([first, ...others].map((one) => one.join())).size).toBeGreaterThan(1)
    expect([...new Set(first)]).toEqual(['qqq', 'rrq', 'eer', 'eee'])
    const waited = first.indexOf('rrq')
    expect(waited).toBeGreaterThanOrEqual(5)
    expect(waited).toBeLessThanOrEqual(15)
  } finally {
    await thisDisk.remove(directory)
  }
})
