import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ArraySpec, Connector } from '../../connectors/connector.ts'
import { type Cluster, connectTo } from '../fakes/clusters.ts'
import type { FakeScheduler } from '../fakes/scheduler/fake-scheduler.ts'
import { connectorConformance } from './connector.ts'

const JOB = { script: 'true', cwd: '/', queue: 'main' } as const

/** What every connector keeps, and beyond it what every scheduler's does. */
export function clusterConformance(cluster: Cluster): void {
  const fakes = new Map<string, FakeScheduler>()
  connectorConformance(cluster.name, {
    async prepare(directory) {
      fakes.set(directory, await cluster.fake({ directory }).start())
    },
    open: (directory) => connectTo(cluster, fakes.get(directory)!),
    close: (directory) => fakes.get(directory)!.close(),
  })

  describe(`scheduler ${cluster.name}`, () => {
    let directory: string
    let fake: FakeScheduler
    let connector: Connector

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'floe-cluster-'))
      fake = await cluster.fake({ directory: join(directory, 'site') }).start()
      connector = connectTo(cluster, fake)
    })
    afterEach(async () => {
      await fake.close()
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    })

    function array(count: number, script = ''): ArraySpec {
      const path = join(directory, `array ${count}`)
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, 'task.sh'), script)
      return {
        ...{ name: `floe-${count}`, directory: path, count, command: ['/bin/sh', join(path, 'task.sh')], cpus: 1 },
        ...{ memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null },
      }
    }

    it('sends 10,000 tasks by one command and asks for them by one', async () => {
      fake.arrayMax = 10_000
      fake.noise.paused = true
      const spec = array(10_000)
      const id = await connector.submit(spec)
      expect(fake.calls.length).toBe(1)
      const waiting = await connector.status(new Map([[id, 10_000]]))
      expect(waiting.map(({ index }) => index)).toEqual(Array.from({ length: 10_000 }, (_, index) => index))
      expect(new Set(waiting.map(({ state }) => state))).toEqual(new Set(['queued']))
      fake.noise.paused = false
      fake.noise.instant = true
      fake.pump()
      const ended = await connector.status(new Map([[id, 10_000]]))
      expect(ended.every(({ state }) => state === 'ended')).toBe(true)
      expect(fake.calls.length).toBe(3)
    })

    it('takes an array at the limit of the site, and says of one over it what to do', async () => {
      fake.arrayMax = 40
      fake.noise.instant = true
      await connector.submit(array(40))
      await expect(connector.submit(array(41))).rejects.toMatchObject({
        name: 'ConnectorError',
        kind: expect.stringMatching(/^(refused|never)$/),
        hint: expect.stringMatching(/array/i),
      })
      expect(fake.jobs.length).toBe(1)
    })

    it('waits for room when the queue is full, and sends then', async () => {
      fake.queuedMax = 3
      const spec = array(4)
      await expect(connector.submit(spec)).rejects.toMatchObject({ name: 'ConnectorError', kind: 'wait' })
      fake.queuedMax = 4
      const asked = fake.calls.length
      await connector.submit(spec)
      expect(fake.jobs.length).toBe(1)
      // A clear no needs no waiting for what may still come: one look, then the submission.
      expect(fake.calls.length - asked).toBeLessThanOrEqual(1 + cluster.dialect.find('x').length)
    })

    it('asks for many arrays in one round trip, and for no more than the commands take', async () => {
      fake.noise.paused = true
      const ids: string[] = []
      const asked = cluster.dialect.facts.idsMax + 1
      for (let at = 0; at < asked; at++) {
        const { number, isArray } = fake.add({ name: `n${at}`, isArray: true, indices: [0, 1], ...JOB })
        ids.push(fake.idOf({ number, isArray }))
      }
      const reports = await connector.status(new Map(ids.map((id) => [id, 2])))
      expect(reports.map(({ id, index }) => `${id} ${index}`)).toEqual(ids.flatMap((id) => [`${id} 0`, `${id} 1`]))
      expect(fake.calls.length).toBeLessThanOrEqual(2)
    })

    it('leaves out what the scheduler has forgotten', async () => {
      fake.noise.instant = true
      const id = await connector.submit(array(2))
      await new Promise((resolve) => setImmediate(resolve))
      fake.noise.forgets = true
      expect(await connector.status(new Map([[id, 2]]))).toEqual([])
      await connector.cancel(id)
    })

    it('runs a task with its native id, its index and its terms', async () => {
      const spec = {
        ...array(2, 'echo "$FLOE_NATIVE_ID $* ${NODE_OPTIONS-none}" >>"$0.said"'),
        walltimeSec: 600,
        cpus: 3,
      }
      const id = await connector.submit(spec)
      for (let tries = 0; tries < 400 && fake.queued > 0; tries++)
        await new Promise((resolve) => setTimeout(resolve, 25))
      const said = readFileSync(join(spec.directory, 'task.sh.said'), 'utf8').trimEnd().split('\n').sort()
      expect(said).toEqual([0, 1].map((index) => `${id} --task ${index} --cpus 3 --walltime 600 none`))
    })

    it('runs a task again that is queued again under its id', async () => {
      const script = 'echo "$2" >>"$0.ran"; while ! [ -e "$0.go" ]; do sleep 0.02; done; echo "$2" >>"$0.done"'
      const spec = array(1, script)
      await connector.submit(spec)
      const ran = (): string[] => {
        try {
          return readFileSync(join(spec.directory, 'task.sh.ran'), 'utf8').trimEnd().split('\n')
        } catch {
          return []
        }
      }
      for (let tries = 0; tries < 400 && ran().length < 1; tries++)
        await new Promise((resolve) => setTimeout(resolve, 25))
      fake.requeue(fake.jobs[0]!.tasks[0]!)
      for (let tries = 0; tries < 400 && ran().length < 2; tries++)
        await new Promise((resolve) => setTimeout(resolve, 25))
      writeFileSync(join(spec.directory, 'task.sh.go'), '')
      for (let tries = 0; tries < 400 && fake.queued > 0; tries++)
        await new Promise((resolve) => setTimeout(resolve, 25))
      expect(readFileSync(join(spec.directory, 'task.sh.done'), 'utf8')).toBe('0\n')
    })

    it('tells how tasks ended, by the accounts of the site', async () => {
      const spec = array(3, '[ "$2" != 1 ] || exit 7')
      const id = await connector.submit(spec)
      for (let tries = 0; tries < 400 && fake.queued > 0; tries++)
        await new Promise((resolve) => setTimeout(resolve, 25))
      const endings = [...(await connector.endings([id]))].sort((a, b) => a.index - b.index)
      expect(endings.map(({ index, cause, exit }) => [index, cause, exit])).toEqual([
        [0, 'succeeded', 0],
        [1, 'failed', 7],
        [2, 'succeeded', 0],
      ])
      fake.noise.accounts = false
      expect(await connector.endings([id])).toEqual([])
    })

    it('tells the limits of the site', async () => {
      fake.arrayMax = 321
      const limits = await connector.siteLimits()
      expect(limits).toMatchObject({
        arrayMax: 321,
        queues: [expect.objectContaining({ walltimeMaxSec: cluster.name === 'slurm' ? null : 172_800 })],
      })
    })
  })
}
