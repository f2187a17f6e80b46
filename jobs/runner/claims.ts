import { closeSync, linkSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { hostOf, type Places, parsePlaces, rackOf } from '../../src/model/places.ts'
import { countTasks } from './manifest-range.ts'
import { isHere, type ThisNode } from './nearness.ts'
import { isSealed, readIfThere } from './record-file.ts'

/** How near a batch's inputs lie to the node that takes it. */
export type Nearness = 'node' | 'rack' | 'any'

/** For so long nobody takes what lies elsewhere, then what lies in another rack: those who start there meanwhile come first. */
const WAIT_MS = 5000
/** Between two looks at what others took. */
const LOOK_MS = 1000

/** A node with so much of what its best node has is as good as that. */
const AS_GOOD = 0.9

/**
 * The task to take of those that nobody has. First what lies on this node and nowhere better, of that what other nodes have least need of: those
 * that hold it too have most others to take. Then what lies anywhere as well; then what is near enough by `nearness`, from where most wait.
 * Undefined: what is left lies too far away.
 */
export function chooseTask(
  { nodes, tasks }: Places,
  free: ReadonlySet<number>,
  {
    own,
    nearness,
    first = 0,
  }: { readonly own: ReadonlySet<number>; readonly nearness: Nearness; readonly first?: number },
): number | undefined {
  const racks = new Set([...own].map((node) => rackOf(nodes[node]!)))
  const holdersOf = (task: number) => (tasks[task] ?? []).filter(([, bytes], _, [best]) => bytes >= AS_GOOD * best![1])
  /** Node → tasks that it may still take. */
  const choices = new Map<number, number>()
  for (const task of free) for (const [node] of holdersOf(task)) choices.set(node, (choices.get(node) ?? 0) + 1)
  const rank = (task: number): readonly number[] | undefined => {
    const places = tasks[task] ?? []
    const [best] = places
    if (!best) return [1]
    const holders = holdersOf(task).map(([node]) => node)
    if (holders.some((node) => own.has(node))) {
      const others = holders.filter((node) => !own.has(node))
      return [0, -Math.min(...others.map((node) => choices.get(node)!))]
    }
    const waiting = -choices.get(best[0])!
    const isInRack = places.some(([node]) => racks.has(rackOf(nodes[node]!)))
    if (isInRack) return nearness === 'node' ? undefined : [2, waiting]
    return nearness === 'any' ? [3, waiting] : undefined
  }
  let chosen: { readonly task: number; readonly rank: readonly number[] } | undefined
  // Of equal ones each element begins at another, so that those who start at once do not all want the same.
  const inTurn = (task: number) => (task < first ? 1 : 0)
  for (const task of [...free].sort((a, b) => inTurn(a) - inTurn(b) || a - b)) {
    const ranked = rank(task)
    if (ranked && (!chosen || isBefore(ranked, chosen.rank))) chosen = { task, rank: ranked }
  }
  return chosen?.task
}

function isBefore(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i])
  return at >= 0 && a[at]! < (b[at] ?? 0)
}

/** What an element of an array that binds late has taken. */
export interface Claim {
  readonly task: number
  /** An earlier start of this element took it. */
  readonly isOld: boolean
}

/**
 * Takes tasks for one element of an array, by link: `claims/e<element>` is the element's own file, and `claims/<task>` a name of it for each
 * task that it took. So one element has a task, whoever else wants it, and one that is started again finds what it had.
 */
export class Claims {
  readonly #array: string
  readonly #element: number
  readonly #folder: string
  readonly #mine: string
  readonly #count: number
  readonly #places: Places
  readonly #own: ReadonlySet<number>

  constructor(array: string, element: number, node: ThisNode) {
    const places = parsePlaces(readIfThere(join(array, 'places')) ?? '')
    this.#count = countTasks(array)
    this.#array = array
    this.#element = element
    this.#folder = join(array, 'claims')
    this.#mine = join(this.#folder, `e${element}`)
    this.#places = places
    this.#own = new Set(places.nodes.flatMap((place, at) => (isHere(hostOf(place), node) ? [at] : [])))
  }

  /** What this element had when it was started before. Says that it is here. Throws errors of the disk. */
  begin(words: Readonly<Record<string, unknown>>): Claim | undefined {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    try {
      const fd = openSync(this.#mine, 'ax', 0o600)
      writeSync(fd, `${JSON.stringify(words)}\n`)
      closeSync(fd)
      return undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const own = this.#taken().filter((task) => this.#isMine(task))
    // One that was sealed before it began was passed over for another.
    const task = own.find((one) => !isSealed(this.#array, one)) ?? own[0]
    return task === undefined ? undefined : { task, isOld: true }
  }

  /** The next one for this node; undefined: none is left. A node that holds anything waits a little before it takes what lies elsewhere. */
  async take(): Promise<Claim | undefined> {
    const waitMs = this.#own.size > 0 ? WAIT_MS : 0
    for (const nearness of ['node', 'rack', 'any'] as const) {
      for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
        const free = this.#free()
        if (free.size === 0) return undefined
        const task = this.#takeOneOf(free, nearness)
        if (task !== undefined) return { task, isOld: false }
        if (nearness === 'any') break
        if (waitedMs >= waitMs) break
        await pause(Math.min(LOOK_MS, waitMs))
      }
    }
    return undefined
  }

  #takeOneOf(free: Set<number>, nearness: Nearness): number | undefined {
    for (;;) {
      const task = chooseTask(this.#places, free, { own: this.#own, nearness, first: this.#element })
      if (task === undefined) return undefined
      try {
        linkSync(this.#mine, join(this.#folder, String(task)))
        return task
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        // Of a link whose answer was lost NFS says the same.
        if (this.#isMine(task)) return task
        for (const taken of this.#taken()) free.delete(taken)
      }
    }
  }

  #isMine(task: number): boolean {
    return inodeOf(join(this.#folder, String(task))) === inodeOf(this.#mine)
  }

  #free(): Set<number> {
    const free = new Set(Array(this.#count).keys())
    for (const task of this.#taken()) free.delete(task)
    return free
  }

  #taken(): number[] {
    return readdirSync(this.#folder)
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  }
}

const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino
