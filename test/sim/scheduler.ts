import { appendFileSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type ArraySpec, type Connector, ConnectorError, type TaskEnding } from '../../connectors/connector.ts'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'
import { encodeRecord, type RecordLine } from '../../src/model/record.ts'
import { readManifest } from '../../src/stage/stage.ts'
import type { Fault } from './faults.ts'
import type { World } from './world.ts'

interface Task {
  readonly index: number
  /** The task of the array that it runs: the same number, or one that it chose when it started. */
  range: number
  readonly startsAt: number
  state: 'queued' | 'running' | 'ended' | 'forgotten'
  /** What is left to write, with its time; the last one ends the task. */
  script: { readonly at: number; readonly line: RecordLine | null }[]
  node: string
  cause: TaskEnding['cause']
  endedAt: number
  ends?: { readonly at: number; readonly fault: Fault }
}

/** Seconds in a queue. */
export interface Wait {
  readonly leastSec: number
  readonly mostSec: number
}

interface Queued {
  readonly id: string
  readonly spec: ArraySpec
  readonly tasks: Task[]
}

const NODES = ['n1', 'n2', 'n3']
const KILLS = {
  'killed: memory': 'memory',
  'killed: walltime': 'walltime',
  'killed: node': 'node',
  'killed: preempted': 'preempted',
} as const
/** An ended task is listed for so long; accounting knows it after so long. */
const LISTED_SEC = 120
const ACCOUNTS_LAG_SEC = 15

/** A cluster in memory, with runners: its tasks start, write records and end as virtual time goes on, and go wrong as the world's chance says. */
export class Scheduler {
  readonly #world: World
  readonly #arrays: Queued[] = []
  #numbers = 1000
  /** How often each job was begun, and which jobs lost their verdict, or could not be seen to have one. */
  readonly begun = new Map<string, number>()
  readonly hit = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  /** A task that had been about to begin when its array was looked at does so now. */
  beginOne(directory: string): void {
    const array = this.#arrays.find(({ spec }) => spec.directory === directory)
    const task = array?.tasks.find(({ state }) => state === 'queued')
    if (!array || !task) return
    this.#start(array, task)
    this.#advance(array, task)
  }

