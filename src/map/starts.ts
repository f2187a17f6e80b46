import type { Weighted } from './contract.ts'

/** How heavy blocks are to be: closed when they reach `target`, never above `limit` with two or more jobs. */
export interface Room {
  readonly target: number
  readonly limit: number
}

/** A first division: the block of each job, numbered from 0 without gaps. */
export interface Start {
  readonly blockOf: Int32Array
  readonly blocks: number
}

/** Fills blocks one after the other. Keeps to the running total, so that the last block is neither tiny nor left over. */
export class Filler {
  readonly blockOf: Int32Array
  block = 0
  #load = 0
  #total = 0
  readonly #weights: Float64Array | undefined
  readonly #room: Room

  /** Without weights every job weighs 1. */
  constructor(jobs: number, weights: Float64Array | undefined, room: Room) {
    this.blockOf = new Int32Array(jobs).fill(-1)
    this.#weights = weights
    this.#room = room
  }

  /** Puts the job into the open block, or into a new one when that has no room. True when it opened a new block. */
  put(job: number): boolean {
    const weight = this.#weights === undefined ? 1 : (this.#weights[job] as number)
    const { target, limit } = this.#room
    const enough = target * (1 - 1e-9)
    const full = this.#load >= enough || this.#total >= this.block * target + enough
    const opens = this.#load > 0 && (full || this.#load + weight > limit)
    if (opens) {
      this.block++
      this.#load = 0
    }
    this.#load += weight
    this.#total += weight
    this.blockOf[job] = this.block
    return opens
  }

  finish(): Start {
    return { blockOf: this.blockOf, blocks: this.block + 1 }
  }
}

/** Jobs in the order given. Best where whoever wrote the catalog knew more than the bytes tell. */
export function startAsGiven(graph: Weighted, order: Uint32Array, room: Room): Start {
  const filler = new Filler(graph.jobs, graph.jobWeight, room)
  for (let at = 0; at < order.length; at++) filler.put(order[at] as number)
  return filler.finish()
}

/**
 * Jobs sorted by the least read of their inputs, then by the second least; inputs that few read come first, so that the
 * jobs between much-read inputs share the last blocks. Best where most jobs have an input that few others read.
 */
export function startByRarest(graph: Weighted, degree: Uint32Array, room: Room): Start {
  const { inputs } = graph
  const byDegree = Uint32Array.from({ length: inputs }, (_, input) => input)
  const octave = (input: number): number => Math.clz32(degree[input] as number)
  byDegree.sort((a, b) => octave(b) - octave(a) || a - b)
  const rank = new Uint32Array(inputs + 1).fill(inputs)
  for (let place = 0; place < inputs; place++) rank[byDegree[place] as number] = place
  const rarity = Float64Array.from(degree, (readers) => -readers)
  const keys = keysOfTopTwo(graph, rarity, rank)
  return cutByKeys(graph, keys, inputs + 1, room)
}

/**
 * Jobs in the cells of a square of input groups: rows for the heaviest of their inputs (bytes times readers), columns for
 * the second heaviest. Each input is then read by one row and one column of blocks at most. Best for pairs with no structure.
 */
export function startBySquare(graph: Weighted, degree: Uint32Array, room: Room): Start {
  const { inputs, inputBytes } = graph
  const weight = graph.jobWeight.reduce((sum, one) => sum + one, 0)
  const side = Math.max(1, Math.round(Math.sqrt(weight / room.target)))
  const pull = Float64Array.from(inputBytes, (bytes, input) => bytes * (degree[input] as number))
  const byPull = Uint32Array.from({ length: inputs }, (_, input) => input)
  byPull.sort((a, b) => (pull[b] as number) - (pull[a] as number) || a - b)
  const line = new Uint32Array(inputs + 1).fill(side)
  const pins = graph.offsets[graph.jobs] as number
  let before = 0
  for (const input of byPull) {
    line[input] = Math.floor((before / pins) * side)
    before += degree[input] as number
  }
  const keys = keysOfTopTwo(graph, pull, line)
  for (let job = 0; job < graph.jobs; job++) {
    // Every other row runs backwards, so that a block which spans two rows has columns in common.
    if ((keys.first[job] as number) & 1) keys.second[job] = side - (keys.second[job] as number)
  }
  return cutByKeys(graph, keys, side + 1, room)
}

interface Keys {
  readonly first: Uint32Array
  readonly second: Uint32Array
}

/** For each job the keys of the two of its inputs that stand out most; the last key where it has fewer. */
function keysOfTopTwo(graph: Weighted, standing: Float64Array, keyOf: Uint32Array): Keys {
  const { jobs, inputs, offsets, pins } = graph
  const first = new Uint32Array(jobs)
  const second = new Uint32Array(jobs)
  for (let job = 0; job < jobs; job++) {
    let top = inputs
    let next = inputs
    let topStanding = -Infinity
    let nextStanding = -Infinity
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      const value = standing[input] as number
      if (value > topStanding) {
        next = top
        nextStanding = topStanding
        top = input
        topStanding = value
      } else if (value > nextStanding) {
        next = input
        nextStanding = value
      }
    }
    first[job] = keyOf[top] as number
    second[job] = keyOf[next] as number
  }
  return { first, second }
}

/** Cuts jobs, sorted by two keys below `keyEnd`, into blocks. Equal keys keep index order. */
function cutByKeys(graph: Weighted, keys: Keys, keyEnd: number, room: Room): Start {
  let order = Uint32Array.from({ length: graph.jobs }, (_, job) => job)
  for (const key of [keys.second, keys.first]) {
    const next = new Uint32Array(keyEnd + 1)
    for (let job = 0; job < graph.jobs; job++) next[(key[job] as number) + 1]!++
    for (let i = 0; i < keyEnd; i++) next[i + 1]! += next[i] as number
    const sorted = new Uint32Array(graph.jobs)
    for (let at = 0; at < graph.jobs; at++) {
      const job = order[at] as number
      sorted[next[key[job] as number]!++] = job
    }
    order = sorted
  }
  return startAsGiven(graph, order, room)
}
