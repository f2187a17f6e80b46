import type { Weighted } from './contract.ts'
import { readersOf } from './hypergraph.ts'

/** Inputs in more blocks than this say nothing about which blocks are alike, and would cost the square of their blocks. */
const SPREAD_MAX = 400
/**
 * Puts like blocks next to each other, so that a cut at another size later loses little. Gives the blocks in their order.
 * Costs the blocks of each input squared, within a bound.
 */
export function orderBlocks(graph: Weighted, blockOf: Int32Array, blocks: number): Uint32Array {
  return chainJobs(joinBlocks(graph, blockOf, blocks))
}

/** The hypergraph in which each block is one job of weight 1 with the inputs of all its jobs. */
function joinBlocks(graph: Weighted, blockOf: Int32Array, blocks: number): Weighted {
  const jobs = jobsByBlock(blockOf, blocks)
  const seenIn = new Int32Array(graph.inputs).fill(-1)
  const offsets = new Uint32Array(blocks + 1)
  let pins = new Uint32Array(1024)
  let end = 0
  for (let at = 0; at < jobs.length; at++) {
    const job = jobs[at] as number
    const block = blockOf[job] as number
    const last = graph.offsets[job + 1] as number
    for (let i = graph.offsets[job] as number; i < last; i++) {
      const input = graph.pins[i] as number
      if (seenIn[input] === block) continue
      seenIn[input] = block
      if (end === pins.length) {
        const longer = new Uint32Array(end * 2)
        longer.set(pins)
        pins = longer
      }
      pins[end++] = input
    }
    offsets[block + 1] = end
  }
  for (let block = 0; block < blocks; block++) {
    offsets[block + 1] = Math.max(offsets[block + 1] as number, offsets[block] as number)
  }
  return { ...graph, jobs: blocks, offsets, pins: pins.slice(0, end), jobWeight: new Float64Array(blocks).fill(1) }
}

/** A chain in which each job is followed by the one that shares most bytes with the last few, recent ones counting more. */
function chainJobs(graph: Weighted): Uint32Array {
  const { jobs: count, offsets, pins, inputBytes } = graph
  const readers = readersOf(graph)
  const near = new Float64Array(count)
  const placed = new Uint8Array(count)
  const chain = new Uint32Array(count)
  let touched: number[] = []
  let next = 0
  let nextUnplaced = 0
  for (let place = 0; place < count; place++) {
    chain[place] = next
    placed[next] = 1
    touched = touched.filter((job) => {
      near[job]! *= 0.5
      const stays = placed[job] === 0 && (near[job] as number) > 1
      if (!stays) near[job] = 0
      return stays
    })
    const last = offsets[next + 1] as number
    for (let i = offsets[next] as number; i < last; i++) {
      const input = pins[i] as number
      const from = readers.offsets[input] as number
      const to = readers.offsets[input + 1] as number
      if (to - from > SPREAD_MAX) continue
      // An input that few read says more than one that many read.
      const bytes = (inputBytes[input] as number) / (to - from)
      for (let j = from; j < to; j++) {
        const job = readers.jobs[j] as number
        if (placed[job] === 1) continue
        if (near[job] === 0) touched.push(job)
        near[job]! += bytes
      }
    }
    let best = -1
    for (const job of touched) if (best < 0 || (near[job] as number) > (near[best] as number)) best = job
    if (best < 0) {
      while (placed[nextUnplaced] === 1) nextUnplaced++
      best = nextUnplaced
    }
    next = best
  }
  return chain
}

/**
 * Orders the jobs within each block, in place, by the input that fewest others of the block read, so that a block cut
 * again keeps jobs with common inputs together. One pass over the pins and a sort of each block.
 */
export function orderWithinBlocks(graph: Weighted, jobsInBlocks: Uint32Array, ends: Uint32Array): void {
  const { offsets, pins } = graph
  const readers = new Uint32Array(graph.inputs)
  const key = new Float64Array(graph.jobs)
  const count = (from: number, to: number, by: number): void => {
    for (let at = from; at < to; at++) {
      const job = jobsInBlocks[at] as number
      for (let i = offsets[job] as number; i < (offsets[job + 1] as number); i++) readers[pins[i] as number]! += by
    }
  }
  let from = 0
  for (const end of ends) {
    count(from, end, 1)
    for (let at = from; at < end; at++) {
      const job = jobsInBlocks[at] as number
      let rarest = graph.inputs
      let least = Infinity
      for (let i = offsets[job] as number; i < (offsets[job + 1] as number); i++) {
        const degree = readers[pins[i] as number] as number
        if (degree > 1 && degree < least) {
          least = degree
          rarest = pins[i] as number
        }
      }
      key[job] = rarest
    }
    count(from, end, -1)
    jobsInBlocks.subarray(from, end).sort((a, b) => (key[a] as number) - (key[b] as number) || a - b)
    from = end
  }
}

/** The jobs of each block, block after block, in index order within a block. */
export function jobsByBlock(blockOf: Int32Array | Uint32Array, blocks: number): Uint32Array {
  const ends = endsOf(blockOf, blocks)
  const next = new Uint32Array(blocks)
  for (let block = 1; block < blocks; block++) next[block] = ends[block - 1] as number
  const order = new Uint32Array(blockOf.length)
  for (let job = 0; job < blockOf.length; job++) order[next[blockOf[job] as number]!++] = job
  return order
}

/** Where each block ends when jobs are written block after block. */
export function endsOf(blockOf: Int32Array | Uint32Array, blocks: number): Uint32Array {
  const ends = new Uint32Array(blocks)
  for (let job = 0; job < blockOf.length; job++) ends[blockOf[job] as number]!++
  for (let block = 1; block < blocks; block++) ends[block]! += ends[block - 1] as number
  return ends
}
