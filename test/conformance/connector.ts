import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ArraySpec, Connector, TaskReport } from '../../connectors/connector.ts'
import { type Disk, thisDisk } from '../fakes/disk.ts'

export interface ConnectorUnderTest {
  /** Where its tasks read and write; absent: this machine's. */
  readonly disk?: Disk
  /** Tasks that it runs at once, at most; 4 when absent. */
  readonly slots?: number
  /** Between two looks, milliseconds. */
  readonly lookMs?: number
  /** Makes the site. */
  prepare?(directory: string): Promise<void>
  /** A connector to the same site as all others that were opened with this directory. */
  open(directory: string): Connector
  /** Kills what runs the site's queue, and not the tasks. Absent: it cannot be killed from here. */
  killQueue?(directory: string): Promise<void>
  close(directory: string): Promise<void>
}

/** A task for tests: notes that it started in `ran`, waits until `go` is there (when told to), notes that it ended. */
const TASK = `dir=$1; wait=$2; shift 2
while [ $# -gt 0 ]; do case $1 in --task) task=$2; shift ;; esac; shift; done
echo "$task" >> "$dir/ran"
while [ "$wait" = wait ] && ! [ -e "$dir/go" ]; do sleep 0.05; done
sleep 0.02
echo "$task" >> "$dir/done"
`

