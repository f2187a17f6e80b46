import type { ManifestInput, ManifestJob } from '../../src/model/manifest.ts'
import type { BroughtInputs } from './brought.ts'
import { isRemote } from './entrances.ts'
import type { Judged } from './verdict.ts'

/** Jobs that wait for their inputs at a time. */
const AHEAD_MAX = 200

export interface ReadyJob {
  readonly job: ManifestJob
  /** It cannot run. */
  readonly judged?: Judged
}

/** Jobs of a task some of whose inputs have to be brought: who has all of them comes first, and inputs of the others are on their way. */
export class JobsAhead {
  readonly #read: () => ManifestJob | undefined
  readonly #brought: BroughtInputs
  readonly #waiting: ManifestJob[] = []

  constructor(read: () => ManifestJob | undefined, brought: BroughtInputs) {
    this.#read = read
    this.#brought = brought
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Undefined: none has all its inputs now. */
  next(): ReadyJob | undefined {
    for (const [at, job] of this.#waiting.entries()) {
      const ready = this.#ready(job)
      if (ready === undefined) continue
      this.#waiting.splice(at, 1)
      return ready
    }
    while (this.#waiting.length < AHEAD_MAX) {
      const job = this.#read()
      if (job === undefined) return undefined
      const ready = this.#ready(job)
      if (ready !== undefined) return ready
      this.#waiting.push(job)
    }
    return undefined
  }

  /** All that wait, whatever they lack. */
  drain(): ManifestJob[] {
    return this.#waiting.splice(0)
  }

  #ready(job: ManifestJob): ReadyJob | undefined {
    if (!job.inputs.some(({ path }) => isRemote(path))) return { job }
    const inputs: ManifestInput[] = []
    let isComing = false
    // Each is asked for, so that all are on their way.
    for (const input of job.inputs) {
      const brought = isRemote(input.path) ? this.#brought.find(input, job.job) : input
      if (brought === 'coming') isComing = true
      else if ('judged' in brought) return { job, judged: brought.judged }
      else inputs.push({ ...input, path: brought.path, mtime: isRemote(input.path) ? null : input.mtime })
    }
    return isComing ? undefined : { job: { ...job, inputs } }
  }
}
