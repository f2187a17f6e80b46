import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ArraySpec,
  type Connector,
  ConnectorError,
  type NativeId,
  type SiteLimits,
  type TaskReport,
  type Waiting,
} from '../connector.ts'
import { lockHolder } from './lock.ts'
import { isElsewhere } from './process.ts'
import { Queue } from './queue.ts'

export interface LocalOptions {
  /** Directory of the queue, on the file system of the outputs: jobs run below it and publish by rename. */
  readonly directory: string
  /** Cores that tasks may use at a time. */
  readonly slots: number
  /** Path of the Node that runs the scheduler. */
  readonly node: string
  /** The scheduler, bundled to one file. */
  readonly schedulerFile: string
}

export interface LocalConnector extends Connector {
  /** Idempotent on the name, as `submit`; `sh` runs the script for each task, with FLOE_LOCAL_ID and FLOE_LOCAL_INDEX. */
  submitScript(array: ArraySpec, script: string): Promise<NativeId>
}

export const waitingHere = (): Waiting => ({ sentence: 'other tasks have the cores', clears: 'will clear' })

/** How a refusal on account of it begins, and what to do. */
export const OTHER_MACHINE = 'another machine has the queue'
export const OTHER_MACHINE_HINT =
  'Give each machine a `scratch:` of its own, and in `ssh:` name one machine, not a name that leads to several. When that machine is gone for good, or lost its container, delete the directory of the queue: what ran there is tried again.'

const LIMITS: SiteLimits = {
  ...{ version: 'local', arrayMax: 100_000, queuedMax: 1_000_000, arraysMax: null, queues: [], accounts: [] },
  ...{ forgetsAfterSec: null, hasAccounting: false, notes: [] },
}

/**
 * This machine as a site. Tasks run under a small scheduler of its own, a detached process that is started when there is something to do and
 * ends when there is not; it and its runners outlive whoever submitted. What it knows is on disk (queue.ts), so that another one goes on
 * after a kill. Environment and PATH of the tasks are those of the process that submitted. Costs: one directory an array, one file read
 * an array and status call.
 */
export function openLocalConnector(options: LocalOptions): LocalConnector {
  const { directory, slots } = options
  let opened: Queue | undefined
  const queue = (): Queue => {
    const found = opened ?? attempt(`use ${directory}`, () => new Queue(directory))
    refuseElsewhere(directory)
    if (!opened) attempt(`use ${directory}`, () => setSlots(directory, slots))
    opened = found
    return opened
  }
  const submit = async (array: ArraySpec, script?: string): Promise<NativeId> => {
    const environment = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== undefined))
    const spec = {
      ...{ ...array, submittedAt: Date.now(), environment: environment as Record<string, string> },
      ...(script !== undefined && { script }),
    }
    const id = attempt(`submit ${array.name}`, () => queue().add(spec))
    wake(queue(), options)
    return id
  }
  return {
    name: 'local',
    submit: (array) => submit(array),
    submitScript: submit,
    async status(arrays: ReadonlyMap<NativeId, number>): Promise<TaskReport[]> {
      const reports = attempt('read the states of tasks', () => [...arrays.keys()].flatMap((id) => queue().report(id)))
      wake(queue(), options)
      return reports
    },
    async cancel(id: NativeId, indices?: readonly number[]): Promise<void> {
      attempt(`cancel ${id}`, () => queue().askToCancel(id, indices))
      wake(queue(), options)
    },
    endings: async () => [],
    siteLimits: async () => LIMITS,
    waiting: waitingHere,
  }
}

function setSlots(directory: string, slots: number): void {
  const path = join(directory, 'slots')
  if (readIfThere(path) === String(slots)) return
  const aside = `${path}.${process.pid}`
  writeFileSync(aside, String(slots), { mode: 0o600 })
  renameSync(aside, path)
}

/** What another machine runs cannot be seen, ended or started from here. */
function refuseElsewhere(directory: string): void {
  const holder = lockHolder(directory)
  if (!holder || !isElsewhere(holder)) return
  const message = `${OTHER_MACHINE} ${directory}: floe's scheduler runs on ${holder.machine}, process ${holder.pid}`
  throw new ConnectorError('refused', message, OTHER_MACHINE_HINT)
}

/** Starts a scheduler when there is work and none lives. Two that start at once settle it by the lock. */
function wake(queue: Queue, { directory, node, schedulerFile }: LocalOptions): void {
  if (queue.queued().length === 0 || lockHolder(directory)) return
  const log = openSync(join(directory, 'scheduler.log'), 'a', 0o600)
  try {
    const child = spawn(node, [schedulerFile, 'schedule', directory, '0'], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
    })
    child.on('error', () => {})
    child.unref()
  } finally {
    closeSync(log)
  }
}

function attempt<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    throw new ConnectorError(
      'unreachable',
      `could not ${what}: ${message}`,
      'Check the scratch directory of the site.',
      error,
    )
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
