import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCommandConnector } from '../../connectors/command.ts'
import type { ArraySpec, Connector, TaskEnding } from '../../connectors/connector.ts'
import type { Dialect } from '../../connectors/dialect.ts'
import { SGE_WORDS, sge } from '../../connectors/sge/sge.ts'
import { slurm } from '../../connectors/slurm/slurm.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { connectorConformance } from '../conformance/connector.ts'
import type { Disk } from '../fakes/disk.ts'
import { startGridEngine, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'
import type { Site } from './site.ts'
import { diskBy, wayTo } from './way.ts'

/* Connectors against real schedulers, over SSH: what every connector keeps, then what no fake can prove. */

interface Real {
  readonly dialect: Dialect
  start(): Promise<Site>
  /** Tasks of one array, at most. */
  readonly arrayMax: number
  /** Words of the submit command for an array that stays where it is. */
  readonly held: readonly string[]
  /** Ends all that alice has there. */
  readonly clear: string
  /** Words with which it takes no more tasks of hers for now; undefined: there are none. */
  readonly full?: readonly string[]
  readonly accounts: boolean
  /** What its accounts say of a running task that was cancelled. Grid Engine 8.1.9 does not tell it from one that was killed. */
  readonly cancelled: TaskEnding['cause']
  readonly version: RegExp
}

const SITES: Readonly<Record<string, Real>> = {
  'Slurm with accounting': {
    dialect: slurm(),
    start: () =>
      startSlurm({
        nodes: 1,
        config: { MinJobAge: '5', MaxArraySize: '10001', AccountingStorageEnforce: 'associations,limits,qos' },
      }),
    arrayMax: 10_001,
    held: ['--hold'],
    clear: 'scancel -u alice; while [ -n "$(squeue -h --me)" ]; do sleep 0.2; done',
    full: ['--qos=tiny'],
    accounts: true,
    cancelled: 'cancelled',
    version: /^Slurm 22/,
  },
  'Slurm as shipped': {
    dialect: slurm(),
    start: () => startSlurm({ nodes: 1, accounting: false, limits: 'shipped' }),
    arrayMax: 1001,
    held: ['--hold'],
    clear: 'scancel -u alice; while [ -n "$(squeue -h --me)" ]; do sleep 0.2; done',
    accounts: false,
    cancelled: 'cancelled',
    version: /^Slurm 22/,
  },
  'Grid Engine': {
    dialect: sge({ ...SGE_WORDS, parallelEnvironment: 'smp' }),
    start: () => startGridEngine({ nodes: 1, config: { max_aj_tasks: '10000' }, queue: { slots: '8' } }),
    arrayMax: 10_000,
    held: ['-h'],
    clear: 'qdel -u alice; while [ -n "$(qstat)" ]; do sleep 0.2; done',
    accounts: true,
    cancelled: 'failed',
    version: /8\.1/,
  },
}

for (const [name, real] of Object.entries(SITES)) {
  describeSite(name, { timeout: 240_000 }, () => {
    let site: Site
    let way: Transport
    let connector: Connector
    const disk: Disk = diskBy(() => way)
    const open = (): Connector => openCommandConnector({ dialect: real.dialect, transport: way })
    beforeAll(async () => {
      site = await real.start()
      way = wayTo(await site.ssh())
      connector = open()
    }, 240_000)
    afterAll(async () => {
      await way?.close()
      await site?.stop()
    })
    const clear = async (): Promise<void> => void (await way.run(real.clear))

    connectorConformance(name, { disk, slots: 16, lookMs: 200, open, close: clear })

    describe('beyond what a fake can prove', () => {
      const array = async (count: number, script: string, options: readonly string[] = []): Promise<ArraySpec> => {
        const directory = await disk.make(`of-${count}-`)
        await disk.write(`${directory}/task.sh`, script)
        return {
          ...{ name: `floe-${directory.slice(-6)}`, directory, count, command: ['/bin/sh', `${directory}/task.sh`] },
          ...{ cpus: 1, memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null, options },
        }
      }
      const ended = (id: string, count: number) =>
        until(
          async () => {
            const states = (await connector.status(new Map([[id, count]]))).map(({ state }) => state)
            return states.every((state) => state === 'ended')
          },
          { what: `${count} tasks of ${id} have ended`, waitMs: 90_000, everyMs: 500 },
        )

      it('tells the limits that it has', async () => {
        const limits = await connector.siteLimits()
        expect(limits).toMatchObject({ arrayMax: real.arrayMax, hasAccounting: real.accounts })
        expect(limits.version).toMatch(real.version)
        expect(limits.queues.length).toBeGreaterThan(1)
      })

      it('takes an array at its limit, tells of each task, and takes it back', async () => {
        const { arrayMax } = real
        const id = await connector.submit(await array(arrayMax, 'true', real.held))
        const reports = await connector.status(new Map([[id, arrayMax]]))
        expect(reports.map(({ index }) => index)).toEqual(Array.from({ length: arrayMax }, (_, at) => at))
        expect(new Set(reports.map(({ state }) => state))).toEqual(new Set(['held']))
        expect(connector.waiting(reports[0]!.reason ?? '').clears).toBe('needs you')
        // Every other one of two thousand, so that the list is no range.
        const some = Array.from({ length: Math.min(1000, arrayMax >> 1) }, (_, at) => at * 2)
        await connector.cancel(id, some)
        const left = await until(
          async () => {
            const states = await connector.status(new Map([[id, arrayMax]]))
            const open = states.filter(({ state }) => state !== 'ended')
            return open.length === arrayMax - some.length && open
          },
          { what: `${some.length} tasks are cancelled` },
        )
        expect(left.some(({ index }) => index === 0 || index === some.at(-1))).toBe(false)
        await connector.cancel(id)
        await ended(id, arrayMax)
      })

      it('refuses an array over its limit, with what to do', async () => {
        const spec = await array(real.arrayMax + 1, 'true', real.held)
        await expect(connector.submit(spec)).rejects.toMatchObject({
          kind: expect.stringMatching(/^(refused|never)$/),
          hint: expect.stringMatching(/array/i),
        })
        expect((await way.run(real.dialect.name === 'sge' ? 'qstat' : 'squeue -h --me')).stdout).toBe('')
      })

      it.runIf(real.full)('waits when it takes no more for now', async () => {
        const spec = await array(6, 'true', real.full)
        await expect(connector.submit(spec)).rejects.toMatchObject({ kind: 'wait' })
        const fits = { ...spec, count: 5 }
        await ended(await connector.submit(fits), 5)
      })

      it('says of a wrong queue and a wrong account what the scheduler says', async () => {
        const spec = await array(1, 'true')
        for (const wrong of [{ queue: 'nowhere' }, ...(real.accounts ? [{ account: 'nobody' }] : [])]) {
          await expect(connector.submit({ ...spec, ...wrong })).rejects.toMatchObject({
            kind: 'refused',
            hint: expect.stringMatching(/`(queue|account):`/),
          })
        }
        await ended(await connector.submit(spec), 1)
      })

      it('tells how tasks ended, and forgets them without harm', async () => {
        const spec = await array(4, 'case $2 in 1) exit 7 ;; 2) kill -9 $$ ;; 3) sleep 600 ;; esac')
        const id = await connector.submit(spec)
        await until(
          async () => {
            const seen = await connector.status(new Map([[id, 4]]))
            return (
              seen
                .filter(({ state }) => state !== 'ended')
                .map(({ index, state }) => `${index} ${state}`)
                .join() === '3 running'
            )
          },
          { what: 'three tasks have ended', waitMs: 60_000, everyMs: 300 },
        )
        await connector.cancel(id, [3])
        await ended(id, 4)
        const causes = async () => (await connector.endings([id])).sort((a, b) => a.index - b.index)
        if (!real.accounts) expect(await causes()).toEqual([])
        else {
          const found = await until(
            async () => {
              const all = await causes()
              return all.length === 4 && all
            },
            { what: 'accounting knows four tasks' },
          )
          expect(found.map(({ cause }) => cause)).toEqual(['succeeded', 'failed', 'failed', real.cancelled])
          expect(found[1]).toMatchObject({ exit: 7, signal: null, node: expect.stringMatching(/^c1/) })
          expect(found[2]!.signal === 9 || found[2]!.exit === 137).toBe(true)
          for (const { startedAt, endedAt } of found) expect(endedAt! >= startedAt!).toBe(true)
        }
        if (real.dialect.name === 'slurm' && real.accounts)
          await until(async () => (await connector.status(new Map([[id, 4]]))).length === 0, {
            what: 'Slurm forgets',
            waitMs: 90_000,
            everyMs: 1000,
          })
        await connector.cancel(id)
        await connector.cancel(id, [0, 3])
      })

      it('runs nothing of variables that beat what floe asks for', async () => {
        const loud: Transport = {
          ...way,
          run: (script, options) =>
            way.run(
              `export SBATCH_ARRAY_INX=0-99 SBATCH_PARTITION=nowhere SQUEUE_FORMAT=%i SGE_TASK_ID=9 LC_ALL=de_DE.UTF-8\n${script}`,
              options,
            ),
        }
        const own = openCommandConnector({ dialect: real.dialect, transport: loud })
        const spec = await array(2, 'echo "$FLOE_NATIVE_ID $*" >>"$0.said"')
        const id = await own.submit({ ...spec, walltimeSec: 600, cpus: 2 })
        await ended(id, 2)
        expect((await disk.text(`${spec.directory}/task.sh.said`))?.trimEnd().split('\n').sort()).toEqual(
          [0, 1].map((index) => `${id} --task ${index} --cpus 2 --walltime 600`),
        )
      })
    })
  })
}
