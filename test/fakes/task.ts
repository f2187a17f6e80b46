import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'
import { decodeRecord, type JobEnded, type LogRange, type RecordLine } from '../../src/model/record.ts'
import { fakeArray } from './array.ts'
import { bundle } from './bundle.ts'

/** A job that is a line of sh. */
export const script = (text: string): Pick<ManifestJob, 'program' | 'arguments'> => ({
  program: '/bin/sh',
  arguments: ['-c', text],
})

export interface RanTask {
  readonly directory: string
  readonly exit: number | null
  readonly lines: readonly RecordLine[]
  /** Verdicts by job; the first counts. */
  readonly ended: ReadonlyMap<string, JobEnded>
  /** `reason` of the seal of the last attempt. */
  readonly seal: string | undefined
  readonly outputs: string
  /** Content of a stream in logs/. */
  log(range: LogRange | null): string
}

/** A scratch directory a test, and real runner processes in it. */
export function useRunner() {
  let runner: Promise<string> | undefined
  const state = { scratch: '' }
  const children: ChildProcess[] = []
  beforeEach(() => {
    state.scratch = mkdtempSync(join(tmpdir(), 'floe-runner-'))
  })
  afterEach(() => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL')
    rmSync(state.scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })

  async function start(
    directory: string,
    options: { task?: number; args?: string[]; env?: NodeJS.ProcessEnv } = {},
  ): Promise<{ child: ChildProcess; exit: Promise<number | null> }> {
    runner ??= bundle('jobs/runner/main.ts', 'runner.js')
    const args = [await runner, '--array', directory, '--task', String(options.task ?? 0), ...(options.args ?? [])]
    const child = spawn(process.execPath, args, { stdio: 'ignore', env: { ...process.env, ...options.env } })
    children.push(child)
    return { child, exit: new Promise((resolve) => child.on('exit', resolve)) }
  }

  return {
    get scratch() {
      return state.scratch
    },
    array: (jobs: readonly ManifestJob[], terms: Partial<ManifestTask> = {}) => fakeArray(state.scratch, [jobs], terms),
    start,
    read: (directory: string, exit: number | null = null) => readTask(directory, join(state.scratch, 'outputs'), exit),
    /** Runs the jobs in one task to its end. */
    async run(
      jobs: readonly ManifestJob[],
      terms: Partial<ManifestTask> = {},
      options: { args?: string[]; env?: NodeJS.ProcessEnv } = {},
    ): Promise<RanTask> {
      const directory = fakeArray(state.scratch, [jobs], terms)
      const { exit } = await start(directory, options)
      return readTask(directory, terms.outputs ?? join(state.scratch, 'outputs'), await exit)
    },
  }
}

function readTask(directory: string, outputs: string, exit: number | null): RanTask {
  const lines = readdirSync(join(directory, 'records'))
    .sort((a, b) => Number(a.split('.')[1]) - Number(b.split('.')[1]))
    .flatMap((name) => readFileSync(join(directory, 'records', name), 'utf8').split('\n'))
    .map((line) => decodeRecord(line))
    .filter((line) => line !== undefined)
  const ended = new Map<string, JobEnded>()
  let seal: string | undefined
  for (const line of lines) {
    if (line.event === 'job ended' && !ended.has(line.job)) ended.set(line.job, line)
    if (line.event === 'task started') seal = undefined
    if (line.event === 'task ended') seal = line.reason
  }
  const log = (range: LogRange | null): string => {
    if (range === null) return ''
    const bytes = readFileSync(join(directory, 'logs', range.file))
    return bytes.toString('utf8', range.offset, range.offset + range.bytes)
  }
  return { directory, exit, lines, ended, seal, outputs, log }
}

/** Processes whose environment holds a text: what a job left behind. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return Number.isInteger(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
      } catch {
        return false
      }
    })
}
