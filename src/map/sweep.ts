import { jobsByBlock } from './block-order.ts'
import type { Weighted } from './contract.ts'
import { shuffled } from './random.ts'
import type { Room, Start } from './starts.ts'

/** Inputs in more blocks than this get a row of counts, one a block, in place of a list that would be read in full. */
const LIST_MAX = 48
/** How many blocks of an input with a row are looked at for one job, from a place that chance picks. */
const LOOK_MAX = 16
/** What a full block costs against an empty one, as a share of the job's bytes. Without it blocks stay full and nothing moves. */
const FILL_COST = 0.2
/** Jobs are visited in runs of this length, the runs in a seeded order: chance enough, and memory is read in stretches. */
const RUN = 16
/** A job that has this share of its bytes in good company is settled. */
const SETTLED_SHARE = 0.99

/**
 * A division of jobs into blocks that is improved job by job. For each input it keeps the blocks that read it and how many
 * jobs of each do: a short list of (block, count), or a row of counts where the list would be long.
 * Never overfills a block. Memory: about eight bytes a pin, less where inputs have more readers than there are blocks.
 */
export class Division {
  readonly blockOf: Int32Array
  readonly blocks: number
  readonly #graph: Weighted
  readonly #room: Room
  readonly #degree: Uint32Array
  readonly #total: Float64Array
  readonly #load: Float64Array
  /** Pairs (block, count) of each input from `#listStart[input]` on; counts are stale where the input has a row. */
  readonly #lists: Int32Array
  readonly #listStart: Float64Array
  readonly #listLength: Int32Array
  readonly #rowOf: Int32Array
  #rows = new Int32Array(0)
  readonly #gain: Float64Array
  /** Sums over blocks for the job at hand; zero between jobs. */
  readonly #score: Float64Array
  readonly #touched: Int32Array
  #touchedCount = 0
  readonly #rowInputs: Int32Array
  #look = 0

  /** `degree` and `total` are the readers of each input and the bytes of each job; the start's blocks are taken over. */
  constructor(graph: Weighted, degree: Uint32Array, total: Float64Array, start: Start, room: Room) {
    this.#graph = graph
    this.#room = room
    this.#degree = degree
    this.#total = total
    this.blocks = start.blocks
    this.blockOf = start.blockOf
    this.#load = new Float64Array(start.blocks)
    this.#score = new Float64Array(start.blocks)
    this.#touched = new Int32Array(start.blocks)
    this.#gain = new Float64Array(graph.jobs + 1).fill(1)
    this.#listStart = new Float64Array(graph.inputs + 1)
    this.#listLength = new Int32Array(graph.inputs)
    this.#rowOf = new Int32Array(graph.inputs).fill(-1)
    for (let input = 0; input < graph.inputs; input++) {
      const entries = Math.min(start.blocks, degree[input] as number)
      this.#listStart[input + 1] = (this.#listStart[input] as number) + 2 * entries
    }
    this.#lists = new Int32Array(this.#listStart[graph.inputs] as number)
    let pinsMax = 0
    for (let job = 0; job < graph.jobs; job++) {
      this.#load[start.blockOf[job] as number]! += graph.jobWeight[job] as number
      pinsMax = Math.max(pinsMax, (graph.offsets[job + 1] as number) - (graph.offsets[job] as number))
    }
    this.#rowInputs = new Int32Array(pinsMax)
    this.#fillLists()
  }

