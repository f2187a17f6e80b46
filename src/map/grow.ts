import type { Weighted } from './contract.ts'
import type { Readers } from './hypergraph.ts'
import { Filler, type Room, type Start } from './starts.ts'

const LEVELS = 512

/**
 * Jobs that wait for a block, by the share of their bytes that the block does not hold yet. Levels of equal width stand in
 * for a heap: every step takes constant time. Within a level the last to come is the first to go.
 */
class Frontier {
  readonly #first = new Int32Array(LEVELS).fill(-1)
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #level: Int16Array
  #lowest = LEVELS

  constructor(jobs: number) {
    this.#next = new Int32Array(jobs)
    this.#previous = new Int32Array(jobs)
    this.#level = new Int16Array(jobs).fill(-1)
  }

  put(job: number, share: number): void {
    const level = Math.min(LEVELS - 1, Math.max(0, Math.floor(share * LEVELS)))
    if (this.#level[job] === level) return
    if ((this.#level[job] as number) >= 0) this.remove(job)
    const first = this.#first[level] as number
    this.#next[job] = first
    this.#previous[job] = -1
    if (first >= 0) this.#previous[first] = job
    this.#first[level] = job
    this.#level[job] = level
    if (level < this.#lowest) this.#lowest = level
  }

  remove(job: number): void {
    const level = this.#level[job] as number
    if (level < 0) return
    const next = this.#next[job] as number
    const previous = this.#previous[job] as number
    if (next >= 0) this.#previous[next] = previous
    if (previous >= 0) this.#next[previous] = next
    else this.#first[level] = next
    this.#level[job] = -1
  }

  /** The job that lacks least, or -1. It stays in. */
  peek(): number {
    while (this.#lowest < LEVELS) {
      const job = this.#first[this.#lowest] as number
      if (job >= 0) return job
      this.#lowest++
    }
    return -1
  }

  clear(): void {
    for (let level = this.#lowest; level < LEVELS; level++) {
      for (let job = this.#first[level] as number; job >= 0; job = this.#next[job] as number) this.#level[job] = -1
      this.#first[level] = -1
    }
    this.#lowest = LEVELS
  }
}

/**
 * Grows blocks one after the other: the next job is the one that lacks the smallest share of its bytes in the open block.
 * Inputs with more than `degreeMax` readers bring no candidates. Looks at `budget` readers at most and gives up, with
 * undefined, as soon as it would need more: growth that costs much is growth where there is nothing to follow.
 * Changes the order of readers inside `readers`.
 */
export function startByGrowing(
  graph: Weighted,
  readers: Readers,
  total: Float64Array,
  room: Room,
  limits: { readonly degreeMax: number; readonly budget: number },
): Start | undefined {
  const { jobs, inputs, offsets, pins, inputBytes } = graph
  const filler = new Filler(jobs, graph.jobWeight, room)
  const { blockOf } = filler
  const frontier = new Frontier(jobs)
  const lacks = new Float64Array(jobs)
  const seenIn = new Int32Array(jobs).fill(-1)
  const heldBy = new Int32Array(inputs).fill(-1)
  const left = Uint32Array.from(
    { length: inputs },
    (_, i) => (readers.offsets[i + 1] as number) - (readers.offsets[i] as number),
  )
  let spent = 0

  const hold = (input: number): void => {
    heldBy[input] = filler.block
    const count = left[input] as number
    if (count > limits.degreeMax) return
    spent += count
    const start = readers.offsets[input] as number
    const bytes = inputBytes[input] as number
    let end = start + count
    for (let i = start; i < end; ) {
      const job = readers.jobs[i] as number
      if ((blockOf[job] as number) >= 0) {
        // Jobs that have a block go to the back and are not looked at again.
        end--
        readers.jobs[i] = readers.jobs[end] as number
        readers.jobs[end] = job
        continue
      }
      if (seenIn[job] !== filler.block) {
        seenIn[job] = filler.block
        lacks[job] = total[job] as number
      }
      lacks[job]! -= bytes
      frontier.put(job, (lacks[job] as number) / (total[job] as number))
      i++
    }
    left[input] = end - start
  }

  let nextSeed = 0
  for (let taken = 0; taken < jobs; taken++) {
    let job = frontier.peek()
    if (job < 0) {
      while ((blockOf[nextSeed] as number) >= 0) nextSeed++
      job = nextSeed
    }
    frontier.remove(job)
    if (filler.put(job)) {
      frontier.clear()
      // What is left to look at shrinks with the jobs, so the share spent so far should be 1 - (1 - done)^2.
      const done = taken / jobs
      if (filler.block >= 8 && spent > limits.budget * Math.min(1, 1.5 * done * (2 - done))) return undefined
    }
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      if (heldBy[input] !== filler.block) hold(input)
    }
  }
  return filler.finish()
}

/** The bytes of each job's inputs. */
export function totals(graph: Weighted): Float64Array {
  const { jobs, offsets, pins, inputBytes } = graph
  const total = new Float64Array(jobs)
  for (let job = 0; job < jobs; job++) {
    let bytes = 0
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) bytes += inputBytes[pins[i] as number] as number
    total[job] = bytes
  }
  return total
}
