import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const project = join(import.meta.dirname, '..', '..', '..')
/** FLOE_TEST_CLI: another build than dist/, so that a build that is going on is not in the way. */
const cli = process.env.FLOE_TEST_CLI ?? join(project, 'dist', 'cli.js')

export interface Answer {
  readonly exit: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface JobLine {
  readonly id: string
  readonly executable?: string
  readonly [key: string]: unknown
}

/** A command that works: its process, what it has written so far, and its end. */
export interface Started {
  readonly child: ChildProcess
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  readonly end: Promise<Answer>
}

export interface SceneOptions {
  /** floe.yaml. */
  readonly yaml?: string
  /** Name of the campaign's directory. */
  readonly name?: string
  /** Where to make the temporary directory. */
  readonly below?: string
}

/**
 * A campaign in a temporary directory and the command line on it: real processes, real files. Programs may append to `$RAN`, a file beside the
 * campaign, so that executions can be counted.
 */
export class Scene {
  readonly root: string
  readonly campaign: string

  constructor(root: string, name: string) {
    this.root = root
    this.campaign = join(root, name)
  }

  static async make({ yaml = 'slots: 2\n', name = 'c', below = tmpdir() }: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(mkdtempSync(join(realpathSync(below), 'floe-scene-')), name)
    const made = await scene.outside('init', scene.campaign)
    if (made.exit !== 0) throw new Error(`init failed: ${made.stderr}`)
    scene.write('floe.yaml', yaml)
    return scene
  }

  /** Another campaign in the same temporary directory. */
  async sibling(name: string, yaml = 'slots: 2\n'): Promise<Scene> {
    const scene = new Scene(this.root, name)
    await scene.outside('init', scene.campaign)
    scene.write('floe.yaml', yaml)
    return scene
  }

  path(...names: string[]): string {
    return join(this.campaign, ...names)
  }

  write(name: string, content: string | Buffer): string {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    return path
  }

  /** A file beside the campaign. */
  writeBeside(name: string, content: string): string {
    const path = join(this.root, name)
    writeFileSync(path, content)
    return path
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  has(name: string): boolean {
    return existsSync(this.path(name))
  }

  /** A shell script as a program; returns its absolute path. */
  program(name: string, body: string, mode = 0o755): string {
    const path = this.write(name, body.startsWith('#!') ? body : `#!/bin/sh\n${body}\n`)
    chmodSync(path, mode)
    return path
  }

  /** `floe -C campaign …` until it ends. */
  floe(...words: string[]): Promise<Answer> {
    return this.start(words).end
  }

  /** Without -C, from the temporary directory. */
  outside(...words: string[]): Promise<Answer> {
    return start(words, this.root).end
  }

  start(words: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}): Started {
    return start(['-C', this.campaign, ...words], this.root, options.env)
  }

  /** Job lines into the catalog. */
  add(jobs: readonly JobLine[], name = 'jobs.ndjson'): Promise<Answer> {
    this.write(name, jobs.map((job) => `${JSON.stringify(job)}\n`).join(''))
    return this.floe('add', this.path(name))
  }

  async json<T = Record<string, unknown>>(...words: string[]): Promise<T> {
    const [verb, ...rest] = words
    const { stdout, stderr } = await this.floe(verb!, '--json', ...rest)
    try {
      return JSON.parse(stdout) as T
    } catch (cause) {
      throw new Error(`floe ${words.join(' ')} --json said: ${stdout.slice(0, 500)}${stderr.slice(0, 500)}`, { cause })
    }
  }

  async query<T = Record<string, unknown>>(sql: string): Promise<T[]> {
    const { exit, stdout, stderr } = await this.floe('query', sql, '--json')
    if (exit !== 0) throw new Error(`query failed: ${stderr}`)
    return stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T)
  }

  /** Rules of the newest attempts: `succeeded`, or class and rule. */
  async ends(): Promise<Record<string, string>> {
    const rows = await this.query<{ job_id: string; said: string }>(
      `select job_id, case when verdict = 'succeeded' then verdict else class || ': ' || rule end as said from attempts
       where not superseded qualify row_number() over (partition by job_key order by try desc) = 1 order by job_id`,
    )
    return Object.fromEntries(rows.map(({ job_id, said }) => [job_id, said]))
  }

  /** How often each name was appended to `$RAN`. */
  ran(): Record<string, number> {
    const path = join(this.root, 'ran')
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    const counts: Record<string, number> = {}
    for (const line of lines) counts[line] = (counts[line] ?? 0) + 1
    return counts
  }

  /** Waits until `look` gives something. The limit only ends a test that hangs. */
  async until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
    for (const limit = performance.now() + 200_000; performance.now() < limit; await sleep(20)) {
      const found = await look()
      if (found !== undefined && found !== false) return found
    }
    throw new Error(`waited in vain: ${what}`)
  }

  /** Processes that this scene brought about: they name its directory in their words or their environment. */
  processes(): SceneProcess[] {
    return processesNaming(this.root)
  }

  /** The scheduler of the local site. */
  scheduler(): SceneProcess | undefined {
    return this.processes().find(({ words }) => words.includes('local-scheduler.js'))
  }

  /** Runners, which are `node … runner.js --array …`. */
  runners(): SceneProcess[] {
    return this.processes().filter(({ words }) => /runner\.js\0?.*--array/s.test(words) && !words.startsWith('/bin/sh'))
  }

  /** Ends what the scene started and takes its directory away. */
  end(): void {
    for (let round = 0; round < 5; round++) for (const { pid } of this.processes()) kill(pid, 'SIGKILL')
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 })
  }
}

export interface SceneProcess {
  readonly pid: number
  /** Command line, words parted by NUL. */
  readonly words: string
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended before.
  }
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z'
  } catch {
    return false
  }
}

export function processesNaming(directory: string): SceneProcess[] {
  const found: SceneProcess[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const words = readOf(`/proc/${pid}/cmdline`)
    if (words.includes(`${directory}/`) || readOf(`/proc/${pid}/environ`).includes(`${directory}/`)) {
      if (isAlive(pid)) found.push({ pid, words })
    }
  }
  return found
}

function readOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function start(words: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Started {
  const { FLOE_CAMPAIGN: _campaign, ...inherited } = process.env
  const child = spawn(process.execPath, [cli, ...words], {
    cwd,
    env: { ...inherited, NO_COLOR: '1', RAN: join(cwd, 'ran'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const end = new Promise<Answer>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exit, signal) => resolve({ exit, signal, stdout, stderr }))
  })
  return { child, pid: child.pid!, stdout: () => stdout, stderr: () => stderr, end }
}
