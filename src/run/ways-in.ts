import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Entrances } from '../model/entrance.ts'
import type { RunContext } from './context.ts'
import type { LiveArray } from './live-array.ts'

const EVERY_MS = 5000

/**
 * Keeps open what tasks get in to HDFS by: has tokens renewed in time, and puts new ones into the directories of arrays, beside the run and never in its
 * way. A task reads them when it starts, and again when it was refused, so an array may wait for longer than any token lives.
 */
export class WaysIn {
  readonly #context: RunContext
  #round: Promise<void> | undefined
  #nextAt = Number.NEGATIVE_INFINITY
  #warning: string | null = null

  constructor(context: RunContext) {
    this.#context = context
  }

  /** What a person has to see to before a token ends; null: nothing. */
  get warning(): string | null {
    return this.#warning
  }

  /** Begins a round when one is due. */
  look(live: Iterable<LiveArray>): void {
    const { clock } = this.#context
    if (this.#round || clock.ticks() < this.#nextAt) return
    this.#round = this.#keep(
      [...live].filter(({ isSent, goneSince, over }) => isSent && goneSince === undefined && !over),
    ).finally(() => {
      this.#nextAt = clock.ticks() + EVERY_MS
      this.#round = undefined
    })
  }

  /** Waits for what is under way. */
  async finish(): Promise<void> {
    await this.#round
  }

  async #keep(arrays: readonly LiveArray[]): Promise<void> {
    try {
      this.#warning = await this.#context.stores.keep(this.#context.clock.now())
    } catch (error) {
      // Tasks that are refused say so themselves.
      this.#warning ??= (error as Error).message
    }
    for (const array of arrays)
      await this.#renew(array).catch((error: Error) => {
        this.#warning ??= error.message
      })
  }

  async #renew({ id, directory }: LiveArray): Promise<void> {
    const { site, stores } = this.#context
    const path = join(directory, 'hdfs')
    if (!existsSync(path)) return
    const given = readFileSync(path, 'utf8')
    const known = Object.entries(JSON.parse(given) as Entrances)
    const urls = known.map(([authority, { scheme = 'webhdfs' }]) => `${scheme}://${authority}/`)
    const text = JSON.stringify(await stores.entrances(urls, site.hdfsHosts))
    if (text === given) return
    await site.sendEntrances(id, text)
  }
}
