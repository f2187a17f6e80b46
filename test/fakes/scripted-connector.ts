import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ArraySpec, Connector, TaskReport } from '../../connectors/connector.ts'
import type { ManifestJob } from '../../src/model/manifest.ts'
import { encodeRecord, type JobEnded, type RecordLine } from '../../src/model/record.ts'
import { readManifest } from '../../src/stage/stage.ts'

/** What becomes of a job in a scripted task: parts of its verdict; `vanish` ends the task there, unsealed. */
export type Fate = Partial<JobEnded> | 'vanish'

export interface ScriptedConnector extends Connector {
  /** How often each job was run, by name. */
  readonly runs: Map<string, number>
  /** Arrays by name, in the order of their submission. */
  readonly submitted: string[]
}

const AT = 1_700_000_000_000_000

/** A connector that runs no program: each array is over when it is submitted, its record files written as `fate` says. */
export function scriptedConnector(
  fate: (job: ManifestJob) => Fate = () => ({}),
  nodeOf: (place: { task: number }) => string = () => 'n1',
): ScriptedConnector {
  const ended = new Map<string, number>()
  const runs = new Map<string, number>()
  const submitted: string[] = []
  return {
    name: 'scripted',
    runs,
    submitted,
    async submit(array: ArraySpec) {
      if (!ended.has(array.name)) {
        submitted.push(array.name)
        ended.set(array.name, array.count)
        for (let task = 0; task < array.count; task++) runTask(array.directory, task)
      }
      return array.name
    },
    async status(arrays) {
      return [...arrays.keys()].flatMap((id) =>
        Array.from(
          { length: ended.get(id) ?? 0 },
          (_, index): TaskReport => ({ id, index, state: 'ended', reason: null }),
        ),
      )
    },
    async cancel() {},
    endings: async () => [],
    waiting: (reason) => ({ sentence: reason, clears: 'will clear' }),
    siteLimits: async () => ({
      ...{ version: 'scripted', arrayMax: 1000, queuedMax: 10_000, arraysMax: null, queues: [], accounts: [] },
      ...{ forgetsAfterSec: null, hasAccounting: false, notes: [] },
    }),
  }

  function runTask(directory: string, task: number): void {
    const { header, jobs } = readManifest(directory, task)
    const path = join(directory, 'records', `${task}.1`)
    if (existsSync(path)) return
    const tell = (line: RecordLine) => appendFileSync(path, encodeRecord(line))
    tell({
      v: 1,
      at: AT,
      event: 'task started',
      campaign: header.campaign,
      array: header.array,
      task,
      attempt: 1,
      batch: header.batch,
      node: nodeOf({ task }),
      native_id: null,
      pid: 1,
      slots: 1,
    })
    for (const job of jobs) {
      runs.set(job.job, (runs.get(job.job) ?? 0) + 1)
      const what = fate(job)
      const stream = { file: '0.out', offset: 0 }
      if (what === 'vanish') {
        tell({
          v: 1,
          at: AT,
          event: 'job started',
          job: job.job,
          revision: job.revision,
          slot: 0,
          started_at: AT,
          stdout: stream,
          stderr: stream,
        })
        return
      }
      tell({
        v: 1,
        at: AT + 5000,
        event: 'job ended',
        job: job.job,
        revision: job.revision,
        job_digest: job.job_digest,
        try: job.try,
        slot: 0,
        started_at: AT,
        verdict: what.class ? 'failed' : 'succeeded',
        class: null,
        rule: what.class ? `scripted ${what.class}` : 'exit 0',
        exit: what.class ? 1 : 0,
        signal: null,
        wall_sec: 0.005,
        cpu_sec: null,
        memory_max_bytes: null,
        stdout: null,
        stderr: null,
        outputs: what.class
          ? []
          : job.outputs.map(({ path: output }) => ({ path: output, size_bytes: 3, digest: 'sha256:00' })),
        checked: false,
        sandbox: null,
        ...what,
      })
    }
    tell({ v: 1, at: AT, event: 'task ended', reason: 'done', message: null, jobs: jobs.length })
  }
}
