import type { StatusEvent } from '../model/event.ts'
import type { Bus, From } from '../ports/bus/bus.ts'
import { Board } from './board.ts'
import { glanceAtEvent, readEvent } from './to-event.ts'

/** Messages that are passed over, and why. */
export interface Skipped {
  /** Of a version that this floe does not know. */
  newer: number
  /** No events of floe: not JSON, or of somebody else. */
  foreign: number
}

/** An event and its text. Most are told on as they are, so it is parsed when it is asked for. */
export class Told {
  readonly text: string
  #event: StatusEvent | undefined

  constructor(text: string, event?: StatusEvent) {
    this.text = text
    this.#event = event
  }

  get event(): StatusEvent {
    this.#event ??= JSON.parse(this.text) as StatusEvent
    return this.#event
  }
}

/** What came together; each event once. */
export interface EventNews {
  readonly events: readonly Told[]
  /** All that came so far. */
  readonly board: Board
  readonly skipped: Readonly<Skipped>
  /** Why nothing comes, in words; null: something may. */
  readonly waiting: string | null
}

export interface FollowWish {
  readonly group: string
  readonly from: From
  /** Only of this campaign. */
  readonly campaign?: string
  readonly signal: AbortSignal
}

/** Events of a bus as they come, without repeats. What was yielded is told to be read when the next is asked for. */
export async function* followEvents(bus: Bus, { campaign, ...wish }: FollowWish): AsyncGenerator<EventNews> {
  const board = new Board()
  const skipped: Skipped = { newer: 0, foreign: 0 }
  for await (const { messages, waiting, done } of bus.read(wish)) {
    const events: Told[] = []
    for (const { key, value } of messages) {
      if (campaign !== undefined && !key.startsWith(`${campaign}/`)) continue
      const text = value?.toString('utf8') ?? ''
      const glance = glanceAtEvent(text)
      if (glance) {
        if (board.heed(glance)) events.push(new Told(text))
        continue
      }
      const event = readEvent(text)
      if (typeof event === 'string') skipped[event]++
      else if (board.heed(event)) events.push(new Told(text, event))
    }
    yield { events, board, skipped, waiting }
    await done()
  }
}
