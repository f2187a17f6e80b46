import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import type { ManifestTask } from '../../src/model/manifest.ts'
import { nowUs } from './finish.ts'
import { readTask } from './manifest-range.ts'
import { decidedJobs, isSealed, RecordFile } from './record-file.ts'
import { Task, type TaskEnding } from './task.ts'

export interface RunnerOptions {
  /** The array's directory. */
  readonly array: string
  readonly task: number
  /** Cores for this task; undefined: those of one job. */
  readonly cpus: number | undefined
  /** Limit of the task itself: it drains when this draws near. */
  readonly walltimeSec: number | undefined
  readonly environment: NodeJS.ProcessEnv
}

const NATIVE_IDS = ['FLOE_NATIVE_ID', 'SLURM_ARRAY_JOB_ID', 'SLURM_JOB_ID', 'PBS_JOBID', 'JOB_ID'] as const

/**
 * Runs one task of an array: takes the next free attempt, runs each job of the task's range that no earlier attempt decided, and seals the
 * record. Writes only below the array's directory, the outputs directory and a directory of its own on the node. Never runs a job twice
 * in one attempt; killed at any instruction it leaves whole outputs and a record whose complete lines are true.
 */
export async function runTask(options: RunnerOptions): Promise<TaskEnding> {
  const array = resolve(options.array)
  const { header, jobs } = readTask(array, options.task)
  // Empty folders are purged before the files beside them.
  for (const folder of ['records', 'logs']) mkdirSync(join(array, folder), { recursive: true, mode: 0o700 })
  if (isSealed(array, options.task))
    return { reason: 'done', message: 'an earlier attempt sealed this task; what it left is planned anew', jobs: 0 }
  const record = new RecordFile(array, options.task)
  const { attempt } = record
  const slots = Math.max(1, Math.floor((options.cpus ?? header.cpus) / header.cpus))
  const { campaign, array: name, task, batch } = header
  // What the scheduler calls it, for it is told by that name where not to send tasks.
  const node = options.environment.SLURMD_NODENAME ?? hostname()
  const nativeId = NATIVE_IDS.map((key) => options.environment[key]).find((id) => id !== undefined) ?? null
  record.write({
    ...{ v: 1, at: nowUs(), event: 'task started', campaign, array: name, task, attempt, batch, node },
    ...{ native_id: nativeId, pid: process.pid, slots },
  })
  record.flush()
  const root = join(sandboxesOf(header, array, options.environment), `floe-${name}-${task}.${attempt}-${process.pid}`)
  let ending: TaskEnding
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const decided = attempt > 1 ? decidedJobs(array, task, attempt) : new Set<string>()
    const graceMs = 1000 * Number(options.environment.FLOE_GRACE_SEC ?? 2)
    const work = new Task({ array, header, jobs, record, decided, slots, root, graceMs })
    const release = listen(work, options.walltimeSec)
    ending = await work.run()
    release()
  } catch (error) {
    ending = { reason: 'failed', message: (error as Error).message, jobs: 0 }
  }
  record.write({ v: 1, at: nowUs(), event: 'task ended', ...ending })
  record.close()
  await rm(root, { recursive: true, force: true, maxRetries: 3 })
  return ending
}

/** What is left of the walltime after the grace: to end jobs, and to seal. */
const ENDING_SEC = 10

/** TERM and a walltime that draws near end the task early; a lost terminal does not. */
function listen(work: Task, walltimeSec: number | undefined): () => void {
  const drain = (signal: string) => work.stop('drained', `signal ${signal.slice(3)}`)
  process.on('SIGTERM', drain)
  process.on('SIGINT', drain)
  process.on('SIGHUP', () => {})
  const margin = walltimeSec === undefined ? 0 : Math.min(60, Math.max(5, walltimeSec / 10))
  const timer =
    walltimeSec === undefined
      ? undefined
      : setTimeout(
          () => work.drain(walltimeSec, (margin - ENDING_SEC) * 1000),
          Math.max(0, walltimeSec - margin) * 1000,
        )
  return () => {
    clearTimeout(timer)
    process.removeAllListeners('SIGTERM').removeAllListeners('SIGINT')
  }
}

function sandboxesOf(header: ManifestTask, array: string, environment: NodeJS.ProcessEnv): string {
  const chosen = header.sandboxes ?? environment.FLOE_TMPDIR ?? environment.TMPDIR
  return chosen ? resolve(chosen) : join(array, 'running')
}
