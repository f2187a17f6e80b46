import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Cancelled, decodeCancel } from '../../src/model/cancel.ts'

/** The files that ask a task to end jobs, written whole by rename or appended in lines. The runner looks about once a second. */
export class CancelFiles {
  readonly #paths: readonly string[]
  #seen = ''
  #asked: Cancelled = new Set()

  constructor(directory: string, task: number) {
    this.#paths = [join(directory, 'cancel'), join(directory, `cancel.${task}`)]
  }

  /** What to cancel, when it has changed since the last look. */
  look(): Cancelled | undefined {
    const stats = this.#paths.map((path) => statSync(path, { throwIfNoEntry: false }))
    const state = stats.map((stat) => (stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : '')).join('\n')
    if (state === this.#seen || stats.every((stat) => stat === undefined)) return undefined
    this.#seen = state
    return decodeCancel(this.#paths.filter((_, i) => stats[i] !== undefined).map((path) => readFileSync(path, 'utf8')))
  }

  /** Whether this job is to be cancelled, by the files as they are now. Costs two stats. */
  has(job: string): boolean {
    this.#asked = this.look() ?? this.#asked
    return this.#asked === 'all' || this.#asked.has(job)
  }
}
