import { basename } from 'node:path'
import type { BegunTask, Performance } from '../../connectors/simulated/simulated.ts'
import type { ManifestTask, NamedJob } from '../model/manifest.ts'
import { decodeRecord, type ReadLine, type RecordLine } from '../model/record.ts'
import type { HeldArrays, HeldTask } from './held.ts'
import { endedLine, fateOf, lengthOf, type SimulatedRule, startedLine, startingLine, toUs } from './simulated-runner.ts'
import type { Seal } from './site.ts'

interface Held {
  readonly tasks: readonly HeldTask[]
  lines: ReadLine[]
  /** Tasks that began, or were sealed before they could. */
  readonly taken: Set<number>
}

/**
 * The arrays of a cluster in memory, and what their tasks do: what a task will write is made when it begins, by as many slots as its jobs fit
 * into it, and shown as time goes on. No file is written or read. Memory: the jobs of arrays that are not dropped.
 */
export class SimulatedArrays implements HeldArrays {
  readonly #rule: SimulatedRule
  readonly #arrays = new Map<string, Held>()

  constructor(rule: SimulatedRule) {
    this.#rule = rule
  }

  has(id: string): boolean {
    return this.#arrays.has(id)
  }

  stage(id: string, tasks: readonly HeldTask[]): void {
    this.#arrays.set(id, { tasks, lines: [], taken: new Set() })
  }

  jobs(id: string, task: number): readonly NamedJob[] {
    return this.#arrays.get(id)?.tasks[task]?.jobs ?? []
  }

  takeLines(id: string): readonly ReadLine[] {
    const held = this.#arrays.get(id)
    if (!held) return []
    const { lines } = held
    held.lines = []
    return lines
  }

  /** Answers those that have begun. */
  seal(id: string, seals: readonly Seal[]): ReadonlySet<number> {
    const held = this.#arrays.get(id)
    const begun = new Set<number>()
    for (const { task, attempt, line } of held ? seals : []) {
      if (held!.taken.has(task)) begun.add(task)
      else held!.lines.push({ task, attempt, end: 1, line: decodeRecord(line.trimEnd())! })
      held!.taken.add(task)
    }
    return begun
  }

  /** Its directory is taken away. */
  drop(id: string): void {
    this.#arrays.delete(id)
  }

  /** Throws when the array was dropped. */
  begin({ array, index, startedAt, node, slowness }: BegunTask): Performance {
    const id = basename(array.directory)
    const held = this.#arrays.get(id)
    if (!held) throw new Error(`${array.directory} is gone`)
    // One that was given up is sealed, and never begins.
    if (held.taken.has(index)) return { endsAt: startedAt, show: () => {} }
    held.taken.add(index)
    const { header, jobs } = held.tasks[index]!
    const played = play(jobs, this.#rule, { startedAt, slowness, slots: slotsOf(array, header) })
    let end = 0
    const show = told(jobs, played, { header, startedAt, node, rule: this.#rule })
    return {
      endsAt: played.endsAt,
      show: (until) => {
        const lines = this.#arrays.get(id)?.lines
        if (lines) show(until, (line) => lines.push({ task: index, attempt: 1, end: ++end, line }))
      },
    }
  }
}

const slotsOf = ({ cpus }: BegunTask['array'], header: ManifestTask): number =>
  Math.max(1, Math.floor(cpus / header.cpus))

/** When each job begins and ends, milliseconds since 1970, and in which slot; none begins before one that is before it. */
interface Played {
  readonly from: Float64Array
  readonly to: Float64Array
  readonly slot: Uint32Array
  readonly slots: number
  readonly endsAt: number
}

function play(
  jobs: readonly NamedJob[],
  rule: SimulatedRule,
  { startedAt, slowness, slots }: { startedAt: number; slowness: number; slots: number },
): Played {
  const free = new Array<number>(slots).fill(startedAt)
  const [from, to, slot] = [
    new Float64Array(jobs.length),
    new Float64Array(jobs.length),
    new Uint32Array(jobs.length),
  ] as const
  for (const [nth, job] of jobs.entries()) {
    const next = slots === 1 ? 0 : free.indexOf(Math.min(...free))
    slot[nth] = next
    from[nth] = free[next]!
    free[next]! += Math.round(1000 * slowness * lengthOf(job, rule))
    to[nth] = free[next]!
  }
  return { from, to, slot, slots, endsAt: Math.max(...free) }
}

interface Scene {
  readonly header: ManifestTask
  readonly startedAt: number
  readonly node: string
  readonly rule: SimulatedRule
}

/** Tells the lines up to a moment that were not told yet. A job that began and ended between two looks has no line that it started. */
function told(jobs: readonly NamedJob[], { from, to, slot, slots, endsAt }: Played, scene: Scene) {
  const { header, startedAt, node, rule } = scene
  const inTurn = Array.from(jobs.keys())
  if (slots > 1) inTurn.sort((a, b) => to[a]! - to[b]!)
  let [begun, ended, isOver] = [-1, 0, false]
  return (until: number, tell: (line: RecordLine) => void): void => {
    if (isOver) return
    if (begun < 0) {
      tell({ ...startedLine(header, startedAt), node, slots })
      begun = 0
    }
    for (let job = inTurn[ended]; job !== undefined && to[job]! <= until; job = inTurn[++ended])
      tell(endedLine(jobs[job]!, fateOf(jobs[job]!, rule), { from: from[job]!, to: to[job]!, slot: slot[job]! }))
    for (; begun < jobs.length && from[begun]! <= until; begun++)
      if (to[begun]! > until) tell(startingLine(jobs[begun]!, header, { from: from[begun]!, slot: slot[begun]! }))
    if (endsAt > until) return
    isOver = true
    tell({ v: 1, at: toUs(endsAt), event: 'task ended', reason: 'done', message: null, jobs: jobs.length })
  }
}
