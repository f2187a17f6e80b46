import { EVENT_TYPES, type StatusEvent } from '../model/event.ts'
import type { RecordGlance } from '../model/record.ts'
import type { Message } from '../ports/bus/bus.ts'
import type { BoardEvent } from './board.ts'

/** A record file. */
export interface RecordPlace {
  readonly campaign: string
  readonly site: string
  readonly array: string
  readonly task: number
  readonly attempt: number
}

/**
 * Makes messages of lines of one record file; `line` is its number from 1. Text is put together by hand: of a million events JSON.stringify
 * takes seconds.
 */
export function messagesOf({ campaign, site, array, task, attempt }: RecordPlace) {
  const id = inner(`${array}/${task}.${attempt}/`)
  const source = JSON.stringify(`/campaigns/${campaign}/sites/${site}` satisfies StatusEvent['source'])
  const [keyBegin, ofTask] = [inner(`${campaign}/`), JSON.stringify(`${array}/${task}`)]
  return ({ at, event, job, body }: RecordGlance, { batch, line }: { batch: number; line: number }): Message => ({
    key: `${campaign}/${batch}`,
    // The record is JSON already, and most of the event.
    value:
      `{"specversion":"1.0","id":"${id}${line}","source":${source},"type":"${EVENT_TYPES[event]}","subject":${job ?? ofTask},` +
      `"time":"${timeOf(at)}","datacontenttype":"application/json","partitionkey":"${keyBegin}${batch}",` +
      `"batch":${batch},"attempt":${attempt},"line":${line},"data":${body}}}`,
  })
}

/** As JSON has it, without its quotes. */
const inner = (text: string): string => JSON.stringify(text).slice(1, -1)

let second = { at: Number.NaN, text: '' }

/** `2023-11-14T22:13:21.000000Z`; lines come many a second. */
function timeOf(microseconds: number): string {
  const at = Math.floor(microseconds / 1e6)
  if (at !== second.at) second = { at, text: new Date(at * 1000).toISOString().slice(0, -'000Z'.length) }
  return `${second.text}${String(microseconds - at * 1e6).padStart(6, '0')}Z`
}

/** How `messagesOf` begins what it tells of a job that ended: nearly all that there is. */
const JOB_EVENT = new RegExp(
  [
    String.raw`^\{"specversion":"1\.0","id":"([^"\\]+)","source":"([^"\\]+)","type":"org\.floe\.job\.ended","subject":("(?:[^"\\]|\\.)*"),`,
    String.raw`"time":"([^"\\]+)","datacontenttype":"application/json","partitionkey":"[^"\\]+",`,
    String.raw`"batch":\d+,"attempt":\d+,"line":(\d+),"data":\{"v":1,"at":\d+,"event":"job ended","job":\3,`,
  ].join(''),
)

/** What a board needs of a job that succeeded, in a fraction of the time of `readEvent`; undefined: read it whole. A message has a checksum of Kafka's. */
export function glanceAtEvent(text: string): BoardEvent | undefined {
  // Within a text of JSON these quotes would be escaped.
  if (!text.endsWith('}}') || !text.includes(',"verdict":"succeeded",')) return undefined
  const [, id, source, job, time, line] = JOB_EVENT.exec(text) ?? []
  if (job === undefined) return undefined
  return {
    ...{ id: id!, source: source!, time: time!, line: Number(line) },
    data: { event: 'job ended', job: JSON.parse(job) as string, verdict: 'succeeded', rule: '' },
  }
}

const TYPES: ReadonlySet<string> = new Set(Object.values(EVENT_TYPES))

/** The event in a text; `newer`: of a version that this floe does not know; `foreign`: no event of floe. */
export function readEvent(text: string): StatusEvent | 'newer' | 'foreign' {
  let event: Partial<StatusEvent>
  try {
    event = JSON.parse(text) as Partial<StatusEvent>
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
