import { jobsByBlock } from './block-order.ts'
import type { Weighted } from './contract.ts'
import type { Room, Start } from './starts.ts'

/** Inputs in more blocks than this get a row of counts, one a block, in place of a list that would be read in full. */
const LIST_MAX = 48

/**
 * A division of jobs into blocks in which a job can change its block. For each input it keeps the blocks that read it and
 * how many jobs of each do: a short list of (block, count), or a row of counts where the list would be long.
 * Memory: about eight bytes a pin, less where inputs have more readers than there are blocks. Its fields are for `sweep` to read.
 */
export class Division {
  readonly graph: Weighted
  readonly room: Room
  readonly blocks: number
  readonly blockOf: Int32Array
  /** The weight of each block. */
  readonly load: Float64Array
  /** The bytes of each job's inputs. */
  readonly total: Float64Array
  /** Pairs (block, count) of each input from `listStart[input]` on; counts are stale where the input has a row. */
  readonly lists: Int32Array
  readonly listStart: Float64Array
  readonly listLength: Int32Array
  /** The row of each input in `rows`, or -1. */
  readonly rowOf: Int32Array
  rows = new Int32Array(0)
  readonly #degree: Uint32Array

  /** `degree` and `total` are the readers of each input and the bytes of each job; the start's blocks are taken over. */
  constructor(graph: Weighted, degree: Uint32Array, total: Float64Array, start: Start, room: Room) {
    this.graph = graph
    this.room = room
    this.total = total
    this.blocks = start.blocks
    this.blockOf = start.blockOf
    this.#degree = degree
    this.load = new Float64Array(start.blocks)
    this.listStart = new Float64Array(graph.inputs + 1)
    this.listLength = new Int32Array(graph.inputs)
    this.rowOf = new Int32Array(graph.inputs).fill(-1)
    for (let input = 0; input < graph.inputs; input++) {
      const entries = Math.min(start.blocks, degree[input] as number)
      this.listStart[input + 1] = (this.listStart[input] as number) + 2 * entries
    }
    this.lists = new Int32Array(this.listStart[graph.inputs] as number)
    for (let job = 0; job < graph.jobs; job++) {
      this.load[start.blockOf[job] as number]! += graph.jobWeight[job] as number
    }
    this.#fillLists()
  }

  /** The bytes of each input once for each block that reads it. */
  cost(): number {
    let bytes = 0
    for (let input = 0; input < this.graph.inputs; input++) {
      bytes += (this.graph.inputBytes[input] as number) * (this.listLength[input] as number)
    }
    return bytes
  }

  /** About how many blocks a sweep looks at. */
  sweepLooks(): number {
    let looks = 0
    for (let input = 0; input < this.graph.inputs; input++) {
      looks += (this.#degree[input] as number) * Math.min(this.listLength[input] as number, LIST_MAX)
    }
    return looks
  }

  /** Moves a job to another block. The caller sees to it that there is room. */
  move(job: number, target: number): void {
    const { offsets, pins, jobWeight } = this.graph
    const { blocks } = this
    const lists = this.lists
    const rows = this.rows
    const own = this.blockOf[job] as number
    const end = offsets[job + 1] as number
    for (let i = offsets[job] as number; i < end; i++) {
      const input = pins[i] as number
      const from = this.listStart[input] as number
      const to = from + 2 * (this.listLength[input] as number)
      const row = this.rowOf[input] as number
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
        this.listLength[input]!--
      } else if (joined) {
        lists[to] = target
        lists[to + 1] = 1
        this.listLength[input]!++
      }
    }
    this.load[own]! -= jobWeight[job] as number
    this.load[target]! += jobWeight[job] as number
    this.blockOf[job] = target
  }

  #fillLists(): void {
    const { jobs, offsets, pins } = this.graph
    const lists = this.lists
    // Jobs are visited block by block, so that only the last entry of a list can be of the block at hand.
    const order = jobsByBlock(this.blockOf, this.blocks)
    for (let n = 0; n < jobs; n++) {
      const job = order[n] as number
      const block = this.blockOf[job] as number
      const end = offsets[job + 1] as number
      for (let i = offsets[job] as number; i < end; i++) {
        const input = pins[i] as number
        const from = this.listStart[input] as number
        const last = from + 2 * (this.listLength[input] as number) - 2
        if (last >= from && lists[last] === block) lists[last + 1]!++
        else {
          lists[last + 2] = block
          lists[last + 3] = 1
          this.listLength[input]!++
        }
      }
    }
  }

  /** Gives rows to the inputs that are in many blocks now, and lists back to those that no longer are. */
  giveRows(): void {
    const { inputs } = this.graph
    const { blocks } = this
    const lists = this.lists
    const old = this.rows
    let count = 0
    for (let input = 0; input < inputs; input++) if ((this.listLength[input] as number) > LIST_MAX) count++
    const rows = new Int32Array(count * blocks)
    let given = 0
    for (let input = 0; input < inputs; input++) {
      const length = this.listLength[input] as number
      const from = this.listStart[input] as number
      const to = from + 2 * length
      const row = this.rowOf[input] as number
      if (row >= 0) {
        for (let at = from; at < to; at += 2) lists[at + 1] = old[row * blocks + (lists[at] as number)] as number
      }
      this.rowOf[input] = -1
      if (length <= LIST_MAX) continue
      for (let at = from; at < to; at += 2) rows[given * blocks + (lists[at] as number)] = lists[at + 1] as number
      this.rowOf[input] = given++
    }
    this.rows = rows
  }
}
