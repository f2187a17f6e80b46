import { type Holdings, racksOf } from './holdings.ts'
import { type Hypergraph, readersOf } from './hypergraph.ts'

/** A job of which no node holds anything, or that found no room on one. */
export const NO_HOME = 0xffffffff

/** How much more than the mean a node may be home to. */
const OVER_MEAN = 0.1
/** Rounds in which inputs move to less loaded holders. */
const ROUNDS = 20
/** A holder of so much of what the best holds is as good. */
const SAME = 0.8
/** Sums of shares are not exact. */
const TINY = 1e-9

/**
 * The home of each job: the node that holds most of the bytes it reads, as long as that node is not home to much more than the mean. Each input
 * has several holders, so where they are equal those are preferred that even out the work, and jobs of one input have one home. Rests on
 * numbers alone: jobs, inputs and nodes numbered by their names give the same homes whatever the order of rows.
 */
export function homesOf(graph: Hypergraph, holdings: Holdings): Uint32Array {
  const { offsets, pins, jobs } = graph
  const inputHomes = homesOfInputs(graph, holdings)
  const held = new Float64Array(holdings.nodes.length)
  const homed = new Float64Array(holdings.nodes.length)
  const load = new Float64Array(holdings.nodes.length)
  const limit = limitOf(graph, holdings)
  const homes = new Uint32Array(jobs).fill(NO_HOME)
  const preferred = (a: number, b: number): number =>
    held[a]! - held[b]! || homed[a]! - homed[b]! || load[b]! - load[a]! || b - a
  for (let job = 0; job < jobs; job++) {
    const touched: number[] = []
    for (let pin = offsets[job]!; pin < offsets[job + 1]!; pin++) {
      const input = pins[pin]!
      for (let i = holdings.offsets[input]!; i < holdings.offsets[input + 1]!; i++) {
        const node = holdings.holders[i]!
        if (held[node] === 0) touched.push(node)
        held[node]! += holdings.bytes[i]!
        if (inputHomes[input] === node) homed[node]! += holdings.bytes[i]!
      }
    }
    const weight = weightOf(graph, job)
    for (const node of touched) {
      if (held[node] === 0 || load[node]! + weight > limit) continue
      if (homes[job] === NO_HOME || preferred(node, homes[job]!) > 0) homes[job] = node
    }
    if (homes[job] !== NO_HOME) load[homes[job]!]! += weight
    for (const node of touched) {
      held[node] = 0
      homed[node] = 0
    }
  }
  return homes
}

const weightOf = ({ jobWeight }: Hypergraph, job: number): number => (jobWeight === undefined ? 1 : jobWeight[job]!)

/** Work that one node may be home to. */
function limitOf(graph: Hypergraph, { holders }: Holdings): number {
  let [sum, most] = [0, 0]
  for (let job = 0; job < graph.jobs; job++) {
    sum += weightOf(graph, job)
    most = Math.max(most, weightOf(graph, job))
  }
  const mean = sum / Math.max(1, new Set(holders).size)
  return Math.max(mean * (1 + OVER_MEAN), mean + most)
}

