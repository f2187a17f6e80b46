import type { Hypergraph } from './hypergraph.ts'
import { mix, shuffled } from './random.ts'

/** A hypergraph whose jobs all have a weight. */
export type Weighted = Hypergraph & { readonly jobWeight: Float64Array }

/** A smaller hypergraph with the same best plans. */
export interface Contracted {
  readonly graph: Weighted
  /** The number of each job's group, which is a job of `graph`. */
  readonly groupOf: Uint32Array
}

/**
 * Takes out what cannot change which plan is best: inputs read by one job or by all, repeated pins; adds up inputs that the
 * same jobs read; joins jobs with equal inputs into groups of at most `groupWeightMax` (a heavier job stays alone).
 * Groups are numbered by their first job. Equality rests on 64 hash bits: a collision would cost bytes, not correctness.
 * A few passes over the pins.
 */
export function contract(graph: Hypergraph, groupWeightMax: number): Contracted {
  const merged = mergeInputs(graph)
  const pinCount = graph.offsets[graph.jobs] as number
  const offsets = new Uint32Array(graph.jobs + 1)
  const pins = new Uint32Array(pinCount)
  const groupOf = new Uint32Array(graph.jobs)
  const weights = new Float64Array(graph.jobs)
  const lookup = new HashIndex(graph.jobs)
  const lastJobSeen = new Uint32Array(merged.inputBytes.length)
  let groups = 0
  let end = 0
  for (let job = 0; job < graph.jobs; job++) {
    const start = end
    let low = 0
    let high = 0
    const last = graph.offsets[job + 1] as number
    for (let i = graph.offsets[job] as number; i < last; i++) {
      const numbered = merged.numberOf[graph.pins[i] as number] as number
      if (numbered === 0 || lastJobSeen[numbered - 1] === job + 1) continue
      lastJobSeen[numbered - 1] = job + 1
      pins[end++] = numbered - 1
      const spread = mix(numbered)
      low = (low + spread) | 0
      high = (high + mix(spread ^ 0x5bd1e995)) | 0
    }
    const weight = graph.jobWeight === undefined ? 1 : (graph.jobWeight[job] as number)
    const slot = lookup.slot(low, high, end - start)
    const group = lookup.values[slot] as number
    if (group > 0 && (weights[group - 1] as number) + weight <= groupWeightMax) {
      groupOf[job] = group - 1
      weights[group - 1]! += weight
      end = start
    } else {
      // A full group leaves its place in the index to the next one of its kind.
      lookup.values[slot] = groups + 1
      groupOf[job] = groups
      weights[groups] = weight
      groups++
      offsets[groups] = end
    }
  }
  return {
    groupOf,
    graph: {
      jobs: groups,
      inputs: merged.inputBytes.length,
      offsets: offsets.slice(0, groups + 1),
      pins: pins.subarray(0, end),
      inputBytes: merged.inputBytes,
      jobWeight: weights.slice(0, groups),
    },
  }
}

/** New input numbers from 1 (0 = left out) and the bytes of each. */
function mergeInputs(graph: Hypergraph): { numberOf: Uint32Array; inputBytes: Float64Array } {
  const { jobs, inputs, offsets, pins, inputBytes } = graph
  const degree = new Uint32Array(inputs)
  const low = new Int32Array(inputs)
  const high = new Int32Array(inputs)
  const lastJobSeen = new Uint32Array(inputs)
  for (let job = 0; job < jobs; job++) {
    const spread = mix(job + 1)
    const spreadHigh = mix(spread ^ 0x5bd1e995)
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      if (lastJobSeen[input] === job + 1) continue
      lastJobSeen[input] = job + 1
      degree[input]!++
      low[input] = (low[input] as number) + spread
      high[input] = (high[input] as number) + spreadHigh
    }
  }
  const numberOf = new Uint32Array(inputs)
  const bytes = new Float64Array(inputs)
  const lookup = new HashIndex(inputs)
  let count = 0
  for (let input = 0; input < inputs; input++) {
    const readers = degree[input] as number
    if (readers < 2 || readers === jobs || inputBytes[input] === 0) continue
    const slot = lookup.slot(low[input] as number, high[input] as number, readers)
    if (lookup.values[slot] === 0) lookup.values[slot] = ++count
    const numbered = lookup.values[slot] as number
    numberOf[input] = numbered
    bytes[numbered - 1]! += inputBytes[input] as number
  }
  return { numberOf, inputBytes: bytes.slice(0, count) }
}

/** An open-addressing index from three 32-bit words to a value; 0 means absent. Lives as long as one pass. */
class HashIndex {
  readonly values: Uint32Array
  readonly #keys: Int32Array
  readonly #mask: number

  constructor(entries: number) {
    let size = 16
    while (size < entries * 2) size *= 2
    this.#mask = size - 1
    this.values = new Uint32Array(size)
    this.#keys = new Int32Array(size * 3)
  }

  /** The slot of this key, taken for it when the key is new. The caller stores a value above 0 there. */
  slot(a: number, b: number, c: number): number {
    const keys = this.#keys
    let slot = mix(a ^ mix(b + c)) & this.#mask
    for (;;) {
      if (this.values[slot] === 0) {
        keys[slot * 3] = a
        keys[slot * 3 + 1] = b
        keys[slot * 3 + 2] = c
        return slot
      }
      if (keys[slot * 3] === a && keys[slot * 3 + 1] === b && keys[slot * 3 + 2] === c) return slot
      slot = (slot + 1) & this.#mask
    }
  }
}

/** The same hypergraph with its jobs in a seeded order, so that passes in index order meet unlike jobs one after the other. */
export function shuffleJobs(contracted: Contracted, random: () => number): Contracted {
  const { graph } = contracted
  const order = shuffled(graph.jobs, random)
  const place = new Uint32Array(graph.jobs)
  const offsets = new Uint32Array(graph.jobs + 1)
  const pins = new Uint32Array(graph.pins.length)
  const jobWeight = new Float64Array(graph.jobs)
  let end = 0
  for (let job = 0; job < graph.jobs; job++) {
    const from = order[job] as number
    place[from] = job
    jobWeight[job] = graph.jobWeight[from] as number
    const last = graph.offsets[from + 1] as number
    for (let i = graph.offsets[from] as number; i < last; i++) pins[end++] = graph.pins[i] as number
    offsets[job + 1] = end
  }
  return {
    groupOf: contracted.groupOf.map((group) => place[group] as number),
    graph: { ...graph, offsets, pins, jobWeight },
  }
}
