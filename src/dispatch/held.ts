import type { ManifestTask, NamedJob } from '../model/manifest.ts'
import type { ReadLine } from '../model/record.ts'

export interface HeldTask {
  readonly header: ManifestTask
  readonly jobs: readonly NamedJob[]
}

/** What manifests and record files of arrays would say. */
export interface HeldArrays {
  /** Task n is the one at n. */
  stage(id: string, tasks: readonly HeldTask[]): void
  /** Of a task; none when the array was taken away. */
  jobs(id: string, task: number): readonly NamedJob[]
  /** The lines that were pulled since the last call. */
  takeLines(id: string): readonly ReadLine[]
}
