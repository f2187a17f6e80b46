import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { affinityOrder, bytesToNodes, cutBatches, type Hypergraph } from '../../../src/map/map.ts'

/** One row of a catalog: a name, the inputs, seconds. */
interface Row {
  readonly name: string
  readonly inputs: readonly number[]
  readonly seconds: number
}

const INPUTS = 12
const inputBytes = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: INPUTS, maxLength: INPUTS })
const rows: fc.Arbitrary<Row[]> = fc
  .uniqueArray(
    fc.record({
      name: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 6 }),
      inputs: fc.array(fc.integer({ min: 0, max: INPUTS - 1 }), { maxLength: 6 }),
      seconds: fc.oneof(fc.constant(1), fc.constant(0), fc.double({ min: 0, max: 50, noNaN: true })),
    }),
    { selector: (row) => row.name, maxLength: 120, size: 'max' },
  )
  .chain((all) => fc.boolean().map((even) => (even ? all.map((row) => ({ ...row, seconds: 1 })) : all)))
const capacity = fc.double({ min: 0.5, max: 60, noNaN: true })
const imbalance = fc.constantFrom(0, 0.03, 0.3)

function hypergraph(all: readonly Row[], bytes: readonly number[]): Hypergraph {
  const offsets = new Uint32Array(all.length + 1)
  all.forEach((row, job) => {
    offsets[job + 1] = (offsets[job] as number) + row.inputs.length
  })
  return {
    jobs: all.length,
    inputs: INPUTS,
    offsets,
    pins: Uint32Array.from(all.flatMap((row) => row.inputs)),
    inputBytes: Float64Array.from(bytes),
    jobWeight: Float64Array.from(all, (row) => row.seconds),
  }
}

/** Sizes of ranges that end at `cuts`, measured by `sizeOf`. */
function sums(order: Uint32Array, cuts: ArrayLike<number>, sizeOf: (job: number) => number): number[] {
  let from = 0
  return Array.from(cuts, (end) => {
    const sum = order.subarray(from, end).reduce((total, job) => total + sizeOf(job), 0)
    from = end
    return sum
  })
}

describe('affinityOrder', () => {
  test('holds each job exactly once, in blocks within the limit', () => {
    fc.assert(
      fc.property(rows, inputBytes, capacity, imbalance, (all, bytes, wanted, share) => {
        const graph = hypergraph(all, bytes)
        const { order, cuts, bytesToNodes: cost } = affinityOrder(graph, { capacity: wanted, imbalance: share })
        expect([...order].sort((a, b) => a - b)).toEqual(all.map((_, job) => job))
        expect(cuts.length === 0 ? 0 : cuts[cuts.length - 1]).toBe(all.length)
        expect(cost).toBe(bytesToNodes(graph, order, cuts))
        const jobsOf = sums(order, cuts, () => 1)
        sums(order, cuts, (job) => all[job]?.seconds ?? 0).forEach((seconds, block) => {
          expect(jobsOf[block]).toBeGreaterThan(0)
          if (seconds > wanted * (1 + share) * (1 + 1e-6)) {
            // Jobs of no weight may share a block with one that is too heavy.
            const weighty = [...order.subarray((cuts[block - 1] ?? 0) as number, cuts[block])].filter(
              (job) => (all[job]?.seconds ?? 0) > 0,
            )
            expect(weighty.length).toBe(1)
          }
        })
      }),
    )
  })

  test('has no more blocks than the capacity asks for where all jobs weigh the same', () => {
    fc.assert(
      fc.property(rows, inputBytes, fc.integer({ min: 1, max: 40 }), (all, bytes, wanted) => {
        const graph = { ...hypergraph(all, bytes), jobWeight: undefined }
        const { order, cuts } = affinityOrder(graph, { capacity: wanted })
        expect(cuts.length).toBeLessThanOrEqual(Math.ceil(all.length / wanted))
        for (const jobs of sums(order, cuts, () => 1)) expect(jobs).toBeLessThanOrEqual(Math.ceil(wanted * 1.03))
      }),
    )
  })

  test('does not depend on the order of rows once they are sorted by name', () => {
    fc.assert(
      fc.property(rows, inputBytes, capacity, fc.nat(), (all, bytes, wanted, seed) => {
        const sorted = (list: readonly Row[]): Row[] => [...list].sort((a, b) => (a.name < b.name ? -1 : 1))
        const shuffledRows = [...all].sort((a, b) => hash(a.name, seed) - hash(b.name, seed))
        const once = affinityOrder(hypergraph(sorted(all), bytes), { capacity: wanted })
        const again = affinityOrder(hypergraph(sorted(shuffledRows), bytes), { capacity: wanted })
        expect(again).toEqual(once)
      }),
    )
  })

  test('is never worse than the given order in blocks of the same size', () => {
    fc.assert(
      fc.property(rows, inputBytes, fc.integer({ min: 1, max: 40 }), (all, bytes, wanted) => {
        const graph = { ...hypergraph(all, bytes), jobWeight: undefined }
        const blocks = Math.max(1, Math.ceil(all.length / wanted))
        const given = Uint32Array.from(all, (_, job) => job)
        const cuts = Uint32Array.from({ length: blocks }, (_, block) =>
          Math.ceil(((block + 1) * all.length) / blocks - 1e-6),
        )
        const { bytesToNodes: cost } = affinityOrder(graph, { capacity: wanted })
        expect(cost).toBeLessThanOrEqual(bytesToNodes(graph, given, cuts))
      }),
    )
  })
})