  /** The bytes of each input once for each block that reads it. */
  cost(): number {
    let bytes = 0
    for (let input = 0; input < this.#graph.inputs; input++) {
      bytes += (this.#graph.inputBytes[input] as number) * (this.#listLength[input] as number)
    }
    return bytes
  }

  /** About how many blocks a sweep looks at. */
  sweepLooks(): number {
    let looks = 0
    for (let input = 0; input < this.#graph.inputs; input++) {
      looks += (this.#degree[input] as number) * Math.min(this.#listLength[input] as number, LIST_MAX)
    }
    return looks
  }

  /**
   * Offers jobs, in a seeded order, the blocks that share inputs with them, and moves each to the best. A block with c other
   * readers of an input counts its bytes times 1 - q^c: q near 1 gathers readers where many are, q = 0 is the true cost.
   * Of eight settled jobs `settledLooks` are looked at. Costs the blocks looked at, summed over all pins.
   */
  sweep(q: number, settledLooks: number, random: () => number): void {
    this.#giveRows()
    this.#setGain(q)
    const { jobs, jobWeight } = this.#graph
    const load = this.#load
    const score = this.#score
    const touched = this.#touched
    const { limit, target } = this.#room
    const order = shuffled(Math.ceil(jobs / RUN), random)
    const phase = random() & 7
    this.#look = random() | 0
    const steps = order.length * RUN
    for (let step = 0; step < steps; step++) {
      const job = (order[(step / RUN) | 0] as number) * RUN + (step & (RUN - 1))
      if (job >= jobs) continue
      const own = this.blockOf[job] as number
      const total = this.#total[job] as number
      const stay = this.#scoreOwn(job, own)
      const crowded = (load[own] as number) > target && ((step + phase) & 7) < settledLooks
      if (stay >= total * SETTLED_SHARE && !crowded) continue
      this.#scoreOthers(job, own)
      const weight = jobWeight[job] as number
      const fill = (FILL_COST * total) / limit
      let best = own
      let bestScore = stay - fill * ((load[own] as number) - weight) + total * 1e-9
      for (let t = 0; t < this.#touchedCount; t++) {
        const block = touched[t] as number
        const value = (score[block] as number) - fill * (load[block] as number)
        score[block] = 0
        if (value > bestScore && (load[block] as number) + weight <= limit) {
          best = block
          bestScore = value
        }
      }
      if (best !== own) this.#move(job, best)
    }
  }

  /** What the job's own block counts for it, without itself. */
  #scoreOwn(job: number, own: number): number {
    const { offsets, pins, inputBytes } = this.#graph
    const lists = this.#lists
    const gain = this.#gain
    const rowOf = this.#rowOf
    const listStart = this.#listStart
    const end = offsets[job + 1] as number
    let stay = 0
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      const row = rowOf[input] as number
      let count: number
      if (row >= 0) count = this.#rows[row * this.blocks + own] as number
      else {
        let at = listStart[input] as number
        while (lists[at] !== own) at += 2
        count = lists[at + 1] as number
      }
      stay += (inputBytes[input] as number) * (gain[count - 1] as number)
    }
    return stay
  }

