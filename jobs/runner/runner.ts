import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { ManifestTask } from '../../src/model/manifest.ts'
import { Claims } from './claims.ts'
import { nowUs } from './finish.ts'
import { Guard } from './guard.ts'
import { removeLeftovers, rootName } from './leftovers.ts'
import { readTask } from './manifest-range.ts'
import { thisNode } from './nearness.ts'
import { decidedJobs, isSealed, RecordFile } from './record-file.ts'
import { type Disks, isDiskError, lackOf } from './room.ts'
import { Task, type TaskEnding } from './task.ts'

export interface RunnerOptions {
  /** The array's directory. */
  readonly array: string
  /** The scheduler's index in the array: the number of the task, unless elements choose theirs when they start. */
  readonly element: number
  /** Cores for this task; undefined: those of one job. */
  readonly cpus: number | undefined
  /** Limit of the task itself: it drains when this draws near. */
  readonly walltimeSec: number | undefined
  readonly environment: NodeJS.ProcessEnv
}

const NATIVE_IDS = ['FLOE_NATIVE_ID', 'SLURM_ARRAY_JOB_ID', 'SLURM_JOB_ID', 'PBS_JOBID', 'JOB_ID'] as const

/** What became of a task, and whether its record says so: a scratch without room takes no record. */
export interface RunnerEnding extends TaskEnding {
  readonly isRecorded: boolean
}

/**
 * Runs one task of an array: takes the next free attempt, runs each job of the task's range that no earlier attempt decided, and seals the
 * record. Writes only below the array's directory, the outputs directory and a directory of its own on the node. Never runs a job twice
 * in one attempt; killed at any instruction it leaves whole outputs and a record whose complete lines are true.
 */
export async function runTask(options: RunnerOptions): Promise<RunnerEnding> {
  const { array: directory, element, environment } = options
  const array = resolve(directory)
  if (!readTask(array, element).header.binds_late) return runRange({ ...options, array, task: element })
  try {
    const node = nodeName(environment)
    const claims = new Claims(array, element, thisNode(node))
    for (let claim = claims.begin({ element, node }) ?? (await claims.take()); claim; claim = await claims.take()) {
      const ending = await runRange({ ...options, array, task: claim.task })
      // One that was given up before anybody began it is planned anew; there are others.
      if (!ending.wasSealed || claim.isOld) return ending
    }
    return { reason: 'done', message: 'no task is left', jobs: 0, isRecorded: true }
  } catch (error) {
    if (!isDiskError(error)) throw error
    return {
      reason: 'failed',
      message: lackOf({ sandboxes: array, array }) ?? (error as Error).message,
      jobs: 0,
      isRecorded: false,
    }
  }
}

async function runRange(
  options: RunnerOptions & { readonly task: number },
): Promise<RunnerEnding & { readonly wasSealed?: true }> {
  const { array, element } = options
  const { header, jobs } = readTask(array, options.task)
  const sandboxes = sandboxesOf(header, array, options.environment)
  // First of all: they may be what fills the disk.
  await removeLeftovers([sandboxes, tmpdir()])
  const slots = Math.max(1, Math.floor((options.cpus ?? header.cpus) / header.cpus))
  let record: RecordFile | undefined
  try {
    record = begin(array, header, { slots, element, environment: options.environment })
  } catch (error) {
    if (!isDiskError(error)) throw error
    return { reason: 'failed', message: messageOf(error, { sandboxes, array }), jobs: 0, isRecorded: false }
  }
  if (record === undefined) {
    const message = 'an earlier attempt sealed this task; what it left is planned anew'
    return { reason: 'done', message, jobs: 0, isRecorded: true, wasSealed: true }
  }
  const { attempt } = record
  const { task } = header
  const root = join(sandboxes, rootName(`${header.array}-${task}.${attempt}`))
  const guard = new Guard()
  let ending: TaskEnding
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const decided = attempt > 1 ? decidedJobs(array, task, attempt) : new Set<string>()
    const graceMs = 1000 * Number(options.environment.FLOE_GRACE_SEC ?? 2)
    const work = new Task({ array, header, jobs, record, guard, decided, slots, root, graceMs })
    const release = listen(work, options.walltimeSec)
    ending = await work.run()
    release()
  } catch (error) {
    ending = { reason: 'failed', message: messageOf(error, { sandboxes, array }), jobs: 0 }
  }
  guard.end()
  record.write({ v: 1, at: nowUs(), event: 'task ended', ...ending })
  const isRecorded = await closed(record, root)
  await rm(root, { recursive: true, force: true, maxRetries: 3 })
  return { ...ending, isRecorded }
}

const messageOf = (error: unknown, disks: Disks): string =>
  (isDiskError(error) && lackOf(disks)) || (error as Error).message

/** Takes the next attempt and says so; undefined: an earlier one sealed the task. */
function begin(
  array: string,
  { campaign, array: name, task, batch, binds_late: bindsLate }: ManifestTask,
  { slots, element, environment }: { slots: number; element: number; environment: NodeJS.ProcessEnv },
): RecordFile | undefined {
  // Empty folders are purged before the files beside them.
  for (const folder of ['records', 'logs']) mkdirSync(join(array, folder), { recursive: true, mode: 0o700 })
  const record = new RecordFile(array, task)
  // Looked at with an attempt in hand: who seals a task takes the next one.
  if (isSealed(array, task)) {
    record.discard()
    return undefined
  }
  const node = nodeName(environment)
  const nativeId = NATIVE_IDS.map((key) => environment[key]).find((id) => id !== undefined) ?? null
  record.write({
    ...{ v: 1, at: nowUs(), event: 'task started', campaign, array: name, task, attempt: record.attempt, batch, node },
    ...{ native_id: nativeId, pid: process.pid, slots, ...(bindsLate && { element }) },
  })
  try {
    record.flush()
    return record
  } catch (error) {
    record.discard()
    throw error
  }
}

/** What the scheduler calls it, for it is told by that name where not to send tasks. */
const nodeName = (environment: NodeJS.ProcessEnv): string => environment.SLURMD_NODENAME ?? hostname()

/** How often a full disk is asked whether it takes the rest of the record, and the pause between. */
const SEAL_TRIES = 10
const SEAL_PAUSE_MS = 500

/** False: the disk has not taken the end of the record. Directories of jobs go first where they may be in its way. */
async function closed(record: RecordFile, root: string): Promise<boolean> {
  for (let tries = 0; tries < SEAL_TRIES; tries++) {
    try {
      record.flush()
      record.close()
      return true
    } catch (error) {
      if (!isDiskError(error)) throw error
      await rm(root, { recursive: true, force: true, maxRetries: 3 })
      await pause(SEAL_PAUSE_MS)
    }
  }
  return false
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
