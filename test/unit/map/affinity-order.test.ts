import { describe, expect, test } from 'vitest'
import { affinityOrder, bytesToNodes, type Hypergraph } from '../../../src/map/map.ts'
import { makeCatalog } from '../../bench/map-catalogs.ts'

function hypergraph(jobs: number[][], inputBytes: number[], jobWeight?: number[]): Hypergraph {
  const offsets = new Uint32Array(jobs.length + 1)
  jobs.forEach((pins, job) => {
    offsets[job + 1] = (offsets[job] as number) + pins.length
  })
  return {
    jobs: jobs.length,
    inputs: inputBytes.length,
    offsets,
    pins: Uint32Array.from(jobs.flat()),
    inputBytes: Float64Array.from(inputBytes),
    jobWeight: jobWeight && Float64Array.from(jobWeight),
  }
}

const alternating = (jobs: number, inputs: number): number[][] =>
  Array.from({ length: jobs }, (_, job) => [job % inputs])

describe('bytesToNodes', () => {
  test('counts an input once for each block that reads it', () => {
    const graph = hypergraph([[0, 1], [0], [1], [0, 0]], [10, 1])
    const order = Uint32Array.of(0, 1, 2, 3)
    expect(bytesToNodes(graph, order, Uint32Array.of(4))).toBe(11)
    expect(bytesToNodes(graph, order, Uint32Array.of(2, 4))).toBe(22)
    expect(bytesToNodes(graph, order, Uint32Array.of(1, 2, 3, 4))).toBe(11 + 10 + 1 + 10)
  })
})

describe('affinityOrder', () => {
  test('puts jobs with the same input into one block', () => {
    const graph = hypergraph(alternating(40, 4), [5, 6, 7, 8])
    const { order, cuts, bytesToNodes: bytes } = affinityOrder(graph, { capacity: 10 })
    expect([...cuts]).toEqual([10, 20, 30, 40])
    expect(bytes).toBe(5 + 6 + 7 + 8)
    const inputsOf = (from: number, to: number): Set<number> =>
      new Set([...order.subarray(from, to)].map((job) => job % 4))
    for (const end of cuts) expect(inputsOf(end - 10, end).size).toBe(1)
  })

  test('groups by number of files where no size is known', () => {
    const graph = hypergraph(alternating(40, 4), [0, 0, 0, 0])
    const { order, cuts, bytesToNodes: bytes } = affinityOrder(graph, { capacity: 10 })
    expect(bytes).toBe(0)
    expect(bytesToNodes({ ...graph, inputBytes: new Float64Array(4).fill(1) }, order, cuts)).toBe(4)
  })

  test('keeps the given order when nothing is shared', () => {
    const graph = hypergraph(alternating(7, 7), [1, 1, 1, 1, 1, 1, 1])
    const { order, cuts } = affinityOrder(graph, { capacity: 3 })
    expect([...order]).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect([...cuts]).toEqual([3, 5, 7])
  })

  test('gives one block when all jobs fit, and none when there are none', () => {
    expect([...affinityOrder(hypergraph(alternating(5, 2), [1, 1]), { capacity: 5 }).cuts]).toEqual([5])
    expect([...affinityOrder(hypergraph([], []), { capacity: 5 }).cuts]).toEqual([])
  })

  test('puts a job that is too heavy into a block alone', () => {
    const weights = [1, 1, 1, 100, 1, 1, 1, 1]
    const graph = hypergraph(alternating(8, 1), [1], weights)
    const { order, cuts } = affinityOrder(graph, { capacity: 4 })
    let from = 0
    const blocks = [...cuts].map((end) => {
      const jobs = [...order.subarray(from, end)]
      from = end
      return jobs
    })
    expect(blocks.filter((jobs) => jobs.includes(3))).toEqual([[3]])
  })

  test('refuses what is not a hypergraph, or not a capacity', () => {
    const graph = hypergraph([[0], [1]], [1, 1])
    expect(() => affinityOrder({ ...graph, inputs: 1, inputBytes: Float64Array.of(1) }, { capacity: 1 })).toThrow(
      /input 1 of 1/,
    )
    expect(() => affinityOrder({ ...graph, offsets: Uint32Array.of(0, 2) }, { capacity: 1 })).toThrow(/3 numbers/)
    expect(() => affinityOrder({ ...graph, inputBytes: Float64Array.of(1, -1) }, { capacity: 1 })).toThrow(/-1 bytes/)
    expect(() => affinityOrder({ ...graph, jobWeight: Float64Array.of(1, Number.NaN) }, { capacity: 1 })).toThrow(
      /weighs NaN/,
    )
    expect(() => affinityOrder(graph, { capacity: 0 })).toThrow(/capacity/)
  })

  // Measured when written, and then some slack: 5,000 jobs, 100 inputs, 50 a block, bytes as a multiple of the distinct inputs.
  test.each([
    ['hubs', 9.6],
    ['grid', 26],
    ['zipf', 8.2],
    ['uniform', 19],
    ['windows', 15],
  ] as const)('stays below a known cost on %s', (name, times) => {
    const graph = makeCatalog(name, 5000, 100, 1)
    const lowerBound = graph.inputBytes.reduce((sum, bytes) => sum + bytes, 0)
    const { bytesToNodes: bytes, cuts } = affinityOrder(graph, { capacity: 50 })
    expect(cuts.length).toBeLessThanOrEqual(100)
    expect(bytes / lowerBound).toBeLessThan(times)
  })
})
