import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ArraySpec } from '../../connectors/connector.ts'
import { pbs } from '../../connectors/pbs/pbs.ts'
import { bytesOf, clock, indicesBelow, readRanges, runsOf, secondsOf } from '../../connectors/scheduler-text.ts'
import { SGE_WORDS, sge } from '../../connectors/sge/sge.ts'
import { slurm } from '../../connectors/slurm/slurm.ts'

const indices = fc.uniqueArray(fc.nat(300), { minLength: 1 })
const inOrder = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b)
const asText = (list: readonly number[]): string =>
  runsOf(list)
    .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    .join()

describe('ranges', () => {
  test('say the same indices, written and read', () => {
    fc.assert(
      fc.property(indices, (list) => {
        expect([...indicesBelow(301, readRanges(asText(list))!)]).toEqual(inOrder(list))
      }),
    )
  })

  test('that were cut short lose no index, and invent none before the cut', () => {
    fc.assert(
      fc.property(indices, fc.nat(), (list, at) => {
        const text = asText(list)
        const cut = `${text.slice(0, at % text.length)}...`
        const read = readRanges(cut)!
        const found = [...indicesBelow(301, read)]
        expect(found).toEqual(expect.arrayContaining(list))
        expect(found.filter((index) => index < read.cutAt!).every((index) => list.includes(index))).toBe(true)
      }),
    )
  })

  test('are no longer than they must be', () => {
    fc.assert(
      fc.property(indices, (list) => {
        const runs = runsOf(list)
        for (const [at, [first]] of runs.entries()) if (at > 0) expect(first).toBeGreaterThan(runs[at - 1]![1] + 1)
      }),
    )
  })
})

test('durations and sizes survive writing and reading', () => {
  fc.assert(
    fc.property(fc.nat(10_000_000), (sec) => {
      expect(secondsOf(clock(sec))).toBe(sec)
      const days = `${Math.floor(sec / 86_400)}-${clock(sec % 86_400)}`
      expect(secondsOf(days)).toBe(sec)
    }),
  )
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.constantFrom('K', 'M', 'G', 'kb', 'mb', 'GiB'), (size, unit) => {
      const power = 'kmg'.indexOf(unit[0]!.toLowerCase()) + 1
      expect(bytesOf(`${size}${unit}`)).toBe(size * 1024 ** power)
    }),
  )
})

const anyArray: fc.Arbitrary<ArraySpec> = fc.record({
  name: fc.constant('floe-0123abcd-a000001'),
  directory: fc.string({ unit: 'binary', minLength: 1 }).map((text) => `/scratch/❄ '"$(x)\n${text}`),
  count: fc.integer({ min: 1, max: 100_000 }),
  command: fc.array(fc.string()),
  cpus: fc.integer({ min: 1, max: 128 }),
  memoryBytes: fc.option(fc.integer({ min: 1, max: 2 ** 42 })),
  walltimeSec: fc.option(fc.integer({ min: 1, max: 10_000_000 })),
  gpus: fc.nat(8),
  queue: fc.option(fc.constant('batch')),
  account: fc.option(fc.constant('ice')),
})

test('no path and no command of the user reaches a scheduler', () => {
  fc.assert(
    fc.property(anyArray, (array) => {
      const bare = { ...array, directory: '/', command: [] }
      for (const dialect of [slurm(), pbs, sge({ ...SGE_WORDS, parallelEnvironment: 'smp' })]) {
        expect(dialect.submit(array)).toEqual(dialect.submit(bare))
        expect(dialect.submit(array).every((word) => /^[\w.,:=/@-]+$/.test(word))).toBe(true)
      }
    }),
  )
})

test('what is asked for is never less than what was wanted', () => {
  fc.assert(
    fc.property(anyArray, (array) => {
      const said = (argv: readonly string[], pattern: RegExp): string => pattern.exec(argv.join(' '))?.[1] ?? ''
      const bySlurm = slurm().submit(array)
      const byPbs = pbs.submit(array)
      const bySge = sge({ ...SGE_WORDS, parallelEnvironment: 'smp' }).submit(array)
      if (array.memoryBytes !== null) {
        expect(bytesOf(said(bySlurm, /--mem=(\w+)/))).toBeGreaterThanOrEqual(array.memoryBytes)
        expect(bytesOf(said(byPbs, /:mem=(\w+)/))).toBeGreaterThanOrEqual(array.memoryBytes)
        expect(bytesOf(said(bySge, /h_vmem=(\w+)/))! * array.cpus).toBeGreaterThanOrEqual(array.memoryBytes)
      }
      if (array.walltimeSec !== null) {
        expect(Number(said(bySlurm, /--time=(\d+)/)) * 60).toBeGreaterThanOrEqual(array.walltimeSec)
        expect(secondsOf(said(byPbs, /walltime=([\d:]+)/))).toBe(array.walltimeSec)
        expect(Number(said(bySge, /h_rt=(\d+)/))).toBe(array.walltimeSec)
      }
    }),
  )
})

test('each task of an array is reported once, whatever part of it has started', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat(199)), (count, some) => {
      const started = [...new Set(some)].filter((index) => index < count)
      const rest = Array.from({ length: count }, (_, index) => index).filter((index) => !started.includes(index))
      const arrays = new Map([['7', count]])
      const output = (stdout: string): { exit: number; stdout: string; stderr: string } => ({
        exit: 0,
        stdout,
        stderr: '',
      })
      const rows = started.map((index) => `7|${index}|RUNNING|None|.`)
      if (rest.length > 0) rows.push(`7|${asText(rest)}%4|PENDING|Priority|.`)
      const bySlurm = slurm().parseStatus(output(`${rows.join('\n')}\n`), arrays)
      const jobs = started.map((index) => job('r', `${index + 1}`))
      if (rest.length > 0) jobs.push(job('qw', asText(rest.map((index) => index + 1))))
      const bySge = sge().parseStatus(output(`<job_info>${jobs.join('')}</job_info>`), arrays)
      for (const reports of [bySlurm, bySge]) {
        expect(inOrder(reports.map(({ index }) => index))).toEqual(Array.from({ length: count }, (_, index) => index))
        expect(inOrder(reports.filter(({ state }) => state === 'running').map(({ index }) => index))).toEqual(
          inOrder(started),
        )
      }
    }),
  )
})

const job = (state: string, tasks: string): string =>
  `<job_list state="x"><JB_job_number>7</JB_job_number><state>${state}</state><tasks>${tasks}</tasks></job_list>`
