import { join } from 'node:path'
import type { TaskLimits } from '../dispatch/dispatch.ts'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import { stageArray } from '../stage/stage.ts'
import { answersFor } from './answers.ts'
import { assignArray } from './arrays.ts'
import type { RunContext } from './context.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { rootsOf } from './planning.ts'
import type { Publisher } from './publisher.ts'

/** Pauses before a site is asked again to take an array, and how often in a row it may not answer. */
const PAUSE_MS = 1000
const PAUSE_MAX_MS = 300_000
const SILENCES_MAX = 8

/**
 * Keeps a site fed: makes arrays of batches that are cut, stages, carries and submits them. A site that is full, or does not answer, is
 * asked again later; the array stays as it is staged. Throws what a person has to mend, and SITE_UNREACHABLE after several tries.
 */
export class Feed {
  /** Batches that are cut and in no array yet. */
  cut = 0
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #publisher: Publisher
  readonly #arrays: Map<string, LiveArray>
  /** Until when nothing is asked of the site, by the monotonic clock; how often in a row it did not do it, and what it said. */
  #pausedUntil = Number.NEGATIVE_INFINITY
  #refusals = 0
  #blocked: string | null = null
  /** A site that never did anything for this run is more likely misnamed than away. */
  #hasAnswered = false

  constructor(context: RunContext, lease: Lease, publisher: Publisher, arrays: Map<string, LiveArray>) {
    this.#context = context
    this.#lease = lease
    this.#publisher = publisher
    this.#arrays = arrays
  }

  /** Why the site takes nothing now. */
  get blocked(): string | null {
    return this.#blocked
  }

  limits(): Promise<TaskLimits> {
    return this.#context.site.limits()
  }

  get openTasks(): number {
    let open = 0
    for (const array of this.#arrays.values()) open += array.openTasks.length
    return open
  }

  /** A new array whenever fewer tasks wait than could start soon. */
  async fill(): Promise<void> {
    await this.#patiently(async () => {
      if (this.cut === 0) return
      const { refillBelow, openMax, arrayMax } = await this.limits()
      while (this.cut > 0 && this.openTasks < refillBelow && !this.#isPaused) {
        const array = await assignArray(this.#context, {
          first: this.#arrays.size === 0,
          tasks: Math.min(arrayMax, openMax - this.openTasks),
          guard: () => this.#lease.guard(),
        })
        this.#hasAnswered = true
        if (!array) {
          this.cut = 0
          return
        }
        this.cut -= array.batches.length
        this.#arrays.set(array.id, array)
        await this.#stage(array)
      }
    })
  }

  /** Arrays that the site did not take are offered again. */
  async offerAgain(): Promise<void> {
    for (const array of this.#arrays.values())
      if (array.nativeId === undefined && array.goneSince === undefined && !array.over) await this.submit(array)
  }

  async #stage(array: LiveArray): Promise<void> {
    const context = this.#context
    const { site } = context
    await context.tables.view('plan', undefined, 'plan_positions')
    const staged = await stageArray(context.tables, {
      arrayId: array.id,
      tasks: array.batches.map(({ task, batchId }) => ({ task, batchId, terms: array.terms })),
      chosen: `select p.job_key, p.revision, p.position, b.task
        from plan_positions p join batches b on b.plan_id = p.plan_id and p.position >= b.position_from and p.position < b.position_to
        where b.array_id = '${array.id}'`,
      directory: array.directory,
      cache: sitePaths(context.paths.scratch, context.campaignId).cache,
      siteCache: site.paths.cache,
      campaign: context.campaignId,
      outputs: site.outputs,
      sandboxesMax: context.settings.sandboxesMax,
      roots: rootsOf(context),
      place: (file) => site.place(file),
      answer: async (jobs) => {
        const { answers, answered } = await answersFor(context, jobs, this.#publisher.waitingAnswers)
        this.#publisher.addAnswers(answers)
        return answered
      },
    })
    if (staged.jobs === 0) {
      for (const { task } of array.batches) array.markGone(task)
      return
    }
    array.isSent = false
    await this.submit(array)
  }

  /** Carries the array over, when it was staged by this process and is not there yet, and submits it. */
  async submit(array: LiveArray): Promise<void> {
    const { campaignId, site } = this.#context
    const directory = join(site.paths.arrays, array.id)
    await this.#patiently(async () => {
      if (!array.isSent) await site.send(array.id)
      array.isSent = true
      array.nativeId = await site.submit({
        name: `floe-${campaignId.slice(0, 8)}-${array.id}`,
        directory,
        count: array.batches.length,
        command: [...(await site.runner()), '--array', directory],
        ...(await site.shape(array.terms)),
      })
      this.#hasAnswered = true
      this.#refusals = 0
      this.#blocked = null
    })
  }

  get #isPaused(): boolean {
    return this.#context.clock.ticks() < this.#pausedUntil
  }

  async #patiently(act: () => Promise<void>): Promise<void> {
    if (this.#isPaused) return
    try {
      await act()
    } catch (error) {
      if (!(error instanceof FloeError) || (error.code !== 'SITE_FULL' && error.code !== 'SITE_UNREACHABLE'))
        throw error
      const isSilent = error.code === 'SITE_UNREACHABLE'
      if (isSilent && (!this.#hasAnswered || this.#refusals >= SILENCES_MAX)) throw error
      this.#refusals++
      const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(this.#refusals, 8))
      this.#pausedUntil = this.#context.clock.ticks() + pauseMs
      this.#blocked = error.message
    }
  }
}
