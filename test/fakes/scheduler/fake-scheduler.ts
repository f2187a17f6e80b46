import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'

/* A scheduler for tests, in the process of the test: its commands are programs on PATH that ask it, and its tasks are real processes. */

export interface FakeTask {
  readonly index: number
  state: 'queued' | 'held' | 'running' | 'ended'
  /** Where it runs, or ran last. */
  node: string | null
  /** A running task that was cancelled ends in a while. */
  cancelled: boolean
  exit: number | null
  signal: string | null
  startedAt: number | null
  endedAt: number | null
  /** What the scheduler says instead of what the exit would mean. */
  word: string | null
  child: ChildProcess | undefined
}

export interface FakeJob {
  readonly number: number
  readonly name: string
  readonly isArray: boolean
  readonly tasks: FakeTask[]
  readonly script: string
  readonly cwd: string
  readonly queue: string
  /** GPUs of a task. */
  readonly gpus?: number
  /** Nodes that its tasks are not started on. */
  avoid?: readonly string[]
  readonly submittedAt: number
  /** Lost by the scheduler, as when its controller is killed: its tasks are never started, and nobody knows it. */
  lost: boolean
}

/** A command as it was called. */
export interface Call {
  readonly command: string
  readonly words: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly stdin: string
}

export interface Reply {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

/** What goes wrong, for commands of these names. All of it can be changed at any time. */
export interface Noise {
  /** Printed on stdout before the answer of each command. */
  banner: string
  /** Submitting prints the number of the job alone. */
  bareNumber: boolean
  /** Submitting prints no id at all, with exit 0. */
  noNumber: boolean
  /** The next calls of a command fail so many times with these words. */
  failing: Map<string, { times: number; reply: Reply }>
  half: Set<string>
  empty: Set<string>
  /** Ended tasks are no longer listed. */
  forgets: boolean
  /** Accounts are kept. */
  accounts: boolean
  /** Queue and accounts say, well-formed, that there is nothing. */
  blind: boolean
  /** A state that nobody has heard of. */
  stateWord: string | null
  slowMs: number
  /** So many submissions are accepted while their command is killed before it prints. */
  lostReplies: number
  /** No task is started; of jobs with these names none either. */
  paused: boolean
  holds: Set<string>
  /** Tasks end at once, well, without being run. */
  instant: boolean
  /** A directory that compute nodes do not have, or have under another name. */
  unseen: string | null
  /** What becomes of a job script on a node that is not as it should be. */
  onNode: ((script: string, node: string) => string) | null
  /** Why tasks wait, in the scheduler's word. */
  reason: string | null
}

export const done = (stdout: string): Reply => ({ exit: 0, stdout, stderr: '' })
export const failed = (exit: number, stderr: string): Reply => ({ exit, stdout: '', stderr })

export interface FakeOptions {
  /** Its own folder: programs and replies. */
  readonly directory: string
  /** Tasks that a node runs at once. */
  readonly slots?: number
  readonly arrayMax?: number
  readonly queuedMax?: number
}

const KILL_AFTER_MS = 500

export abstract class FakeScheduler {
  readonly jobs: FakeJob[] = []
  readonly calls: Call[] = []
  readonly noise: Noise = {
    ...{ banner: '', bareNumber: false, noNumber: false, failing: new Map(), half: new Set(), empty: new Set() },
    ...{ forgets: false, accounts: true, stateWord: null, slowMs: 0, lostReplies: 0, paused: false, instant: false },
    ...{ holds: new Set(), blind: false, unseen: null, onNode: null, reason: null },
  }
  slots: number
  /** Its nodes, in the order in which they get tasks. */
  nodes: readonly string[] = ['c1']
  arrayMax: number
  queuedMax: number
  /** Taken by the next submission. */
  nextNumber = 1001
  readonly directory: string
  #server: Server | undefined
  readonly #sockets = new Set<Socket>()
  /** Numbers that it has forgotten to have given. */
  readonly #free: number[] = []
  #replies = 0
  readonly #running = new Map<string, number>()

  /** Names of its commands; the first submits. */
  abstract readonly commands: readonly string[]
  /** Beginnings of the variables that its commands heed. */
  abstract readonly heeds: readonly string[]
  /** What its commands say when nothing answers them. */
  abstract readonly down: Reply
  /** As its commands print it. */
  idOf({ number }: Pick<FakeJob, 'number' | 'isArray'>): string {
    return String(number)
  }
  abstract answer(call: Call): Reply
  /** The variables of a task. */
  abstract environment(job: FakeJob, task: FakeTask): Record<string, string>

  constructor(options: FakeOptions) {
    this.directory = options.directory
    this.slots = options.slots ?? 2
    this.arrayMax = options.arrayMax ?? 1000
    this.queuedMax = options.queuedMax ?? Number.POSITIVE_INFINITY
  }

  /** The folder to put on PATH. */
  get bin(): string {
    return join(this.directory, 'bin')
  }

