import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { constants, hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.js')

/** What a run that takes long says now and then. */
const PROGRESS = /^\S+: [\d,]+ of [\d,]+ jobs? after /

export const withoutProgress = (said: string): string =>
  said
    .split('\n')
    .filter((line) => !PROGRESS.test(line))
    .join('\n')

export interface Told {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
}

export interface Wish {
  /** Directory to stand in, below the place. */
  readonly in?: string
  readonly env?: Readonly<Record<string, string>>
}

/**
 * A directory of its own for one test, and floe as a real process in it. What a command says comes back as a transcript: standard
 * output, then what went to standard error behind `! `, then an exit status other than 0. Paths, ids and times are masked.
 */
export class Place {
  readonly cli = CLI
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'floe-cli-')))

  file(name: string, content: string | Uint8Array, mode = 0o644): this {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode })
    return this
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  remove(name: string): this {
    rmSync(this.path(name), { recursive: true, force: true })
    return this
  }

  program(name: string, lines: string): this {
    return this.file(name, `#!/bin/sh\n${lines}\n`, 0o755)
  }

  /** Job file of one JSON object a job. */
  jobs(name: string, jobs: readonly object[]): this {
    return this.file(name, jobs.map((job) => `${JSON.stringify(job)}\n`).join(''))
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  start(args: readonly string[], { in: inside = '.', env = {} }: Wish = {}): ChildProcess {
    return spawn(process.execPath, [CLI, ...args], {
      cwd: this.path(inside),
      env: { ...process.env, NO_COLOR: '', FORCE_COLOR: '', TZ: 'UTC', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  async run(args: readonly string[], wish: Wish = {}): Promise<Told> {
    return ended(this.start(args, wish))
  }

  /** `floe` with these arguments as a masked transcript. */
  async floe(...args: (string | Wish)[]): Promise<string> {
    const wish = args.find((arg): arg is Wish => typeof arg === 'object') ?? {}
    const { stdout, stderr, status } = await this.run(
      args.filter((arg): arg is string => typeof arg === 'string'),
      wish,
    )
    const told = [
      stdout.replace(/\n$/, ''),
      ...withoutProgress(stderr)
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => `! ${line}`),
      status === 0 ? '' : `exit ${status}`,
    ]
    return this.masked(told.filter(Boolean).join('\n'))
  }

  /** The document that a verb prints with --json. */
  async json<T = Record<string, unknown>>(...given: (string | Wish)[]): Promise<T> {
    const args = given.filter((arg): arg is string => typeof arg === 'string')
    const { stdout, stderr } = await this.run([...args, '--json'], given.find((arg) => typeof arg === 'object') ?? {})
    if (stdout === '') throw new Error(`floe ${args.join(' ')} printed no JSON: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  masked(text: string): string {
    return text
      .replaceAll(this.directory, 'DIR')
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'UUID')
      .replace(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?(–\d\d:\d\d:\d\d)?/g, 'TIME')
      .replace(/\b\d+(\.\d+)?(e-\d+)? s\b/g, 'N s')
      .replace(/\b[0-9a-f]{12}…/g, 'DIGEST…')
      .replaceAll(` on ${hostname()} `, ' on HOST ')
      .replace(/^( +took +).*$/gm, '$1N s')
      .replace(/^( +batch +).*$/gm, '$1…')
      .replace(/sandboxes\/\S+/g, 'sandboxes/…')
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** A place that goes away with the test. */
export function openPlace(): Place {
  const place = new Place()
  onTestFinished(() => place.close())
  return place
}

export async function ended(child: ChildProcess): Promise<Told> {
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const status = await new Promise<number>((resolve) => {
    // As a shell would say it.
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]))
  })
  return { stdout, stderr, status }
}

/** A program that sums a column, and eight jobs for it; the last one fails. */
export function withSums(place: Place): Place {
  place.program(
    'sum.sh',
    'echo "job $FLOE_JOB"\nawk \'BEGIN {print "sum"} {s += $1} END {print s}\' "$1" > "$2"\ntest "$3" = ok',
  )
  for (const n of [1, 2, 3, 4]) place.file(`data/${n}.txt`, `${n}\n${n * 10}\n`)
  return place.jobs(
    'jobs.ndjson',
    [1, 2, 3, 4].flatMap((n) =>
      ['a', 'b'].map((kind) => ({
        id: `${kind}${n}`,
        data: { input: [`data/${n}.txt`], output: [`${kind}/${n}.csv`] },
        executable: './sum.sh',
        arguments: ['{input:1}', '{output:1}', kind === 'b' && n === 4 ? 'fail' : 'ok'],
        labels: { kind, n: String(n) },
      })),
    ),
  )
}
