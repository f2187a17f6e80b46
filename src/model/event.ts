import type { RecordLine } from './record.ts'

/** A record line told to the world: CloudEvents 1.0 in structured JSON. Events may be lost, doubled, reordered; `id` makes a reader idempotent. */
export interface StatusEvent {
  readonly specversion: '1.0'
  /** `<array>/<task>.<attempt>/<line>`: the same line always has the same id. */
  readonly id: string
  readonly source: string
  readonly type: 'org.floe.task.started' | 'org.floe.job.started' | 'org.floe.job.ended' | 'org.floe.task.ended'
  readonly subject: string
  readonly time: string
  readonly datacontenttype: 'application/json'
  readonly data: RecordLine
}