  async start(): Promise<this> {
    for (const folder of ['bin', 'replies', 'scripts']) mkdirSync(join(this.directory, folder), { recursive: true })
    const server = createServer((socket) => this.#serve(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#server = server
    const { port } = server.address() as { port: number }
    for (const command of this.commands) {
      const path = join(this.bin, command)
      writeFileSync(path, this.#program(command, port))
      chmodSync(path, 0o755)
    }
    return this
  }

  /** Its commands find nobody, until it is started again. Running tasks go on. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()))
    this.#server = undefined
  }

  async close(): Promise<void> {
    this.noise.paused = true
    await this.stop()
    const ends = this.jobs.flatMap(({ tasks }) => tasks).map(({ child }) => child && ended(child))
    for (const { tasks } of this.jobs) for (const { child } of tasks) signal(child, 'SIGKILL')
    await Promise.all(ends)
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }

  /** As a controller that was killed a moment after it had answered: the job is gone, and its number given to the next. */
  lose(number: number): void {
    for (const job of this.jobs) if (job.number === number) job.lost = true
    this.#free.push(number)
  }

  /** Jobs that it knows. */
  get known(): FakeJob[] {
    return this.jobs.filter(({ lost }) => !lost)
  }

  /** Jobs that it lists. */
  get listed(): FakeJob[] {
    return this.noise.blind ? [] : this.known
  }

  find(number: number): FakeJob | undefined {
    return this.known.find((job) => job.number === number)
  }

  get queued(): number {
    return this.known.flatMap(({ tasks }) => tasks).filter(({ state }) => state !== 'ended').length
  }

  add(fields: Omit<FakeJob, 'number' | 'tasks' | 'submittedAt' | 'lost'> & { indices: readonly number[] }): FakeJob {
    const { indices, ...rest } = fields
    const job: FakeJob = {
      ...rest,
      number: this.#free.shift() ?? this.nextNumber++,
      submittedAt: Date.now(),
      lost: false,
      tasks: indices.map((index) => ({
        ...{
          index,
          state: 'queued',
          node: null,
          cancelled: false,
          exit: null,
          signal: null,
          startedAt: null,
          endedAt: null,
        },
        ...{ word: null, child: undefined },
      })),
    }
    this.jobs.push(job)
    writeFileSync(join(this.directory, 'scripts', String(this.jobs.length - 1)), job.script)
    setImmediate(() => this.pump())
    return job
  }

  /** Starts what fits. */
  pump(): void {
    if (this.noise.paused) return
    for (const job of this.known.filter(({ name }) => !this.noise.holds.has(name))) {
      for (const task of job.tasks) {
        if (task.state !== 'queued') continue
        const node = this.#freeFor(job)
        if (node !== undefined) this.#run(job, task, node)
      }
    }
  }

  #freeFor({ avoid = [] }: FakeJob): string | undefined {
    return this.nodes.find((node) => !avoid.includes(node) && (this.#running.get(node) ?? 0) < this.slots)
  }

  #count(node: string, more: number): void {
    this.#running.set(node, (this.#running.get(node) ?? 0) + more)
  }

  cancel(task: FakeTask): void {
    if (task.state === 'ended') return
    task.cancelled = true
    if (task.state !== 'running') {
      task.state = 'ended'
      task.endedAt = Date.now()
      return
    }
    const { child } = task
    signal(child, 'SIGTERM')
    setTimeout(() => signal(child, 'SIGKILL'), KILL_AFTER_MS).unref()
  }

  /** Ends a running task and runs it again under the same number, as after the loss of its node. */
  requeue(task: FakeTask): void {
    const { child } = task
    task.child = undefined
    task.state = 'queued'
    if (child) {
      this.#count(task.node!, -1)
      signal(child, 'SIGKILL')
    }
    setImmediate(() => this.pump())
  }

  #run(job: FakeJob, task: FakeTask, node: string): void {
    task.startedAt = Date.now()
    task.node = node
    if (this.noise.instant) {
      Object.assign(task, { state: 'ended', exit: 0, endedAt: task.startedAt })
      return
    }
    const whole = join(this.directory, 'scripts', String(this.jobs.indexOf(job)))
    const { unseen, onNode } = this.noise
    const isOdd = unseen !== null || onNode !== null
    const path = isOdd ? `${whole}.${task.index}` : whole
    const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: homedir(), USER: 'alice', ...this.environment(job, task) }
    if (unseen !== null) writeFileSync(path, job.script.replaceAll(`cd ${unseen}`, `cd /elsewhere${unseen}`))
    if (onNode) writeFileSync(path, onNode(job.script, node))
    const child = spawn('/bin/sh', [path], { cwd: '/', detached: true, stdio: 'ignore', env })
    task.state = 'running'
    task.child = child
    this.#count(node, 1)
    child.on('exit', (exit, word) => {
      signal(child, 'SIGKILL')
      // Not this task's process any more when it was queued again.
      if (task.child !== child) return
      this.#count(node, -1)
      Object.assign(task, { state: 'ended', exit, signal: word, endedAt: Date.now() })
      this.pump()
    })
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      const fields = bytes.toString('utf8').split('\0')
      // A count, so many fields, and the rest behind the last NUL.
      if (fields.length < 2 || fields.length < Number(fields[0]) + 2) return
      const call = callOf(fields.slice(1, -1))
      if (this.noise.slowMs === 0) this.#reply(socket, call)
      else setTimeout(() => this.#reply(socket, call), this.noise.slowMs)
    })
  }

