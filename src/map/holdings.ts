import { type NodePlace, rackOf } from '../model/places.ts'

/** Which nodes hold how much of which input, in compressed-row form: of input `i` the entries `offsets[i]` to `offsets[i + 1]`. */
export interface Holdings {
  /** In the order of their names. */
  readonly nodes: readonly NodePlace[]
  /** inputs + 1 numbers. */
  readonly offsets: Uint32Array
  /** Numbers of nodes, of one input rising. */
  readonly holders: Uint32Array
  readonly bytes: Float64Array
  /** Bytes of each input that are read from these nodes; 0 of what lies elsewhere. */
  readonly readBytes: Float64Array
}

/** The number of each node's rack, racks in the order of their first node. */
export function racksOf({ nodes }: Pick<Holdings, 'nodes'>): Uint32Array {
  const known = new Map<string, number>()
  return Uint32Array.from(nodes, (node) => {
    const rack = rackOf(node)
    const number = known.get(rack) ?? known.size
    known.set(rack, number)
    return number
  })
}

/** What batches read, bytes, each input once a batch; of each batch on the node that holds most of it. */
export interface Reads {
  readonly local: number
  /** Not there, but in its rack: at most, where a file has many blocks. */
  readonly rack: number
  readonly remote: number
}

export const sumOfReads = (a: Reads, b: Reads): Reads => ({
  local: a.local + b.local,
  rack: a.rack + b.rack,
  remote: a.remote + b.remote,
})

/** Foretells what the ranges of `order` that end at `cuts` read from where. One pass over the pins. */
export function foretellReads(
  graph: { readonly offsets: Uint32Array; readonly pins: Uint32Array; readonly inputs: number },
  { order, cuts }: { readonly order: Uint32Array; readonly cuts: ArrayLike<number> },
  holdings: Holdings,
): Reads {
  const { offsets, holders, bytes, readBytes, nodes } = holdings
  const racks = racksOf(holdings)
  const seenIn = new Uint32Array(graph.inputs)
  const held = new Float64Array(nodes.length)
  const sum = { local: 0, rack: 0, remote: 0 }
  let at = 0
  for (let block = 0; block < cuts.length; block++) {
    const inputs: number[] = []
    for (; at < cuts[block]!; at++) {
      const job = order[at]!
      for (let pin = graph.offsets[job]!; pin < graph.offsets[job + 1]!; pin++) {
        const input = graph.pins[pin]!
        if (seenIn[input] === block + 1 || readBytes[input] === 0) continue
        seenIn[input] = block + 1
        inputs.push(input)
        for (let i = offsets[input]!; i < offsets[input + 1]!; i++) held[holders[i]!]! += bytes[i]!
      }
    }
    const best = mostIn(held)
    held.fill(0)
    for (const input of inputs) {
      let [local, rack] = [0, 0]
      for (let i = offsets[input]!; i < offsets[input + 1]!; i++) {
        if (holders[i] === best) local += bytes[i]!
        else if (racks[holders[i]!] === racks[best]) rack += bytes[i]!
      }
      local = Math.min(local, readBytes[input]!)
      rack = Math.min(rack, readBytes[input]! - local)
      sum.local += local
      sum.rack += rack
      sum.remote += readBytes[input]! - local - rack
    }
  }
  return sum
}

function mostIn(held: Float64Array): number {
  let best = 0
  for (let node = 1; node < held.length; node++) if (held[node]! > held[best]!) best = node
  return best
}