  /** To a queue, given how long the tasks of the next array wait in it. */
  connector(wait: () => Wait = () => ({ leastSec: 0, mostSec: 60 })): Connector {
    const world = this.#world
    return {
      name: 'simulated',
      submit: (array) => world.step('submit', () => this.#submit(array, wait())),
      status: (arrays) => world.step('status', () => this.#status([...arrays.keys()])),
      cancel: (id, indices) => world.step('cancel', () => this.#cancel(id, indices)),
      endings: (ids) => world.step('endings', () => this.#endings(ids)),
      waiting: (reason) => ({ sentence: reason, clears: 'will clear' }),
      siteLimits: async () => ({
        ...{ version: 'sim', arrayMax: 20, queuedMax: null, arraysMax: null, queues: [], accounts: [] },
        ...{ forgetsAfterSec: LISTED_SEC, hasAccounting: true, notes: [] },
      }),
    }
  }

  states(): ('queued' | 'running' | 'ended')[] {
    return this.#arrays
      .filter(({ spec }) => !this.#world.isPublished(spec.directory))
      .flatMap(({ tasks }) => tasks.flatMap(({ state }) => (state === 'forgotten' ? [] : [state])))
  }

  /** Whether tasks of the array with this directory wait or run. */
  has(directory: string): boolean {
    return this.#arrays.some(
      ({ spec, tasks }) =>
        spec.directory === directory && tasks.some(({ state }) => state === 'queued' || state === 'running'),
    )
  }

  /** What happens up to now. */
  advance(): void {
    const world = this.#world
    for (const array of this.#arrays) {
      const live = array.tasks.filter(({ state }) => state === 'queued' || state === 'running')
      const isPublished = world.isPublished(array.spec.directory)
      if ((live.length > 0 || !isPublished) && existsSync(array.spec.directory) && world.strikes('scratch purged')) {
        for (const { state } of array.tasks) if (state !== 'forgotten') world.note('scratch purged', state)
        for (const task of array.tasks) this.#hitJobs(array, task)
        rmSync(array.spec.directory, { recursive: true, force: true })
      }
      for (const task of live) this.#advance(array, task)
      for (const task of array.tasks)
        if (task.state === 'ended' && world.seconds - task.endedAt > LISTED_SEC) task.state = 'forgotten'
    }
  }

  #advance(array: Queued, task: Task): void {
    const { seconds } = this.#world
    if (task.state === 'queued' && seconds >= task.startsAt) this.#start(array, task)
    if (task.state !== 'running' && task.state !== 'queued') return
    const { ends } = task
    const until = Math.min(seconds, ends?.at ?? Number.POSITIVE_INFINITY)
    const path = join(array.spec.directory, 'records', `${task.range}.1`)
    const isThere = existsSync(join(array.spec.directory, 'records'))
    while (task.script[0] && task.script[0].at <= until) {
      const { line } = task.script.shift()!
      if (line?.event === 'job started') {
        this.begun.set(line.job, (this.begun.get(line.job) ?? 0) + 1)
        if (!isThere) this.hit.add(line.job)
      }
      if (line === null || !isThere) continue
      appendFileSync(path, encodeRecord(line))
      if (line.event !== 'job ended' || !this.#world.strikes('record doubled', 'running')) continue
      this.#world.note('record doubled', 'running')
      appendFileSync(path, encodeRecord({ ...line, at: line.at + 1 }))
    }
    if (ends && seconds >= ends.at) this.#end(array, task, ends.fault)
    else if (task.state === 'running' && task.script.length === 0) this.#over(task, 'succeeded')
  }

  /** The task goes wrong. */
  #end(array: Queued, task: Task, fault: Fault): void {
    const world = this.#world
    if (task.state !== 'queued' && task.state !== 'running') return
    world.note(fault, task.state)
    this.#hitRest(task)
    if (fault === 'record cut short' && existsSync(join(array.spec.directory, 'records')))
      appendFileSync(join(array.spec.directory, 'records', `${task.range}.1`), '{"v":1,"at":1700000')
    if (fault === 'vanished') task.state = 'forgotten'
    else this.#over(task, KILLS[fault as keyof typeof KILLS] ?? 'node')
  }

  #over(task: Task, cause: TaskEnding['cause']): void {
    task.state = 'ended'
    task.cause = cause
    task.endedAt = this.#world.seconds
  }

  /** Nothing more is written of it; what has its verdict keeps that. */
  #hitRest(task: Task): void {
    for (const { line } of task.script) if (line?.event === 'job ended') this.hit.add(line.job)
    task.script = []
  }

  #hitJobs({ spec }: Queued, { index }: Task): void {
    for (const job of this.#world.jobsOf(spec.directory, index)) this.hit.add(job)
  }

  /** What it may run: one that was given up is sealed, and never begins. */
  #rangeFor({ spec, tasks }: Queued, { index }: Task): number | undefined {
    const names = readdirSync(join(spec.directory, 'records'))
    const isFree = (range: number) => !names.some((name) => name.startsWith(`${range}.`))
    if (!this.#world.bindsLate) return isFree(index) ? index : undefined
    const taken = new Set(tasks.flatMap(({ state, range }) => (state === 'queued' ? [] : [range])))
    const free = tasks.map((_, range) => range).filter((range) => !taken.has(range) && isFree(range))
    return free[Math.floor(this.#world.chance() * free.length)]
  }

  #start(array: Queued, task: Task): void {
    const world = this.#world
    const { directory } = array.spec
    const isThere = existsSync(join(directory, 'index'))
    // Some die before they choose.
    const isDead = world.bindsLate && world.chance() < 0.15
    const range = isThere && !isDead ? this.#rangeFor(array, task) : undefined
    if (range === undefined) {
      task.range = -1
      this.#over(task, isDead ? 'node' : isThere ? 'succeeded' : 'failed')
      return
    }
    task.state = 'running'
    task.range = range
    const { header, jobs } = readManifest(directory, range)
    world.keepJobs(
      directory,
      range,
      jobs.map(({ job }) => job),
    )
    const lines = this.#linesOf(header, jobs, task)
    const { at } = lines.at(-1)!
    task.script = lines
    for (const fault of [...Object.keys(KILLS), 'vanished', 'record cut short'] as Fault[])
      if (!task.ends && world.strikes(fault, 'running'))
        task.ends = { at: world.seconds + (at - world.seconds) * world.chance(), fault }
    if (!task.ends && world.strikes('record late', 'ended')) {
      // Its lines come to be seen after the task has ended.
      world.note('record late', 'ended')
      const late = at + (world.chance() < 0.5 ? 5 : 90)
      for (const { job } of jobs) this.hit.add(job)
      // Of all of it, or of what comes after the start of its first job.
      const seen = world.chance() < 0.5 ? 0 : 2
      task.script = [...lines.slice(0, seen), { at, line: null }]
      world.later(late, () => {
        if (!existsSync(join(directory, 'records'))) return
        for (const { line } of lines.slice(seen)) {
          if (line === null) continue
          if (line.event === 'job started') this.begun.set(line.job, (this.begun.get(line.job) ?? 0) + 1)
          appendFileSync(join(directory, 'records', `${range}.1`), encodeRecord(line))
        }
      })
    }
  }

  /** What its runner will write. */
  #linesOf(header: ManifestTask, jobs: readonly ManifestJob[], { index, range, node }: Task): Task['script'] {
    const world = this.#world
    let at = world.seconds
    const lines: Task['script'] = [
      {
        at,
        line: {
          ...{ v: 1, at: world.us(at), event: 'task started', campaign: header.campaign, array: header.array },
          ...{ task: range, attempt: 1, batch: header.batch, node, native_id: null, pid: 1, slots: 1 },
          ...(world.bindsLate && { element: index }),
        },
      },
    ]
    for (const job of jobs) {
      const from = at
      at += 2 + 20 * world.chance()
      const line = ended(job, world.us(from), world.us(at))
      lines.push({ at: from, line: started(job, world.us(from)) }, { at, line })
    }
    const sealed = { reason: 'done', message: null, jobs: jobs.length } as const
    lines.push({ at, line: { v: 1, at: world.us(at), event: 'task ended', ...sealed } })
    return lines
  }

  async #submit(spec: ArraySpec, { leastSec, mostSec }: Wait): Promise<string> {
    const world = this.#world
    // By its name an array is there once, however often it is sent.
    const known = this.#arrays.find((array) => array.spec.name === spec.name)
    if (known) return known.id
    for (const [fault, kind] of [
      ['submit refused', 'refused'],
      ['submit: no room', 'wait'],
      ['submit unheard', 'unreachable'],
    ] as const)
      if (world.strikes(fault, 'staged')) {
        world.note(fault, 'staged')
        throw new ConnectorError(kind, `simulated: ${fault}`, 'none')
      }
    const over = this.#arrays.filter(({ tasks }) => tasks.every(({ state }) => state === 'forgotten'))
    const free = over.find(({ id }) => this.#arrays.filter((array) => array.id === id).length === 1)
    const isReused = free !== undefined && world.strikes('id reused', 'staged')
    if (isReused) world.note('id reused', 'staged')
    const id = isReused ? free.id : String(this.#numbers++)
    const tasks = Array.from({ length: spec.count }, (_, index): Task => {
      const startsAt = world.seconds + leastSec + (mostSec - leastSec) * world.chance()
      const node = NODES[Math.floor(world.chance() * NODES.length)]!
      const task: Task = {
        ...{
          index,
          range: world.bindsLate ? -1 : index,
          startsAt,
          state: 'queued',
          script: [],
          node,
          cause: 'succeeded',
          endedAt: 0,
        },
      }
      if (world.strikes('vanished', 'queued'))
        task.ends = { at: world.seconds + (startsAt - world.seconds) * world.chance(), fault: 'vanished' }
      return task
    })
    this.#arrays.push({ id, spec, tasks })
    for (const { index } of tasks)
      world.keepJobs(
        spec.directory,
        index,
        readManifest(spec.directory, index).jobs.map(({ job }) => job),
      )
    if (world.strikes('reply lost', 'staged')) {
      world.note('reply lost', 'staged')
      throw new ConnectorError('unreachable', 'simulated: reply lost', 'none')
    }
    return id
  }

  async #status(ids: readonly string[]) {
    const world = this.#world
    for (const [fault, kind] of [
      ['status failing', 'unreachable'],
      ['status lying', 'unknown state'],
    ] as const)
      if (world.strikes(fault)) {
        world.noteAll(fault)
        throw new ConnectorError(kind, `simulated: ${fault}`, 'none')
      }
    if (world.strikes('status blank')) {
      world.noteAll('status blank')
      return []
    }
    const forgets = world.strikes('status forgetting')
    if (forgets) world.noteAll('status forgetting')
    return this.#arrays
      .filter(({ id }) => ids.includes(id))
      .flatMap(({ id, tasks }) =>
        tasks.flatMap(({ index, state }) => {
          if (state === 'forgotten' || (forgets && world.chance() < 0.5)) return []
          return [{ id, index, state, reason: state === 'queued' ? 'Priority' : null }]
        }),
      )
  }

  async #cancel(id: string, indices?: readonly number[]): Promise<void> {
    for (const array of this.#arrays) {
      if (array.id !== id) continue
      for (const task of array.tasks)
        if ((task.state === 'queued' || task.state === 'running') && (!indices || indices.includes(task.index))) {
          this.#hitRest(task)
          this.#over(task, 'cancelled')
        }
    }
  }

