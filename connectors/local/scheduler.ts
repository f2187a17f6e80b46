import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { NativeId } from '../connector.ts'
import { takeLock } from './lock.ts'
import {
  isAlive,
  isElsewhere,
  nameChild,
  type ProcessName,
  processesWith,
  processWith,
  signal,
  thisMachine,
} from './process.ts'
import { Queue, type QueuedSpec } from './queue.ts'

/*
 * The scheduler of the local site: one process a directory, in a session of its own. Runs the tasks of queued arrays in the order of
 * their submission, as many at once as fit into `slots` cores. A task is queued, claimed (by itself, see CLAIM), started, ended. Killed at
 * any instruction, the next scheduler reads claims and lines, takes up what lives by pid and start, and goes on: a task is never run
 * twice. Ends when the queue is empty.
 */

const TICK_MS = 50
/** From TERM to KILL of a cancelled runner: it has jobs to end in that time. */
const CANCEL_MS = 10_000
const IDLE_MS = 500
const LOOKS_MAX = 50
/** What a task is started with: it claims itself by a file that only one can make, then becomes the runner, its pid unchanged. */
const CLAIMED = 75
const CLAIM = `set -C; echo "$$ $2" >"$1" || exit ${CLAIMED}; shift 2; exec "$@"`

interface RunningTask {
  readonly id: NativeId
  readonly index: number
  readonly cpus: number
  runner: ProcessName
  killAt: number | undefined
}

interface OpenArray {
  readonly id: NativeId
  readonly spec: QueuedSpec
  readonly waiting: number[]
  running: number
}

class Scheduler {
  readonly #queue: Queue
  readonly #arrays = new Map<NativeId, OpenArray>()
  readonly #running = new Set<RunningTask>()
  #idleSince: number | undefined

  constructor(directory: string) {
    this.#queue = new Queue(directory)
    this.#queue.tidy(Date.now())
  }

