import { describe, expect, test } from 'vitest'
import { cutBatches, type Hypergraph } from '../../../src/map/map.ts'

/** Eight jobs, two for each of four inputs of 10 bytes, each 5 seconds. */
const graph: Hypergraph = {
  jobs: 8,
  inputs: 4,
  offsets: Uint32Array.from({ length: 9 }, (_, job) => job),
  pins: Uint32Array.of(0, 0, 1, 1, 2, 2, 3, 3),
  inputBytes: new Float64Array(4).fill(10),
  jobWeight: new Float64Array(8).fill(5),
}
const order = Uint32Array.of(0, 1, 2, 3, 4, 5, 6, 7)
const jobs = { graph, order, cuts: Uint32Array.of(4, 8) }
const ranges = (cut: ReturnType<typeof cutBatches>): number[][] => cut.batches.map(({ from, to }) => [from, to])

describe('cutBatches', () => {
  test('joins whole blocks as far as they fit', () => {
    expect(ranges(cutBatches(jobs, {}))).toEqual([[0, 8]])
    expect(ranges(cutBatches(jobs, { jobsMax: 7 }))).toEqual([
      [0, 4],
      [4, 8],
    ])
  })

  test('cuts a block over a limit into even parts', () => {
    const even = [
      [0, 2],
      [2, 4],
      [4, 6],
      [6, 8],
    ]
    expect(ranges(cutBatches(jobs, { jobsMax: 3 }))).toEqual(even)
    expect(ranges(cutBatches(jobs, { secondsMax: 10 }))).toEqual(even)
    expect(ranges(cutBatches(jobs, { diskBytesMax: 15 }))).toEqual(even)
  })

  test('says what a batch needs, each input once', () => {
    expect(cutBatches(jobs, { jobsMax: 4 }).batches[0]).toEqual({
      from: 0,
      to: 4,
      seconds: 20,
      inputBytes: 20,
      resourceClass: 0,
    })
  })

  test('never mixes resource classes and keeps the order within each', () => {
    const cut = cutBatches({ ...jobs, classOf: Uint32Array.of(7, 2, 7, 2, 7, 2, 7, 2) }, {})
    expect([...cut.order]).toEqual([1, 3, 5, 7, 0, 2, 4, 6])
    expect(cut.batches.map(({ from, to, resourceClass }) => [from, to, resourceClass])).toEqual([
      [0, 4, 2],
      [4, 8, 7],
    ])
  })

  test('gives a job over the limit a batch of its own', () => {
    expect(ranges(cutBatches(jobs, { diskBytesMax: 5 }))).toEqual(Array.from({ length: 8 }, (_, i) => [i, i + 1]))
  })

  test('refuses a limit that is not above 0', () => {
    expect(() => cutBatches(jobs, { jobsMax: 0 })).toThrow(/jobsMax is 0/)
  })
})
