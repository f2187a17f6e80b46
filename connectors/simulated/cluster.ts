import { basename } from 'node:path'
import {
  type ArraySpec,
  type Connector,
  ConnectorError,
  type NativeId,
  type SiteLimits,
  type TaskEnding,
  type TaskReport,
} from '../connector.ts'
import { chance } from './chance.ts'

/** How a cluster goes wrong. Shares are 0 to 1, of calls or of tasks. */
export interface Troubles {
  /** Calls that get no answer; of a submission, though it was done. */
  readonly lostReplies: number
  /** Questions for states that get an answer with a word nobody knows. */
  readonly lies: number
  /** Tasks that are listed no more while they wait, and never run. */
  readonly forgotten: number
  /** Tasks that the scheduler ends for other work. */
  readonly preempted: number
  /** Nodes that are three times slower than the rest. */
  readonly slowNodes: number
  /** Arrays whose directory is taken away while they are there. */
  readonly purged: number
  /** Of each node. */
  readonly nodeFailuresPerDay: number
}

export const NO_TROUBLE: Troubles = {
  ...{ lostReplies: 0, lies: 0, forgotten: 0, preempted: 0, slowNodes: 0, purged: 0, nodeFailuresPerDay: 0 },
}

export interface ClusterOptions {
  readonly seed: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** That tasks use at a time, of this user. */
  readonly cores: number
  readonly coresOfNode: number
  /** Median of the seconds that an array waits; one of seven waits three times as long or longer. */
  readonly waitSec: number
  /** Calls a minute that are answered; null: all. */
  readonly callsPerMinute: number | null
  readonly limits: SiteLimits
  readonly troubles: Troubles
  /** What a task does that starts; throws when its directory is gone. */
  readonly begin: (task: BegunTask) => Performance
  /** The directory of an array is taken away. */
  readonly purge: (array: ArraySpec) => void
}

export interface BegunTask {
  readonly array: ArraySpec
  readonly index: number
  readonly startedAt: number
  readonly node: string
  /** Its jobs take so many times longer. */
  readonly slowness: number
}

export interface Performance {
  /** When it is over by itself, milliseconds since 1970. */
  readonly endsAt: number
  /** Shows what it has done up to then. */
  readonly show: (until: number) => void
}

/** What was asked of the scheduler, how often. */
export interface Calls {
  submit: number
  status: number
  accounting: number
  cancel: number
  /** Of all these, those that were not answered. */
  unanswered: number
}

/** Tasks at a moment, milliseconds since 1970. */
export interface Sample {
  readonly at: number
  readonly running: number
  readonly waiting: number
}

interface Task {
  readonly array: Queued
  readonly index: number
  state: 'queued' | 'running' | 'ended' | 'forgotten'
  node: string
  startedAt: number
  endsAt: number
  cause: TaskEnding['cause']
  performance: Performance | undefined
}

interface Queued {
  readonly id: NativeId
  readonly spec: ArraySpec
  readonly tasks: Task[]
}

const HOUR_MS = 3_600_000
/** An ended task is listed for so long. */
const LISTED_MS = 300_000
const SAMPLES_MAX = 2000

/**
 * A cluster of which nothing is real, in memory: arrays wait, run and go wrong as seed and options say, at the moment when they would, whoever
 * looks when. Costs a few microseconds a task and event.
 */
