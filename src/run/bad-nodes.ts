import { type Code, FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'

/** A task that ended without having been able to work. */
export interface Barred {
  /** Null: nobody says where it was. */
  readonly node: string | null
  /** `setup` of its jobs. */
  readonly setup: string | null
  readonly cause: 'setup' | 'runner' | 'root' | 'directory' | 'scratch' | 'start'
  /** What the node does, in words that go on after its name. */
  readonly why: string
  /** Of `BadNodes` when its array was submitted. */
  readonly generation: number
}

/** What becomes of its jobs: sent again; failed, for it is their own `setup`; or nothing can be done and the run ends. */
export type Consequence = 'again' | 'theirs' | 'stop'

/** Tasks of one cause that a node ends before it is left out, and for how long. */
const TASKS_MAX = 2
export const LEFT_OUT_MS = 3_600_000
/** Generations of arrays of which no task could work, and nodes that show the same in two of them, before it is not the nodes. */
const GENERATIONS_MAX = 3
const NODES_MAX = 3
const PAUSE_MAX_MS = 300_000
const FULL = /ENOSPC|EDQUOT|EROFS|no space left| is full: /i

interface BadNode {
  readonly tasks: number
  readonly why: string
  /** When it ended the first of them, and the last. */
  readonly since: number
  readonly at: number
  /** It ended one more after others had worked: what all nodes had for a while is none of theirs. */
  readonly isSure: boolean
}

/** What one cause has done. */
interface Trouble {
  readonly cause: Barred['cause']
  /** Whose tasks it concerns: those with this `setup`; undefined: all. */
  readonly setup: string | null | undefined
  readonly nodes: Map<string, BadNode>
  /** Of arrays that it ended tasks of, since a task of the kind worked somewhere; and when that was. */
  readonly generations: Set<number>
  workedAt: number
  /** A task with another `setup` worked on one of the nodes. */
  othersWork: boolean
}

/** For the next run; times are ages in milliseconds. */
export interface BadNodesMemory {
  readonly generation: number
  readonly pausedMs: number
  readonly cannotAvoid: boolean
  readonly troubles: readonly {
    readonly cause: Barred['cause']
    readonly setup: string | null
    /** Null: never. */
    readonly workedMs: number | null
    readonly generations: readonly number[]
    readonly othersWork: boolean
    readonly nodes: readonly {
      readonly node: string
      readonly tasks: number
      readonly why: string
      readonly isSure: boolean
      readonly sinceMs: number
      readonly atMs: number
    }[]
  }[]
}

export interface BadNodesOptions {
  readonly site: string
  /** There is no other node to go to. */
  readonly isOneNode: boolean
  /** The first pause before arrays are sent again. */
  readonly pauseMs: number
  readonly hints: { readonly directory: string; readonly fruitless: string }
}

/**
 * Nodes on which tasks cannot work. Such a node is free again at once, so it would eat a whole campaign. It is left out for an hour; what
 * it ended is sent again after a pause that grows. A cause that shows wherever tasks go is none of the nodes. Decides only; holds what a
 * run has seen, and without that it takes a few more tasks to know.
 */
export class BadNodes {
  readonly #clock: Clock
  readonly #options: BadNodesOptions
  #troubles: Trouble[] = []
  #generation = 0
  #pausedUntil = Number.NEGATIVE_INFINITY
  /** The scheduler did not take an array that leaves nodes out. */
  #cannotAvoid = false

  constructor(clock: Clock, options: BadNodesOptions) {
    this.#clock = clock
    this.#options = options
  }

  /** Arrays that are submitted now know of all that was seen before this number. */
  get generation(): number {
    return this.#generation
  }

  get isPaused(): boolean {
    return this.#clock.ticks() < this.#pausedUntil
  }

  failed(barred: Barred): Consequence {
    const { cause, generation, node, why } = barred
    // Whether a scratch is full now is asked of the site.
    if (this.#options.isOneNode && (cause === 'root' || (FULL.test(why) && cause !== 'scratch'))) return 'stop'
    if (this.#options.isOneNode && (cause === 'setup' || cause === 'runner')) return 'theirs'
    const trouble = this.#troubleOf(barred)
    const at = this.#clock.ticks()
    const bad = trouble.nodes.get(node ?? UNKNOWN) ?? { tasks: 0, since: at, isSure: false }
    const isSure = bad.isSure || trouble.workedAt > bad.since
    trouble.nodes.set(node ?? UNKNOWN, { ...bad, tasks: bad.tasks + 1, why, at, isSure })
    trouble.generations.add(generation)
    if (generation >= this.#generation) {
      this.#generation = generation + 1
      const pauseMs = Math.min(PAUSE_MAX_MS, this.#options.pauseMs * 2 ** Math.min(generation, 20))
      this.#pausedUntil = at + pauseMs
    }
    if (!isEverywhere(trouble)) return 'again'
    return cause === 'setup' && trouble.othersWork ? 'theirs' : 'stop'
  }

  /** A job of an array with this `setup` ran there. Jobs begin on a full disk too: of that only one that `hasEnded` clears a node. */
  worked(node: string, setup: string | null, { hasEnded = true } = {}): void {
    for (const trouble of this.#troubles) {
      if (!hasEnded && isOfFull(trouble)) continue
      if (trouble.setup === undefined || trouble.setup === setup) {
        trouble.nodes.delete(node)
        trouble.generations.clear()
        trouble.workedAt = this.#clock.ticks()
      } else if (trouble.nodes.has(node)) trouble.othersWork = true
    }
    this.#troubles = this.#troubles.filter(({ nodes }) => nodes.size > 0)
  }

  /**
   * Nodes that tasks with this `setup` are to be kept from. `surely`: only where it is known that others work; else one node is left out as
   * a trial, since an array that no node may take would wait for ever. `also`: the node that its jobs failed on, where others work.
   */
  avoided(setup: string | null, { surely, also }: { surely: boolean; also?: string | undefined }): string[] {
    if (this.#cannotAvoid || this.#options.isOneNode) return []
    const left = this.#of(setup).flatMap((trouble) =>
      this.#bad(trouble).filter(([, bad]) => bad.isSure || (!surely && isAlone(trouble))),
    )
    return [...new Set([...left.map(([node]) => node), ...(also === undefined ? [] : [also])])].sort()
  }

  /** The scheduler has no other node than those. */
  noneElse(): void {
    this.#cannotAvoid = true
  }

  /** Somebody did something that may have helped. */
  forget(): void {
    this.#troubles = []
    this.#pausedUntil = Number.NEGATIVE_INFINITY
    this.#cannotAvoid = false
  }

  /** Why the run ends. */
  errorOf(barred: Barred): FloeError {
    return this.#error(this.#troubleOf(barred), barred)
  }

  get memory(): BadNodesMemory {
    const now = this.#clock.ticks()
    return {
      ...{ generation: this.#generation, cannotAvoid: this.#cannotAvoid },
      pausedMs: Math.max(0, this.#pausedUntil - now),
      troubles: this.#troubles.map(({ cause, setup = null, nodes, generations, workedAt, othersWork }) => ({
        ...{ cause, setup, generations: [...generations], othersWork },
        workedMs: Number.isFinite(workedAt) ? now - workedAt : null,
        nodes: [...nodes].map(([node, { since, at, ...bad }]) => ({
          ...{ node, ...bad, sinceMs: now - since, atMs: now - at },
        })),
      })),
    }
  }

  /** What an earlier run had seen, so long ago. */
  recall({ generation, cannotAvoid, pausedMs, troubles }: BadNodesMemory, agoMs: number): void {
    const then = this.#clock.ticks() - agoMs
    this.#generation = generation
    this.#cannotAvoid = cannotAvoid
    this.#pausedUntil = then + pausedMs
    this.#troubles = troubles.map(({ cause, setup, nodes, generations, workedMs, othersWork }) => ({
      ...{ cause, setup: cause === 'setup' ? setup : undefined, generations: new Set(generations), othersWork },
      workedAt: workedMs === null ? Number.NEGATIVE_INFINITY : then - workedMs,
      nodes: new Map(
        nodes.map(({ node, tasks, why, isSure, sinceMs, atMs }) => [
          node,
          { tasks, why, isSure, since: then - sinceMs, at: then - atMs },
        ]),
      ),
    }))
  }

  /** For a person: which nodes, and why. Null: none is known to be bad. */
  get news(): string | null {
    const told = this.#troubles.flatMap((trouble) =>
      this.#bad(trouble).map(([node, bad]) => {
        const { tasks, why } = bad
        const isLeftOut = !this.#cannotAvoid && !this.#options.isOneNode && (bad.isSure || isAlone(trouble))
        return `node ${node} ${why}; ${tasks} tasks; ${isLeftOut ? 'left out for an hour' : 'they are sent again'}`
      }),
    )
    return told.length === 0 ? null : told.join(' · ')
  }

  #of(setup: string | null): Trouble[] {
    return this.#troubles.filter((trouble) => trouble.setup === undefined || trouble.setup === setup)
  }

  #troubleOf({ cause, setup: given }: Barred): Trouble {
    const setup = cause === 'setup' ? given : undefined
    const known = this.#troubles.find((trouble) => trouble.cause === cause && trouble.setup === setup)
    if (known) return known
    const never = Number.NEGATIVE_INFINITY
    const made = { cause, setup, nodes: new Map(), generations: new Set<number>(), workedAt: never, othersWork: false }
    this.#troubles.push(made)
    return made
  }

  /** What it did longer ago is forgiven. */
  #bad({ nodes }: Trouble): [string, BadNode][] {
    const since = this.#clock.ticks() - LEFT_OUT_MS
    for (const [node, { at }] of nodes) if (at <= since) nodes.delete(node)
    return [...nodes].filter(([node, { tasks }]) => tasks >= TASKS_MAX && node !== UNKNOWN)
  }

  #error({ cause, nodes }: Trouble, { node: where, why: last }: Partial<Barred> = {}): FloeError {
    const { site, hints, isOneNode } = this.#options
    const [[node, { why }] = [where ?? UNKNOWN, { why: last! }], ...others] = [...nodes]
    const also = others.length === 0 ? '' : ` The same at ${others.map(([name]) => name).join(', ')}.`
    const here = site === 'local' ? 'This machine' : site
    const place = isOneNode ? here : node === UNKNOWN ? `A node of ${site}` : `The node ${node} of ${site}`
    const code: Code =
      cause === 'root' ? 'INPUTS_MISSING' : cause === 'scratch' || FULL.test(why) ? 'DISK_FULL' : 'STAGE_FAILED'
    return new FloeError(code, `${place} ${why}.${also}`, { hint: this.#hint(cause, code, hints) })
  }

  #hint(cause: Barred['cause'], code: Code, hints: BadNodesOptions['hints']): string {
    if (cause === 'directory') return hints.directory
    if (cause === 'root')
      return 'Is it mounted there? Mount it, or correct it in `roots:`, and run again; no job was tried.'
    if (code === 'DISK_FULL')
      return this.#options.isOneNode
        ? 'Free some space and run again; nothing is lost.'
        : 'Make room there, and see that nodes may write; then run again: nothing is lost.'
    if (cause !== 'setup') return hints.fruitless
    return 'Correct `setup:` of the jobs and add them again; when it is right, ask the site about its nodes. Nothing is lost.'
  }
}

const UNKNOWN = ''

const isOfFull = ({ nodes }: Trouble): boolean => [...nodes.values()].every(({ why }) => FULL.test(why))

const isAlone = ({ nodes }: Trouble): boolean => nodes.size === 1

function isEverywhere({ generations, nodes, workedAt }: Trouble): boolean {
  if (generations.size >= GENERATIONS_MAX) return true
  return generations.size > 1 && [...nodes.values()].filter(({ at }) => at > workedAt).length >= NODES_MAX
}
