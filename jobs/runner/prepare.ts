import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'
import { BroughtInputs } from './brought.ts'
import { containerArguments, imageEnvironment } from './container.ts'
import { bareRoot, InputLook } from './inputs.ts'
import { JobsAhead } from './jobs-ahead.ts'
import { ProgramLook } from './program.ts'
import type { Reads } from './reads.ts'
import { jobName } from './record-file.ts'
import { isDiskError } from './room.ts'
import type { SandboxPool } from './sandbox.ts'
import { jobText, unspeakable } from './shell-text.ts'
import type { Flight, Slot } from './slot.ts'
import { failed, type Judged } from './verdict.ts'
import type { Wins } from './wins.ts'

export interface PreparationPlace {
  readonly header: ManifestTask
  readonly jobs: Iterator<ManifestJob>
  /** Jobs that an earlier attempt decided. */
  readonly decided: ReadonlySet<string>
  readonly wins: Wins
  readonly cancelled: ReadonlySet<string>
  readonly pool: SandboxPool
  readonly reads: Reads
  /** Directory of the array. */
  readonly array: string
  /** Where its directories are. */
  readonly root: string
  /** A job that is not to run: its verdict. */
  readonly refuse: (job: ManifestJob, judged: Judged) => void
  /** Jobs that had to wait may have all they need now. */
  readonly onReady: () => void
  /** What all jobs would meet. */
  readonly onFailed: (error: unknown) => void
}

/** From the manifest to a job that can be told to a shell: looked at, directory made, inputs linked. */
export class Preparation {
  readonly #place: PreparationPlace
  readonly #inputs = new InputLook()
  readonly #programs = new ProgramLook()
  readonly #again: Flight[] = []
  readonly #brought: BroughtInputs
  readonly #ahead: JobsAhead
  #seq = 0
  #isDry = false

  constructor(place: PreparationPlace) {
    this.#place = place
    const { array, root, reads, onReady: onBrought, onFailed } = place
    this.#brought = new BroughtInputs({ array, folder: join(root, 'inputs'), reads }, { onBrought, onFailed })
    this.#ahead = new JobsAhead(() => this.#read(), this.#brought)
  }

  /** No job is left. */
  get isDry(): boolean {
    return this.#isDry && this.#again.length === 0 && this.#ahead.isEmpty
  }

  /** Nothing more is brought to this node. */
  close(): void {
    this.#brought.close()
  }

  /** Prepared jobs that a shell did not start. */
  giveBack(flights: readonly Flight[]): void {
    this.#again.push(...flights)
  }

  /** The next job to tell to a slot; undefined: there is none now. Jobs that cannot start get their verdict on the way. */
  next(slot: Slot): Flight | undefined {
    for (;;) {
      const back = this.#again.shift()
      const ready = back ?? this.#ahead.next()
      if (ready === undefined) return undefined
      const { job } = ready
      if (this.#place.cancelled.has(job.job)) {
        if (back) this.#place.pool.giveBack(back.sandbox)
        this.#place.refuse(job, failed('cancelled', 'cancelled on request'))
        continue
      }
      // Another job may have removed it: then it is made anew, like the first time.
      if (back && existsSync(back.sandbox.path)) return { ...back, seq: this.#seq++ }
      const made = ('judged' in ready && ready.judged) || this.#make(job, slot.shell.path)
      if (!('verdict' in made)) return made
      this.#place.refuse(job, made)
    }
  }

  /** Gives all that is left the same verdict. */
  refuseRest(judged: Judged): void {
    for (const { job, sandbox } of this.#again.splice(0)) {
      this.#place.pool.giveBack(sandbox)
      this.#place.refuse(job, judged)
    }
    for (const job of this.#ahead.drain()) this.#place.refuse(job, judged)
    for (let job = this.#read(); job !== undefined; job = this.#read()) this.#place.refuse(job, judged)
  }

  text({ seq, job, sandbox, program }: Flight, slot: Slot): string {
    const variables: [string, string][] = [
      ['FLOE_JOB', job.job],
      ['FLOE_CAMPAIGN', this.#place.header.campaign],
      ['FLOE_SLOT', String(slot.index)],
    ]
    for (const [i, { name }] of job.inputs.entries()) variables.push([`FLOE_INPUT_${i + 1}`, name])
    for (const [i, { path }] of job.outputs.entries()) variables.push([`FLOE_OUTPUT_${i + 1}`, path])
    // Only now, since a job that is given back gets another directory.
    const inside = this.#inside(job, sandbox.path)
    const told =
      inside === undefined || 'problem' in inside
        ? job
        : { ...job, arguments: inside, environment: imageEnvironment(job.environment ?? {}) }
    return jobText(told, slot.shell.nonce, { seq, directory: sandbox.path, program, variables })
  }

  #read(): ManifestJob | undefined {
    const { jobs, decided, wins } = this.#place
    while (!this.#isDry) {
      const next = jobs.next()
      if (next.done) this.#isDry = true
      else if (decided.size > 0 && decided.has(jobName(next.value.job, next.value.revision))) continue
      else if (!wins.isTaken(next.value)) return next.value
    }
    return undefined
  }

  #make(job: ManifestJob, path: string): Flight | Judged {
    const now = performance.now()
    const problem = unspeakable(job)
    if (problem !== undefined) return failed('launch', problem)
    for (const list of [job.inputs, job.files ?? []]) {
      for (const input of list) {
        const difference = this.#inputs.differs(input, now)
        if (difference === undefined) continue
        const root = bareRoot(input.path, this.#place.header.roots ?? [])
        if (root !== undefined) throw new Error(`the root ${root} is not there, or is empty`)
        return this.#unless(input.path, failed('input', difference))
      }
    }
    const { container } = this.#place.header
    if (container !== undefined && !existsSync(container.image))
      return this.#unless(container.image, failed('input', `image ${container.image} is not there`))
    // What runs in an image is looked for in there.
    const wanted = container?.program ?? job.program
    const program = this.#programs.find(wanted, path, now)
    if ('problem' in program) return this.#unless(wanted, failed('launch', program.problem))
    const inside = this.#inside(job, '')
    if (inside !== undefined && 'problem' in inside) return failed('launch', inside.problem)
    try {
      const sandbox = this.#place.pool.make(job)
      const seq = this.#seq++
      return {
        seq,
        job,
        sandbox,
        program: program.path,
        isAnnounced: false,
        ticksBefore: undefined,
        memoryMax: undefined,
      }
    } catch (error) {
      if (isDiskError(error)) throw error
      return failed('staging', `its directory could not be made: ${(error as Error).message}`)
    }
  }

  /** The words behind the program, of one that is run in an image. */
  #inside(job: ManifestJob, directory: string): ReturnType<typeof containerArguments> | undefined {
    const { header, root } = this.#place
    if (header.container === undefined) return undefined
    const { container, gpus = 0 } = header
    // A site that reads all in place has none, and what is not there cannot be shown in an image.
    const cache = header.cache !== undefined && existsSync(header.cache) ? header.cache : undefined
    return containerArguments(job, directory, { container, cache, gpus, root })
  }

  /** What floe carried to the site and is not there any more was purged: it is carried again. */
  #unless(path: string, judged: Judged): Judged {
    const { cache } = this.#place.header
    if (cache === undefined || !path.startsWith(`${cache}/`) || existsSync(path)) return judged
    return failed('purged', `${judged.rule}; the cache of the site was purged`)
  }
}
