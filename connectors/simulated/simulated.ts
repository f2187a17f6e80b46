import type { ArraySpec, Connector, NativeId, SiteLimits, TaskReport } from '../connector.ts'
import { takeLock } from '../local/lock.ts'
import { Queue, type QueuedSpec } from '../local/queue.ts'
import { chance } from './chance.ts'

export { chance } from './chance.ts'
export {
  type BegunTask,
  type Calls,
  NO_TROUBLE,
  type Performance,
  type Sample,
  SimulatedCluster,
  type Troubles,
} from './cluster.ts'

/** A task that stands for one that runs. Times are milliseconds since 1970. */
export interface PlayedTask {
  readonly array: ArraySpec
  readonly index: number
  readonly startedAt: number
  readonly now: number
}

export interface SimulatedOptions {
  /** Directory of its queue. */
  readonly directory: string
  /** Cores that tasks use at a time. */
  readonly slots: number
  /** The same seed gives the same waiting. */
  readonly seed: number
  /** An array waits between half of it and one and a half. */
  readonly queueDelaySec: number
  readonly now: () => number
  /** What a task does up to now; called when it starts and again and again until it says that it is over. May be told the same moment twice. */
  readonly play: (task: PlayedTask) => boolean
}

const LIMITS: SiteLimits = {
  ...{ version: 'simulated', arrayMax: 10_000, queuedMax: null, arraysMax: null, queues: [], accounts: [] },
  ...{ forgetsAfterSec: null, hasAccounting: false, notes: [] },
}

/**
 * A site that runs nothing: its arrays wait and end by a rule, when somebody looks. There is no process of its own; what was decided is in
 * its directory, so that another one goes on. Costs a read of the lines of each array that is not over, a look.
 */
export function openSimulatedConnector(options: SimulatedOptions): Connector {
  const queue = new Queue(options.directory)
  const look = (): void => {
    // Who looks at the same moment sees what the other one decides.
    const release = takeLock(options.directory)
    try {
      if (release) advance(queue, options)
    } finally {
      release?.()
    }
  }
  return {
    name: 'simulated',
    async submit(array: ArraySpec): Promise<NativeId> {
      const id = queue.add({ ...array, submittedAt: options.now(), environment: {} })
      look()
      return id
    },
    async status(arrays: ReadonlyMap<NativeId, number>): Promise<TaskReport[]> {
      look()
      return [...arrays.keys()].flatMap((id) => queue.report(id))
    },
    async cancel(id: NativeId, indices?: readonly number[]): Promise<void> {
      queue.askToCancel(id, indices)
      look()
    },
    endings: async () => [],
    siteLimits: async () => LIMITS,
    waiting: () => ({ sentence: 'it waits as long as its rule says', clears: 'will clear' }),
  }
}

interface Waits {
  readonly id: NativeId
  readonly spec: QueuedSpec
  readonly index: number
}

function advance(queue: Queue, options: SimulatedOptions): void {
  const arrays = queue
    .queued()
    .flatMap((id) => {
      const spec = queue.spec(id)
      return spec ? [{ id, spec }] : []
    })
    .sort((a, b) => a.spec.submittedAt - b.spec.submittedAt || (a.id < b.id ? -1 : 1))
  const waiting: Waits[] = []
  let used = 0
  for (const array of arrays) {
    const left = goOn(queue, array, options)
    used += left.running * array.spec.cpus
    const isDue = options.now() >= array.spec.submittedAt + waitOf(array.spec, options)
    if (isDue) for (const index of left.waiting) waiting.push({ ...array, index })
    if (left.running + left.waiting.length === 0) queue.end(array.id)
  }
  for (const { id, spec, index } of waiting) {
    if (used > 0 && used + spec.cpus > options.slots) return
    const now = options.now()
    queue.append(id, { task: index, event: 'started', pid: 0, start: String(now) })
    if (options.play({ array: spec, index, startedAt: now, now })) endTask(queue, id, index, 'exit 0')
    else used += spec.cpus
  }
}

/** Ends what is over and what was cancelled; answers what is left. */
function goOn(
  queue: Queue,
  { id, spec }: { id: NativeId; spec: QueuedSpec },
  { now, play }: SimulatedOptions,
): { running: number; waiting: readonly number[] } {
  const states = queue.tasks(id)
  const cancelled = queue.cancelled(id)
  const waiting: number[] = []
  let running = 0
  for (let index = 0; index < spec.count; index++) {
    const last = states.get(index)?.last
    if (last?.event === 'ended') continue
    if (cancelled === 'all' || cancelled.has(index)) endTask(queue, id, index, 'cancelled')
    else if (last === undefined) waiting.push(index)
    else if (play({ array: spec, index, startedAt: Number(last.start), now: now() }))
      endTask(queue, id, index, 'exit 0')
    else running++
  }
  return { running, waiting }
}

const endTask = (queue: Queue, id: NativeId, task: number, reason: string): void =>
  queue.append(id, { task, event: 'ended', reason })

const waitOf = ({ name }: ArraySpec, { seed, queueDelaySec }: SimulatedOptions): number =>
  1000 * queueDelaySec * (0.5 + chance(seed, name))
