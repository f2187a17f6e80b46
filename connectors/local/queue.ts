import { createHash, randomBytes } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { ArraySpec, NativeId, TaskReport } from '../connector.ts'
import type { ProcessName } from './process.ts'

/*
 * The local site's queue, version 1, in the connector's directory:
 *   queue/<id>/        an array with tasks that have not ended; made aside and moved here by rename, so whole or absent
 *   ended/<id>/        the same directory, moved by the scheduler when the last task ended; spec.json (without script and environment), tasks
 *                      and log stay, so that a name runs once, until a day after the array's directory has gone
 *     spec.json        the ArraySpec, when it was submitted, and the environment to run it in
 *     script           what is run for a task, of arrays that came with one
 *     <n>.pid          `PID MACHINE`, made by task n itself before it does anything else, if it is not there: so a task runs once, whoever started it
 *     tasks            NDJSON, appended by the scheduler: {"task","event":"started","pid","start"}, {"task","event":"ended","reason"}
 *     cancel           appended by `cancel`: a line a task index, or `all`
 *     log              what the runners said
 *   slots              how many cores the scheduler may use; read again when it changes
 *   lock.<n>           see lock.ts
 *   scheduler.log      what the scheduler said
 *   running/<id>.<n>/  FLOE_TMPDIR of a task; removed when it ended
 * An id is `local-` and 24 hex digits of the SHA-256 of the array's name.
 */

export interface QueuedSpec extends ArraySpec {
  readonly submittedAt: number
  readonly environment: Readonly<Record<string, string>>
  /** What `sh` runs for each task, in place of the command. */
  readonly script?: string
}

export type TaskLine =
  | ({ readonly task: number; readonly event: 'started' } & Omit<ProcessName, 'machine'>)
  | { readonly task: number; readonly event: 'ended'; readonly reason: string }

/** What the lines of a task say, last one first. */
export interface TaskState {
  readonly last: TaskLine
  readonly runner: Omit<ProcessName, 'machine'> | undefined
}

/** From the last task of an array whose directory has gone: nobody asks for its tasks any more. */
const FORGET_MS = 86_400_000

export const idOf = (name: string): NativeId => `local-${createHash('sha256').update(name).digest('hex').slice(0, 24)}`
export const isId = (id: NativeId): boolean => /^local-[0-9a-f]{24}$/.test(id)

