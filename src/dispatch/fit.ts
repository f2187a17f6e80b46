import { type ArraySpec, leastOf, type QueueLimits, type SiteLimits } from '../../connectors/connector.ts'
import type { ArrayTerms, TaskLimits } from './site.ts'

/* What a task asks for, and whether it may have it: pure. */

export interface TaskWishes {
  readonly queue: string | null
  readonly account: string | null
  /** More words for the submit command. */
  readonly options: readonly string[]
  /** Queues that these words name: they count before `queue`. */
  readonly queuesByOptions?: readonly string[]
  /** Of one task. */
  readonly task: { readonly cpus: number; readonly walltimeSec: number | null }
  /** Below what the site itself allows; null: what it allows. */
  readonly limits: { readonly queued: number | null; readonly array: number | null }
}

/** Floe keeps this share of what a site allows, so that a person can still submit by hand. */
const SHARE = 0.9
/** Where a site names no limit of its own. */
const OPEN_MAX = 10_000
/** Tasks of one array at most, whatever a site allows: an array is staged in one go. */
const ARRAY_MAX = 10_000
/** Beyond what its jobs may use: the runner itself. */
const RUNNER_BYTES = 192 * 2 ** 20
/** What a task has beyond the limit of its longest job, to start and to seal. */
const MARGIN_SEC = 120

export function taskLimits(wishes: TaskWishes, site: SiteLimits): TaskLimits {
  const { limits: own } = wishes
  const chosen = queueOf(site, wishes)
  const allowed = leastOf([site.queuedMax, chosen?.queuedMax ?? null]) ?? OPEN_MAX
  const share = Math.max(1, Math.floor(allowed * SHARE))
  const openMax = Math.min(share, own.queued ?? share)
  // A few large arrays instead of one for each task that ended.
  const refillBelow = Math.max(1, Math.ceil(openMax * 0.75))
  const arrayMax = leastOf([site.arrayMax, chosen?.arrayMax ?? null, own.array, ARRAY_MAX])!
  const arraysMax = site.arraysMax === null ? OPEN_MAX : Math.max(1, Math.floor(site.arraysMax * SHARE))
  return { planBelow: refillBelow, refillBelow, openMax, arrayMax, arraysMax }
}

/** As many jobs side by side as fit into the task that the site's settings ask for, and into a node of its queue; at least one. */
export function taskShape(
  wishes: TaskWishes,
  { cpus, memory_bytes, walltime_sec, gpus, task_sec }: ArrayTerms,
  site: SiteLimits,
): Omit<ArraySpec, 'name' | 'directory' | 'count' | 'command'> {
  const { task, queue, account, options } = wishes
  const { walltimeMaxSec, cpusMax, memoryMaxBytes } = queueOf(site, wishes) ?? {}
  const byCpus = Math.floor(Math.min(task.cpus, cpusMax ?? task.cpus) / cpus)
  const byMemory = memory_bytes ? Math.floor(((memoryMaxBytes ?? Infinity) - RUNNER_BYTES) / memory_bytes) : byCpus
  const slots = Math.max(1, Math.min(byCpus, byMemory))
  const usual = task_sec ?? task.walltimeSec
  const longest = walltime_sec === null ? 0 : walltime_sec + MARGIN_SEC
  return {
    cpus: slots * cpus,
    memoryBytes: memory_bytes === null ? null : memory_bytes * slots + RUNNER_BYTES,
    // What a task is given beyond the needs of its jobs is a wish, and the queue may give less.
    walltimeSec: usual === null ? null : Math.max(longest, Math.min(usual, walltimeMaxSec ?? usual)),
    gpus: gpus * slots,
    queue,
    account,
    ...(options.length > 0 && { options }),
  }
}