  /** Sums up, for each block that shares an input with the job, what the inputs count there. */
  #scoreOthers(job: number, own: number): void {
    const { offsets, pins, inputBytes } = this.#graph
    const lists = this.#lists
    const gain = this.#gain
    const score = this.#score
    const touched = this.#touched
    const rowOf = this.#rowOf
    const listStart = this.#listStart
    const listLength = this.#listLength
    const end = offsets[job + 1] as number
    let touchedCount = 0
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
        const before = score[block] as number
        if (before === 0) {
          if (block === own) continue
          touched[touchedCount++] = block
        }
        score[block] = before + bytes * (gain[lists[at + 1] as number] as number)
      }
    }
    this.#touchedCount = touchedCount
    if (rowCount > 0) this.#scoreRows(rowCount, own)
  }

  /** Adds the inputs with rows: a few of their blocks come in as candidates, and all candidates get their counts. */
  #scoreRows(rowCount: number, own: number): void {
    const { inputBytes } = this.#graph
    const { blocks } = this
    const lists = this.#lists
    const gain = this.#gain
    const rows = this.#rows
    const score = this.#score
    const touched = this.#touched
    let touchedCount = this.#touchedCount
    for (let r = 0; r < rowCount; r++) {
      const input = this.#rowInputs[r] as number
      const length = this.#listLength[input] as number
      const from = this.#listStart[input] as number
      this.#look = (Math.imul(this.#look, 1664525) + 1013904223) | 0
      let place = Math.floor(((this.#look >>> 0) / 0x1_0000_0000) * length)
      for (let looks = Math.min(length, LOOK_MAX); looks > 0; looks--) {
        const block = lists[from + 2 * place] as number
        if (block !== own && score[block] === 0) {
          touched[touchedCount++] = block
          score[block] = 1e-300
        }
        if (++place === length) place = 0
      }
    }
    for (let r = 0; r < rowCount; r++) {
      const input = this.#rowInputs[r] as number
      const bytes = inputBytes[input] as number
      const row = (this.#rowOf[input] as number) * blocks
      for (let t = 0; t < touchedCount; t++) {
        const block = touched[t] as number
        score[block]! += bytes * (gain[rows[row + block] as number] as number)
      }
    }
    this.#touchedCount = touchedCount
  }

  #move(job: number, target: number): void {
    const { offsets, pins, jobWeight } = this.#graph
    const { blocks } = this
    const lists = this.#lists
    const rows = this.#rows
    const own = this.blockOf[job] as number
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      const from = this.#listStart[input] as number
      const to = from + 2 * (this.#listLength[input] as number)
      const row = this.#rowOf[input] as number
      let left: boolean
      let joined: boolean
      let ownAt = from
      if (row >= 0) {
        left = --rows[row * blocks + own]! === 0
        joined = rows[row * blocks + target]!++ === 0
        if (left) while (lists[ownAt] !== own) ownAt += 2
      } else {
        while (lists[ownAt] !== own) ownAt += 2
        left = --lists[ownAt + 1]! === 0
        let at = from
        while (at < to && lists[at] !== target) at += 2
        joined = at === to
        if (!joined) lists[at + 1]!++
      }
      if (left && joined) {
        lists[ownAt] = target
        lists[ownAt + 1] = 1
      } else if (left) {
        lists[ownAt] = lists[to - 2] as number
        lists[ownAt + 1] = lists[to - 1] as number
        this.#listLength[input]!--
      } else if (joined) {
        lists[to] = target
        lists[to + 1] = 1
        this.#listLength[input]!++
      }
    }
    this.#load[own]! -= jobWeight[job] as number
    this.#load[target]! += jobWeight[job] as number
    this.blockOf[job] = target
  }

  #fillLists(): void {
    const { jobs, offsets, pins } = this.#graph
    const lists = this.#lists
    // Jobs are visited block by block, so that only the last entry of a list can be of the block at hand.
    const order = jobsByBlock(this.blockOf, this.blocks)
    for (let n = 0; n < jobs; n++) {
      const job = order[n] as number
      const block = this.blockOf[job] as number
      const end = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < end; i++) {
        const input = pins[i] as number
        const from = this.#listStart[input] as number
        const last = from + 2 * (this.#listLength[input] as number) - 2
        if (last >= from && lists[last] === block) lists[last + 1]!++
        else {
          lists[last + 2] = block
          lists[last + 3] = 1
          this.#listLength[input]!++
        }
      }
    }
  }

  /** Gives rows to the inputs that are in many blocks now, and lists back to those that no longer are. */
  #giveRows(): void {
    const { inputs } = this.#graph
    const { blocks } = this
    const lists = this.#lists
    const old = this.#rows
    let count = 0
    for (let input = 0; input < inputs; input++) if ((this.#listLength[input] as number) > LIST_MAX) count++
    const rows = new Int32Array(count * blocks)
    let given = 0
    for (let input = 0; input < inputs; input++) {
      const length = this.#listLength[input] as number
      const from = this.#listStart[input] as number
      const to = from + 2 * length
      const row = this.#rowOf[input] as number
      if (row >= 0) {
        for (let at = from; at < to; at += 2) lists[at + 1] = old[row * blocks + (lists[at] as number)] as number
      }
      this.#rowOf[input] = -1
      if (length <= LIST_MAX) continue
      for (let at = from; at < to; at += 2) rows[given * blocks + (lists[at] as number)] = lists[at + 1] as number
      this.#rowOf[input] = given++
    }
    this.#rows = rows
  }

  /** 1 - q^c for each count c; 1 from where the power is too small to matter. */
  #setGain(q: number): void {
    const gain = this.#gain
    let power = 1
    for (let count = 0; count < gain.length && (power > 1e-9 || gain[count] !== 1); count++) {
      gain[count] = power > 1e-9 ? 1 - power : 1
      power *= q
    }
  }
}
