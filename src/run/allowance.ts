import type { Reserved, Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import { formatCount } from '../model/format.ts'
import type { Clock } from '../ports/clock.ts'

/** What was said holds for a day at the site. */
const TOLD_AGAIN_MS = 3_600_000
/** A site that does not answer does not hold the end of a run. */
const LAST_MS = 5000

/** What a site allows a user, shared with the other campaigns of that user; all of it where a site counts none. */
export class Allowance {
  readonly #site: Pick<Site, 'reserve' | 'rhythm'>
  readonly #clock: Clock
  #heard: Reserved = { granted: 0, others: 0, campaigns: 0 }
  /** What the site was told last; undefined: an earlier run may have told anything. */
  #told: { readonly open: number; readonly lacks: number } | undefined
  #toldAt = Number.NEGATIVE_INFINITY
  /** What it was not given. */
  #lacks = 0
  #max = 0

  constructor(site: Pick<Site, 'reserve' | 'rhythm'>, clock: Clock) {
    this.#site = site
    this.#clock = clock
  }

  /** Open tasks of other campaigns, as heard last. */
  get others(): number {
    return this.#heard.others
  }

  /** What holds this campaign back, in words; null: no other campaign does. */
  get waiting(): string | null {
    const { others, campaigns } = this.#heard
    if (this.#lacks === 0 || campaigns === 0) return null
    const who = campaigns === 1 ? 'another campaign' : `${formatCount(campaigns)} other campaigns`
    return `${formatCount((this.#told?.open ?? 0) + others)} of ${formatCount(this.#max)} submitted allowed, ${formatCount(others)} of them by ${who}`
  }

  /** How many of the `wanted` tasks may be sent beside those that are open. After a no it is asked again at the next look. */
  async take({ open, wanted, max }: { open: number; wanted: number; max: number }): Promise<number> {
    const { reserve } = this.#site
    if (!reserve) return wanted
    if (this.#lacks > 0 && !this.#isDue) return 0
    this.#max = max
    this.#heard = await reserve({ open, wanted, max, takes: true })
    this.#lacks = wanted - this.#heard.granted
    this.#note(open + this.#heard.granted)
    return this.#heard.granted
  }

  /** Tells other campaigns of tasks that ended, at each look. `cut`: batches that are still to be sent. */
  async look(standing: { readonly open: number; readonly cut: number }): Promise<void> {
    this.#lacks = Math.min(this.#lacks, standing.cut)
    if (this.#isDue) await this.#tell(standing)
  }

  /** The same at the end of a run, which waits a while for that. */
  async finish(standing: { readonly open: number; readonly cut: number }): Promise<void> {
    if (!this.#site.reserve) return
    this.#lacks = Math.min(this.#lacks, standing.cut)
    const waited = new AbortController()
    await Promise.race([this.#tell(standing), this.#clock.sleep(LAST_MS, waited.signal)])
    waited.abort()
  }

  async #tell({ open }: { readonly open: number }): Promise<void> {
    const { reserve } = this.#site
    const isKnown = open === this.#told?.open && this.#lacks === this.#told.lacks
    if (!reserve || (isKnown && this.#clock.ticks() - this.#toldAt < TOLD_AGAIN_MS)) return
    try {
      this.#heard = await reserve({ open, wanted: this.#lacks, max: this.#max, takes: false })
      this.#note(open)
    } catch (error) {
      // Until it is told they take it for more.
      if (!(error instanceof FloeError)) throw error
    }
  }

  get #isDue(): boolean {
    return this.#clock.ticks() - this.#toldAt >= this.#site.rhythm.watchMs
  }

  #note(open: number): void {
    this.#told = { open, lacks: this.#lacks }
    this.#toldAt = this.#clock.ticks()
  }
}
