import type { Weighted } from './contract.ts'

/** Inputs in more blocks than this say nothing about which blocks are alike, and would cost the square of their blocks. */
const SPREAD_MAX = 400

/** The inputs of each block and the blocks of each input, in compressed rows. */
interface Shared {
  readonly inputsFrom: Uint32Array
  readonly inputs: Uint32Array
  readonly blocksFrom: Uint32Array
  readonly blocks: Uint32Array
}

/**
 * Puts like blocks next to each other: a chain in which each block is followed by the one that shares most bytes with the
 * last few, recent ones counting more. Gives the place of each block. Costs the blocks of each input squared, within a bound.
 */
export function chainBlocks(graph: Weighted, jobsInBlocks: Uint32Array, ends: Uint32Array): Uint32Array {
  const count = ends.length
  const shared = shareInputs(graph, jobsInBlocks, ends)
  const near = new Float64Array(count)
  const placed = new Uint8Array(count)
  const chain = new Uint32Array(count)
  let touched: number[] = []
  let next = 0
  let nextUnplaced = 0
  for (let place = 0; place < count; place++) {
    chain[place] = next
    placed[next] = 1
    const kept: number[] = []
    for (const block of touched) {
      near[block]! *= 0.5
      if (placed[block] === 0 && (near[block] as number) > 1) kept.push(block)
      else near[block] = 0
    }
    touched = kept
    const last = shared.inputsFrom[next + 1] as number
    for (let i = shared.inputsFrom[next] as number; i < last; i++) {
      const input = shared.inputs[i] as number
      const from = shared.blocksFrom[input] as number
      const to = shared.blocksFrom[input + 1] as number
      if (to - from > SPREAD_MAX) continue
      // An input that few blocks read says more than one that many read.
      const bytes = (graph.inputBytes[input] as number) / (to - from)
      for (let j = from; j < to; j++) {
        const block = shared.blocks[j] as number
        if (placed[block] === 1) continue
        if (near[block] === 0) touched.push(block)
        near[block]! += bytes
      }
    }
    let best = -1
    for (const block of touched) {
      if (best < 0 || (near[block] as number) > (near[best] as number)) best = block
    }
    if (best < 0) {
      while (placed[nextUnplaced] === 1) nextUnplaced++
      best = nextUnplaced
    }
    next = best
  }
  return chain
}

function shareInputs(graph: Weighted, jobsInBlocks: Uint32Array, ends: Uint32Array): Shared {
  const { offsets, pins } = graph
  const seenIn = new Uint32Array(graph.inputs)
  const blocksFrom = new Uint32Array(graph.inputs + 1)
  const inputsFrom = new Uint32Array(ends.length + 1)
  let inputs = new Uint32Array(1024)
  let total = 0
  let at = 0
  for (let block = 0; block < ends.length; block++) {
    for (; at < (ends[block] as number); at++) {
      const job = jobsInBlocks[at] as number
      const last = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < last; i++) {
        const input = pins[i] as number
        if (seenIn[input] === block + 1) continue
        seenIn[input] = block + 1
        blocksFrom[input + 1]!++
        if (total === inputs.length) {
          const longer = new Uint32Array(total * 2)
          longer.set(inputs)
          inputs = longer
        }
        inputs[total++] = input
      }
    }
    inputsFrom[block + 1] = total
  }
  for (let input = 0; input < graph.inputs; input++) blocksFrom[input + 1]! += blocksFrom[input] as number
  const next = blocksFrom.slice()
  const blocks = new Uint32Array(total)
  for (let block = 0; block < ends.length; block++) {
    const last = inputsFrom[block + 1] as number
    for (let i = inputsFrom[block] as number; i < last; i++) blocks[next[inputs[i] as number]!++] = block
  }
  return { inputsFrom, inputs, blocksFrom, blocks }
}

/**
 * Orders the jobs within each block, in place, by the input that fewest others of the block read, so that a block cut
 * again keeps jobs with common inputs together. One pass over the pins and a sort of each block.
 */
export function orderWithinBlocks(graph: Weighted, jobsInBlocks: Uint32Array, ends: Uint32Array): void {
  const { offsets, pins } = graph
  const readers = new Uint32Array(graph.inputs)
  const key = new Float64Array(graph.jobs)
  let from = 0
  for (const end of ends) {
    for (let at = from; at < end; at++) count(jobsInBlocks[at] as number, 1)
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
    for (let at = from; at < end; at++) count(jobsInBlocks[at] as number, -1)
    jobsInBlocks.subarray(from, end).sort((a, b) => (key[a] as number) - (key[b] as number) || a - b)
    from = end
  }

  function count(job: number, by: number): void {
    for (let i = offsets[job] as number; i < (offsets[job + 1] as number); i++) readers[pins[i] as number]! += by
  }
}
