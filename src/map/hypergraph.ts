/** Jobs as vertices, inputs as hyperedges weighted by bytes, in compressed-row form. */
export interface Hypergraph {
  readonly jobs: number
  readonly inputs: number
  /** Where the inputs of each job begin in `pins`: jobs + 1 numbers. */
  readonly offsets: Uint32Array
  /** The input numbers of each job, job after job. An input named twice by a job counts once. */
  readonly pins: Uint32Array
  readonly inputBytes: Float64Array
  /** Seconds of each job; undefined when every job weighs 1. */
  readonly jobWeight: Float64Array | undefined
}

/** The jobs of each input: the same pins read the other way round. */
export interface Readers {
  readonly offsets: Uint32Array
  readonly jobs: Uint32Array
}

/** Lists the jobs of each input, in index order. Two passes over the pins. */
export function readersOf(graph: Hypergraph): Readers {
  const { jobs, inputs, offsets, pins } = graph
  const starts = new Uint32Array(inputs + 1)
  const pinCount = offsets[jobs] as number
  for (let i = 0; i < pinCount; i++) starts[(pins[i] as number) + 1]!++
  for (let input = 0; input < inputs; input++) starts[input + 1]! += starts[input] as number
  const next = starts.slice(0, inputs)
  const readers = new Uint32Array(pinCount)
  for (let job = 0; job < jobs; job++) {
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      readers[next[pins[i] as number]!++] = job
    }
  }
  return { offsets: starts, jobs: readers }
}

/**
 * What a plan moves to nodes: the bytes of each input, once for each block that reads it. `cuts` are the ends of the
 * blocks in `order`. One pass over the pins; allocates four bytes an input.
 */
export function bytesToNodes(graph: Hypergraph, order: Uint32Array, cuts: Uint32Array): number {
  const { offsets, pins, inputBytes } = graph
  const seenIn = new Uint32Array(graph.inputs)
  let bytes = 0
  let at = 0
  for (let block = 0; block < cuts.length; block++) {
    const end = cuts[block] as number
    for (; at < end; at++) {
      const job = order[at] as number
      const last = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < last; i++) {
        const input = pins[i] as number
        if (seenIn[input] === block + 1) continue
        seenIn[input] = block + 1
        bytes += inputBytes[input] as number
      }
    }
  }
  return bytes
}

/** Throws a RangeError that names the first number which does not fit, so that no loop below reads past an end. */
export function assertHypergraph(graph: Hypergraph): void {
  const { jobs, inputs, offsets, pins, inputBytes, jobWeight } = graph
  if (offsets.length !== jobs + 1 || offsets[0] !== 0)
    throw new RangeError(`offsets must hold ${jobs + 1} numbers from 0 on`)
  if (inputBytes.length !== inputs)
    throw new RangeError(`inputBytes holds ${inputBytes.length} numbers for ${inputs} inputs`)
  if (jobWeight !== undefined && jobWeight.length !== jobs)
    throw new RangeError(`jobWeight holds ${jobWeight.length} numbers for ${jobs} jobs`)
  for (let job = 0; job < jobs; job++) {
    if ((offsets[job + 1] as number) < (offsets[job] as number)) throw new RangeError(`offsets fall after job ${job}`)
    const weight = jobWeight === undefined ? 1 : (jobWeight[job] as number)
    if (!(weight >= 0 && weight < Infinity)) throw new RangeError(`job ${job} weighs ${weight}`)
  }
  const pinCount = offsets[jobs] as number
  if (pins.length < pinCount) throw new RangeError(`pins holds ${pins.length} of ${pinCount} numbers`)
  for (let i = 0; i < pinCount; i++) {
    if ((pins[i] as number) >= inputs) throw new RangeError(`pin ${i} names input ${pins[i]} of ${inputs}`)
  }
  for (let input = 0; input < inputs; input++) {
    const bytes = inputBytes[input] as number
    if (!(bytes >= 0 && bytes < Infinity)) throw new RangeError(`input ${input} has ${bytes} bytes`)
  }
}
