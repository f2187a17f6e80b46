import type { RecordLine } from './record.ts'

/** A record line told to the world: CloudEvents 1.0 in structured JSON. Events may be lost, doubled, reordered; `id` makes a reader idempotent. */
export interface StatusEvent {
  readonly specversion: '1.0'
  /** `<array>/<task>.<attempt>/<line>`: the same line always has the same id. Unique within `source`. */
  readonly id: string
  /** `/campaigns/<campaign id>/sites/<site>` */
  readonly source: string
  readonly type: EventType
  /** The job; of a task, `<array>/<task>`. */
  readonly subject: string
  /** RFC 3339, microseconds, by the node's clock. */
  readonly time: string
  readonly datacontenttype: 'application/json'
  /** `<campaign id>/<batch>`: events of one key come in order, each at least once. */
  readonly partitionkey: string
  readonly batch: number
  readonly attempt: number
  /** Of the record file, from 1: in one attempt a line that is not larger than one seen before was told before. */
  readonly line: number
  readonly data: RecordLine
}

export type EventType = (typeof EVENT_TYPES)[RecordLine['event']]

export const EVENT_TYPES = {
  'task started': 'org.floe.task.started',
  'job started': 'org.floe.job.started',
  'job ended': 'org.floe.job.ended',
  'task ended': 'org.floe.task.ended',
} as const satisfies Record<RecordLine['event'], string>
