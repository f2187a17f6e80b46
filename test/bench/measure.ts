import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { nameProcess, type ProcessName, signal } from '../../connectors/local/process.ts'

export interface Call {
  readonly argv: readonly string[]
  readonly cwd?: string
  /** File that standard input is read from. */
  readonly stdin?: string
  /** Exit statuses that are right; by default 0. */
  readonly exits?: readonly number[]
  /** Memory is looked at this often; 0: never, for calls that start thousands of processes. */
  readonly sampleMs?: number
}

export interface Measured {
  readonly wallSec: number
  /** Most resident bytes of all its processes together, detached ones included, as far as looks at /proc saw. */
  readonly peakBytes: number
  readonly stdout: string
}

const SAMPLE_MS = 50

/** Runs a program as a person would and waits for its end. Throws with its last lines when the exit status is another. */
export async function measure(call: Call): Promise<Measured> {
  const started = performance.now()
  const running = start(call)
  const tree = new ProcessTree(running.child.pid!)
  const timer = setInterval(() => tree.look(), call.sampleMs || SAMPLE_MS)
  if (call.sampleMs === 0) clearInterval(timer)
  RUNNING.add(tree)
  const ended = new Promise<{ exit: number; at: number }>((resolve, reject) => {
    running.child.on('error', reject)
    running.child.on('exit', (code) => resolve({ exit: code ?? -1, at: performance.now() }))
  })
  try {
    const { exit, at } = await ended
    // Detached processes may hold the streams open; what the program wrote itself is there by now.
    await new Promise((resolve) => setImmediate(resolve))
    if (!(call.exits ?? [0]).includes(exit)) {
      throw new Error(`${call.argv.join(' ').slice(0, 200)} ended with ${exit}: ${running.stderr().trim()}`)
    }
    return { wallSec: (at - started) / 1000, peakBytes: tree.peakBytes, stdout: running.stdout() }
  } finally {
    clearInterval(timer)
    RUNNING.delete(tree)
  }
}

const RUNNING = new Set<ProcessTree>()

/** Kills all that is measured now or runs beside, with all that it started. For the end of the benchmark before its time. */
export function stopAll(): void {
  for (const tree of RUNNING) {
    tree.look()
    for (const one of tree.seen()) signal(one, 'SIGKILL')
  }
}

/** A program that goes on beside others; `stop` ends it and all that it started, by their names. */
export interface Beside {
  readonly pid: number
  readonly stderr: () => string
  readonly isOver: () => boolean
  stop(): Promise<void>
}

export function beside(call: Call): Beside {
  const { child, stderr } = start(call)
  const tree = new ProcessTree(child.pid!)
  RUNNING.add(tree)
  let over = false
  const exit = new Promise<void>((resolve) => {
    child.on('exit', () => {
      over = true
      resolve()
    })
  })
  return {
    pid: child.pid!,
    stderr,
    isOver: () => over,
    async stop() {
      tree.look()
      child.kill('SIGINT')
      await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 10_000).unref())])
      // Twice: what a process started while the first ones were told.
      for (let turn = 0; turn < 2; turn++) {
        tree.look()
        for (const one of tree.seen()) signal(one, 'SIGKILL')
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
      RUNNING.delete(tree)
    },
  }
}

interface Running {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
}

function start({ argv, cwd, stdin }: Call): Running {
  const input = stdin === undefined ? 'ignore' : openSync(stdin, 'r')
  try {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: [input, 'pipe', 'pipe'], ...(cwd !== undefined && { cwd }) })
    const [out, err] = [keep(child.stdout!), keep(child.stderr!)]
    return { child, stdout: out, stderr: err }
  } finally {
    if (typeof input === 'number') closeSync(input)
  }
}

/** The last megabyte of what a stream said. */
function keep(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (more: string) => {
    text = (text + more).slice(-1_000_000)
  })
  return () => text
}

/** A process and all that it started, by the children that /proc tells of each. Empty where there is no /proc. */
export class ProcessTree {
  /** Most resident bytes together at a look, or of the first process at any time. */
  peakBytes = 0
  readonly #root: number
  readonly #seen = new Map<number, ProcessName>()

  constructor(root: number) {
    this.#root = root
  }

  look(): void {
    let sum = 0
    const open = [this.#root, ...this.#seen.keys()]
    const looked = new Set<number>()
    for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
      if (looked.has(pid)) continue
      looked.add(pid)
      const name = nameProcess(pid)
      if (name === undefined || (this.#seen.has(pid) && this.#seen.get(pid)!.start !== name.start)) continue
      this.#seen.set(pid, name)
      sum += residentBytes(pid)
      open.push(...childrenOf(pid))
    }
    this.peakBytes = Math.max(this.peakBytes, sum, residentBytes(this.#root, 'VmHWM'))
  }

  /** All processes that were seen, dead ones among them. */
  seen(): ProcessName[] {
    return [...this.#seen.values()]
  }
}

export function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(read(`/proc/${pid}/status`))
  return found ? Number(found[1]) * 1024 : 0
}

const childrenOf = (pid: number): number[] =>
  read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
