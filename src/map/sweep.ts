import type { Division } from './division.ts'
import { shuffled } from './random.ts'

/** How many blocks of an input with a row are looked at for one job, from a place that chance picks. */
const LOOK_MAX = 16
/** What a full block costs against an empty one, as a share of the job's bytes. Without it blocks stay full and nothing moves. */
const FILL_COST = 0.2
/** Jobs are visited in runs of this length, the runs in a seeded order: chance enough, and memory is read in stretches. */
const RUN = 16
/** A job that has this share of its bytes in good company is settled. */
const SETTLED_SHARE = 0.99

/**
 * Offers jobs, in a seeded order, the blocks that share inputs with them, and moves each to the best. A block with c other
 * readers of an input counts its bytes times 1 - q^c: q near 1 gathers readers where many are, q = 0 is the true cost.
 * Of eight settled jobs in crowded blocks `settledLooks` are looked at. Never overfills a block.
 * Costs the blocks looked at, summed over all pins.
 */
export function sweep(division: Division, q: number, settledLooks: number, random: () => number): void {
  division.giveRows()
  const { blockOf, load, total } = division
  const { jobs, jobWeight } = division.graph
  const { limit, target } = division.room
  const order = shuffled(Math.ceil(jobs / RUN), random)
  const phase = random() & 7
  const scores = new Scores(division, q, random() | 0)
  const { sums, candidates } = scores
  const steps = order.length * RUN
  for (let step = 0; step < steps; step++) {
    const job = (order[(step / RUN) | 0] as number) * RUN + (step & (RUN - 1))
    if (job >= jobs) continue
    const own = blockOf[job] as number
    const bytes = total[job] as number
    const stay = scores.ofOwn(job, own)
    const crowded = (load[own] as number) > target && ((step + phase) & 7) < settledLooks
    if (stay >= bytes * SETTLED_SHARE && !crowded) continue
    const count = scores.ofOthers(job, own)
    const weight = jobWeight[job] as number
    const fill = (FILL_COST * bytes) / limit
    let best = own
    let bestScore = stay - fill * ((load[own] as number) - weight) + bytes * 1e-9
    for (let i = 0; i < count; i++) {
      const block = candidates[i] as number
      const score = (sums[block] as number) - fill * (load[block] as number)
      sums[block] = 0
      if (score > bestScore && (load[block] as number) + weight <= limit) {
        best = block
        bestScore = score
      }
    }
    if (best !== own) division.move(job, best)
  }
}

/** What blocks count for the job at hand. Lives as long as a sweep. */
class Scores {
  /** Sums over the job's inputs, by block; zero but for the candidates. */
  readonly sums: Float64Array
  readonly candidates: Int32Array
  readonly #division: Division
  readonly #gain: Float64Array
  readonly #rowInputs: number[] = []
  #chance: number

  constructor(division: Division, q: number, chance: number) {
    this.#division = division
    this.#gain = gains(q, division.graph.jobs)
    this.sums = new Float64Array(division.blocks)
    this.candidates = new Int32Array(division.blocks)
    this.#chance = chance
  }

  /** What the job's own block counts for it, without itself. */
  ofOwn(job: number, own: number): number {
    const { graph, lists, listStart, rowOf, rows, blocks } = this.#division
    const { offsets, pins, inputBytes } = graph
    const gain = this.#gain
    const end = offsets[job + 1] as number
    let sum = 0
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      const row = rowOf[input] as number
      let count: number
      if (row >= 0) count = rows[row * blocks + own] as number
      else {
        let at = listStart[input] as number
        while (lists[at] !== own) at += 2
        count = lists[at + 1] as number
      }
      sum += (inputBytes[input] as number) * (gain[count - 1] as number)
    }
    return sum
  }

  /** Sums up, for other blocks that share an input with the job, what the inputs count there. Says how many candidates there are. */
  ofOthers(job: number, own: number): number {
    const { graph, lists, listStart, listLength, rowOf } = this.#division
    const { offsets, pins, inputBytes } = graph
    const { sums, candidates } = this
    const gain = this.#gain
    const end = offsets[job + 1] as number
    let count = 0
    let rowCount = 0
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      if ((rowOf[input] as number) >= 0) {
        this.#rowInputs[rowCount++] = input
        continue
      }
      const bytes = inputBytes[input] as number
      const from = listStart[input] as number
      const to = from + 2 * (listLength[input] as number)
      for (let at = from; at < to; at += 2) {
        const block = lists[at] as number
        const before = sums[block] as number
        if (before === 0) {
          if (block === own) continue
          candidates[count++] = block
        }
        sums[block] = before + bytes * (gain[lists[at + 1] as number] as number)
      }
    }
    return rowCount === 0 ? count : this.#addRows(rowCount, count, own)
  }

  /** Adds the inputs with rows: some of their blocks become candidates, and all candidates get what these inputs count. */
  #addRows(rowCount: number, candidateCount: number, own: number): number {
    const { graph, blocks, lists, listStart, listLength, rowOf, rows } = this.#division
    const { sums, candidates } = this
    const gain = this.#gain
    let count = candidateCount
    for (let r = 0; r < rowCount; r++) {
      const input = this.#rowInputs[r] as number
      const length = listLength[input] as number
      const from = listStart[input] as number
      this.#chance = (Math.imul(this.#chance, 1664525) + 1013904223) | 0
      let place = Math.floor(((this.#chance >>> 0) / 0x1_0000_0000) * length)
      for (let looks = Math.min(length, LOOK_MAX); looks > 0; looks--) {
        const block = lists[from + 2 * place] as number
        if (block !== own && sums[block] === 0) {
          candidates[count++] = block
          // Not zero, so that the block is a candidate once.
          sums[block] = 1e-300
        }
        if (++place === length) place = 0
      }
    }
    for (let r = 0; r < rowCount; r++) {
      const input = this.#rowInputs[r] as number
      const bytes = graph.inputBytes[input] as number
      const row = (rowOf[input] as number) * blocks
      for (let i = 0; i < count; i++) {
        const block = candidates[i] as number
        sums[block]! += bytes * (gain[rows[row + block] as number] as number)
      }
    }
    return count
  }
}

/** 1 - q^c for c = 0 to `countMax`. */
function gains(q: number, countMax: number): Float64Array {
  const gain = new Float64Array(countMax + 1).fill(1)
  let power = 1
  for (let count = 0; count <= countMax && power > 1e-9; count++) {
    gain[count] = 1 - power
    power *= q
  }
  return gain
}
