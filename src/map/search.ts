import { endsOf, jobsByBlock, orderWithinBlocks } from './block-order.ts'
import type { Weighted } from './contract.ts'
import { Division } from './division.ts'
import { startByGrowing, totals } from './grow.ts'
import { type Readers, readersOf } from './hypergraph.ts'
import { type Room, type Start, startAsGiven, startByRarest, startBySquare } from './starts.ts'
import { sweep } from './sweep.ts'

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
  /** Of eight settled jobs in crowded blocks, how many are looked at in a sweep. */
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
/** Starts are compared as they are. */
const HASTY: Effort = {
  probe: [],
  finalists: 1,
  anneal: cooling(3, 4),
  reheat: [],
  reheatsMax: 0,
  reheatLooks: 0,
  settledLooks: 1,
}
/** When a sweep looks at more blocks than this, the search is a thrifty one, or a hasty one. */
const LOOKS_THRIFTY = 40_000_000
const LOOKS_HASTY = 250_000_000
/** Starts that cost so many times more than the best so far are not swept. */
const DEARER = { grown: 2, given: 1.2, square: 3, wide: 3 }
/** A second finalist may cost this much more than the first. */
const CLOSE = 1.1
/** Looks at readers that growing may cost: so many in any case, or so many a pin. */
const GROW_LOOKS = 40_000_000
const GROW_LOOKS_PIN = 8
/** With this many blocks, blocks of so many times the size are searched first, and cut. */
const WIDE_BLOCKS_MIN = 40
const WIDE = 5

/** What is searched, and what all parts of the search need of it. */
interface Field {
  readonly graph: Weighted
  readonly readers: Readers
  readonly degree: Uint32Array
  readonly total: Float64Array
  readonly given: Uint32Array
  readonly random: () => number
}

interface Found {
  readonly blockOf: Int32Array
  readonly cost: number
}

/**
 * The block of each job: several cheap starts, each swept a little; the best of them annealed and heated again a few times.
 * `given` is an order of the jobs that may be a good one. Rests on nothing but its arguments.
 */
export function search(graph: Weighted, given: Uint32Array, room: Room, random: () => number): Int32Array {
  const readers = readersOf(graph)
  const { offsets } = readers
  const degree = Uint32Array.from(
    { length: graph.inputs },
    (_, i) => (offsets[i + 1] as number) - (offsets[i] as number),
  )
  const field = { graph, readers, degree, total: totals(graph), given, random }
  const starts = startsOf(field, room)
  const first = open(field, room, startByRarest(graph, degree, room))
  const looks = first.sweepLooks()
  const effort = looks > LOOKS_HASTY ? HASTY : looks > LOOKS_THRIFTY ? THRIFTY : THOROUGH
  let least = first.cost()
  const probed = [probe(first, effort, random)]
  if (effort === THOROUGH && first.blocks >= WIDE_BLOCKS_MIN) {
    starts.push({ dearerMax: DEARER.wide, make: () => startFromWider(field, room) })
  }
  for (const { make, dearerMax } of starts) {
    const start = make()
    if (start === undefined) continue
    const division = open(field, room, start)
    const cost = division.cost()
    if (cost > least * dearerMax) continue
    least = Math.min(least, cost)
    probed.push(probe(division, effort, random))
  }
  probed.sort((a, b) => a.cost - b.cost)
  return refine(field, room, probed, effort)
}

function open(field: Field, room: Room, start: Start): Division {
  return new Division(field.graph, field.degree, field.total, start, room)
}

function probe(division: Division, effort: Effort, random: () => number): Found {
  for (const q of effort.probe) sweep(division, q, effort.settledLooks, random)
  return { blockOf: division.blockOf, cost: division.cost() }
}

/** Anneals the best of what was probed, and heats the best of that again. */
function refine(field: Field, room: Room, probed: readonly Found[], effort: Effort): Int32Array {
  const best = probed[0] as Found
  let { blockOf, cost } = best
  let division: Division | undefined
  for (const finalist of probed.slice(0, effort.finalists)) {
    if (finalist.cost > best.cost * CLOSE) break
    const annealed = open(field, room, { blockOf: finalist.blockOf.slice(), blocks: blocksOf(finalist.blockOf) })
    for (const q of effort.anneal) sweep(annealed, q, effort.settledLooks, field.random)
    if (division !== undefined && annealed.cost() >= cost) continue
    division = annealed
    if (annealed.cost() < cost) {
      cost = annealed.cost()
      blockOf = annealed.blockOf.slice()
    }
  }
  if (division === undefined) return blockOf
  const looks = Math.max(1, effort.reheat.length * division.sweepLooks())
  const reheats = Math.min(effort.reheatsMax, Math.max(1, Math.floor(effort.reheatLooks / looks)))
  for (let reheat = 0; reheat < reheats; reheat++) {
    for (const q of effort.reheat) sweep(division, q, effort.settledLooks, field.random)
    if (division.cost() >= cost) continue
    cost = division.cost()
    blockOf = division.blockOf.slice()
  }
  return blockOf
}

interface LateStart {
  readonly dearerMax: number
  readonly make: () => Start | undefined
}

function startsOf(field: Field, room: Room): LateStart[] {
  const { graph, degree, given } = field
  return [
    { dearerMax: DEARER.grown, make: () => grown(field, room) },
    { dearerMax: DEARER.given, make: () => startAsGiven(graph, given, room) },
    { dearerMax: DEARER.square, make: () => startBySquare(graph, degree, room) },
  ]
}

function grown({ graph, readers, total }: Field, room: Room): Start | undefined {
  const budget = Math.max(GROW_LOOKS, GROW_LOOKS_PIN * graph.pins.length)
  return startByGrowing(graph, readers, total, room, { degreeMax: 10_000, budget })
}

/**
 * Blocks several times as large are found first; cut, they start the search for blocks of the wanted size. What is near on the
 * large scale is then near on the small one, which moves of single jobs do not bring about.
 */
function startFromWider(field: Field, room: Room): Start {
  const { graph, degree, random } = field
  const wide = { target: room.target * WIDE, limit: room.limit * WIDE }
  let best: Division | undefined
  for (const start of [startByRarest(graph, degree, wide), grown(field, wide)]) {
    if (start === undefined) continue
    const division = open(field, wide, start)
    for (const q of THRIFTY.anneal) sweep(division, q, THRIFTY.settledLooks, random)
    if (best === undefined || division.cost() < best.cost()) best = division
  }
  const { blockOf, blocks } = best as Division
  const jobs = jobsByBlock(blockOf, blocks)
  orderWithinBlocks(graph, jobs, endsOf(blockOf, blocks))
  return startAsGiven(graph, jobs, room)
}

function blocksOf(blockOf: Int32Array): number {
  let blocks = 0
  for (let job = 0; job < blockOf.length; job++) blocks = Math.max(blocks, (blockOf[job] as number) + 1)
  return blocks
}

/** Values of q that fall from where `half` other readers count half, in `steps` to 0.3 readers, and then 0. */
function cooling(half: number, steps: number): number[] {
  const halves = Array.from({ length: steps }, (_, i) => half * (0.3 / half) ** (i / Math.max(1, steps - 1)))
  return [...halves.map((readers) => rounded(2 ** (-1 / readers))), 0]
}

/** Powers may differ in their last digit between machines; what rests on them must not. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6
}
