import type { Json } from '../model/json.ts'
import type { JobState } from '../model/verdict.ts'

/*
 * What the verbs answer: plain data, the same in the library and under --json. Keys are snake_case and say their unit last; times are
 * microseconds since 1970, UTC.
 */

export interface InitReport {
  readonly directory: string
  readonly id: string
  readonly action: 'made' | 'forked' | 'adopted'
  readonly made: readonly string[]
}

/** A row of a job file that was not taken; a line of rejects.ndjson. */
export interface Rejected {
  /** As it was named. */
  readonly file: string
  readonly line: number
  readonly job: string | null
  readonly value: string | null
  readonly reason: string
  readonly hint: string
}

export interface AddReport {
  readonly added: number
  readonly unchanged: number
  readonly replaced: number
  readonly rejected: number
  readonly files: readonly { readonly path: string; readonly jobs: number; readonly elapsed_sec: number }[]
  /** rejects.ndjson; null when nothing was rejected. */
  readonly rejects_file: string | null
  /** The first few. */
  readonly rejects: readonly Rejected[]
}

export interface PlanReport {
  readonly jobs: number
  readonly batches: number
  readonly tasks: number
  readonly arrays: number
  /** The site, or several joined by ` + `. */
  readonly site: string
  /** With several sites: what each of them would take, and predicted seconds of its work. */
  readonly shares?: readonly {
    readonly site: string
    readonly jobs: number
    readonly batches: number
    readonly arrays: number
    readonly seconds: number | null
  }[]
  readonly jobs_per_batch: number
  readonly files: number
  readonly files_to_nodes: number
  readonly files_naive: number
  readonly bytes_to_site: number
  readonly bytes_to_nodes: number
  readonly bytes_lower_bound: number
  readonly bytes_catalog_order: number
  readonly bytes_naive: number
  /**
   * Of `bytes_to_nodes`, what lies in an HDFS whose data nodes run the jobs: each batch on the node that holds most of what it reads; on that
   * node, in its rack, elsewhere. Absent at other sites.
   */
  readonly bytes_local?: number
  readonly bytes_rack?: number
  readonly bytes_remote?: number
  /** Predicted work of all jobs; null: no job of this kind was measured yet. */
  readonly seconds: number | null
  /** Of the jobs, those that go first, and the rest, which is cut anew after what these measured; null: none do. */
  readonly scouts: { readonly jobs: number; readonly rest: number } | null
  /** Jobs that wait for a file which is not there. */
  readonly missing: number
  /** How many such files, helper files and programs among them. */
  readonly missing_inputs: number
  /** One of them, as its job names it. */
  readonly missing_example: { readonly url: string; readonly job_id: string } | null
}

export type StateCounts = Readonly<Record<JobState, number>>

export interface StatusReport extends StateCounts {
  readonly jobs: number
  /** Failed, lost and cancelled jobs by class. */
  readonly classes: Readonly<Record<string, number>>
  /** Jobs that were tried, wait or run at a site, by site and state. */
  readonly sites: Readonly<Record<string, Readonly<Partial<Record<JobState, number>>>>>
  /** Who runs the campaign now. */
  readonly runner: { readonly host: string; readonly pid: number } | null
  /** What that run says of its site, and of those `beside` it; null: no run is going on, or it said nothing yet. */
  readonly at_work: (SiteAtWork & { readonly beside?: readonly SiteAtWork[] }) | null
}

export interface SiteAtWork {
  readonly site: string
  readonly tasks_running: number
  readonly tasks_queued: number
  /** Tasks that the site takes at once; null: no limit is known. */
  readonly tasks_max: number | null
  /** Tasks that other campaigns of this user have open there, where they are counted. */
  readonly tasks_others: number
  /** What holds the campaign back there, in words. */
  readonly waiting: string | null
  readonly next_look_sec: number
}

export interface RunReport extends StateCounts {
  readonly jobs: number
  readonly classes: Readonly<Record<string, number>>
  /** What this run itself decided. */
  readonly decided: {
    readonly succeeded: number
    readonly failed: number
    readonly cancelled: number
    readonly lost: number
    readonly reused: number
    /** Of the failed and lost: held for a person, by `policy:`. */
    readonly held: number
  }
  /** Outputs of this run that lie at its site as files; `fetch` brings them. */
  readonly away: number
  readonly missing: number
  readonly merged_rows: number | null
  /** Outputs that look like tables and are not in the merged one; why, of the first 50. */
  readonly left_out: {
    readonly outputs: number
    readonly conflicts: readonly {
      readonly output: string
      readonly column: string
      readonly found: string
      readonly wanted: string
    }[]
    readonly unreadable: readonly { readonly output: string; readonly reason: string }[]
  }
  /** Sites of this run that did not do what they were asked, and why; the others did their work. */
  readonly unused: readonly { readonly site: string; readonly why: string }[]
  /** Work under way at other sites, which this run left alone. */
  readonly elsewhere: readonly { readonly site: string; readonly tasks: number; readonly jobs: number }[]
  /** Of each site with a scheduler: calls that this run made to it, and the median of seconds from the end of a task to its verdict. */
  readonly paces: readonly {
    readonly site: string
    readonly calls: {
      readonly submit: number
      readonly status: number
      readonly accounting: number
      readonly orders: number
      readonly limits: number
    }
    readonly delay_median_sec: number | null
  }[]
  /** Record lines that could not be read; jobs without another verdict run again. */
  readonly damaged: number
  /** Why status events wait to be told over Kafka; null: none does. */
  readonly untold: string | null
  readonly elapsed_sec: number
  readonly stopped: 'interrupted' | 'once' | 'too many failures' | null
  /** When too many failed: the commonest reason, how many jobs it was, one of them and the last lines that it wrote. */
  readonly reason: {
    readonly class: string
    readonly rule: string
    readonly jobs: number
    readonly example: string
    readonly log: readonly string[]
  } | null
  /** With a simulated site: the campaign in which it was rehearsed. Nothing was run, and all numbers are of that one. */
  readonly rehearsal: string | null
}

