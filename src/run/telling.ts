import { join } from 'node:path'
import { hasNews, Relay, type RelayedArray } from '../events/events.ts'
import { sitePaths } from '../model/campaign.ts'
import type { Bus } from '../ports/bus/bus.ts'
import { quoteText } from '../ports/tables/tables.ts'
import type { RunContext } from './context.ts'
import type { LiveArray } from './live-array.ts'

const EVERY_MS = 1000
const AGAIN_MAX_MS = 30_000
/** At the end of a run: what is not told then, the next one tells, or `floe relay`. */
const LAST_MS = 5000

/**
 * Tells the world what the records say, beside the run and never in its way: while the bus is away nothing waits for it, and afterwards it
 * goes on from the marks that stand beside the records.
 */
export class Telling {
  readonly #context: RunContext
  readonly #bus: Bus
  readonly #relay: Relay
  /** Arrays that may have something to tell. */
  readonly #arrays: Map<string, RelayedArray>
  #round: Promise<void> | undefined
  #nextAt = Number.NEGATIVE_INFINITY
  #againMs = EVERY_MS
  #waiting: string | null = null
  #finished: Promise<string | null> | undefined

  constructor(context: RunContext, bus: Bus, ended: readonly string[]) {
    this.#context = context
    this.#bus = bus
    this.#relay = new Relay(bus, context.site.name)
    this.#arrays = new Map(ended.map((id) => [id, relayed(context, id)]))
  }

  /** Undefined where no bus is configured. A run that was killed may have left ended arrays untold. */
  static async open(context: RunContext): Promise<Telling | undefined> {
    const bus = await context.openBus()
    if (!bus) return undefined
    await context.tables.view('batches')
    const rows = await context.tables.sql.rows<{ array_id: string }>(
      `select distinct array_id from batches where state = 'ended' and array_id is not null and site = ${quoteText(context.site.name)}`,
    )
    return new Telling(
      context,
      bus,
      rows.map(({ array_id }) => array_id),
    )
  }

  /** Why events wait, in words; null: they do not. */
  get waiting(): string | null {
    return this.#waiting === null ? null : `status events wait: ${this.#waiting}`
  }

  /** Begins a round when one is due. */
  look(live: Iterable<LiveArray>): void {
    const ids = [...live].map(({ id }) => id)
    for (const id of ids) this.#arrays.set(id, relayed(this.#context, id))
    const { clock } = this.#context
    if (this.#round || clock.ticks() < this.#nextAt) return
    this.#round = this.#tell(new Set(ids)).finally(() => {
      this.#nextAt = clock.ticks() + this.#againMs
      this.#round = undefined
    })
  }

  /** Tells what is left, and waits for that a while. Answers why some is not told; null: all is. */
  finish(): Promise<string | null> {
    this.#finished ??= this.#finish()
    return this.#finished
  }

  async #finish(): Promise<string | null> {
    const waited = new AbortController()
    const rest = (async () => {
      await this.#round
      await this.#tell(new Set(), { isLast: true })
    })()
    await Promise.race([rest, this.#context.clock.sleep(LAST_MS, waited.signal)])
    waited.abort()
    // What is under way then is given up, and says why; a first answer that does not come is not waited for.
    await this.#bus.close()
    const isOver = await Promise.race([rest.then(() => true), this.#context.clock.sleep(0).then(() => false)])
    return this.#waiting ?? (isOver ? null : `${this.#bus.where} did not answer within ${LAST_MS / 1000} s`)
  }

  async #tell(live: ReadonlySet<string>, { isLast = false } = {}): Promise<void> {
    try {
      const arrays = [...this.#arrays.values()]
      await this.#relay.round(arrays, { isLast })
      for (const { id } of arrays) if (!live.has(id)) this.#arrays.delete(id)
      this.#waiting = null
      this.#againMs = EVERY_MS
    } catch (error) {
      // Whatever it is: the campaign goes on.
      this.#waiting = (error as Error).message
      this.#againMs = Math.min(AGAIN_MAX_MS, this.#againMs * 2)
    }
  }
}

function relayed({ campaignId, paths }: RunContext, id: string): RelayedArray {
  return { campaign: campaignId, id, directory: join(sitePaths(paths.scratch, campaignId).arrays, id) }
}

/** Ended arrays of this machine whose events a bus that is away has not got, and what it said; their records are all that tells them. */
export interface Untold {
  readonly arrays: ReadonlySet<string>
  readonly why: string | null
}

/** Tells what ended arrays of this machine have left to tell. */
export async function tellRest(context: RunContext, ended: readonly string[]): Promise<Untold> {
  const bus = ended.length > 0 ? await context.openBus() : undefined
  // Without one no record is read for it.
  if (!bus) return { arrays: new Set(), why: null }
  const waiting = () => ended.filter((id) => hasNews(relayed(context, id).directory))
  const news = waiting()
  const why = news.length > 0 ? await new Telling(context, bus, news).finish() : null
  return { arrays: new Set(why === null ? [] : waiting()), why }
}
