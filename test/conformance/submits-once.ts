import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ArraySpec, ConnectorError } from '../../connectors/connector.ts'
import { localTransport } from '../../connectors/transport/local.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { type Cluster, connectTo } from '../fakes/clusters.ts'
import type { FakeScheduler } from '../fakes/scheduler/fake-scheduler.ts'
import { type ShellOptions, shellTransport } from '../fakes/shell-transport.ts'
import { countedArray, cutPoints, stopAt, tally, untilIdle } from '../fakes/submissions.ts'

/** A flock that is not there, as far as the script can tell. */
const WITHOUT_FLOCK = ['flock() { return 127; }']
const NONE = { lost: [], doubled: [], resent: [] }

/**
 * That a submission can be cut anywhere. With `breaking` also that this count finds out a protocol that is broken on purpose: the same script
 * for all schedulers, so once is enough.
 */
export function submitsOnce(cluster: Cluster, { breaking = false } = {}): void {
  describe(`submitting to ${cluster.name}`, { timeout: 300_000 }, () => {
    let directory: string
    let fake: FakeScheduler

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'floe-once-'))
      fake = await cluster.fake({ directory: join(directory, 'site'), slots: 4 }).start()
    })
    afterEach(async () => {
      await fake.close()
      rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    })

    type Change = NonNullable<ShellOptions['change']>
    const plain = (change: Change = (script) => script) => shellTransport({ bin: fake.bin, change })
    const connect = (transport: Transport = plain(), setup: readonly string[] = []) =>
      connectTo(cluster, fake, { transport, setup, looksMs: [30] })

    /** One array for each point of a submission at which the shell is killed; then somebody else goes on. */
    async function cutEverywhere(options: {
      /** What was done before, with a way that works. */
      before?: (array: ArraySpec) => Promise<unknown>
      change?: Change
      setup?: readonly string[]
      between?: (array: ArraySpec) => unknown
      verify?: boolean
      /** Which points; all of them where nothing is said. */
      which?: 'all' | 'under the lock' | 'of the last script'
    }): Promise<{ points: number; arrays: ArraySpec[] }> {
      const {
        before = async () => {},
        change = (script: string) => script,
        setup = [],
        verify = false,
        which = 'all',
      } = options
      const first = countedArray(directory, 'p0')
      await before(first)
      const submit = (array: ArraySpec, transport: ReturnType<typeof plain>) =>
        connect(transport, setup).submit(array, { verify })
      const way = { bin: fake.bin, change, directory, all: which === 'all' }
      const found = await cutPoints((transport) => submit(first, transport), way)
      const last = found.at(-1)!.script
      const points = which === 'of the last script' ? found.filter(({ script }) => script === last) : found
      const arrays = [first]
      const left = [...points]
      async function go(): Promise<void> {
        for (let point = left.pop(); point; point = left.pop()) {
          const array = countedArray(directory, `p${point.script}-${point.command}`)
          arrays.push(array)
          await before(array)
          await submit(array, stopAt(point, { bin: fake.bin, change })).catch(expectKind('unreachable'))
          options.between?.(array)
          await submit(array, plain(change))
        }
      }
      options.between?.(first)
      await Promise.all([go(), go(), go(), go()])
      await untilIdle(fake)
      return { points: points.length, arrays }
    }

    const expectKind = (kind: ConnectorError['kind']) => (error: unknown) => {
      expect(error).toBeInstanceOf(ConnectorError)
      expect(error).toMatchObject({ kind })
    }

    it('loses and doubles nothing wherever the shell is killed', async () => {
      const { points, arrays } = await cutEverywhere({})
      expect(points).toBeGreaterThan(40)
      expect(tally(fake, arrays)).toEqual(NONE)
    })

    it.runIf(breaking)('nor where flock does not work', async () => {
      // Hours later, for a lock of the dead is kept as long as a submit command can live.
      const { points, arrays } = await cutEverywhere({ setup: WITHOUT_FLOCK, between: age })
      expect(points).toBeGreaterThan(40)
      expect(tally(fake, arrays)).toEqual(NONE)
    })

    it('nor when the shell that looks for a lost submission is killed', async () => {
      const { points, arrays } = await cutEverywhere({ before: halfSubmit, between: release, which: 'under the lock' })
      expect(points).toBeGreaterThan(30)
      expect(tally(fake, arrays)).toEqual(NONE)
    })

    it('nor when the scheduler has lost what it had answered for, and the id is given to another', async () => {
      const { points, arrays } = await cutEverywhere({
        ...{ before: loseAfterwards, between: release, verify: true, which: 'of the last script' },
      })
      expect(points).toBeGreaterThan(25)
      expect(tally(fake, arrays)).toEqual(NONE)
    })

    it('waits for a submit command that outlives its shell', async () => {
      const array = countedArray(directory, 'outlived')
      await outlive(array)
      await connect().submit(array)
      await untilIdle(fake)
      expect(tally(fake, [array])).toEqual(NONE)
    })

    it('takes up a submission whose command was killed before it printed', async () => {
      const array = countedArray(directory, 'killed')
      fake.noise.lostReplies = 1
      const id = await connect().submit(array)
      await untilIdle(fake)
      expect(await connect().submit(array)).toBe(id)
      expect(tally(fake, [array])).toEqual(NONE)
    })

    it('submits once when many do at the same time', async () => {
      const arrays = Array.from({ length: 9 }, (_, at) => countedArray(directory, `many${at}`))
      const ways = [connect(), connect(localTransport()), connect(plain(), WITHOUT_FLOCK)]
      for (let times = 0; times < 6; times++) ways.push(connect(localTransport(), WITHOUT_FLOCK))
      for (const [at, way] of ways.entries()) {
        const ids = await Promise.all(Array.from({ length: 6 }, () => way.submit(arrays[at]!)))
        expect(new Set(ids).size).toBe(1)
        expect(readdirSync(arrays[at]!.directory)).not.toContain('lock.d')
      }
      await untilIdle(fake)
      expect(tally(fake, arrays)).toEqual(NONE)
    })

    it('asks before it sends, though `tried` was taken away', async () => {
      const array = countedArray(directory, 'untried')
      fake.noise.holds.add(array.name)
      const id = await connect().submit(array)
      rmSync(join(array.directory, 'tried'))
      expect(await connect().submit(array, { verify: true })).toBe(id)
      release(array)
      await untilIdle(fake)
      expect(tally(fake, [array])).toEqual(NONE)
    })

    it('runs each task once though the queue was not seen and the array is there twice, and names the one that runs', async () => {
      const array = countedArray(directory, 'twice', 6)
      await halfSubmit(array)
      fake.noise.blind = true
      const second = await connect().submit(array)
      fake.noise.blind = false
      release(array)
      await untilIdle(fake)
      expect(tally(fake, [array])).toEqual({ ...NONE, resent: ['twice'] })
      const owner = await connect().submit(array)
      expect(owner).not.toBe(second)
      expect(readFileSync(join(array.directory, 'id'), 'utf8')).toBe(`${owner}\n`)
    })

    it('runs nothing of a script that was cut on its way', async () => {
      const whole = plain()
      await connect(whole).submit(countedArray(directory, 'whole'))
      const [text] = whole.scripts
      const calls = fake.calls.length
      const array = countedArray(directory, 'part')
      for (let part = 0; part < 40; part++) {
        const cut = plain((script) => script.slice(0, Math.floor((text!.length * part) / 40)))
        await connect(cut).submit(array).catch(expectKind('unreachable'))
      }
      for (const end of [1, 2, 3, 4, 5]) {
        await connect(plain((script) => script.slice(0, -1 - end)))
          .submit(array)
          .catch(expectKind('unreachable'))
      }
      expect(fake.calls.length).toBe(calls)
      expect(readdirSync(array.directory)).toEqual(['task.sh'])
    })

    describe.runIf(breaking)('with the protocol broken on purpose is found out:', () => {
      const SENDS = /\n(.* <script >answer 2>answer\.err) 9>&9\n/

      it('an id that is written before the submission', async () => {
        const change: Change = (script) => script.replace(SENDS, '\nfloe_publish 1001\n$1\n')
        const { arrays } = await cutEverywhere({ change, which: 'under the lock' })
        expect(tally(fake, arrays).lost).not.toEqual([])
      })

      it('a blind resend, which the owner file alone keeps from doubling', async () => {
        const { arrays } = await cutEverywhere({
          ...{ before: halfSubmit, between: release, change: blind },
          which: 'under the lock',
        })
        const { resent, doubled, lost } = tally(fake, arrays)
        expect(resent).not.toEqual([])
        expect({ doubled, lost }).toEqual({ doubled: [], lost: [] })
      })

      it('a blind resend without the owner file', async () => {
        const change: Change = (script) => unfenced(blind(script, 0), 0)
        const before = (array: ArraySpec) => halfSubmit(array, unfenced)
        const { arrays } = await cutEverywhere({ before, between: release, change, which: 'under the lock' })
        expect(tally(fake, arrays).doubled).not.toEqual([])
      })

      it('an id that is trusted without the name', async () => {
        const { arrays } = await cutEverywhere({
          ...{ before: loseAfterwards, between: release },
          which: 'under the lock',
        })
        expect(tally(fake, arrays).lost).not.toEqual([])
      })

      it('a lock that the submit command does not hold', async () => {
        const array = countedArray(directory, 'unlocked')
        await outlive(array, (script) => script.replace(SENDS, '\n$1 9>&-\n'))
        await connect().submit(array)
        await new Promise((resolve) => setTimeout(resolve, 500))
        await untilIdle(fake)
        expect(tally(fake, [array]).resent).toEqual(['unlocked'])
      })

      const blind: Change = (script) =>
        script.replace('if [ -n "$floe_tried" ] && [ "$floe_tried" != "$floe_asked" ]; then', 'if false; then')
      const unfenced: Change = (script) => script.replace('[ "$floe_owner" = "$floe_claim" ] || exit 0', ':')
    })

    /** A submission that reached the scheduler, whose shell knew nothing of it, and whose tasks have to wait. */
    async function halfSubmit(array: ArraySpec, change: Change = (script) => script): Promise<void> {
      fake.noise.holds.add(array.name)
      const cut = plain((script, at) => change(script, at).replace('\nfloe_exit=$?\n', '\nkill -9 $$$$\n'))
      await connect(cut).submit(array).catch(expectKind('unreachable'))
      expect(fake.known.some(({ name }) => name === array.name)).toBe(true)
    }

    /** A shell is killed at once when the submit command has begun, which takes its time. */
    async function outlive(array: ArraySpec, change: Change = (script) => script): Promise<void> {
      fake.noise.slowMs = 400
      const background = (script: string): string =>
        script.replace(/( <script >answer 2>answer\.err .*)\n/, '$1 & sleep 0.1; kill -9 $$$$\n')
      const cut = plain((script, at) => background(change(script, at)))
      await connect(cut).submit(array).catch(expectKind('unreachable'))
      expect(fake.jobs.length).toBe(0)
      // The one that outlives is slow, not those that look for it.
      fake.noise.slowMs = 0
    }

    async function loseAfterwards(array: ArraySpec): Promise<void> {
      fake.noise.holds.add(array.name)
      const number = Number.parseInt(await connect().submit(array), 10)
      fake.lose(number)
      fake.add({ name: 'of-another', isArray: false, indices: [0], script: 'true', cwd: '/', queue: 'main' })
    }

    function release({ name }: ArraySpec): void {
      fake.noise.holds.delete(name)
      fake.pump()
    }

    function age({ directory: path }: ArraySpec): void {
      const lock = join(path, 'lock.d')
      if (existsSync(lock)) for (const file of readdirSync(lock)) utimesSync(join(lock, file), 0, 0)
    }
  })
}
