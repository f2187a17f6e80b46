import { endsOf, jobsByBlock, orderBlocks, orderWithinBlocks } from './block-order.ts'
import { contract, shuffleJobs, type Weighted } from './contract.ts'
import { assertHypergraph, bytesToNodes, type Hypergraph } from './hypergraph.ts'
import { seededRandom } from './random.ts'
import { search } from './search.ts'
import { Filler, type Room } from './starts.ts'

export interface AffinityOptions {
  /** The weight wanted of a block: seconds, or jobs where jobs have no weight. */
  readonly capacity: number
  /** How much heavier than the capacity a block may be, as a share; 0.03 when left out. */
  readonly imbalance?: number
  readonly seed?: number
}

/** A permutation of the jobs in which each block is a range and like blocks are neighbours. */
export interface AffinityOrder {
  readonly order: Uint32Array
  /** Where each block ends in `order`; the last is the number of jobs. */
  readonly cuts: Uint32Array
  readonly bytesToNodes: number
}

/**
 * Groups jobs into blocks of about `capacity` so that few bytes go to nodes, and orders them: blocks are ranges, like blocks
 * are neighbours. The same graph and options give the same answer on any machine; sort the jobs by identity first and the
 * order of the catalog's rows has no say. Never worse than the given order cut in place; no block of two or more jobs
 * weighs more than the capacity and `imbalance`. Blocks are as few as the capacity allows, more only where jobs are too
 * heavy to be packed. Costs some 20 passes over the pins times the blocks that an input is in (at most 48), and 30 bytes a pin.
 */
export function affinityOrder(graph: Hypergraph, options: AffinityOptions): AffinityOrder {
  assertHypergraph(graph)
  const { capacity, imbalance = 0.03, seed = 1 } = options
  if (!(capacity > 0)) throw new RangeError(`capacity is ${capacity}, not above 0`)
  if (!(imbalance >= 0)) throw new RangeError(`imbalance is ${imbalance}, below 0`)
  const weight = weightOf(graph)
  const blocks = Math.max(1, Math.ceil((weight / capacity) * (1 - 1e-9)))
  const room: Room = { target: weight / blocks, limit: capacity * (1 + imbalance) * (1 + 1e-9) }
  const weighed = weighUnknown(graph)
  const given = asGiven(weighed, room)
  if (blocks === 1) return withBytes(graph, given)

  const random = seededRandom(seed)
  // Groups must be light against the room that moves need.
  const contracted = contract(weighed, capacity * Math.min(0.02, imbalance * 0.7))
  const { graph: small, groupOf } = shuffleJobs(contracted, random)
  const blockOf = search(small, firstSeen(groupOf, small.jobs), room, random)
  const found = arrange(weighed, small, groupOf, blockOf)
  const [foundTrue, givenTrue] = [withBytes(graph, found), withBytes(graph, given)]
  const better = found.bytesToNodes < given.bytesToNodes && foundTrue.bytesToNodes <= givenTrue.bytesToNodes
  return better ? foundTrue : givenTrue
}

/** An input of no known size still has to be fetched: it counts one byte, so that files are few where sizes say nothing. */
function weighUnknown(graph: Hypergraph): Hypergraph {
  if (!graph.inputBytes.includes(0)) return graph
  return { ...graph, inputBytes: graph.inputBytes.map((bytes) => Math.max(1, bytes)) }
}

function withBytes(graph: Hypergraph, { order, cuts }: AffinityOrder): AffinityOrder {
  return { order, cuts, bytesToNodes: bytesToNodes(graph, order, cuts) }
}

function weightOf(graph: Hypergraph): number {
  if (graph.jobWeight === undefined) return graph.jobs
  let sum = 0
  for (let job = 0; job < graph.jobs; job++) sum += graph.jobWeight[job] as number
  return sum
}

/** The jobs in the given order, cut where blocks are full. */
function asGiven(graph: Hypergraph, room: Room): AffinityOrder {
  const filler = new Filler(graph.jobs, graph.jobWeight, room)
  const cuts: number[] = []
  for (let job = 0; job < graph.jobs; job++) if (filler.put(job)) cuts.push(job)
  if (graph.jobs > 0) cuts.push(graph.jobs)
  const order = Uint32Array.from({ length: graph.jobs }, (_, job) => job)
  const ends = Uint32Array.from(cuts)
  return { order, cuts: ends, bytesToNodes: bytesToNodes(graph, order, ends) }
}

/** Groups in the order of their first jobs. */
function firstSeen(groupOf: Uint32Array, groups: number): Uint32Array {
  const order = new Uint32Array(groups)
  const seen = new Uint8Array(groups)
  let count = 0
  for (let job = 0; job < groupOf.length; job++) {
    const group = groupOf[job] as number
    if (seen[group] === 1) continue
    seen[group] = 1
    order[count++] = group
  }
  return order
}

/** Writes the blocks as ranges of one order, like blocks side by side, and cuts it. Blocks without jobs fall away. */
function arrange(graph: Hypergraph, small: Weighted, groupOf: Uint32Array, blockOf: Int32Array): AffinityOrder {
  let blocks = 0
  for (let group = 0; group < blockOf.length; group++) blocks = Math.max(blocks, (blockOf[group] as number) + 1)
  const groups = jobsByBlock(blockOf, blocks)
  const groupEnds = endsOf(blockOf, blocks)
  const blockOrder = orderBlocks(small, blockOf, blocks)
  orderWithinBlocks(small, groups, groupEnds)
  const jobs = jobsByBlock(groupOf, small.jobs)
  const jobEnds = endsOf(groupOf, small.jobs)
  const order = new Uint32Array(graph.jobs)
  const cuts: number[] = []
  let at = 0
  for (const block of blockOrder) {
    const before = at
    for (let i = block === 0 ? 0 : (groupEnds[block - 1] as number); i < (groupEnds[block] as number); i++) {
      const group = groups[i] as number
      for (let j = group === 0 ? 0 : (jobEnds[group - 1] as number); j < (jobEnds[group] as number); j++)
        order[at++] = jobs[j] as number
    }
    if (at > before) cuts.push(at)
  }
  const ends = Uint32Array.from(cuts)
  return { order, cuts: ends, bytesToNodes: bytesToNodes(graph, order, ends) }
}
