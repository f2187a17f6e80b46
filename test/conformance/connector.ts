import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ArraySpec, Connector, TaskReport } from '../../connectors/connector.ts'

export interface ConnectorUnderTest {
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
  describe(`connector ${name}`, () => {
    let directory: string
    let connector: Connector
    let arrays = 0

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'floe-site-'))
      await site.prepare?.(join(directory, 'site'))
      connector = site.open(join(directory, 'site'))
    })

    afterEach(async () => {
      await site.close(join(directory, 'site'))
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    })

    function array(fields: Partial<ArraySpec> & { wait?: boolean; folder?: string } = {}): ArraySpec {
      const { wait = false, folder = `array ${++arrays}`, ...rest } = fields
      const path = join(directory, folder)
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, 'task.sh'), TASK)
      return {
        ...{ name: `${directory} ${folder}`, directory: path, count: 3, cpus: 1, memoryBytes: null, walltimeSec: null },
        ...{ gpus: 0, queue: null, account: null },
        command: ['/bin/sh', join(path, 'task.sh'), path, wait ? 'wait' : 'go'],
        ...rest,
      }
    }

    const lines = (spec: ArraySpec, file: string): string[] => {
      const path = join(spec.directory, file)
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    }

    async function until<T>(look: () => T | Promise<T>, isGood: (value: T) => boolean): Promise<T> {
      for (let tries = 0; tries < 600; tries++) {
        const value = await look()
        if (isGood(value)) return value
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      throw new Error(`still ${JSON.stringify(await look())} after 30 s`)
    }

    const states = (reports: readonly TaskReport[]): string[] => reports.map(({ state }) => state)
    const untilEnded = (id: string, count: number) =>
      until(
        () => connector.status(new Map([[id, count]])),
        (reports) => reports.length === 0 || (reports.length === count && states(reports).every((s) => s === 'ended')),
      )

    it('runs each task of an array once', async () => {
      const spec = array({ count: 7 })
      const id = await connector.submit(spec)
      await untilEnded(id, 7)
      expect(lines(spec, 'done').sort()).toEqual(['0', '1', '2', '3', '4', '5', '6'])
    })

    it('gives the same id and one array for the same name, before, while and after it runs', async () => {
      const spec = array({ wait: true, count: 2 })
      const [first, second] = await Promise.all([connector.submit(spec), connector.submit(spec)])
      const third = await site.open(join(directory, 'site')).submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      const fourth = await connector.submit(spec)
      appendFileSync(join(spec.directory, 'go'), '')
      await untilEnded(first, 2)
      const fifth = await connector.submit(spec)
      expect(new Set([first, second, third, fourth, fifth]).size).toBe(1)
      await untilEnded(first, 2)
      expect(lines(spec, 'ran').sort()).toEqual(['0', '1'])
    })

    it('runs an array of one', async () => {
      const spec = array({ count: 1 })
      await untilEnded(await connector.submit(spec), 1)
      expect(lines(spec, 'done')).toEqual(['0'])
    })

    it('reports many arrays in one call and leaves out what it does not know', async () => {
      const specs = [array(), array(), array()]
      const ids = await Promise.all(specs.map((spec) => connector.submit(spec)))
      for (const id of ids) await untilEnded(id, 3)
      const reports = await connector.status(new Map(['no-such-id', ...ids, '../queue'].map((id) => [id, 3])))
      for (const { id } of reports) expect(ids).toContain(id)
      expect(await connector.status(new Map([['no-such-id', 3]]))).toEqual([])
      expect(await connector.status(new Map())).toEqual([])
    })

    it('says queued, running and ended of tasks with their indices', async () => {
      const spec = array({ wait: true, count: 20 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      const reports = await connector.status(new Map([[id, 20]]))
      expect(reports.map(({ index }) => index)).toEqual(Array.from({ length: 20 }, (_, index) => index))
      expect(new Set(states(reports))).toEqual(new Set(['running', 'queued']))
      await connector.cancel(id)
      await untilEnded(id, 20)
    })

    it('cancels tasks that wait: they never run', async () => {
      const spec = array({ wait: true, count: 8 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      await connector.cancel(id, [6, 7])
      appendFileSync(join(spec.directory, 'go'), '')
      await untilEnded(id, 8)
      expect(lines(spec, 'ran').sort()).toEqual(['0', '1', '2', '3', '4', '5'])
    })

    it('cancels what runs: no process of it is left to end well', async () => {
      const spec = array({ wait: true, count: 2 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      await connector.cancel(id)
      await untilEnded(id, 2)
      appendFileSync(join(spec.directory, 'go'), '')
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(lines(spec, 'done')).toEqual([])
    })

    it('cancels what has ended, and what never was', async () => {
      const spec = array()
      const id = await connector.submit(spec)
      await untilEnded(id, 3)
      await connector.cancel(id)
      await connector.cancel(id, [1])
      await connector.cancel('no-such-id')
      expect(lines(spec, 'done').length).toBe(3)
    })

    it('takes names and paths with blanks, quotes, dollars, newlines, emoji', async () => {
      const folder = `it's "here" $(touch gone)\n🧊 \\ *`
      const spec = array({ folder, name: `${directory} ${folder}` })
      await untilEnded(await connector.submit(spec), 3)
      expect(lines(spec, 'done').sort()).toEqual(['0', '1', '2'])
      expect(readdirSync(spec.directory)).not.toContain('gone')
    })

    it('ends a task whose program cannot be started', async () => {
      const spec = array({ command: [join(directory, 'no such program')], count: 2 })
      const reports = await untilEnded(await connector.submit(spec), 2)
      // None, where a scheduler forgets at once what has ended.
      expect([[], ['ended', 'ended']]).toContainEqual(states(reports))
    })

    it.runIf(site.killQueue)('runs each task once though its queue is killed again and again', async () => {
      const spec = array({ count: 25 })
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
      expect(
        lines(spec, 'done')
          .map(Number)
          .sort((a, b) => a - b),
      ).toEqual(Array.from({ length: 25 }, (_, i) => i))
      expect(lines(spec, 'ran').length).toBe(25)
    })

    it.runIf(site.killQueue)('takes up running tasks after a kill, and can cancel them', async () => {
      const spec = array({ wait: true, count: 2 })
      const id = await connector.submit(spec)
      await until(
        () => lines(spec, 'ran'),
        (ran) => ran.length > 0,
      )
      await site.killQueue!(join(directory, 'site'))
      expect(states(await connector.status(new Map([[id, 2]])))).toContain('running')
      await connector.cancel(id)
      await untilEnded(id, 2)
      expect(lines(spec, 'done')).toEqual([])
    })
  })
}