export class SimulatedCluster {
  readonly calls: Calls = { submit: 0, status: 0, accounting: 0, cancel: 0, unanswered: 0 }
  /** Core milliseconds of tasks that ended, and of those that something else ended than they themselves. */
  readonly spent = { coreMs: 0, lostCoreMs: 0, tasks: 0, lostTasks: 0 }
  samples: Sample[] = []
  readonly #options: ClusterOptions
  readonly #arrays = new Map<NativeId, Queued>()
  /** The earliest first. */
  readonly #waiting: { readonly at: number; readonly task: Task }[] = []
  readonly #running: { readonly at: number; readonly task: Task }[] = []
  /** Tasks with something to show. */
  readonly #shown = new Set<Task>()
  #time: number
  #coresUsed = 0
  #numbers = 0
  #asked = 0
  #recent: number[] = []

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#time = options.now()
  }

  readonly connector: Connector = {
    name: 'simulated',
    submit: (array) => this.#call('submit', () => this.#submit(array)),
    status: (arrays) => this.#call('status', () => this.#status(arrays)),
    cancel: (id, indices) => this.#call('cancel', () => this.#cancel(id, indices)),
    endings: (ids) => this.#call('accounting', () => this.#endings(ids)),
    waiting: () => ({ sentence: 'it waits for its turn', clears: 'will clear' }),
    siteLimits: async () => this.#options.limits,
  }

  /** When something happens next, milliseconds since 1970; infinite: nothing does. */
  get nextAt(): number {
    return Math.min(this.#running[0]?.at ?? Number.POSITIVE_INFINITY, this.#nextStart)
  }

  /** All that happens up to now. */
  advance(): void {
    const now = this.#options.now()
    for (let at = this.nextAt; at <= now; at = this.nextAt) {
      this.#time = Math.max(this.#time, at)
      if ((this.#running[0]?.at ?? Number.POSITIVE_INFINITY) <= this.#nextStart) this.#end(this.#running.shift()!.task)
      else this.#start(this.#waiting.shift()!.task)
      this.#sample()
    }
    this.#time = now
  }

  /** What tasks wrote up to now becomes visible. */
  show(): void {
    this.advance()
    for (const task of this.#shown) {
      task.performance!.show(Math.min(this.#time, task.endsAt))
      if (task.state === 'running') continue
      this.#shown.delete(task)
      task.performance = undefined
    }
  }

  get #nextStart(): number {
    const next = this.#waiting[0]
    if (!next) return Number.POSITIVE_INFINITY
    const isRoom = this.#coresUsed === 0 || this.#coresUsed + next.task.array.spec.cpus <= this.#options.cores
    return isRoom ? Math.max(next.at, this.#time) : Number.POSITIVE_INFINITY
  }

  #sample(): void {
    const sample = { at: this.#time, running: this.#running.length, waiting: this.#waiting.length }
    if (this.samples.at(-1)?.at === sample.at) this.samples.pop()
    this.samples.push(sample)
    if (this.samples.length > SAMPLES_MAX) this.samples = this.samples.filter((_, at) => at % 2 === 0)
  }

  #start(task: Task): void {
    const { begin, troubles, coresOfNode, cores } = this.#options
    const { array, index } = task
    const name = basename(array.spec.directory)
    const nodes = Math.max(1, Math.ceil(cores / coresOfNode))
    const node = Math.floor(nodes * this.#chance('node', name, index))
    task.node = `n${node + 1}`
    task.startedAt = this.#time
    const slowness = this.#chance('slow', node) < troubles.slowNodes ? 3 : 1
    try {
      task.performance = begin({ array: array.spec, index, startedAt: this.#time, node: task.node, slowness })
    } catch {
      Object.assign(task, { state: 'ended', cause: 'launch', endsAt: this.#time })
      return
    }
    this.#shown.add(task)
    task.state = 'running'
    this.#coresUsed += array.spec.cpus
    const { at, cause } = this.#fateOf(task, task.performance.endsAt)
    Object.assign(task, { endsAt: at, cause })
    insert(this.#running, { at, task })
  }

  /** When it ends and why: by itself, at its walltime, with its node, for other work, whichever is first. */
  #fateOf({ array, index, startedAt }: Task, endsAt: number): { at: number; cause: TaskEnding['cause'] } {
    const { troubles } = this.#options
    const name = basename(array.spec.directory)
    const fates: { at: number; cause: TaskEnding['cause'] }[] = [{ at: endsAt, cause: 'succeeded' }]
    if (array.spec.walltimeSec !== null)
      fates.push({ at: startedAt + 1000 * array.spec.walltimeSec, cause: 'walltime' })
    if (troubles.nodeFailuresPerDay > 0) {
      const untilMs = (-Math.log(1 - this.#chance('fails', name, index)) / troubles.nodeFailuresPerDay) * 24 * HOUR_MS
      fates.push({ at: startedAt + untilMs, cause: 'node' })
    }
    if (this.#chance('preempted', name, index) < troubles.preempted)
      fates.push({ at: startedAt + (endsAt - startedAt) * this.#chance('when', name, index), cause: 'preempted' })
    const { at, cause } = fates.reduce((first, fate) => (fate.at < first.at ? fate : first))
    return { at: Math.round(at), cause }
  }

  #end(task: Task): void {
    const { spec } = task.array
    const coreMs = spec.cpus * (this.#time - task.startedAt)
    task.state = 'ended'
    this.#coresUsed -= spec.cpus
    this.spent.coreMs += coreMs
    this.spent.tasks++
    if (task.cause === 'succeeded') return
    this.spent.lostCoreMs += coreMs
    this.spent.lostTasks++
  }

  #chance(...words: readonly (string | number)[]): number {
    return chance(this.#options.seed, ...words)
  }

  async #call<T>(what: Exclude<keyof Calls, 'unanswered'>, act: () => T): Promise<T> {
    const { callsPerMinute, troubles } = this.#options
    this.advance()
    this.calls[what]++
    this.#recent = this.#recent.filter((at) => at > this.#time - 60_000)
    if (callsPerMinute !== null && this.#recent.length >= callsPerMinute) this.#unanswered('too many calls a minute')
    this.#recent.push(this.#time)
    const isLost = this.#chance('call', ++this.#asked) < troubles.lostReplies
    if (isLost && what !== 'submit') this.#unanswered('no answer')
    const answer = act()
    if (isLost) this.#unanswered('no answer')
    return answer
  }

  #unanswered(why: string): never {
    this.calls.unanswered++
    throw new ConnectorError('unreachable', `simulated: ${why}`, 'It is asked again later.')
  }

  /** By its name an array is there once. */
  #submit(spec: ArraySpec): NativeId {
    for (const { id, spec: known } of this.#arrays.values()) if (known.name === spec.name) return id
    const { limits, troubles } = this.#options
    const open = this.#waiting.length + this.#running.length
    if (limits.queuedMax !== null && open + spec.count > limits.queuedMax)
      throw new ConnectorError('wait', `simulated: ${open} tasks are there already`, 'It is asked again later.')
    const name = basename(spec.directory)
    const array: Queued = { id: String(++this.#numbers), spec, tasks: [] }
    this.#arrays.set(array.id, array)
    // Log-normal with a sigma of one: most wait about the median, some for very long. Times are whole, so that sums are the same whenever it begins.
    const arrayMs = Math.round(1000 * this.#options.waitSec * Math.exp(this.#normal(name)))
    for (let index = 0; index < spec.count; index++) {
      const task: Task = {
        ...{ array, index, state: 'queued', node: '', startedAt: 0, endsAt: 0, cause: 'succeeded' },
        performance: undefined,
      }
      array.tasks.push(task)
      if (this.#chance('forgotten', name, index) < troubles.forgotten) task.state = 'forgotten'
      else insert(this.#waiting, { at: this.#time + arrayMs, task })
    }
    if (this.#chance('purged', name) < troubles.purged) this.#options.purge(spec)
    this.#sample()
    return array.id
  }

  #normal(name: string): number {
    const [u, v] = [1 - this.#chance('wait', name), this.#chance('turn', name)]
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v)
  }

  #status(arrays: ReadonlyMap<NativeId, number>): TaskReport[] {
    if (this.#chance('lie', this.#asked) < this.#options.troubles.lies)
      throw new ConnectorError('unknown state', 'simulated: a state that nobody knows', 'It is asked again later.')
    const reports: TaskReport[] = []
    for (const id of arrays.keys())
      for (const { index, state, endsAt } of this.#arrays.get(id)?.tasks ?? [])
        if (state !== 'forgotten' && (state !== 'ended' || this.#time - endsAt <= LISTED_MS))
          reports.push({ id, index, state, reason: state === 'queued' ? 'Priority' : null })
    return reports
  }

  #cancel(id: NativeId, indices?: readonly number[]): void {
    for (const task of this.#arrays.get(id)?.tasks ?? []) {
      if ((task.state !== 'queued' && task.state !== 'running') || (indices && !indices.includes(task.index))) continue
      const list = task.state === 'queued' ? this.#waiting : this.#running
      list.splice(
        list.findIndex((one) => one.task === task),
        1,
      )
      task.cause = 'cancelled'
      task.endsAt = this.#time
      if (task.state === 'running') this.#end(task)
      else task.state = 'ended'
    }
  }

  #endings(ids: readonly NativeId[]): TaskEnding[] {
    return ids.flatMap((id) =>
      (this.#arrays.get(id)?.tasks ?? []).flatMap(({ index, state, cause, node, startedAt, endsAt }): TaskEnding[] =>
        state !== 'ended'
          ? []
          : [
              {
                ...{ id, index, word: cause.toUpperCase(), cause, exit: null, signal: null, memoryMaxBytes: null },
                ...{ node: node || null, startedAt: startedAt / 1000 || null, endedAt: endsAt / 1000 },
              },
            ],
      ),
    )
  }
}

/** Keeps the earliest first; of the same moment, the one that came first. */
function insert<T extends { readonly at: number }>(list: T[], one: T): void {
  let [from, to] = [0, list.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (list[middle]!.at <= one.at) from = middle + 1
    else to = middle
  }
  list.splice(from, 0, one)
}