describe('cutBatches', () => {
  const limits = fc.record(
    {
      secondsMax: fc.double({ min: 1, max: 80, noNaN: true }),
      jobsMax: fc.integer({ min: 1, max: 30 }),
      diskBytesMax: fc.integer({ min: 1, max: 4_000_000 }),
    },
    { requiredKeys: [] },
  )

  test('holds each job once, keeps limits and classes', () => {
    fc.assert(
      fc.property(
        rows,
        inputBytes,
        capacity,
        limits,
        fc.integer({ min: 1, max: 3 }),
        (all, bytes, wanted, max, classes) => {
          const graph = hypergraph(all, bytes)
          const { order, cuts } = affinityOrder(graph, { capacity: wanted })
          const classOf = Uint32Array.from(all, (row) => row.inputs.length % classes)
          const cut = cutBatches({ graph, order, cuts, classOf }, max)
          expect([...cut.order].sort((a, b) => a - b)).toEqual(all.map((_, job) => job))
          let at = 0
          for (const { from, to, seconds, inputBytes: held, resourceClass } of cut.batches) {
            expect(from).toBe(at)
            at = to
            const jobs = [...cut.order.subarray(from, to)]
            for (const job of jobs) expect(classOf[job]).toBe(resourceClass)
            const inputs = new Set(jobs.flatMap((job) => all[job]?.inputs ?? []))
            expect(held).toBe([...inputs].reduce((sum, input) => sum + (bytes[input] as number), 0))
            expect(seconds).toBeCloseTo(
              jobs.reduce((sum, job) => sum + (all[job]?.seconds ?? 0), 0),
              6,
            )
            if (jobs.length === 1) continue
            expect(seconds).toBeLessThanOrEqual((max.secondsMax ?? Infinity) + 1e-6)
            expect(jobs.length).toBeLessThanOrEqual(max.jobsMax ?? Infinity)
            expect(held).toBeLessThanOrEqual(max.diskBytesMax ?? Infinity)
          }
          expect(at).toBe(all.length)
        },
      ),
    )
  })
})

function hash(text: string, seed: number): number {
  let value = seed | 0
  for (const letter of text) value = (Math.imul(value, 31) + (letter.codePointAt(0) ?? 0)) | 0
  return value
}
