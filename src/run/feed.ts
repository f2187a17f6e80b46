import { join } from 'node:path'
import { isRefusal, lenient, type TaskLimits } from '../dispatch/dispatch.ts'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import { positionsSql } from '../model/positions.ts'
import { isAtSql, stageArray } from '../stage/stage.ts'
import { Allowance } from './allowance.ts'
import { answersFor, canAnswer } from './answers.ts'
import { assignArray } from './arrays.ts'
import type { BadNodes } from './bad-nodes.ts'
import type { RunContext } from './context.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { Patience } from './patience.ts'
import { rootsOf } from './planning.ts'
import type { Publisher } from './publisher.ts'

/**
 * Keeps a site fed: makes arrays of batches that are cut, stages, carries and submits them. A site that is full, or does not answer, is
 * asked again later; the array stays as it is staged. One that the scheduler refuses is let go. Throws what a person has to mend, and
 * SITE_UNREACHABLE when patience ends.
 */
export class Feed {
  /** Batches that are cut and in no array yet. */
  cut = 0
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #publisher: Publisher
  readonly #arrays: Map<string, LiveArray>
  readonly #nodes: BadNodes
  readonly patience: Patience
  readonly allowance: Allowance
  /** Arrays that stand as they are until a person has mended something. */
  readonly #stuck = new Set<LiveArray>()
  /** Arrays to which the scheduler said that there is no room: it has nothing of them. */
  readonly #putOff = new Set<LiveArray>()
  readonly #letGone = new Set<string>()
  /** Tasks of the next array; fewer than the site names where it turned out to take fewer. */
  #tasksMax = Number.POSITIVE_INFINITY

  constructor(
    context: RunContext,
    {
      lease,
      publisher,
      arrays,
      nodes,
    }: { lease: Lease; publisher: Publisher; arrays: Map<string, LiveArray>; nodes: BadNodes },
  ) {
    this.#context = context
    this.#lease = lease
    this.#publisher = publisher
    this.#arrays = arrays
    this.#nodes = nodes
    this.patience = new Patience(context.clock)
    this.allowance = new Allowance(context.site, context.clock)
  }

  isStuck(array: LiveArray): boolean {
    return this.#stuck.has(array)
  }

  /** The array is over without having been at the site. */
  isLetGo({ id }: LiveArray): boolean {
    return this.#letGone.has(id)
  }

  /** Something changed that may have been in the way. */
  unstick(): void {
    this.#stuck.clear()
  }

  limits(): Promise<TaskLimits> {
    return this.#context.site.limits()
  }

