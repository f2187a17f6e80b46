import type { Hypergraph } from './hypergraph.ts'

/** What a batch may need at most on a site. What is left out has no limit. */
export interface BatchLimits {
  readonly secondsMax?: number
  readonly jobsMax?: number
  /** Distinct inputs of a batch, on node-local disk. */
  readonly diskBytesMax?: number
}

/** Jobs in an affinity order with the ends of its blocks. */
export interface OrderedJobs {
  readonly graph: Hypergraph
  readonly order: Uint32Array
  readonly cuts: Uint32Array
  /** The resource class of each job; left out when all are of one. */
  readonly classOf?: Uint32Array
}

/** A range of an order: jobs of one resource class, run together. */
export interface CutBatch {
  readonly from: number
  readonly to: number
  readonly seconds: number
  readonly inputBytes: number
  readonly resourceClass: number
}

/** The batches and the order that they are ranges of: the given one, with the classes one after the other. */
export interface CutOrder {
  readonly order: Uint32Array
  readonly batches: readonly CutBatch[]
}

/**
 * Cuts an affinity order into batches within a site's limits. Never mixes resource classes, never leaves a job out: one that is
 * over a limit by itself is a batch alone. Blocks are kept whole and joined as far as they fit; a block that is over a limit
 * is cut into parts of about equal work. Seconds are the graph's weights, 1 where it has none. Two passes over the pins.
 */
export function cutBatches(jobs: OrderedJobs, limits: BatchLimits): CutOrder {
  const classes = splitClasses(jobs)
  const cutter = new Cutter(jobs.graph, classes.order, limits)
  for (const { from, to, resourceClass } of classes.blocks) cutter.addBlock(from, to, resourceClass)
  cutter.close()
  return { order: classes.order, batches: cutter.batches }
}

interface ClassBlock {
  readonly from: number
  readonly to: number
  readonly resourceClass: number
}

/** The jobs of each class in their order, class after class, and what is left of each block there. */
function splitClasses({ graph, order, cuts, classOf }: OrderedJobs): { order: Uint32Array; blocks: ClassBlock[] } {
  const present = classOf === undefined ? [0] : [...new Set(classOf)].sort((a, b) => a - b)
  const split = new Uint32Array(graph.jobs)
  const blocks: ClassBlock[] = []
  let at = 0
  for (const resourceClass of present) {
    let place = 0
    for (let block = 0; block < cuts.length; block++) {
      const from = at
      for (; place < (cuts[block] as number); place++) {
        const job = order[place] as number
        if (classOf === undefined || classOf[job] === resourceClass) split[at++] = job
      }
      if (at > from) blocks.push({ from, to: at, resourceClass })
    }
  }
  return { order: split, blocks }
}

interface Load {
  readonly jobs: number
  readonly seconds: number
  readonly bytes: number
}

/** The open batch and the closed ones. Lives for one cut. */
class Cutter {
  readonly batches: CutBatch[] = []
  readonly #graph: Hypergraph
  readonly #order: Uint32Array
  readonly #limits: Required<BatchLimits>
  /** The number of the batch, or of the trial, that held an input last. */
  readonly #heldBy: Uint32Array
  readonly #triedBy: Uint32Array
  #trial = 0
  #from = 0
  #to = 0
  #seconds = 0
  #bytes = 0
  #class = 0

  constructor(graph: Hypergraph, order: Uint32Array, limits: BatchLimits) {
    this.#graph = graph
    this.#order = order
    for (const [name, limit] of Object.entries(limits)) {
      if (!(limit > 0)) throw new RangeError(`${name} is ${limit}, not above 0`)
    }
    this.#limits = { secondsMax: Infinity, jobsMax: Infinity, diskBytesMax: Infinity, ...limits }
    this.#heldBy = new Uint32Array(graph.inputs)
    this.#triedBy = new Uint32Array(graph.inputs)
  }

  addBlock(from: number, to: number, resourceClass: number): void {
    if (resourceClass !== this.#class) this.close()
    this.#class = resourceClass
    const load = this.#measure(from, to)
    if (this.#fits(load)) {
      this.#take(from, to, load)
      return
    }
    this.close()
    const alone = this.#measure(from, to)
    if (this.#fits(alone)) this.#take(from, to, alone)
    else this.#addParts(from, to, alone)
  }

  /** Job by job, in as few parts as the limits ask for and of about equal work; the last part stays open. */
  #addParts(from: number, to: number, whole: Load): void {
    const { secondsMax, jobsMax, diskBytesMax } = this.#limits
    const parts = Math.ceil(Math.max(whole.seconds / secondsMax, whole.jobs / jobsMax, whole.bytes / diskBytesMax))
    let part = 1
    let done = 0
    for (let at = from; at < to; at++) {
      const load = this.#measure(at, at + 1)
      const share = whole.seconds > 0 ? (done + load.seconds / 2) / whole.seconds : (at - from) / whole.jobs
      if (!this.#fits(load) || share * parts >= part) {
        this.close()
        part = Math.floor(share * parts) + 1
        this.#take(at, at + 1, this.#measure(at, at + 1))
      } else this.#take(at, at + 1, load)
      done += load.seconds
    }
  }

  close(): void {
    if (this.#to > this.#from) {
      this.batches.push({
        from: this.#from,
        to: this.#to,
        seconds: this.#seconds,
        inputBytes: this.#bytes,
        resourceClass: this.#class,
      })
    }
    this.#from = this.#to
    this.#seconds = 0
    this.#bytes = 0
  }

  /** What the range would add to the open batch. */
  #measure(from: number, to: number): Load {
    const { offsets, pins, inputBytes, jobWeight } = this.#graph
    const open = this.batches.length + 1
    const trial = ++this.#trial
    let seconds = 0
    let bytes = 0
    for (let at = from; at < to; at++) {
      const job = this.#order[at] as number
      seconds += jobWeight === undefined ? 1 : (jobWeight[job] as number)
      const end = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < end; i++) {
        const input = pins[i] as number
        if (this.#heldBy[input] === open || this.#triedBy[input] === trial) continue
        this.#triedBy[input] = trial
        bytes += inputBytes[input] as number
      }
    }
    return { jobs: to - from, seconds, bytes }
  }

  #fits(load: Load): boolean {
    const { secondsMax, jobsMax, diskBytesMax } = this.#limits
    return (
      this.#seconds + load.seconds <= secondsMax &&
      this.#to - this.#from + load.jobs <= jobsMax &&
      this.#bytes + load.bytes <= diskBytesMax
    )
  }

  #take(from: number, to: number, load: Load): void {
    const { offsets, pins } = this.#graph
    const open = this.batches.length + 1
    for (let at = from; at < to; at++) {
      const job = this.#order[at] as number
      const end = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < end; i++) this.#heldBy[pins[i] as number] = open
    }
    this.#to = to
    this.#seconds += load.seconds
    this.#bytes += load.bytes
  }
}