  /** False when there has been nothing to do for a while. */
  tick(): boolean {
    this.#lookForArrays()
    for (const task of this.#running) this.#look(task)
    for (const array of this.#arrays.values()) this.#lookForCancel(array)
    this.#start()
    for (const array of this.#arrays.values()) this.#endIfDone(array)
    if (this.#arrays.size > 0) this.#idleSince = undefined
    else this.#idleSince ??= Date.now()
    return this.#idleSince === undefined || Date.now() - this.#idleSince < IDLE_MS
  }

  get hasWork(): boolean {
    return this.#queue.queued().length > 0
  }

  #lookForArrays(): void {
    const news = this.#queue.queued().filter((id) => !this.#arrays.has(id))
    const specs = news
      .map((id) => ({ id, spec: this.#queue.spec(id) }))
      .filter((entry): entry is { id: NativeId; spec: QueuedSpec } => entry.spec !== undefined)
      .sort((a, b) => a.spec.submittedAt - b.spec.submittedAt || (a.id < b.id ? -1 : 1))
    for (const { id, spec } of specs) {
      // Submitted again in the moment when it moved to ended/.
      if (this.#queue.hasEnded(id)) rmSync(join(this.#queue.directory, 'queue', id), { recursive: true, force: true })
      else this.#open(id, spec)
    }
  }

  /** Takes an array up where its lines stand. */
  #open(id: NativeId, spec: QueuedSpec): void {
    const array: OpenArray = { id, spec, waiting: [], running: 0 }
    const states = this.#queue.tasks(id)
    for (let index = 0; index < spec.count; index++) {
      const state = states.get(index)
      if (state?.last.event === 'ended') continue
      const runner = this.#claimant(id, index)
      // Neither ended nor started from here; the array stays as it is.
      if (runner === 'elsewhere') array.running++
      else if (runner) this.#adopt(array, index, runner)
      else if (runner === null) this.#queue.append(id, { task: index, event: 'ended', reason: 'gone' })
      else array.waiting.push(index)
    }
    array.waiting.reverse()
    this.#arrays.set(id, array)
  }

  /** The process that runs a task; null: it did and is gone; undefined: none has claimed it; elsewhere: that cannot be seen from here. */
  #claimant(id: NativeId, index: number): ProcessName | 'elsewhere' | null | undefined {
    const claim = this.#queue.claim(id, index)
    if (claim === undefined) return undefined
    if (claim && isElsewhere(claim)) {
      process.stderr.write(`Task ${index} of ${id} was begun on ${claim.machine}; it is left alone.\n`)
      return 'elsewhere'
    }
    const mark = this.#mark(id, index)
    // Between making the file and writing its pid: whoever carries the mark.
    const found = claim === null ? processesWith(mark)[0] : processWith(claim.pid, mark)
    if (!found) this.#clear(id, index)
    return found ?? null
  }

  #adopt(array: OpenArray, index: number, runner: ProcessName): void {
    this.#queue.append(array.id, { task: index, event: 'started', pid: runner.pid, start: runner.start })
    array.running++
    this.#running.add({ id: array.id, index, cpus: array.spec.cpus, runner, killAt: undefined })
  }

  #look(task: RunningTask): void {
    if (!isAlive(task.runner)) this.#ended(task, 'gone')
    else if (task.killAt !== undefined && Date.now() >= task.killAt)
      for (const name of [task.runner, ...processesWith(this.#mark(task.id, task.index))]) signal(name, 'SIGKILL')
  }

  #ended(task: RunningTask, reason: string): void {
    if (!this.#running.has(task)) return
    if (reason === 'gone' || reason === `exit ${CLAIMED}`) {
      // A scheduler that was killed a moment before had started the task too, and its runner claimed it first.
      const claimant = this.#claimant(task.id, task.index)
      if (claimant === 'elsewhere') {
        this.#running.delete(task)
        return
      }
      if (claimant && claimant.pid !== task.runner.pid) {
        task.runner = claimant
        return
      }
    }
    this.#running.delete(task)
    if (reason !== 'exit 0') this.#clear(task.id, task.index)
    rmSync(this.#sandboxes(task.id, task.index), { recursive: true, force: true, maxRetries: 3 })
    this.#queue.append(task.id, {
      task: task.index,
      event: 'ended',
      reason: task.killAt === undefined ? reason : 'cancelled',
    })
    const array = this.#arrays.get(task.id)
    if (array) array.running--
  }

  /** A runner that was killed leaves jobs behind; nothing of a task lives on when it is said to have ended. */
  #clear(id: NativeId, index: number): void {
    // A shell whose child is killed starts its next one before its own turn comes.
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const left = processesWith(this.#mark(id, index))
      if (left.length === 0) return
      for (const name of left) signal(name, 'SIGKILL')
    }
  }

  #lookForCancel(array: OpenArray): void {
    const asked = this.#queue.cancelled(array.id)
    if (asked !== 'all' && asked.size === 0) return
    const isAsked = (index: number): boolean => asked === 'all' || asked.has(index)
    for (const index of array.waiting.filter(isAsked))
      this.#queue.append(array.id, { task: index, event: 'ended', reason: 'cancelled' })
    array.waiting.splice(0, array.waiting.length, ...array.waiting.filter((index) => !isAsked(index)))
    for (const task of this.#running) {
      if (task.id !== array.id || task.killAt !== undefined || !isAsked(task.index)) continue
      task.killAt = Date.now() + CANCEL_MS
      signal(task.runner, 'SIGTERM')
    }
  }

  /** Starts waiting tasks in order while the next one fits; one that is larger than the machine runs alone. */
  #start(): void {
    const slots = Number(readFileSync(join(this.#queue.directory, 'slots'), 'utf8')) || 1
    let used = 0
    for (const { cpus } of this.#running) used += cpus
    for (const array of this.#arrays.values()) {
      while (array.waiting.length > 0) {
        const { cpus } = array.spec
        if (used > 0 && used + cpus > slots) return
        this.#spawn(array, array.waiting.pop()!)
        used += cpus
      }
    }
  }

  #spawn(array: OpenArray, index: number): void {
    const { id, spec } = array
    const command = spec.script === undefined ? spec.command : ['/bin/sh', this.#queue.scriptPath(id)]
    const words = [
      '-c',
      CLAIM,
      'claim',
      this.#queue.claimPath(id, index),
      thisMachine,
      ...command,
      '--task',
      String(index),
    ]
    const sandboxes = this.#sandboxes(id, index)
    mkdirSync(sandboxes, { recursive: true, mode: 0o700 })
    const log = openSync(join(this.#queue.directory, 'queue', id, 'log'), 'a', 0o600)
    const [name, value] = splitMark(this.#mark(id, index))
    const child: ChildProcess = spawn('/bin/sh', words, {
      cwd: spec.directory,
      detached: true,
      env: {
        ...spec.environment,
        ...{ FLOE_TMPDIR: sandboxes, [name]: value, FLOE_LOCAL_ID: id, FLOE_LOCAL_INDEX: String(index) },
      },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.on('error', () => {})
    const runner = child.pid === undefined ? undefined : nameChild(child.pid)
    if (runner === undefined) {
      this.#queue.append(id, { task: index, event: 'ended', reason: 'could not be started' })
      return
    }
    this.#queue.append(id, { task: index, event: 'started', pid: runner.pid, start: runner.start })
    const task: RunningTask = { id, index, cpus: spec.cpus, runner, killAt: undefined }
    array.running++
    this.#running.add(task)
    child.on('exit', (exit, word) => {
      this.#ended(task, word === null ? `exit ${exit}` : `signal ${word.slice(3)}`)
      this.#start()
    })
    child.unref()
  }

  #endIfDone(array: OpenArray): void {
    if (array.running > 0 || array.waiting.length > 0) return
    this.#arrays.delete(array.id)
    this.#queue.end(array.id)
  }

  #mark(id: NativeId, index: number): string {
    return `FLOE_LOCAL_TASK=${this.#queue.directory}/${id}.${index}`
  }

  #sandboxes(id: NativeId, index: number): string {
    return join(this.#queue.directory, 'running', `${id}.${index}`)
  }
}

const splitMark = (mark: string): [string, string] => [
  mark.slice(0, mark.indexOf('=')),
  mark.slice(mark.indexOf('=') + 1),
]

/** Runs what is queued there, unless another process does; returns at once, and lets the process end when nothing is left to do. */
export function schedule(directory: string): void {
  for (const word of ['SIGHUP', 'SIGINT'] as const) process.on(word, () => {})
  let release = takeLock(directory)
  if (!release) return
  const scheduler = new Scheduler(directory)
  const turn = (): void => {
    if (scheduler.tick()) return
    // Given back first, looked again after: who submits writes first and looks for the lock after.
    release?.()
    release = scheduler.hasWork ? takeLock(directory) : undefined
    if (!release) clearInterval(timer)
  }
  const timer = setInterval(turn, TICK_MS)
  turn()
}
