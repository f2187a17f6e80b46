import { closeSync, fstatSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeRecord, encodeRecord, type RecordLine } from '../../src/model/record.ts'

/**
 * One attempt's record file. Lines are gathered and appended by `flush`; what was not flushed when the runner dies did not happen. What does
 * not fit on a full disk waits for the next `flush`, so that no line begins before the one before it is whole.
 */
export class RecordFile {
  readonly attempt: number
  readonly #path: string
  readonly #fd: number
  #pending = ''
  /** What is left of lines that were being written. */
  #rest: Buffer = Buffer.alloc(0)

  /** Takes the first attempt that nobody has: O_EXCL decides between two runners of one task. */
  constructor(directory: string, task: number) {
    const folder = join(directory, 'records')
    for (let attempt = attemptsOf(folder, task).length + 1; ; attempt++) {
      try {
        this.#path = join(folder, `${task}.${attempt}`)
        this.#fd = openSync(this.#path, 'ax', 0o600)
        this.attempt = attempt
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
    }
  }

  /** False when it was taken away, with the scratch perhaps: nobody would read what is written. */
  get isThere(): boolean {
    return fstatSync(this.#fd).nlink > 0
  }

  write(line: RecordLine): void {
    this.#pending += encodeRecord(line)
  }

  flush(): void {
    if (this.#pending !== '') this.#rest = Buffer.concat([this.#rest, Buffer.from(this.#pending)])
    this.#pending = ''
    while (this.#rest.length > 0) this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest))
  }

  /** Takes it back before anything of it was whole: there was no such attempt. */
  discard(): void {
    closeSync(this.#fd)
    rmSync(this.#path, { force: true })
  }

  close(): void {
    this.flush()
    closeSync(this.#fd)
  }
}

export const jobName = (job: string, revision: number): string => `${revision} ${job}`

/**
 * Whether an attempt of the task has sealed its record. Whoever reads it takes the task for over and plans anew what was left, so that
 * another attempt, as after a requeue, would do it twice.
 */
export function isSealed(directory: string, task: number): boolean {
  const folder = join(directory, 'records')
  return attemptsOf(folder, task).some((attempt) => {
    const last = readFileSync(join(folder, `${task}.${attempt}`), 'utf8')
      .trimEnd()
      .split('\n')
      .at(-1)!
    return decodeRecord(last)?.event === 'task ended'
  })
}

/** Names of the jobs that other attempts of a task decided: what was done before a node died does not run again. */
export function decidedJobs(directory: string, task: number, before: number): Set<string> {
  const folder = join(directory, 'records')
  const decided = new Set<string>()
  for (const attempt of attemptsOf(folder, task)) {
    if (attempt >= before) continue
    for (const text of readFileSync(join(folder, `${task}.${attempt}`), 'utf8').split('\n')) {
      const line = text === '' ? undefined : decodeRecord(text)
      if (line?.event === 'job ended') decided.add(jobName(line.job, line.revision))
    }
  }
  return decided
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function attemptsOf(folder: string, task: number): number[] {
  const prefix = `${task}.`
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter(Number.isInteger)
}