export interface RequestReport {
  readonly action: 'hold' | 'release' | 'cancel' | 'retry' | 'remove'
  readonly request_id: string
  /** Jobs that it was asked for. */
  readonly jobs: number
  /** Of these, jobs that a site has already. A hold lets them run on; a cancel stops them. */
  readonly under_way: number
  /** Of a cancel while no run is going on: the sites that the next run tells. */
  readonly untold: readonly string[]
  /** Selected jobs of a state that the action does not apply to. */
  readonly skipped: Readonly<Partial<Record<JobState, number>>>
}

export interface ResultsReport {
  readonly file: string
  readonly format: string
  readonly rows: number
  readonly columns: readonly string[]
}

/** One row of a table, as JSON can say it. */
export type JsonRow = Readonly<Record<string, Json>>

/** How far a run is. */
export interface RunProgress {
  /** The site, or several joined by ` + `. */
  readonly site: string
  readonly total: number
  readonly done: number
  readonly succeeded: number
  readonly failed: number
  readonly retried: number
  readonly reused: number
  readonly classes: Readonly<Record<string, number>>
  readonly running: number
  readonly queued: number
  readonly elapsed_sec: number
  readonly stopping: string | null
  /** What holds the sites back, in words. */
  readonly waiting: string | null
}

export interface CleanReport {
  readonly arrays: number
  readonly cached: number
  readonly parts: number
  readonly freed_bytes: number
  /** Of each site with work of the campaign; this machine is `local`. */
  readonly sites: readonly {
    readonly site: string
    readonly arrays: number
    readonly cached: number
    readonly freed_bytes: number
    /** Why something stays that could go, or why the site was left alone. */
    readonly kept: string | null
  }[]
}

export interface FetchReport {
  /** Outputs that came, and their bytes. */
  readonly fetched: number
  readonly bytes: number
  /** The directory of this machine that they are in. */
  readonly directory: string
  /** Outputs that were here already. */
  readonly skipped: number
  /** Outputs that their site has no more, or not as they were published. */
  readonly missing: number
  /** The first few of these. */
  readonly missing_outputs: readonly string[]
}

/** What a simulation tells: of copies of the campaign, on a site of which nothing is real. */
export interface SimulationReport {
  readonly site: string
  /** What was believed of the site and the jobs; times in seconds. */
  readonly assumed: {
    readonly seed: number
    /** That tasks use at a time. */
    readonly cores: number
    readonly job_sec: number
    readonly job_sec_from: 'given' | 'measured' | 'guessed'
    /** Median of the time that an array waits. */
    readonly wait_sec: number
    readonly wait_sec_from: 'given' | 'measured' | 'guessed'
    /** Between two looks at the site. */
    readonly interval_sec: number
    /** Share of the jobs that fail by themselves. */
    readonly failures: number
    readonly trouble: 'none' | 'some' | 'much'
    /** When `doctor` looked at the site; null: it never did. */
    readonly profile_of: string | null
  }
  /** One for each policy. */
  readonly runs: readonly SimulatedRun[]
  /** With `against`: what the campaign really did; null: not asked, or nothing yet. */
  readonly really: RealRun | null
}

export interface SimulatedRun {
  /** File of the policy; null: that of floe.yaml. */
  readonly policy: string | null
  readonly jobs: number
  readonly succeeded: number
  readonly failed: number
  readonly lost: number
  readonly cancelled: number
  readonly held: number
  readonly pending: number
  /** Jobs that wait for a file that is not there. */
  readonly missing: number
  readonly stopped: RunReport['stopped']
  /** Why most jobs failed, when it stopped for that. */
  readonly reason: string | null
  readonly elapsed_sec: number
  /** Verdicts: more than jobs when some were tried again. */
  readonly tries: number
  readonly tasks: number
  /** Of these, those that something else ended. */
  readonly lost_tasks: number
  readonly arrays: number
  readonly bytes_to_nodes: number
  readonly core_hours: number
  /** Of these, those of tasks that something else ended. */
  readonly lost_core_hours: number
  /** Questions to the scheduler. */
  readonly calls: {
    readonly submit: number
    readonly status: number
    readonly accounting: number
    readonly cancel: number
    readonly unanswered: number
  }
  /** Median of the time from the end of a job to its verdict in the table; null: the site was looked at more rarely than it would be. */
  readonly delay_sec: number | null
  /** Spans of equal length: mean tasks in it, and jobs decided at its end, `sec` after the start. */
  readonly timeline: readonly {
    readonly sec: number
    readonly running: number
    readonly waiting: number
    readonly done: number
  }[]
}

export interface RealRun {
  readonly jobs: number
  readonly succeeded: number
  readonly tries: number
  /** From the start of the first job to the end of the last, pauses between runs included. */
  readonly elapsed_sec: number
  readonly core_hours: number
  readonly job_sec: number | null
  readonly delay_sec: number | null
}