  async #endings(ids: readonly string[]): Promise<TaskEnding[]> {
    const { seconds } = this.#world
    return this.#arrays
      .filter(({ id }) => ids.includes(id))
      .flatMap(({ id, tasks }) =>
        tasks.flatMap(({ index, endedAt, cause, node }) =>
          endedAt === 0 || seconds < endedAt + ACCOUNTS_LAG_SEC
            ? []
            : [
                {
                  ...{ id, index, word: cause.toUpperCase(), cause, exit: null, signal: null, node },
                  ...{ startedAt: null, endedAt, memoryMaxBytes: null },
                },
              ],
        ),
      )
  }
}

const started = ({ job, revision }: ManifestJob, at: number): RecordLine => ({
  ...{ v: 1, at, event: 'job started', job, revision, slot: 0, started_at: at },
  ...{ stdout: { file: '0.out', offset: 0 }, stderr: { file: '0.err', offset: 0 } },
})

const ended = (
  { job, revision, job_digest, try: nth, outputs }: ManifestJob,
  from: number,
  at: number,
): RecordLine => ({
  ...{ v: 1, at, event: 'job ended', job, revision, job_digest, try: nth, slot: 0, started_at: from },
  ...{ verdict: 'succeeded', class: null, rule: 'exit 0', exit: 0, signal: null, wall_sec: (at - from) / 1e6 },
  ...{ cpu_sec: null, memory_max_bytes: null, stdout: null, stderr: null, checked: false, sandbox: null },
  outputs: outputs.map(({ path }) => ({ path, size_bytes: 3, digest: `sha256:${job}` })),
})
