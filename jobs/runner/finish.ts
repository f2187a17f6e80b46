import { FloeError } from '../../src/model/errors.ts'
import type { ManifestJob, ManifestTask } from '../../src/model/manifest.ts'
import type { BytesRead, JobEnded, LogRange, OutputWritten } from '../../src/model/record.ts'
import { faultIn } from '../../src/ports/files/webhdfs-faults.ts'
import { CancelFiles } from './cancel.ts'
import { HdfsClients, isRemote } from './entrances.ts'
import { collectOutputs } from './outputs.ts'
import { PackPublisher, TablePublisher } from './pack.ts'
import { FilePublisher, type Publisher } from './publish.ts'
import { HdfsPublisher } from './publish-hdfs.ts'
import type { Reads } from './reads.ts'
import { isDiskError } from './room.ts'
import { KeptSandboxes, type Sandbox, type SandboxPool, sandboxName } from './sandbox.ts'
import type { Flight } from './slot.ts'
import { failed, type Judged, succeeded } from './verdict.ts'

export const nowUs = (): number => usOf(performance.now())
/** UTC microseconds of a monotonic time of this process. */
export const usOf = (ticksMs: number): number => Math.round((performance.timeOrigin + ticksMs) * 1000)

/** The line of a job that never ran. */
export function refused(
  { job, revision, job_digest, try: tries }: ManifestJob,
  judged: Judged,
  read: BytesRead | undefined,
): JobEnded {
  const at = nowUs()
  return {
    ...{ v: 1, at, event: 'job ended', job, revision, job_digest, try: tries, slot: 0, started_at: at },
    ...judged,
    ...{ wall_sec: 0, cpu_sec: null, memory_max_bytes: null, stdout: null, stderr: null },
    ...{ outputs: [], checked: false, ...(read && { bytes_read: read }), sandbox: null },
  }
}

/** What was measured of a job that ran. */
export interface JobRun {
  readonly flight: Flight
  readonly slot: number
  readonly startedMs: number
  readonly wallMs: number
  readonly cpuSec: number | null
  readonly stdout: LogRange | null
  readonly stderr: LogRange | null
}

export interface FinishPlace {
  readonly array: string
  readonly header: ManifestTask
  readonly attempt: number
  readonly pool: SandboxPool
  readonly reads: Reads
}

/** From a job's last exit to its record line: outputs checked and published, directory kept or removed. */
export class Finish {
  readonly #files: Publisher
  readonly #publisher: Publisher
  readonly #kept: KeptSandboxes
  readonly #keepsAll: boolean
  readonly #cancel: CancelFiles
  readonly #name: string
  readonly #pool: SandboxPool
  readonly #reads: Reads

  constructor({ array, header, attempt, pool, reads }: FinishPlace) {
    this.#reads = reads
    this.#name = `${header.task}.${attempt}`
    this.#pool = pool
    const packed = `${header.array}-${this.#name}`
    this.#files = isRemote(header.outputs)
      ? new HdfsPublisher(new HdfsClients(array), header.outputs)
      : new FilePublisher(header.outputs, packed)
    this.#kept = new KeptSandboxes(array, header.sandboxes_max)
    this.#keepsAll = header.sandboxes_all === true
    this.#cancel = new CancelFiles(array, header.task)
    this.#publisher = this.#files
    if (header.publish === 'pack') this.#publisher = new PackPublisher(header.outputs, packed)
    if (header.publish === 'table') this.#publisher = new TablePublisher(array, this.#name)
  }

