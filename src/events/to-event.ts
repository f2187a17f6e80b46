import { EVENT_TYPES, type StatusEvent } from '../model/event.ts'
import type { RecordLine } from '../model/record.ts'

/** Where a record line stands. */
export interface LinePlace {
  readonly campaign: string
  readonly site: string
  readonly array: string
  readonly task: number
  readonly attempt: number
  readonly batch: number
  /** From 1. */
  readonly line: number
}

/** `,"crc":"xxxxxxxx"}` */
const CRC_LENGTH = 18

/** A record line as the message that tells it: `text` is the line as it was read, whose checksum is right, and `record` what it says. */
export function toMessage(text: string, record: RecordLine, place: LinePlace): { key: string; value: string } {
  const key = `${place.campaign}/${place.batch}`
  const head = JSON.stringify({
    specversion: '1.0',
    id: `${place.array}/${place.task}.${place.attempt}/${place.line}`,
    source: `/campaigns/${place.campaign}/sites/${place.site}`,
    type: EVENT_TYPES[record.event],
    subject: 'job' in record ? record.job : `${place.array}/${place.task}`,
    time: timeOf(record.at),
    datacontenttype: 'application/json',
    partitionkey: key,
    batch: place.batch,
    attempt: place.attempt,
    line: place.line,
  } satisfies Omit<StatusEvent, 'data'>)
  // The record is JSON already, and most of the event.
  return { key, value: `${head.slice(0, -1)},"data":${text.slice(0, -CRC_LENGTH)}}}` }
}

function timeOf(microseconds: number): string {
  const parts = new Date(microseconds / 1000).toISOString()
  return `${parts.slice(0, -1)}${String(microseconds % 1000).padStart(3, '0')}Z`
}

const TYPES: ReadonlySet<string> = new Set(Object.values(EVENT_TYPES))

/** The event in a message; `newer`: of a version that this floe does not know; `foreign`: no event of floe. */
export function readEvent(value: Uint8Array | null): StatusEvent | 'newer' | 'foreign' {
  let event: Partial<StatusEvent>
  try {
    event = JSON.parse(Buffer.from(value ?? []).toString('utf8')) as Partial<StatusEvent>
  } catch {
    return 'foreign'
  }
  if (typeof event !== 'object' || event === null) return 'foreign'
  const { specversion, type, data } = event
  if (typeof specversion !== 'string' || typeof type !== 'string' || !type.startsWith('org.floe.')) return 'foreign'
  if (!TYPES.has(type) || !specversion.startsWith('1.')) return 'newer'
  if (typeof data !== 'object' || data === null || !isPlaced(event)) return 'foreign'
  return data.v === 1 ? (event as StatusEvent) : 'newer'
}

const isPlaced = ({ id, source, line, attempt, batch }: Partial<StatusEvent>): boolean =>
  typeof id === 'string' &&
  typeof source === 'string' &&
  [line, attempt, batch].every((number) => Number.isSafeInteger(number))