/** One of the holders of each input, such that the work of its readers is even over the nodes: the heaviest first, then each moves while that evens. */
export function homesOfInputs(graph: Hypergraph, holdings: Holdings): Uint32Array {
  const work = workOfInputs(graph, holdings)
  const load = new Float64Array(holdings.nodes.length)
  const homes = new Uint32Array(graph.inputs).fill(NO_HOME)
  const idlest = (input: number): number => {
    let best = NO_HOME
    let most = 0
    for (let i = holdings.offsets[input]!; i < holdings.offsets[input + 1]!; i++)
      most = Math.max(most, holdings.bytes[i]!)
    for (let i = holdings.offsets[input]!; i < holdings.offsets[input + 1]!; i++) {
      const node = holdings.holders[i]!
      // Of a file of many blocks some hold much less of it than others.
      if (most === 0 || holdings.bytes[i]! < most * SAME) continue
      if (best === NO_HOME || load[node]! < load[best]!) best = node
    }
    return best
  }
  const byWork = Uint32Array.from({ length: graph.inputs }, (_, input) => input).sort(
    (a, b) => work[b]! - work[a]! || a - b,
  )
  for (const input of byWork) {
    homes[input] = idlest(input)
    if (homes[input] !== NO_HOME) load[homes[input]!]! += work[input]!
  }
  for (let round = 0, moved = 1; round < ROUNDS && moved > 0; round++) {
    moved = 0
    for (const input of byWork) {
      const [from, to] = [homes[input]!, idlest(input)]
      if (to === NO_HOME || !(load[to]! + work[input]! < load[from]! - TINY)) continue
      load[from]! -= work[input]!
      load[to]! += work[input]!
      homes[input] = to
      moved++
    }
  }
  return homes
}

/** The work of each job, shared out over its inputs by their bytes. */
function workOfInputs(graph: Hypergraph, { readBytes }: Holdings): Float64Array {
  const { offsets, pins, jobs, inputs } = graph
  const perByte = new Float64Array(jobs)
  for (let job = 0; job < jobs; job++) {
    let bytes = 0
    for (let pin = offsets[job]!; pin < offsets[job + 1]!; pin++) bytes += readBytes[pins[pin]!]!
    if (bytes > 0) perByte[job] = weightOf(graph, job) / bytes
  }
  const readers = readersOf(graph)
  const work = new Float64Array(inputs)
  for (let input = 0; input < inputs; input++) {
    for (let i = readers.offsets[input]!; i < readers.offsets[input + 1]!; i++)
      work[input]! += perByte[readers.jobs[i]!]! * readBytes[input]!
  }
  return work
}

/**
 * Jobs that are batched together, each in one group: those of one home; where they would not fill a batch of `capacity`, those of homes in
 * one rack; and where these would not either, with all that have no home. Groups follow the numbers of nodes, then of racks; jobs rise in each.
 */
export function groupByHome(
  graph: Hypergraph,
  { homes, holdings, capacity }: { homes: Uint32Array; holdings: Holdings; capacity: number },
): Uint32Array[] {
  const racks = racksOf(holdings)
  const ofNodes = new Groups(graph)
  const ofRacks = new Groups(graph)
  const rest: number[] = []
  for (const [job, home] of homes.entries()) {
    if (home === NO_HOME) rest.push(job)
    else ofNodes.add(home, job)
  }
  const full = ofNodes.take(capacity, (home, job) => ofRacks.add(racks[home]!, job))
  full.push(...ofRacks.take(capacity, (_, job) => rest.push(job)))
  if (rest.length > 0) full.push(Uint32Array.from(rest))
  return full.map((jobs) => jobs.sort())
}

class Groups {
  readonly #graph: Hypergraph
  readonly #jobs = new Map<number, number[]>()
  readonly #weight = new Map<number, number>()

  constructor(graph: Hypergraph) {
    this.#graph = graph
  }

  add(key: number, job: number): void {
    const jobs = this.#jobs.get(key)
    if (jobs) jobs.push(job)
    else this.#jobs.set(key, [job])
    this.#weight.set(key, (this.#weight.get(key) ?? 0) + weightOf(this.#graph, job))
  }

  /** The groups that fill a batch; jobs of the others are handed on. */
  take(capacity: number, pass: (key: number, job: number) => void): Uint32Array[] {
    const keys = [...this.#jobs.keys()].sort((a, b) => a - b)
    const full = keys.filter((key) => this.#weight.get(key)! >= capacity * (1 - TINY))
    for (const key of keys) if (!full.includes(key)) for (const job of this.#jobs.get(key)!) pass(key, job)
    return full.map((key) => Uint32Array.from(this.#jobs.get(key)!))
  }
}
