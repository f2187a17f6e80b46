import type { JobEnded, LogRange } from '../model/record.ts'
import type { Row } from '../ports/tables/tables.ts'

/** What a verdict's record line does not say: where it ran, what was asked, what the policy made of it. */
export interface AttemptContext {
  readonly evidence: 'record' | 'accounting' | 'queue' | 'heartbeat' | 'absence' | 'reuse'
  readonly next: 'done' | 'retry' | 'hold' | 'give up'
  readonly superseded: boolean
  readonly cpus: number | null
  readonly memoryBytes: number | null
  readonly walltimeSec: number | null
  readonly site: string
  readonly node: string | null
  readonly batchId: number | null
  readonly arrayId: string | null
  readonly task: number | null
  readonly taskAttempt: number | null
  readonly nativeId: string | null
  readonly reusedFrom: string | null
  readonly publishedAtUs: number
}

/** Of a line, what most lines of one task have in common. */
export type Outcome = Pick<JobEnded, 'verdict' | 'class' | 'rule' | 'exit' | 'signal'>

const range = (log: LogRange | null) =>
  log === null ? null : { file: log.file, offset: log.offset, bytes: log.bytes, total: log.total }

/** A row of `attempts` is one of `attemptRow`, and the one of `groupRow` that it names. Times are microseconds, `job_key` is made by `publish`. */
export function attemptRow(
  ended: JobEnded,
  { group, hasBegun, recordEnd }: { group: number; hasBegun: boolean; recordEnd: number | null },
): Row {
  return {
    row_group: group,
    job_id: ended.job,
    revision: ended.revision,
    try: ended.try,
    job_digest: ended.job_digest,
    wall_sec: ended.wall_sec,
    cpu_sec: ended.cpu_sec,
    memory_max_bytes: ended.memory_max_bytes,
    bytes_local: ended.bytes_read?.local ?? null,
    bytes_rack: ended.bytes_read?.rack ?? null,
    bytes_remote: ended.bytes_read?.remote ?? null,
    started_at: hasBegun ? ended.started_at : null,
    ended_at: ended.at,
    slot: ended.slot,
    record_end: recordEnd,
    log_stdout: range(ended.stdout),
    log_stderr: range(ended.stderr),
    sandbox: ended.sandbox,
  }
}

/** What rows of one task with one outcome have in common. */
export function groupRow(group: number, outcome: Outcome, context: AttemptContext): Row {
  return {
    row_group: group,
    verdict: outcome.verdict,
    class: outcome.class,
    rule: outcome.rule,
    exit_code: outcome.exit,
    signal: outcome.signal,
    evidence: context.evidence,
    next: context.next,
    superseded: context.superseded,
    cpus: context.cpus,
    memory_bytes: context.memoryBytes,
    walltime_sec: context.walltimeSec,
    site: context.site,
    node: context.node,
    batch_id: context.batchId,
    array_id: context.arrayId,
    task: context.task,
    task_attempt: context.taskAttempt,
    native_id: context.nativeId,
    reused_from: context.reusedFrom,
    published_at: context.publishedAtUs,
  }
}

/**
 * Rows of `results` of a job that succeeded. `outputsRoot` is where published paths lie; packs and table files are named by absolute path.
 */
export function resultRows(
  ended: JobEnded,
  options: { outputsRoot: string; arrayDirectory: string | null; site: string; publishedAtUs: number },
): Row[] {
  return ended.outputs.map((output) => ({
    job_digest: ended.job_digest,
    job_id: ended.job,
    job_key: null,
    revision: ended.revision,
    output: output.path,
    url: output.pack === undefined && output.table === undefined ? `${options.outputsRoot}/${output.path}` : null,
    pack:
      output.pack !== undefined
        ? `${options.outputsRoot}/${output.pack}`
        : output.table !== undefined
          ? `${options.arrayDirectory}/${output.table}`
          : null,
    offset_bytes: output.offset ?? null,
    size_bytes: output.size_bytes,
    digest: output.digest,
    site: options.site,
    check: ended.checked ? true : null,
    published_at: options.publishedAtUs,
  }))
}