/** What every connector keeps. Each test has a site of its own. */
export function connectorConformance(name: string, site: ConnectorUnderTest): void {
  const { disk = thisDisk, slots = 4, lookMs = 50 } = site
  describe(`connector ${name}`, () => {
    let directory: string
    let connector: Connector
    let arrays = 0

    beforeEach(async () => {
      directory = await disk.make('floe-site-')
      await site.prepare?.(join(directory, 'site'))
      connector = site.open(join(directory, 'site'))
    })

    afterEach(async () => {
      await site.close(join(directory, 'site'))
      await disk.remove(directory)
    })

    async function array(fields: Partial<ArraySpec> & { wait?: boolean; folder?: string } = {}): Promise<ArraySpec> {
      const { wait = false, folder = `array ${++arrays}`, ...rest } = fields
      const path = join(directory, folder)
      await disk.write(join(path, 'task.sh'), TASK)
      return {
        ...{ name: `${directory} ${folder}`, directory: path, count: 3, cpus: 1, memoryBytes: null, walltimeSec: null },
        ...{ gpus: 0, queue: null, account: null },
        command: ['/bin/sh', join(path, 'task.sh'), path, wait ? 'wait' : 'go'],
        ...rest,
      }
    }

    const lines = async (spec: ArraySpec, file: string): Promise<string[]> =>
      ((await disk.text(join(spec.directory, file))) ?? '').split('\n').filter(Boolean)
    const go = (spec: ArraySpec): Promise<void> => disk.write(join(spec.directory, 'go'), '')
    const sorted = async (spec: ArraySpec, file: string): Promise<string[]> =>
      (await lines(spec, file)).sort((a, b) => Number(a) - Number(b))
    const upTo = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`)

    async function until<T>(look: () => T | Promise<T>, isGood: (value: T) => boolean): Promise<T> {
      for (let tries = 0; tries < 30_000 / lookMs; tries++) {
        const value = await look()
        if (isGood(value)) return value
        await new Promise((resolve) => setTimeout(resolve, lookMs))
      }
      throw new Error(`still ${JSON.stringify(await look())} after 30 s of waiting`)
    }

    const states = (reports: readonly TaskReport[]): string[] => reports.map(({ state }) => state)
    const untilEnded = (id: string, count: number) =>
      until(
        () => connector.status(new Map([[id, count]])),
        // What is not listed has ended, or was cancelled before it began.
        (reports) => states(reports).every((state) => state === 'ended'),
      )

    it('runs each task of an array once', async () => {
      const spec = await array({ count: 7 })
      const id = await connector.submit(spec)
      await untilEnded(id, 7)
      expect(await sorted(spec, 'done')).toEqual(upTo(7))
    })

    it('gives the same id and one array for the same name, before, while and after it runs', async () => {
      const spec = await array({ wait: true, count: 2 })
      const [first, second] = await Promise.all([connector.submit(spec), connector.submit(spec)])
      const third = await site.open(join(directory, 'site')).submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      const fourth = await connector.submit(spec)
      await go(spec)
      await untilEnded(first, 2)
      const fifth = await connector.submit(spec)
      expect(new Set([first, second, third, fourth, fifth]).size).toBe(1)
      await untilEnded(first, 2)
      expect(await sorted(spec, 'ran')).toEqual(upTo(2))
    })

    it('runs an array of one', async () => {
      const spec = await array({ count: 1 })
      await untilEnded(await connector.submit(spec), 1)
      expect(await lines(spec, 'done')).toEqual(['0'])
    })

    it('reports many arrays in one call and leaves out what it does not know', async () => {
      const specs = [await array(), await array(), await array()]
      const ids = await Promise.all(specs.map((spec) => connector.submit(spec)))
      for (const id of ids) await untilEnded(id, 3)
      const reports = await connector.status(new Map(['no-such-id', ...ids, '../queue'].map((id) => [id, 3])))
      for (const { id } of reports) expect(ids).toContain(id)
      expect(await connector.status(new Map([['no-such-id', 3]]))).toEqual([])
      expect(await connector.status(new Map())).toEqual([])
    })

    it('tells of each of several arrays that are there at once', async () => {
      const specs = [await array({ wait: true }), await array({ wait: true, count: 1 }), await array({ wait: true })]
      const ids = await Promise.all(specs.map((spec) => connector.submit(spec)))
      const arrays = new Map(ids.map((id, at) => [id, specs[at]!.count]))
      const listed = (await connector.status(arrays)).map(({ id, index }) => `${id} ${index}`)
      expect(listed).toEqual(ids.flatMap((id) => upTo(arrays.get(id)!).map((index) => `${id} ${index}`)))
      for (const spec of specs) await go(spec)
      for (const [id, count] of arrays) await untilEnded(id, count)
    })

    it('says queued, running and ended of tasks with their indices', async () => {
      const most = Math.max(20, slots + 4)
      const spec = await array({ wait: true, count: most })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      const reports = await connector.status(new Map([[id, most]]))
      expect(reports.map(({ index }) => index)).toEqual(Array.from({ length: most }, (_, index) => index))
      expect(new Set(states(reports))).toEqual(new Set(['running', 'queued']))
      await connector.cancel(id)
      await untilEnded(id, most)
    })

    it('cancels tasks that wait: they never run', async () => {
      const most = slots + 8
      const spec = await array({ wait: true, count: most })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      const taken = [2, 4, 6, 7].map((at) => slots + at)
      await connector.cancel(id, taken)
      await go(spec)
      await untilEnded(id, most)
      expect(await sorted(spec, 'ran')).toEqual(upTo(most).filter((index) => !taken.includes(Number(index))))
    })

    it('cancels what runs: no process of it is left to end well', async () => {
      const spec = await array({ wait: true, count: 2 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      await connector.cancel(id)
      await untilEnded(id, 2)
      await go(spec)
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(await lines(spec, 'done')).toEqual([])
    })

    it('cancels what has ended, and what never was', async () => {
      const spec = await array()
      const id = await connector.submit(spec)
      await untilEnded(id, 3)
      await connector.cancel(id)
      await connector.cancel(id, [1])
      await connector.cancel('no-such-id')
      expect((await lines(spec, 'done')).length).toBe(3)
    })

    it('takes names and paths with blanks, quotes, dollars, newlines, emoji', async () => {
      const folder = `it's "here" $(touch gone)\n🧊 \\ *`
      const spec = await array({ folder, name: `${directory} ${folder}` })
      await untilEnded(await connector.submit(spec), 3)
      expect(await sorted(spec, 'done')).toEqual(upTo(3))
      expect(await disk.names(spec.directory)).not.toContain('gone')
    })

    it('ends a task whose program cannot be started', async () => {
      const spec = await array({ command: [join(directory, 'no such program')], count: 2 })
      const reports = await untilEnded(await connector.submit(spec), 2)
      // None, where a scheduler forgets at once what has ended.
      expect([[], ['ended', 'ended']]).toContainEqual(states(reports))
    })

    it.runIf(site.killQueue)('runs each task once though its queue is killed again and again', async () => {
      const spec = await array({ count: 25 })
      const id = await connector.submit(spec)
      for (let kills = 0; kills < 6; kills++) {
        // Whoever waits asks for states, which is what starts another queue.
        const ran = async () => {
          await connector.status(new Map([[id, 25]]))
          return lines(spec, 'ran')
        }
        await until(ran, (seen) => seen.length >= Math.min(25, 1 + 3 * kills))
        await site.killQueue!(join(directory, 'site'))
      }
      await untilEnded(id, 25)
      expect(await sorted(spec, 'done')).toEqual(upTo(25))
      expect((await lines(spec, 'ran')).length).toBe(25)
    })

    it.runIf(site.killQueue)('takes up running tasks after a kill, and can cancel them', async () => {
      const spec = await array({ wait: true, count: 2 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      await site.killQueue!(join(directory, 'site'))
      expect(states(await connector.status(new Map([[id, 2]])))).toContain('running')
      await connector.cancel(id)
      await untilEnded(id, 2)
      expect(await lines(spec, 'done')).toEqual([])
    })
  })
}