/** Why no task with such jobs could ever start, in words, by the limits of its queue; undefined: nothing is known against it. */
export function misfitOf(wishes: TaskWishes, terms: ArrayTerms, site: SiteLimits): string | undefined {
  const queue = queueOf(site, wishes)
  if (!queue) return undefined
  const shape = taskShape(wishes, terms, site)
  const gives = `the queue ${queue.name} gives a task at most`
  if (queue.walltimeMaxSec !== null && shape.walltimeSec! > queue.walltimeMaxSec) {
    const room = queue.walltimeMaxSec - MARGIN_SEC
    return `a walltime of ${lengthOf(terms.walltime_sec!)}: ${gives} ${lengthOf(queue.walltimeMaxSec)}, of which ${lengthOf(Math.max(0, room))} are for a job`
  }
  if (queue.cpusMax !== null && terms.cpus > queue.cpusMax) return `${terms.cpus} cpus: ${gives} ${queue.cpusMax}`
  if (queue.memoryMaxBytes !== null && (terms.memory_bytes ?? 0) > queue.memoryMaxBytes - RUNNER_BYTES) {
    const room = gigabytesOf(queue.memoryMaxBytes - RUNNER_BYTES)
    return `${gigabytesOf(terms.memory_bytes!)} of memory: ${gives} ${gigabytesOf(queue.memoryMaxBytes)}, of which ${room} are for a job`
  }
  return undefined
}

/** For a try that asks for more than the one before: no more than there is. */
export function clampedTo<T extends ArrayTerms>(wishes: TaskWishes, terms: T, site: SiteLimits): T {
  const queue = queueOf(site, wishes)
  if (!queue) return terms
  const { walltimeMaxSec, memoryMaxBytes } = queue
  const room = walltimeMaxSec === null ? null : Math.max(1, walltimeMaxSec - MARGIN_SEC)
  const least = (wanted: number | null, most: number | null) =>
    wanted === null || most === null ? wanted : Math.min(wanted, most)
  return {
    ...terms,
    walltime_sec: least(terms.walltime_sec, room),
    memory_bytes: least(
      terms.memory_bytes,
      memoryMaxBytes === null ? null : Math.max(1, memoryMaxBytes - RUNNER_BYTES),
    ),
  }
}

/** A hint that asks for a setting of a site, with where it stands, and with the queues or accounts that there are. */
export function namedIn(hint: string, name: string, site: SiteLimits | undefined): string {
  const lists = [
    ['`account:`', 'Yours', site?.accounts ?? []],
    ['`queue:`', 'Queues', (site?.queues ?? []).map(({ name }) => name)],
  ] as const
  const told = lists.flatMap(([key, title, names]) =>
    hint.includes(key) && names.length > 0 ? [`${title}: ${[...new Set(names)].slice(0, LISTED).join(', ')}.`] : [],
  )
  const placed = hint.replace(/`(?:account|queue|options):`/, (key) => `${key} of ${name} in sites.yaml`)
  return [placed, ...told].join(' ')
}

const LISTED = 12

/** Where tasks go, as far as it is known: of several queues what one of them gives is enough. */
function queueOf({ queues }: SiteLimits, { queue, queuesByOptions = [] }: TaskWishes): QueueLimits | undefined {
  const names = queuesByOptions.length > 0 ? queuesByOptions : (queue ?? '').split(',').filter(Boolean)
  if (names.length === 0) return queues.find(({ isDefault }) => isDefault)
  const known = names.flatMap((name) => queues.find((one) => one.name === name) ?? [])
  return known.length === names.length ? known.reduce(roomier) : undefined
}

const roomier = (a: QueueLimits, b: QueueLimits): QueueLimits => ({
  name: `${a.name} or ${b.name}`,
  isDefault: a.isDefault || b.isDefault,
  walltimeMaxSec: mostOf(a.walltimeMaxSec, b.walltimeMaxSec),
  cpusMax: mostOf(a.cpusMax, b.cpusMax),
  memoryMaxBytes: mostOf(a.memoryMaxBytes, b.memoryMaxBytes),
  arrayMax: leastOf([a.arrayMax, b.arrayMax]),
  queuedMax: leastOf([a.queuedMax, b.queuedMax]),
})

/** Null: no limit. */
const mostOf = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : Math.max(a, b))

/** `2 h 30 min`, `90 s`. */
function lengthOf(sec: number): string {
  if (sec < 120) return `${sec} s`
  const [hours, minutes] = [Math.floor(sec / 3600), Math.floor((sec % 3600) / 60)]
  return [hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : '', sec % 60 > 0 ? `${sec % 60} s` : '']
    .filter(Boolean)
    .join(' ')
}

const gigabytesOf = (bytes: number): string => `${Number((bytes / 1e9).toFixed(2))} GB`
