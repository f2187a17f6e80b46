import { closeSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'
import type { JobEnded, TaskEnded } from '../../src/model/record.ts'
import { visibleDevices } from './devices.ts'
import { Finish, type JobRun, refused } from './finish.ts'
import { Pauses } from './pauses.ts'
import { Preparation } from './prepare.ts'
import { hasProc, kernelMemoryKills } from './processes.ts'
import { launchProblem } from './program.ts'
import { Reads } from './reads.ts'
import type { RecordFile } from './record-file.ts'
import { isDiskError, Room, type Spoiled } from './room.ts'
import { SandboxPool } from './sandbox.ts'
import type { Report } from './shell.ts'
import { begun, cpuSince, type Flight, Slot, type SlotListener, type SlotPlace } from './slot.ts'
import { failed, type Judged, judge, type Killed } from './verdict.ts'
import { endLeftovers, Watch } from './watch.ts'
import { Wins } from './wins.ts'

export interface TaskPlace {
  readonly array: string
  readonly header: ManifestTask
  readonly jobs: Iterator<ManifestJob>
  readonly record: RecordFile
  readonly guard: SlotPlace['guard']
  readonly decided: ReadonlySet<string>
  readonly slots: number
  /** Directory on the node, made for this attempt. */
  readonly root: string
  /** How long jobs that run may go on when the task is told to end. */
  readonly graceMs: number
}

export type TaskEnding = Pick<TaskEnded, 'reason' | 'message' | 'jobs'>

/** What is known of a job when its processes have ended. */
interface Ended {
  readonly report: Report
  readonly wallMs: number
  readonly killed: Killed | undefined
  /** Something else than the runner ended it, and perhaps the runner is next. */
  readonly isHearsay?: boolean
}

/** Jobs whose outputs are on their way; more of them would only fill the disk. */
const FINISHING_MAX = 100
/** A slot whose shell dies this often cannot work. */
const STARTS_MAX = 1000
/** Time for traps that `setup` may have set on the end of the shell. */
const SHELL_END_MS = 1000
/** A job that began within this share of its task's walltime had all of it. */
const EARLY = 0.1
/**
 * Exits of jobs that HUP, INT, KILL, TERM or XCPU ended. A scheduler that takes a task back tells all its processes at once, and the runner may
 * hear of the end of its jobs before its own signal: so long it waits for that before it blames the job.
 */
const ENDED_FROM_OUTSIDE = [129, 130, 137, 143, 152]
const HEARSAY_MS = 1000

/**
 * Runs the jobs of a task on its slots and records each verdict. Work on files is synchronous and in bulk: at a thousand jobs a second a
 * promise, a timer or a listing a job would be most of the cost.
 */
export class Task implements SlotListener {
  readonly place: TaskPlace
  readonly slots: Slot[] = []
  readonly cancelled = new Set<string>()
  readonly #prepare: Preparation
  readonly #finish: Finish
  readonly #pool: SandboxPool
  readonly #watch: Watch
  readonly #none = openSync('/dev/null', 'r')
  #kernelKills = kernelMemoryKills()
  #finishing = 0
  #decided = 0
  #stop: Pick<TaskEnding, 'reason' | 'message'> | undefined
  #isOver = false
  readonly #room: Room
  /** Of the task, when it draws near. */
  #walltimeSec: number | undefined
  readonly #beganMs = performance.now()
  #resolve: (ending: TaskEnding) => void = () => {}
  /** Until something else than a signal to the runner itself is to be believed. */
  readonly #pauses = new Pauses()
  readonly #wins: Wins

  constructor(place: TaskPlace) {
    this.place = place
    const { array, header, jobs, decided, root, record } = place
    const [reads, pool] = [new Reads(array), new SandboxPool(root)]
    this.#room = new Room({ sandboxes: dirname(root), array })
    const told = {
      reads,
      refuse: (job: ManifestJob, judged: Judged) =>
        this.#later(this.#wins.contest(job, { won: () => this.#record(refused(job, judged, reads.take(job.job))) })),
      onReady: () => this.guard(() => this.#goOn()),
      onFailed: (error: unknown) => this.#fail(error),
    }
    this.#pool = pool
    this.#wins = new Wins(array, header, this.#pauses)
    const known = { array, header, jobs, decided, cancelled: this.cancelled, wins: this.#wins }
    this.#prepare = new Preparation({ ...known, pool, root, ...told })
    this.#finish = new Finish({ array, header, attempt: record.attempt, pool, reads })
    this.#watch = new Watch(this)
  }

  run(): Promise<TaskEnding> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      const { array, header, record, guard, root, slots } = this.place
      const place = { array, name: `${header.task}.${record.attempt}`, root, guard, none: this.#none }
      for (let index = 0; index < slots; index++) {
        const environment = visibleDevices({ index, slots, gpus: header.gpus ?? 0 }, process.env)
        this.slots.push(new Slot({ ...place, index, environment }, header.setup, this))
      }
      this.#watch.start()
    })
  }

  /** The walltime draws near: what runs may go on for `graceMs`. */
  drain(walltimeSec: number, graceMs: number): void {
    this.#walltimeSec = walltimeSec
    this.stop('drained', `the walltime of the task, ${walltimeSec} s, is near`, Math.max(graceMs, this.place.graceMs))
  }

  /** Starts no more jobs. `cancelled` gives each that is left its verdict; else they are not decided. */
  stop(reason: TaskEnding['reason'], message: string | null, graceMs = this.place.graceMs): void {
    if (this.#stop !== undefined) return
    this.#stop = { reason, message }
    this.#prepare.close()
    this.#pauses.wake()
    for (const slot of this.slots) this.takeBack(slot)
    if (reason === 'cancelled') {
      this.#watch.endRunning({ class: 'cancelled', rule: 'cancelled on request' }, 0)
      this.#cancelRest()
    } else this.#watch.endRunning({ class: 'preempted', rule: reason }, reason === 'drained' ? graceMs : 0)
    this.#endIfIdle()
  }

  /** Jobs named here end as cancelled, where they are or when their turn comes. */
  cancel(jobs: ReadonlySet<string>): void {
    for (const job of jobs) this.cancelled.add(job)
    for (const slot of this.slots) this.takeBack(slot)
  }

  takeBack(slot: Slot): void {
    slot.takeBack(this.#pool.newPath, (flights) =>
      this.guard(() => {
        this.#prepare.giveBack(flights)
        this.#goOn()
      }),
    )
  }

  flush(): void {
    for (const slot of this.slots) slot.flush()
    this.place.record.flush()
  }

  /** Looks whether a disk that was full has room again. */
  lookForRoom(): void {
    if (this.#room.isCramped) this.#goOn()
  }

  /** What stops the runner itself, as a full disk: jobs without a verdict stay undecided. */
  guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#fail(error)
    }
  }

  onReady(slot: Slot, exit: number): void {
    this.guard(() => {
      const said = slot.err.last(400)
      slot.out.end(undefined)
      slot.err.end(undefined)
      slot.isReady = true
      if (exit === 0) this.#goOn()
      else this.stop('failed', `setup ended with exit ${exit}${said === '' ? '' : `: ${said}`}`)
    })
  }

  onReports(slot: Slot, reports: readonly Report[]): void {
    this.guard(() => {
      const now = performance.now()
      const ended = reports.filter(({ exit }) => exit !== null).length
      const wallMs = ended === 0 ? 0 : (now - slot.since) / ended
      for (const report of reports) {
        const at = slot.queue.findIndex(({ seq }) => seq === report.seq)
        if (at < 0) continue
        const [flight] = slot.queue.splice(at, 1)
        if (report.exit === null) this.#prepare.giveBack([flight!])
        else {
          const killed = begun(slot.killing, now)
          const isHearsay = killed === undefined && ENDED_FROM_OUTSIDE.includes(report.exit)
          this.#ended(slot, flight!, { report, wallMs, killed, isHearsay })
        }
      }
      slot.since = now
      if (ended > 0) {
        slot.learn(wallMs)
        if (this.#watch.afterJob(slot, wallMs)) this.#pool.settle(slot.index)
      }
      this.#goOn()
      // The verdict of a job of some length is told at once; those of the shortest wait for the next tick.
      if (wallMs > 20) this.flush()
    })
  }

  onGone(slot: Slot, how: string): void {
    this.guard(() => {
      if (this.#isOver) return
      // With it goes what is left of its process group.
      slot.shell.kill()
      const wasReady = slot.isReady
      const running = slot.queue.shift()
      this.#prepare.giveBack(slot.queue.splice(0))
      const rule = `the shell of its slot ended with ${how}`
      if (running) {
        const report = { seq: running.seq, exit: null, check: null, said: '' }
        const blamed: Killed = { class: this.#stop === undefined ? 'app' : 'preempted', rule }
        const begunBefore = begun(slot.killing, performance.now())
        const wallMs = performance.now() - slot.since
        this.#ended(slot, running, { report, wallMs, killed: begunBefore ?? blamed, isHearsay: !begunBefore })
      }
      if (!wasReady) this.stop('failed', `setup ended the shell (${how}): ${slot.err.last(400)}`)
      if (slot.starts >= STARTS_MAX) this.stop('failed', `${rule} ${STARTS_MAX} times`)
      if (this.#stop === undefined) slot.restart()
      this.#goOn()
    })
  }

  #goOn(): void {
    if (this.#stop?.reason === 'cancelled') this.#cancelRest()
    if (this.#hasRoom()) for (const slot of this.slots) this.#feed(slot)
    this.#endIfIdle()
  }

  /** On a full disk nothing is started; when no job is left whose end could make room, the task is over. */
  #hasRoom(): boolean {
    if (!this.#room.isCramped || this.#stop !== undefined) return true
    const lack = this.#finishing > 0 ? undefined : this.#room.look()
    if (lack !== undefined && this.#isIdle) this.stop('failed', lack)
    return !this.#room.isCramped
  }

  /** Tells a slot its next jobs, some at a time. */
  #feed(slot: Slot): void {
    if (this.#stop !== undefined || !slot.isReady || this.#finishing > FINISHING_MAX) return
    if (slot.queue.length > slot.depth / 2) return
    if (slot.out.isLong || slot.err.isLong) {
      if (slot.queue.length > 0) return
      slot.trim()
    }
    if (slot.queue.length === 0) slot.since = performance.now()
    let text = ''
    while (slot.queue.length < slot.depth) {
      const flight = this.#prepare.next(slot)
      if (flight === undefined) break
      slot.queue.push(flight)
      text += this.#prepare.text(flight, slot)
    }
    if (text !== '') slot.shell.tell(text)
  }

  #ended(slot: Slot, flight: Flight, { report, wallMs, killed, isHearsay = false }: Ended): void {
    slot.killing = undefined
    const end = slot.streamEnd(flight.seq)
    const startedMs = slot.since
    slot.since += wallMs
    const run = {
      flight,
      slot: slot.index,
      startedMs,
      wallMs,
      cpuSec: cpuSince(flight, slot),
      stdout: slot.out.end(end),
      stderr: slot.err.end(end),
    }
    const cause = this.#causeOf(killed, startedMs)
    if (cause?.class === 'preempted') {
      this.#finish.forget(flight, slot.index)
      return
    }
    const judged = judge({
      report,
      said: slot.err.lastText,
      killed: cause,
      launchProblem: () => launchProblem(flight.program, slot.shell.path),
      kernelKilled: () => this.#kernelKilled(),
    })
    const place = { said: slot.err.lastText, hasOutputs: flight.job.outputs.length > 0 }
    const lost = cause === undefined && !isHearsay ? this.#room.spoiled(judged, place) : undefined
    if (isHearsay) this.#later(this.#unlessTold(run, judged))
    else if (lost) this.#spoil(run, lost)
    else this.#decide(run, judged)
  }

  /** First its directory goes: perhaps that filled the disk. When the next one meets the same, it is not the jobs. */
  #spoil(run: JobRun, { judged, lack }: Spoiled): void {
    if (this.#room.isSpoiledAgain(run.startedMs)) {
      this.#finish.forget(run.flight, run.slot)
      this.stop('failed', lack)
      return
    }
    for (const slot of this.slots) this.takeBack(slot)
    const gone = rm(run.flight.sandbox.path, { recursive: true, force: true }).catch(() => {})
    this.#later(gone.then(() => this.#decide(run, judged)))
  }

  #decide(run: JobRun, judged: Judged | undefined): void {
    const won = () => {
      const line = this.#finish.finish(run, judged)
      if (line instanceof Promise) this.#later(line.then((known) => this.#record(known)))
      else this.#record(line)
    }
    const lost = () => this.#finish.forget(run.flight, run.slot)
    this.#later(this.#wins.contest(run.flight.job, { won, lost }))
  }

  async #unlessTold(run: JobRun, judged: Judged | undefined): Promise<void> {
    if (this.#stop === undefined) await this.#pauses.until(pause(HEARSAY_MS))
    if (this.#stop?.reason === 'drained') this.#finish.forget(run.flight, run.slot)
    else this.#decide(run, judged)
  }

  /** The task does not end before this has. */
  #later(act: Promise<void> | undefined): void {
    if (act === undefined) return
    this.#finishing++
    act
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#finishing--
        this.guard(() => this.#goOn())
      })
  }

  /** A job that had the whole task to itself and was not done will not be done in another one like it. */
  #causeOf(killed: Killed | undefined, startedMs: number): Killed | undefined {
    const walltimeSec = this.#walltimeSec
    if (killed?.class !== 'preempted' || walltimeSec === undefined) return killed
    if (startedMs - this.#beganMs > walltimeSec * 1000 * EARLY) return killed
    return { class: 'walltime', rule: `ran as long as a task may, ${walltimeSec} s; it names no walltime of its own` }
  }

  #record(line: JobEnded): void {
    this.#decided++
    if (line.verdict === 'succeeded') this.#room.isEnough()
    this.place.record.write(line)
  }

  #cancelRest(): void {
    this.#prepare.refuseRest(failed('cancelled', 'cancelled on request'))
  }

  #kernelKilled(): boolean {
    const before = this.#kernelKills
    this.#kernelKills = kernelMemoryKills()
    return before !== undefined && this.#kernelKills !== undefined && this.#kernelKills > before
  }

  #fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    this.stop('failed', (isDiskError(error) && this.#room.lack) || message)
    for (const slot of this.slots) slot.shell.kill()
  }

  get #isIdle(): boolean {
    return this.#finishing === 0 && this.slots.every(({ queue }) => queue.length === 0)
  }

  #endIfIdle(): void {
    if (this.#isOver || !this.#isIdle) return
    if (this.#stop === undefined && !this.#prepare.isDry) return
    this.#isOver = true
    this.#watch.stop()
    const { reason, message } = this.#stop ?? { reason: 'done' as const, message: null }
    this.#close().then(
      () => this.#resolve({ reason, message, jobs: this.#decided }),
      (error) => this.#resolve({ reason: 'failed', message: message ?? (error as Error).message, jobs: this.#decided }),
    )
  }

  async #close(): Promise<void> {
    for (const slot of this.slots) if (hasProc) endLeftovers(slot)
    await Promise.all(this.slots.map((slot) => slot.shell.end(SHELL_END_MS)))
    for (const slot of this.slots) {
      slot.shell.kill()
      slot.close()
    }
    closeSync(this.#none)
    this.#finish.close()
  }
}
