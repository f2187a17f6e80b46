import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { setupText } from './shell-text.ts'

/** What a slot's shell says of a job. */
export interface Report {
  readonly seq: number
  /** `null`: the job's directory was taken back, so it did not start. */
  readonly exit: number | null
  /** Exit of the check; null: none was run. */
  readonly check: number | null
  /** The shell's own words since the last report. */
  readonly said: string
}

export interface SlotOptions {
  readonly setup: string | null
  /** Descriptors for /dev/null and the log spools of standard output and error. */
  readonly streams: readonly [number, number, number]
  readonly environment: NodeJS.ProcessEnv
  readonly onReports: (reports: readonly Report[]) => void
  /** The shell ended; all that it reported was told before. */
  readonly onGone: (how: string) => void
}

/** bash repeats the whole command when a signal ended it. */
const SAID_MAX = 2000

/**
 * One `sh` for many jobs, in a session of its own. Text is told ahead, so that tiny jobs wait neither for the pipe nor for Node. When the
 * runner dies the guard kills its process group; without one, writing a report ends it by SIGPIPE: the job that runs then is the last.
 */
export class SlotShell {
  readonly nonce = `@${randomBytes(8).toString('hex')}`
  readonly pid: number
  /** PATH as `setup` left it. */
  path = process.env.PATH ?? ''
  readonly ready: Promise<number>
  readonly #child: ChildProcess
  readonly #input: Writable
  readonly #control: Readable
  readonly #options: SlotOptions
  #rest = ''
  #said = ''
  #reports: Report[] = []
  /** Who waits for all that was reported: a rest would keep it from them, and a job that has begun would be taken for one that has not. */
  #asked = 0
  readonly #gone: Promise<boolean>
  #isReady: (exit: number) => void = () => {}

  constructor(options: SlotOptions) {
    this.#options = options
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve
    })
    const [none, out, error] = options.streams
    this.#child = spawn('/bin/sh', [], {
      detached: true,
      cwd: '/',
      env: options.environment,
      stdio: ['pipe', 'pipe', 'ignore', none, out, error],
    })
    this.pid = this.#child.pid ?? -1
    this.#input = this.#child.stdin as Writable
    // Telling a shell that died is no error of its own: `close` says so.
    this.#input.on('error', () => {})
    this.#control = this.#child.stdout as Readable
    this.#control.setEncoding('utf8')
    this.#control.on('data', (text: string) => this.#hear(text))
    // A shell that could not be spawned closes too, with a negative exit.
    this.#child.on('error', () => {})
    this.#gone = new Promise((resolve) => this.#child.on('close', () => resolve(true)))
    this.#child.on('close', (exit, signal) => {
      this.#report()
      this.#isReady(exit ?? 255)
      options.onGone(signal === null ? `exit ${exit}` : `signal ${signal.replace('SIG', '')}`)
    })
    this.tell(setupText(options.setup, this.nonce))
  }

  tell(text: string): void {
    this.#input.write(text)
  }

  /** Does not listen for a while: to be woken for each of a thousand jobs a second costs more than all work on them. */
  rest(ms: number): void {
    if (this.#asked > 0) return
    this.#control.pause()
    setTimeout(() => this.#control.resume(), ms)
  }

  /** Calls back when all that the shell had reported until now was told. */
  hear(then: () => void): void {
    this.#control.resume()
    this.#asked++
    // The turn that is under way may have asked for news before; the next one asks after.
    setImmediate(() =>
      setImmediate(() => {
        this.#asked--
        this.#report()
        then()
      }),
    )
  }

  /** Ends the shell after what it was told; true when it has gone within `ms`. */
  async end(ms: number): Promise<boolean> {
    this.#input.end()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), ms)
    })
    const isGone = await Promise.race([this.#gone, late])
    clearTimeout(timer)
    return isGone
  }

  /** Kills the shell and all of its process group. */
  kill(): void {
    try {
      if (this.pid > 0) process.kill(-this.pid, 'SIGKILL')
    } catch {
      // The group is gone already.
    }
  }

  #hear(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith(this.nonce)) {
        this.#said = `${this.#said}${line}\n`.slice(0, SAID_MAX)
        continue
      }
      const [, word = '', first = '', second = ''] = line.split(' ')
      if (word === 'path') this.path = line.slice(this.nonce.length + 6)
      else if (word === 'ready') this.#isReady(Number(first))
      else {
        const exit = first === 'gone' ? null : Number(first)
        const check = exit === null || second === '-' ? null : Number(second)
        // What was read before a rest comes alone, then what was told meanwhile: together they say how long the jobs took.
        if (this.#reports.length === 0) setImmediate(() => this.#report())
        this.#reports.push({ seq: Number(word), exit, check, said: this.#said })
        this.#said = ''
      }
    }
  }

  #report(): void {
    const reports = this.#reports
    this.#reports = []
    if (reports.length > 0) this.#options.onReports(reports)
  }
}
