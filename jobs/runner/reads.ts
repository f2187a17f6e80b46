import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostOf, parsePlaces, rackOf } from '../../src/model/places.ts'
import type { BytesRead } from '../../src/model/record.ts'
import { isHere, type ThisNode, thisNode } from './nearness.ts'

/** Counts what was read from HDFS for each job that was the first to want it: on this node, in its rack, elsewhere. */
export class Reads {
  readonly #array: string
  readonly #node: ThisNode
  readonly #bytes = new Map<string, { local: number; rack: number; remote: number }>()
  readonly #nearness = new Map<string, keyof BytesRead>()
  /** Host → rack, of the nodes that hold inputs of the array. */
  #racks: ReadonlyMap<string, string> | undefined

  constructor(array: string, node = thisNode()) {
    this.#array = array
    this.#node = node
  }

  /** `host`: as HDFS calls the data node; undefined: a gateway. */
  add(job: string, host: string | undefined, bytes: number): void {
    let counted = this.#bytes.get(job)
    if (!counted) {
      counted = { local: 0, rack: 0, remote: 0 }
      this.#bytes.set(job, counted)
    }
    counted[host === undefined ? 'remote' : this.#nearnessOf(host)] += bytes
  }

  /** What was read for a job and is not told yet. */
  take(job: string): BytesRead | undefined {
    const counted = this.#bytes.get(job)
    this.#bytes.delete(job)
    return counted
  }

  #nearnessOf(host: string): keyof BytesRead {
    let nearness = this.#nearness.get(host)
    if (nearness === undefined) {
      nearness = isHere(host, this.#node) ? 'local' : this.#isInRack(host) ? 'rack' : 'remote'
      this.#nearness.set(host, nearness)
    }
    return nearness
  }

  #isInRack(host: string): boolean {
    this.#racks ??= racksIn(this.#array)
    const rack = this.#racks.get(host)
    if (rack === undefined) return false
    return [...this.#racks].some(([other, itsRack]) => itsRack === rack && isHere(other, this.#node))
  }
}

function racksIn(array: string): ReadonlyMap<string, string> {
  let text = ''
  try {
    text = readFileSync(join(array, 'places'), 'utf8')
  } catch {
    // It is advice, and most arrays have none.
  }
  return new Map(parsePlaces(text).nodes.map((node) => [hostOf(node), rackOf(node)]))
}