export class Queue {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
    for (const folder of ['queue', 'ended', 'running'])
      mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 })
  }

  /** Puts an array into the queue, unless one of its name is or was there. */
  add(spec: QueuedSpec): NativeId {
    const id = idOf(spec.name)
    if (this.find(id)) return id
    const aside = join(this.directory, `adding.${process.pid}.${randomBytes(6).toString('hex')}`)
    mkdirSync(aside, { mode: 0o700 })
    try {
      writeFileSync(join(aside, 'spec.json'), JSON.stringify(spec), { mode: 0o600 })
      if (spec.script !== undefined) writeFileSync(join(aside, 'script'), spec.script, { mode: 0o600 })
      renameSync(aside, join(this.directory, 'queue', id))
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    } finally {
      rmSync(aside, { recursive: true, force: true })
    }
    return id
  }

  /** The directory of an array, wherever it stands. */
  find(id: NativeId): string | undefined {
    if (!isId(id)) return undefined
    // The scheduler moves it from the first to the second at any moment, never back.
    return [join(this.directory, 'queue', id), join(this.directory, 'ended', id)].find((path) => existsSync(path))
  }

  queued(): NativeId[] {
    return readdirSync(join(this.directory, 'queue'))
  }

  spec(id: NativeId): QueuedSpec | undefined {
    const text = this.#read(id, 'spec.json')
    return text === undefined ? undefined : (JSON.parse(text) as QueuedSpec)
  }

  /** State of each task that has one. */
  tasks(id: NativeId): Map<number, TaskState> {
    const states = new Map<number, TaskState>()
    for (const text of (this.#read(id, 'tasks') ?? '').split('\n')) {
      const line = parse(text)
      if (line === undefined) continue
      const runner = line.event === 'started' ? { pid: line.pid, start: line.start } : states.get(line.task)?.runner
      states.set(line.task, { last: line, runner })
    }
    return states
  }

  report(id: NativeId): TaskReport[] {
    const spec = this.spec(id)
    if (spec === undefined) return []
    const states = this.tasks(id)
    return Array.from({ length: spec.count }, (_, index): TaskReport => {
      const last = states.get(index)?.last
      if (last === undefined) return { id, index, state: 'queued', reason: null }
      if (last.event === 'ended') return { id, index, state: 'ended', reason: last.reason }
      return { id, index, state: 'running', reason: null }
    })
  }

  append(id: NativeId, line: TaskLine): void {
    const path = join(this.directory, 'queue', id, 'tasks')
    appendFileSync(path, `${endsTorn(path) ? '\n' : ''}${JSON.stringify(line)}\n`, { mode: 0o600 })
  }

  scriptPath(id: NativeId): string {
    return join(this.directory, 'queue', id, 'script')
  }

  /** The file by which a task says that it is the one. */
  claimPath(id: NativeId, index: number): string {
    return join(this.directory, 'queue', id, `${index}.pid`)
  }

  /** The process that claimed a task; null: its name is not written, or never will be. */
  claim(id: NativeId, index: number): Omit<ProcessName, 'start'> | null | undefined {
    const text = this.#read(id, `${index}.pid`)
    if (text === undefined) return undefined
    const [, pid, machine] = /^(\d+) (.+)\n$/.exec(text) ?? []
    return machine === undefined ? null : { pid: Number(pid), machine }
  }

  askToCancel(id: NativeId, indices: readonly number[] | undefined): void {
    const text = indices === undefined ? 'all\n' : indices.map((index) => `${index}\n`).join('')
    try {
      if (isId(id)) appendFileSync(join(this.directory, 'queue', id, 'cancel'), text, { mode: 0o600 })
    } catch (error) {
      // Not in the queue: it has ended, or never was.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  /** Indices that were asked to be cancelled. */
  cancelled(id: NativeId): 'all' | ReadonlySet<number> {
    const lines = (this.#read(id, 'cancel') ?? '').split('\n').filter(Boolean)
    return lines.includes('all') ? 'all' : new Set(lines.map(Number))
  }

  end(id: NativeId): void {
    renameSync(join(this.directory, 'queue', id), this.#ended(id))
    this.#slim(id)
  }

  /** Does what a scheduler that was killed left of `end`, and forgets arrays whose directory has gone. Costs a file read for each that ended. */
  tidy(now: number): void {
    for (const id of readdirSync(join(this.directory, 'ended'))) {
      this.#slim(id)
      const spec = this.spec(id)
      // Without one it was being forgotten.
      if (spec === undefined || (!existsSync(spec.directory) && this.#endedAt(id) < now - FORGET_MS))
        rmSync(this.#ended(id), { recursive: true, force: true })
    }
  }

  /** Not before it was moved: a task that was started twice would find nothing that says it ran. */
  #slim(id: NativeId): void {
    const [spec, folder] = [this.spec(id), this.#ended(id)]
    if (spec === undefined || Object.keys(spec.environment).length === 0) return
    for (const name of readdirSync(folder))
      if (!['spec.json', 'tasks', 'log'].includes(name)) rmSync(join(folder, name), { force: true })
    const { script: _, ...rest } = spec
    const aside = join(folder, 'spec.json.new')
    writeFileSync(aside, JSON.stringify({ ...rest, environment: {} }), { mode: 0o600 })
    renameSync(aside, join(folder, 'spec.json'))
  }

  #endedAt(id: NativeId): number {
    return statSync(join(this.#ended(id), 'spec.json')).mtimeMs
  }

  #ended(id: NativeId): string {
    return join(this.directory, 'ended', id)
  }

  hasEnded(id: NativeId): boolean {
    return existsSync(this.#ended(id))
  }

  #read(id: NativeId, file: string): string | undefined {
    for (const folder of ['queue', 'ended']) {
      try {
        return readFileSync(join(this.directory, folder, id, file), 'utf8')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    return undefined
  }
}

function parse(text: string): TaskLine | undefined {
  try {
    return JSON.parse(text) as TaskLine
  } catch {
    // Empty, or torn when the scheduler was killed.
    return undefined
  }
}

function endsTorn(path: string): boolean {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return false
  }
  try {
    const size = fstatSync(fd).size
    const last = Buffer.alloc(1)
    return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10
  } finally {
    closeSync(fd)
  }
}