  /** `judged` undefined: all went well so far, and the outputs decide. A promise only for large outputs. */
  finish(run: JobRun, judged: Judged | undefined): JobEnded | Promise<JobEnded> {
    if (judged) return this.#line(run, this.#withMissing(run, judged), [])
    const { job, sandbox } = run.flight
    if (job.outputs.length === 0) return this.#line(run, succeeded, [])
    const collected = collectOutputs(sandbox.path, job.outputs, namesOf(sandbox))
    if ('problem' in collected) return this.#line(run, { ...failed('app', collected.problem), exit: 0 }, [])
    const written: (OutputWritten | Promise<OutputWritten>)[] = []
    // Asked for now, not at the last look: another job may take over the path once this one was told to end.
    const wanted = () => {
      if (this.#cancel.has(job.job)) throw new Unwanted()
    }
    try {
      for (const produced of collected.produced)
        written.push((produced.isDirectory ? this.#files : this.#publisher).publish(produced, wanted))
    } catch (error) {
      return this.#line(run, unpublished(error, sandbox.path), [])
    }
    if (!written.some((output) => output instanceof Promise))
      return this.#line(run, succeeded, written as OutputWritten[])
    // All of them, for the directory is let go then.
    return Promise.allSettled(written).then((all) => {
      const lost = all.find((one) => one.status === 'rejected')
      if (lost) return this.#line(run, unpublished(lost.reason, sandbox.path), [])
      return this.#line(
        run,
        succeeded,
        all.map((one) => (one as PromiseFulfilledResult<OutputWritten>).value),
      )
    })
  }

  /** Puts the directory of a job away that gets no verdict. */
  forget(flight: Flight, slot: number): void {
    this.#pool.release(flight.sandbox, slot)
  }

  close(): void {
    this.#publisher.close()
    this.#kept.prune()
  }

  /** A failed check is often a missing output. */
  #withMissing({ flight: { sandbox, job } }: JobRun, judged: Judged): Judged {
    if (judged.class !== 'check') return judged
    const collected = collectOutputs(sandbox.path, job.outputs, namesOf(sandbox))
    return 'problem' in collected ? { ...judged, rule: `${judged.rule}; ${collected.problem}` } : judged
  }

  #line(run: JobRun, judged: Judged, outputs: readonly OutputWritten[]): JobEnded {
    const { flight, slot, startedMs, wallMs } = run
    const { job, sandbox } = flight
    const isKept = this.#keepsAll || (judged.verdict === 'failed' && judged.class !== 'launch')
    const kept = isKept ? this.#kept.keep(sandbox.path, sandboxName(this.#name, sandbox.path)) : null
    if (kept === null) this.#pool.release(sandbox, slot)
    const read = this.#reads.take(job.job)
    return {
      v: 1,
      at: usOf(startedMs + wallMs),
      event: 'job ended',
      job: job.job,
      revision: job.revision,
      job_digest: job.job_digest,
      try: job.try,
      slot,
      started_at: usOf(startedMs),
      verdict: judged.verdict,
      class: judged.class,
      rule: judged.rule,
      exit: judged.exit,
      signal: judged.signal,
      wall_sec: Math.round(wallMs * 1000) / 1e6,
      cpu_sec: run.cpuSec,
      memory_max_bytes: flight.memoryMax ?? null,
      stdout: run.stdout,
      stderr: run.stderr,
      outputs,
      checked: job.check !== undefined && judged.verdict === 'succeeded',
      ...(read && { bytes_read: read }),
      sandbox: kept,
    }
  }
}

const namesOf = ({ links }: Sandbox): string[] => links.map(({ name }) => name)

/** Thrown instead of publishing an output of a job that is to be cancelled. */
class Unwanted extends Error {}

/** An output that cannot be read, or whose name does not do, is the job's failure; a place that cannot be written is nobody's, so it is thrown. */
function unpublished(error: unknown, sandbox: string): Judged {
  if (error instanceof Unwanted)
    return { ...failed('cancelled', 'cancelled on request, before it was published'), exit: 0 }
  if (error instanceof FloeError) {
    // A name that HDFS does not take is the job's; what does not get there is nobody's, and may get there the next time.
    const failure = faultIn(error) === 'name' ? 'app' : 'staging'
    return { ...failed(failure, `an output could not be published: ${error.message}`), exit: 0 }
  }
  const { code, path, message } = error as NodeJS.ErrnoException
  const isDenied = code === 'EACCES' || code === 'EPERM'
  if (isDiskError(error) || (isDenied && (!path?.startsWith(sandbox) || 'dest' in (error as object)))) throw error
  return { ...failed('app', `an output could not be published: ${message}`), exit: 0 }
}