  #reply(socket: Socket, call: Call): void {
    if (this.#server === undefined) return
    this.calls.push(call)
    const number = ++this.#replies
    const { exit, stdout, stderr } = this.#noisy(call)
    const isLost = call.command === this.commands[0] && exit === 0 && this.noise.lostReplies-- > 0
    if (this.noise.lostReplies < 0) this.noise.lostReplies = 0
    const show = (text: string, kind: string): string => {
      if (isLost || text === '') return ''
      writeFileSync(join(this.directory, 'replies', `${number}.${kind}`), text)
      return 'yes'
    }
    socket.end(`${[number, exit, show(stdout, 'out'), show(stderr, 'err'), isLost ? 'yes' : ''].join(':')}\n`)
  }

  #noisy(call: Call): Reply {
    const { noise } = this
    const failing = noise.failing.get(call.command)
    if (failing && failing.times > 0) {
      failing.times--
      return failing.reply
    }
    const reply = this.answer(call)
    if (noise.empty.has(call.command)) return done('')
    const stdout = noise.half.has(call.command)
      ? reply.stdout.slice(0, Math.floor(reply.stdout.length / 2))
      : reply.stdout
    return { ...reply, stdout: noise.banner + stdout }
  }

  #program(command: string, port: number): string {
    const reads = command === this.commands[0]
    return [
      '#!/bin/bash',
      'shopt -u execfail',
      `if ! { exec 3<>/dev/tcp/127.0.0.1/${port}; } 2>/dev/null; then`,
      `  printf '%s\\n' '${this.down.stderr.trim()}' >&2`,
      `  exit ${this.down.exit}`,
      'fi',
      'stdin=',
      ...(reads ? ["IFS= read -r -d '' stdin"] : []),
      'env=()',
      `for name in LC_ALL TZ ${this.heeds.map((start) => '${!' + start + '*}').join(' ')}; do env+=("$name=\${!name}"); done`,
      `fields=('${command}' "$PWD" "$stdin" "\${#env[@]}" "\${env[@]}" "$@")`,
      'printf \'%s\\0\' "${#fields[@]}" "${fields[@]}" >&3',
      'IFS=: read -r number code out err killed <&3',
      `[ -z "$err" ] || cat '${join(this.directory, 'replies')}'/"$number.err" >&2`,
      `[ -z "$out" ] || cat '${join(this.directory, 'replies')}'/"$number.out"`,
      '[ -z "$killed" ] || kill -9 $$',
      'exit "$code"',
      '',
    ].join('\n')
  }
}

function callOf([command, cwd, stdin, count, ...rest]: string[]): Call {
  const pairs = rest.slice(0, Number(count)).map((pair): [string, string] => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  return {
    ...{ command: command!, cwd: cwd!, stdin: stdin!, words: rest.slice(Number(count)) },
    env: Object.fromEntries(pairs),
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode === null && child.signalCode === null
    ? new Promise((resolve) => child.once('exit', () => resolve()))
    : Promise.resolve()

function signal(child: ChildProcess | undefined, word: NodeJS.Signals): void {
  try {
    if (child?.pid) process.kill(-child.pid, word)
  } catch {
    // All of the group has ended.
  }
}

/** `--key=value`, `-k value` and words, as the schedulers' commands take them. */
export function readOptions(
  words: readonly string[],
  taking: readonly string[],
): { options: ReadonlyMap<string, string>; names: readonly string[] } {
  const options = new Map<string, string>()
  const names: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    const [, long, value] = /^(--[a-z-]+)=([\s\S]*)$/.exec(word) ?? []
    if (long !== undefined) options.set(long, value!)
    else if (taking.includes(word)) options.set(word, words[++at] ?? '')
    else if (word.startsWith('-')) options.set(word, '')
    else names.push(word)
  }
  return { options, names }
}

/** `0-3,5`: sorted indices as ranges. */
export function rangesOf(indices: readonly number[]): string {
  const parts: string[] = []
  let first = indices[0]
  indices.forEach((index, at) => {
    if (indices[at + 1] === index + 1) return
    parts.push(first === index ? `${index}` : `${first}-${index}`)
    first = indices[at + 1]
  })
  return parts.join(',')
}

/** The other way round. */
export const indicesOf = (text: string): number[] =>
  text.split(',').flatMap((part) => {
    const [, first, last, step] = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part) ?? []
    if (first === undefined) return []
    const indices: number[] = []
    for (let index = Number(first); index <= Number(last ?? first); index += Number(step ?? 1)) indices.push(index)
    return indices
  })
