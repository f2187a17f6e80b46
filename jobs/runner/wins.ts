import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { ManifestTask, NamedJob } from '../../src/model/manifest.ts'
import type { Pauses } from './pauses.ts'
import { decidedJobs, jobName, readIfThere } from './record-file.ts'

/** Between two looks whether the task has a copy. */
const LOOK_MS = 1000

type Named = Pick<NamedJob, 'job' | 'revision'>

/**
 * Who of a task and its copy decides a job: the first that makes a file for it, `won/<job>` in the directory of the task's array. Whoever
 * is late publishes and records nothing of it. A task does so from when it sees the mark `copied.<task>`, which its copy makes.
 */
export class Wins {
  /** Until the task, on another node, sees the mark, and what it decided before is seen here; undefined: nothing is waited for. */
  readonly #settling: Promise<void> | undefined
  #isSettled = true
  readonly #directory: string
  readonly #task: number
  readonly #name: string
  readonly #pauses: Pauses
  /** Jobs that the task decided before it saw the mark. */
  #before: ReadonlySet<string> = new Set()
  #isCopied = false
  #lookedAt = Number.NEGATIVE_INFINITY

  /** Throws errors of the disk. */
  constructor(array: string, { array: id, task, copy_of: original }: ManifestTask, pauses: Pauses) {
    this.#pauses = pauses
    this.#directory = original?.array ?? array
    this.#task = original?.task ?? task
    this.#name = `${id}.${task}`
    if (!original) return
    writeFileSync(this.#mark, '', { flag: 'a', mode: 0o600 })
    ;[this.#isCopied, this.#isSettled] = [true, false]
    this.#before = this.#decided
    this.#settling = pause(LOOK_MS + original.seen_ms).then(() => {
      this.#before = this.#decided
      this.#isSettled = true
    })
    // Whoever waits for it hears why it failed.
    this.#settling.catch(() => {})
  }

  /** Another one has decided it, or is about to. */
  isTaken(job: Named): boolean {
    if (!this.#hasCopy) return false
    return this.#before.has(jobName(job.job, job.revision)) || ![undefined, this.#name].includes(this.#winnerOf(job))
  }

  /** Of a task and its copy one decides the job: `won` here, or another one. Later, where what the other one did is not seen yet. */
  contest(job: Named, { won, lost = () => {} }: { won: () => void; lost?: () => void }): Promise<void> | undefined {
    const decide = () => (this.#take(job) ? won() : lost())
    if (this.#settling === undefined || this.#isSettled) {
      decide()
      return undefined
    }
    return this.#pauses.until(this.#settling).then((isOver) => (isOver ? decide() : lost()))
  }

  #take(job: Named): boolean {
    if (!this.#hasCopy) return true
    if (this.#before.has(jobName(job.job, job.revision))) return false
    return takeJob({ directory: this.#directory, name: this.#name }, job)
  }

  #winnerOf(job: Named): string | undefined {
    return readIfThere(pathOf(this.#directory, job))
  }

  get #hasCopy(): boolean {
    const now = performance.now()
    if (this.#isCopied || now - this.#lookedAt < LOOK_MS) return this.#isCopied
    this.#lookedAt = now
    this.#isCopied = statSync(this.#mark, { throwIfNoEntry: false }) !== undefined
    return this.#isCopied
  }

  get #mark(): string {
    return join(this.#directory, `copied.${this.#task}`)
  }

  get #decided(): ReadonlySet<string> {
    return decidedJobs(this.#directory, this.#task, Number.POSITIVE_INFINITY)
  }
}

/** False: somebody with another name has it. Throws when the directory is gone, as after a purge. */
export function takeJob({ directory, name }: { directory: string; name: string }, job: Named): boolean {
  const path = pathOf(directory, job)
  try {
    // Not with its parents: where the array was purged nobody decides anything.
    mkdirSync(join(directory, 'won'), { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  try {
    writeFileSync(path, name, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    // An earlier start of the same one, or NFS, which says so of what was made when its answer was lost.
    return readFileSync(path, 'utf8') === name
  }
}

const pathOf = (directory: string, { job, revision }: Named): string =>
  join(directory, 'won', createHash('sha256').update(jobName(job, revision)).digest('hex').slice(0, 32))
