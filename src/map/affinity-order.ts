import { endsOf, jobsByBlock, orderBlocks, orderWithinBlocks } from './block-order.ts'
import { contract, shuffleJobs, type Weighted } from './contract.ts'
import { Division } from './division.ts'
import { startByGrowing, totals } from './grow.ts'
import { assertHypergraph, bytesToNodes, type Hypergraph, type Readers, readersOf } from './hypergraph.ts'
import { seededRandom } from './random.ts'
import { Filler, type Room, type Start, startAsGiven, startByRarest, startBySquare } from './starts.ts'
import { sweep } from './sweep.ts'

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

/** How long to search. */
interface Effort {
  /** Values of q for each start, before starts are compared. */
  readonly probe: readonly number[]
  /** How many of the best starts go on, and the values of q for them. */
  readonly finalists: number
  readonly anneal: readonly number[]
  /** Values of q for the best, several times over: as long as all reheatings together look at `reheatLooks` blocks. */
  readonly reheat: readonly number[]
  readonly reheatsMax: number
  readonly reheatLooks: number
  /** Of eight jobs in good company, how many are looked at in a sweep. */
  readonly settledLooks: number
}

const THOROUGH: Effort = {
  probe: cooling(4, 3),
  finalists: 2,
  anneal: cooling(6, 7),
  reheat: cooling(1.5, 4),
  reheatsMax: 8,
  reheatLooks: 40_000_000,
  settledLooks: 4,
}
const THRIFTY: Effort = {
  probe: cooling(2, 1),
  finalists: 1,
  anneal: cooling(4, 5),
  reheat: cooling(1, 3),
  reheatsMax: 1,
  reheatLooks: 0,
  settledLooks: 1,
}
/** When a sweep looks at more blocks than this, the search is a thrifty one. */
const LOOKS_THRIFTY = 40_000_000
/** A second finalist may cost this much more than the first. */
const CLOSE = 1.1
/** Looks at readers that growing may cost: so many in any case, or so many a pin. */
const GROW_LOOKS = 40_000_000
const GROW_LOOKS_PIN = 8

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
  const blockOf = search(small, firstSeen(groupOf, small.jobs), room, blocks, random)
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

/** The block of each job: several cheap starts, each swept a little; the best of them annealed. */
function search(graph: Weighted, given: Uint32Array, room: Room, blocks: number, random: () => number): Int32Array {
  let effort = THOROUGH
  const readers = readersOf(graph)
  const degree = Uint32Array.from(
    { length: graph.inputs },
    (_, i) => (readers.offsets[i + 1] as number) - (readers.offsets[i] as number),
  )
  const total = totals(graph)
  const open = (start: Start): Division => new Division(graph, degree, total, start, room)

  const probed: { start: Start; cost: number }[] = []
  let least = Infinity
  for (const { make, dearerMax } of startsOf(graph, readers, degree, total, given, room, blocks)) {
    const start = make()
    if (start === undefined) continue
    const division = open(start)
    const cost = division.cost()
    if (cost > least * dearerMax) continue
    if (least === Infinity && division.sweepLooks() > LOOKS_THRIFTY) effort = THRIFTY
    least = Math.min(least, cost)
    for (const q of effort.probe) sweep(division, q, effort.settledLooks, random)
    probed.push({ start, cost: division.cost() })
  }
  probed.sort((a, b) => a.cost - b.cost)
  const closeTo = (probed[0]?.cost ?? 0) * CLOSE

  let best: Int32Array | undefined
  let bestCost = Infinity
  let division: Division | undefined
  for (const { start, cost } of probed.slice(0, effort.finalists)) {
    if (cost > closeTo) break
    const before = start.blockOf.slice()
    const finalist = open(start)
    for (const q of effort.anneal) sweep(finalist, q, effort.settledLooks, random)
    const after = finalist.cost()
    if (Math.min(cost, after) >= bestCost) continue
    bestCost = Math.min(cost, after)
    best = after < cost ? finalist.blockOf.slice() : before
    division = finalist
  }
  if (division === undefined || best === undefined) return new Int32Array(graph.jobs)
  const looks = effort.reheat.length * division.sweepLooks()
  const reheats = Math.min(effort.reheatsMax, Math.max(1, Math.floor(effort.reheatLooks / looks)))
  for (let reheat = 0; reheat < reheats; reheat++) {
    for (const q of effort.reheat) sweep(division, q, effort.settledLooks, random)
    const cost = division.cost()
    if (cost >= bestCost) continue
    bestCost = cost
    best = division.blockOf.slice()
  }
  return best
}

/** The cheap starts. One that costs `dearerMax` times more than the best so far is not swept. */
function startsOf(
  graph: Weighted,
  readers: Readers,
  degree: Uint32Array,
  total: Float64Array,
  given: Uint32Array,
  room: Room,
  blocks: number,
): { make: () => Start | undefined; dearerMax: number }[] {
  const budget = Math.max(GROW_LOOKS, GROW_LOOKS_PIN * graph.pins.length)
  return [
    { make: () => startByRarest(graph, degree, room), dearerMax: Infinity },
    { make: () => startByGrowing(graph, readers, total, room, { degreeMax: 10_000, budget }), dearerMax: 2 },
    { make: () => startAsGiven(graph, given, room), dearerMax: 1.2 },
    { make: () => startBySquare(graph, degree, room, blocks), dearerMax: 3 },
  ]
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

/** Values of q that fall from where `half` other readers count half, in `steps` to 0.3 readers, and then 0. */
function cooling(half: number, steps: number): number[] {
  const values = Array.from({ length: steps }, (_, i) =>
    rounded(2 ** (-1 / (half * (0.3 / half) ** (i / Math.max(1, steps - 1))))),
  )
  return [...values, 0]
}

/** Powers may differ in their last digit between machines; what rests on them must not. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}
