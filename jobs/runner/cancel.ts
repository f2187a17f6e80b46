import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/*
 * Files `cancel` (all tasks) and `cancel.<task>` in the array's directory, written whole by rename or appended in lines: NDJSON, one job name (a
 * JSON string) a line; empty: all jobs. The runner looks about once a second.
 */
export class CancelFiles {
  readonly #paths: readonly string[]
  #seen = ''
  #asked: 'all' | ReadonlySet<string> = new Set()

  constructor(directory: string, task: number) {
    this.#paths = [join(directory, 'cancel'), join(directory, `cancel.${task}`)]
  }

  /** What to cancel, when it has changed since the last look. */
  look(): 'all' | ReadonlySet<string> | undefined {
    const stats = this.#paths.map((path) => statSync(path, { throwIfNoEntry: false }))
    const state = stats.map((stat) => (stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : '')).join('\n')
    if (state === this.#seen || stats.every((stat) => stat === undefined)) return undefined
    this.#seen = state
    const jobs = new Set<string>()
    for (const [i, stat] of stats.entries()) {
      if (stat === undefined) continue
      const lines = readFileSync(this.#paths[i]!, 'utf8').split('\n').filter(Boolean)
      if (lines.length === 0) return 'all'
      for (const line of lines) jobs.add(parseName(line))
    }
    return jobs
  }

  /** Whether this job is to be cancelled, by the files as they are now. Costs two stats. */
  has(job: string): boolean {
    this.#asked = this.look() ?? this.#asked
    return this.#asked === 'all' || this.#asked.has(job)
  }
}

/** A plain name without quotes is understood too, for a file written by hand. */
function parseName(line: string): string {
  try {
    const name: unknown = JSON.parse(line)
    return typeof name === 'string' ? name : line
  } catch {
    return line
  }
}
