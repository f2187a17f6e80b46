import { closeSync, fstatSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeRecord, encodeRecord, type RecordLine } from '../../src/model/record.ts'

/** One attempt's record file. Lines are gathered and appended by `flush`; what was not flushed when the runner dies did not happen. */
export class RecordFile {
  readonly attempt: number
  readonly #fd: number
  #pending = ''

  /** Takes the first attempt that nobody has: O_EXCL decides between two runners of one task. */
  constructor(directory: string, task: number) {
    const folder = join(directory, 'records')
    for (let attempt = attemptsOf(folder, task).length + 1; ; attempt++) {
      try {
        this.#fd = openSync(join(folder, `${task}.${attempt}`), 'ax', 0o600)
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
    if (this.#pending === '') return
    const bytes = Buffer.from(this.#pending)
    this.#pending = ''
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at)
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

function attemptsOf(folder: string, task: number): number[] {
  const prefix = `${task}.`
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter(Number.isInteger)
}
