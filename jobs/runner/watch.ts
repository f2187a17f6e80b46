import { CancelFiles } from './cancel.ts'
import { nowUs, usOf } from './finish.ts'
import { hasProc, type JobProcess, memoryOf, readStat, signalProcess, slotProcesses } from './processes.ts'
import type { Flight, Slot } from './slot.ts'
import type { Task } from './task.ts'
import { bytesText, type Killed } from './verdict.ts'

const TICK_MS = 100
const CANCEL_LOOK_MS = 1000
/** From TERM to KILL. */
const TERM_MS = 2000
/** From KILL to giving up on the shell. */
const KILL_MS = 3000
/** A job that ran this long is worth a look for what it left behind; after shorter ones looks take at most a fiftieth of the time. */
const LONG_MS = 1000
const LOOK_SHARE = 50
const LOOKS_MAX = 20

const secondsText = (seconds: number): string => `${Number(seconds.toFixed(1))} s`

/** Ten times a second: limits, streams, lines to the record, requests to cancel. Jobs that end between two ticks are never looked at. */
export class Watch {
  readonly #task: Task
  readonly #cancel: CancelFiles
  #timer: NodeJS.Timeout | undefined
  #cancelLookAt = 0
  #ticks = 0
  #nextLookAt = 0
  #ending: { readonly killed: Killed; readonly termAt: number } | undefined

  constructor(task: Task) {
    this.#task = task
    this.#cancel = new CancelFiles(task.place.array, task.place.header.task)
  }

  start(): void {
    this.#timer = setInterval(() => this.#task.guard(() => this.#tick()), TICK_MS)
    // What was cancelled while the task was queued: before the first tick short jobs would have run.
    this.#task.guard(() => this.#lookForCancel())
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Ends what runs, after a grace; also what the shells start before they hear of it. */
  endRunning(killed: Killed, graceMs: number): void {
    this.#ending = { killed, termAt: performance.now() + graceMs }
  }

  /** Kills what jobs left behind, when it is time for a look; true: none of those that ended has a process any more. */
  afterJob(slot: Slot, wallMs: number): boolean {
    const now = performance.now()
    if (!hasProc || (wallMs < LONG_MS && now < this.#nextLookAt)) return false
    const isClear = endLeftovers(slot, slot.others)
    const after = performance.now()
    this.#nextLookAt = after + LOOK_SHARE * (after - now)
    return isClear
  }

  #tick(): void {
    const now = performance.now()
    this.#ticks++
    if (now >= this.#cancelLookAt) {
      this.#cancelLookAt = now + CANCEL_LOOK_MS
      this.#lookForCancel()
      if (!this.#task.place.record.isThere) this.#task.stop('failed', 'its record file was taken away')
      this.#task.lookForRoom()
    }
    for (const slot of this.#task.slots) {
      const flight = slot.running
      if (flight === undefined || !slot.isReady || now - slot.since < TICK_MS) continue
      // With jobs told behind it, it may end at any moment and another one be looked at, or killed, in its place.
      if (slot.queue.length > 1) this.#task.takeBack(slot)
      else this.#look(slot, flight, now)
    }
    this.#task.flush()
  }

  #look(slot: Slot, flight: Flight, now: number): void {
    if (!flight.isAnnounced) {
      flight.isAnnounced = true
      const { job, revision } = flight.job
      this.#task.place.record.write({
        v: 1,
        at: nowUs(),
        event: 'job started',
        job,
        revision,
        slot: slot.index,
        started_at: usOf(slot.since),
        stdout: slot.out.start,
        stderr: slot.err.start,
      })
      if (hasProc) flight.ticksBefore = readStat(slot.shell.pid)?.childTicks
    }
    const end = slot.streamEnd(flight.seq)
    slot.out.follow(end)
    slot.err.follow(end)
    if (slot.killing === undefined) this.#limit(slot, flight, now)
    if (this.#ending) order(slot, this.#ending.killed, this.#ending)
    if (slot.killing !== undefined) drive(slot, now)
  }

  #limit(slot: Slot, flight: Flight, now: number): void {
    const { memory_bytes: memory, walltime_sec: walltime } = this.#task.place.header
    if (this.#task.cancelled.has(flight.job.job))
      order(slot, { class: 'cancelled', rule: 'cancelled on request' }, { termAt: now })
    else if (walltime !== null && now - slot.since > walltime * 1000)
      order(slot, { class: 'walltime', rule: `ran longer than its ${secondsText(walltime)}` }, { termAt: now })
    if (!hasProc) return
    // What left the shell's tree is found by a look at all processes, so only now and then.
    const others = this.#ticks % 10 === 0 ? slotProcesses(slot.marks).map(({ pid }) => pid) : []
    const used = memoryOf(slot.shell.pid, others)
    flight.memoryMax = Math.max(flight.memoryMax ?? 0, used.peak)
    if (memory === null || used.now <= memory || slot.killing !== undefined) return
    const rule = `used ${bytesText(used.now)} of ${bytesText(memory)}`
    // What grows cannot wait for a TERM.
    order(slot, { class: 'memory', rule }, { termAt: now, killAt: now })
  }

  #lookForCancel(): void {
    const asked = this.#cancel.look()
    if (asked === 'all') this.#task.stop('cancelled', null)
    else if (asked) this.#task.cancel(asked)
  }
}

/** Orders a running job's end: first TERM, then KILL. */
function order(
  slot: Slot,
  killed: Killed,
  { termAt, killAt = termAt + TERM_MS }: { termAt: number; killAt?: number },
): void {
  slot.killing ??= { ...killed, termAt, killAt, giveUpAt: killAt + KILL_MS, told: new Set() }
}

/** The next step of ending a job: all its processes, wherever they went. */
function drive(slot: Slot, now: number): void {
  const killing = slot.killing!
  if (now < killing.termAt) return
  if (now >= killing.giveUpAt || !hasProc) {
    slot.shell.kill()
    return
  }
  for (const found of slotProcesses(slot.marks)) {
    const name = `${found.pid} ${found.start}`
    if (now >= killing.killAt) signalProcess(found, 'SIGKILL')
    else if (!killing.told.has(name) && !found.showsImage) signalProcess(found, 'SIGTERM')
    killing.told.add(name)
  }
}

/** Kills processes of jobs that ended. Those whose job cannot be told are spared until the slot is idle. */
export function endLeftovers(slot: Slot, others?: Set<number>): boolean {
  const told = new Set(slot.queue.map(({ job }) => job.job))
  const isLeft = ({ job }: JobProcess): boolean => (job === undefined ? slot.queue.length === 0 : !told.has(job))
  // A shell whose child is killed starts its next one before its own turn comes.
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const left = slotProcesses(slot.marks, others).filter(isLeft)
    if (left.length === 0) return true
    for (const found of left) signalProcess(found, 'SIGKILL')
  }
  return false
}