  get openTasks(): number {
    let open = 0
    for (const array of this.#arrays.values()) open += array.openTasks.length
    return open
  }

  get #openArrays(): number {
    return [...this.#arrays.values()].filter(({ openTasks }) => openTasks.length > 0).length
  }

  /** A new array whenever fewer tasks wait than could start soon. */
  async fill(): Promise<void> {
    await this.patience.tries(async () => {
      if (this.cut === 0 || this.#nodes.isPaused) return
      const { refillBelow, openMax, arrayMax, arraysMax } = await this.limits()
      while (this.cut > 0 && this.openTasks < refillBelow && this.#openArrays < arraysMax && !this.patience.isPaused) {
        const open = this.openTasks
        const wanted = Math.min(this.cut, arrayMax, openMax - open, this.#tasksMax)
        const tasks = await this.allowance.take({ open, wanted, max: openMax })
        if (tasks === 0) return
        const array = await assignArray(this.#context, {
          first: this.#arrays.size === 0,
          tasks,
          guard: () => this.#lease.guard(),
        })
        this.patience.heard()
        if (!array) {
          this.cut = 0
          return
        }
        this.cut -= array.batches.length
        this.#arrays.set(array.id, array)
        await this.#orStuck(array, () => this.#stage(array))
      }
    })
  }

  /** Arrays that the site did not take are offered again. */
  async offerAgain(): Promise<void> {
    for (const array of this.#untaken)
      if (!this.#stuck.has(array)) await this.#orStuck(array, () => this.#submit(array))
  }

  /** Lets go of all arrays, or of one, of which the site surely has nothing. */
  async withdraw(only?: LiveArray): Promise<void> {
    for (const array of only ? [only] : this.#untaken)
      if (!array.isSent || this.#putOff.has(array)) await lenient(() => this.#letGo(array))
  }

  get #untaken(): LiveArray[] {
    return [...this.#arrays.values()].filter(
      ({ nativeId, goneSince, over }) => nativeId === undefined && goneSince === undefined && !over,
    )
  }

  async #orStuck(array: LiveArray, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#stuck.add(array)
      throw error
    }
  }

  async #stage(array: LiveArray): Promise<void> {
    const context = this.#context
    const { site } = context
    await context.tables.view('plan', undefined, 'plan_positions')
    const staged = await stageArray(context.tables, {
      arrayId: array.id,
      tasks: array.batches.map(({ task, batchId }) => ({ task, batchId, terms: array.terms })),
      chosen: `select p.job_key, p.job_id, p.revision, p.position, b.task
        from plan_positions p join ${positionsSql(`batches where array_id = '${array.id}'`, ['task'])} b using (plan_id, position)`,
      directory: array.directory,
      cache: sitePaths(context.paths.scratch, context.campaignId).cache,
      siteCache: site.paths.cache,
      campaign: context.campaignId,
      outputs: context.settings.outputsUrl ?? site.outputs,
      sandboxesMax: context.settings.sandboxesMax,
      container: site.container,
      roots: rootsOf(context),
      stores: context.stores,
      ...(site.hdfsHosts && { hdfsHosts: site.hdfsHosts }),
      at: site.dataNodesOf.length > 0 ? isAtSql('url', site.dataNodesOf) : undefined,
      place: (file) => site.place(file),
      ...((await canAnswer(context)) && {
        answer: async (jobs) => {
          const { answers, answered } = await answersFor(context, jobs, this.#publisher.waitingAnswers)
          this.#publisher.addAnswers(answers, site.name)
          return answered
        },
      }),
      ...(site.held && { hold: (tasks) => site.held!.stage(array.id, tasks) }),
    })
    if (staged.jobs === 0) {
      for (const { task } of array.batches) array.markGone(task)
      return
    }
    array.isSent = false
    await this.#submit(array)
  }

  /** Carries the array over, when it was staged by this process and is not there yet, and submits it. */
  async #submit(array: LiveArray): Promise<void> {
    const { campaignId, site } = this.#context
    const directory = join(site.paths.arrays, array.id)
    await this.patience.tries(async () => {
      if (!array.isSent) {
        await this.#lease.guard()
        await site.send(array.id)
      }
      array.isSent = true
      const connector = await site.connector()
      const { setup, avoid: also } = array.terms
      array.avoids = this.#nodes.avoided(setup, { surely: connector.avoid === undefined, also })
      array.generation = this.#nodes.generation
      const spec = {
        name: `floe-${campaignId.slice(0, 8)}-${array.id}`,
        directory,
        count: array.batches.length,
        command: [...(await site.runner()), '--array', directory],
        ...(await site.shape(array.terms)),
        ...(array.avoids.length > 0 && { avoid: array.avoids }),
      }
      await this.#lease.guard()
      this.#putOff.delete(array)
      try {
        array.nativeId = await site.submit(spec)
      } catch (error) {
        await this.#heedRefusal(array, error)
        if (!isRefusal(error) || array.avoids.length === 0) throw error
        // There is no other node, so its jobs take what there is.
        this.#nodes.noneElse()
        return
      }
      this.#tasksMax *= 2
      this.patience.done()
    })
  }

  /** An array that is refused would be refused again, whatever a person does about its jobs; one that finds no room in an empty site is too large. */
  async #heedRefusal(array: LiveArray, error: unknown): Promise<void> {
    if (error instanceof FloeError && error.code === 'SITE_FULL') {
      this.#putOff.add(array)
      const { length } = array.batches
      if (length === 1 || this.#isWaitingForOthers) return
      this.#tasksMax = Math.ceil(length / 2)
      // What is asked next is another thing, so it needs no long pause.
      this.patience.done()
    } else if (!isRefusal(error)) return
    await this.#letGo(array)
  }

  get #isWaitingForOthers(): boolean {
    return [...this.#arrays.values()].some((array) => array.nativeId !== undefined && !array.over)
  }

  /** The directory goes first: a task that came to life in spite of all would find nothing to do. */
  async #letGo(array: LiveArray): Promise<void> {
    await this.#lease.guard()
    await this.#context.site.remove([array.id])
    this.#letGone.add(array.id)
    for (const { task } of array.batches) array.markGone(task)
  }
}
