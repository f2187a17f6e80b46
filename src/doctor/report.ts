import type { SiteLimits } from '../../connectors/connector.ts'
import type { SiteSetting } from '../config/config.ts'

/** `ok` as it should be; `note` to be known; `warn` something suffers; `fail` nothing can be run there. */
export type FindingLevel = 'ok' | 'note' | 'warn' | 'fail'

export type FindingSubject =
  | 'way'
  | 'scheduler'
  | 'replies'
  | 'arrays'
  | 'queue'
  | 'account'
  | 'policy'
  | 'scratch'
  | 'space'
  | 'locks'
  | 'task'
  | 'node'
  | 'container'
  | 'memory'
  | 'sessions'
  | 'login'
  | 'clock'

export interface Finding {
  readonly level: FindingLevel
  readonly about: FindingSubject
  /** What was found, in words. */
  readonly found: string
  /** What floe does about it, or what a person should; null: nothing. */
  readonly floe: string | null
}

/** Numbers behind the findings; null: not measured. Times of commands are medians, the way there and back included. */
export interface Measured {
  login: string | null
  sessions: number | null
  /** Of a command that does nothing. */
  trip_ms: number | null
  limits_ms: number | null
  submit_ms: number | null
  status_ms: number | null
  accounting_ms: number | null
  /** The site's clock minus this machine's. */
  clock_sec: number | null
  free_bytes: number | null
  free_files: number | null
  /** Of the task that was run there. */
  native_id: string | null
  waited_sec: number | null
  node_host: string | null
  node_version: string | null
  glibc: string | null
}

/** Limits of a scheduler as a profile keeps them. */
export interface LimitsReport {
  readonly array_max: number
  readonly queued_max: number | null
  /** Absent in profiles of older versions. */
  readonly arrays_max?: number | null
  readonly forgets_after_sec: number | null
  readonly has_accounting: boolean
  readonly accounts: readonly string[]
  readonly queues: readonly {
    readonly name: string
    readonly is_default: boolean
    readonly walltime_max_sec: number | null
    readonly cpus_max: number | null
    readonly memory_max_bytes: number | null
    readonly array_max: number | null
    readonly queued_max: number | null
  }[]
  readonly notes: readonly string[]
}

/** What a site is and can do. */
export interface DoctorReport {
  readonly site: string
  readonly connector: SiteSetting['connector'] | 'local'
  readonly where: string
  /** Scheduler and version; null: it did not say. */
  readonly version: string | null
  /** UTC, ISO 8601. */
  readonly checked_at: string
  /** False when something failed. */
  readonly usable: boolean
  /** Between two looks of a run at the site, as the replies allow. */
  readonly interval_sec: number
  readonly findings: readonly Finding[]
  readonly measured: Measured
  readonly limits: LimitsReport | null
}

export const toLimitsReport = (limits: SiteLimits): LimitsReport => ({
  array_max: limits.arrayMax,
  queued_max: limits.queuedMax,
  arrays_max: limits.arraysMax,
  forgets_after_sec: limits.forgetsAfterSec,
  has_accounting: limits.hasAccounting,
  accounts: limits.accounts,
  queues: limits.queues.map((queue) => ({
    name: queue.name,
    is_default: queue.isDefault,
    walltime_max_sec: queue.walltimeMaxSec,
    cpus_max: queue.cpusMax,
    memory_max_bytes: queue.memoryMaxBytes,
    array_max: queue.arrayMax,
    queued_max: queue.queuedMax,
  })),
  notes: limits.notes,
})

export const toSiteLimits = (version: string, limits: LimitsReport): SiteLimits => ({
  version,
  arrayMax: limits.array_max,
  queuedMax: limits.queued_max,
  arraysMax: limits.arrays_max ?? null,
  forgetsAfterSec: limits.forgets_after_sec,
  hasAccounting: limits.has_accounting,
  accounts: limits.accounts,
  queues: limits.queues.map((queue) => ({
    name: queue.name,
    isDefault: queue.is_default,
    walltimeMaxSec: queue.walltime_max_sec,
    cpusMax: queue.cpus_max,
    memoryMaxBytes: queue.memory_max_bytes,
    arrayMax: queue.array_max,
    queuedMax: queue.queued_max,
  })),
  notes: limits.notes,
})

const ORDER: readonly FindingSubject[] = [
  ...(['way', 'scheduler', 'replies', 'arrays', 'queue', 'account', 'policy', 'scratch', 'space', 'locks'] as const),
  ...(['task', 'node', 'container', 'memory', 'sessions', 'login', 'clock'] as const),
]

/** Collects what the checks find. */
export class Ledger {
  readonly #findings: Finding[] = []
  readonly measured: Measured = {
    ...{
      login: null,
      sessions: null,
      trip_ms: null,
      limits_ms: null,
      submit_ms: null,
      status_ms: null,
      accounting_ms: null,
    },
    ...{ clock_sec: null, free_bytes: null, free_files: null, native_id: null, waited_sec: null },
    ...{ node_host: null, node_version: null, glibc: null },
  }
  limits: SiteLimits | null = null

  add(level: FindingLevel, about: FindingSubject, found: string, floe: string | null = null): void {
    this.#findings.push({ level, about, found, floe })
  }

  has(level: FindingLevel, about?: FindingSubject): boolean {
    return this.#findings.some((finding) => finding.level === level && (about === undefined || finding.about === about))
  }

  /** In the order in which a person wants them, whatever came first. */
  get findings(): readonly Finding[] {
    return [...this.#findings].sort((a, b) => ORDER.indexOf(a.about) - ORDER.indexOf(b.about))
  }
}
