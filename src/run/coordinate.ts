import { join } from 'node:path'
import { countStates, stateFacts } from '../catalog/catalog.ts'
import { cancelTasks, type Site, type TaskLimits } from '../dispatch/dispatch.ts'
import { sitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import { type Merged, mergeOutputs } from '../results/results.ts'
import { stageArray } from '../stage/stage.ts'
import { answersFor } from './answers.ts'
import { assignArray, endArrays, liveArrays, undecidedJobs } from './arrays.ts'
import { bringOutputs } from './bring.ts'
import type { RunContext } from './context.ts'
import type { Lease } from './lease.ts'
import type { LiveArray } from './live-array.ts'
import { harvestedFacts } from './live-status.ts'
import { chooseRunnable, lookAtFiles, type PlanWishes, planRunnable, rootsOf } from './planning.ts'
import { Publisher, type Tally } from './publisher.ts'
import { cancelRequested, RequestWatch } from './requests.ts'
import { Watch } from './watch.ts'

export interface Progress {
  readonly site: string
  /** Jobs that this run is to decide, and how many it has. */
  readonly total: number
  readonly done: number
  readonly tally: Tally
  readonly running: number
  readonly queued: number
  readonly elapsedSec: number
  readonly stopping: string | null
  /** What holds the site back, in words; null: nothing is known to. */
  readonly waiting: string | null
}

export interface CoordinateOptions extends PlanWishes {
  readonly once?: boolean
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
}

export interface Outcome {
  readonly tally: Tally
  /** Why the run stopped before all was done; null: all is done. */
  readonly stopped: 'interrupted' | 'once' | 'too many failures' | null
  readonly missing: number
  readonly merged: Merged | null
}

/** A commit a minute and table at most; more rows than these are not held. */
const PUBLISH_EVERY_MS = 60_000
const WAITING_MAX = 100_000
/** Looks for requests of people. */
const HEED_EVERY_MS = 500
/** Pauses before a site is asked again to take an array, and how often it may not answer. */
const FULL_MS = 1000
const FULL_MAX_MS = 300_000
const REFUSALS_MAX = 8
/** Plans in a row that may decide nothing. */
const FRUITLESS_MAX = 3
/** Decided jobs before a share of failures says anything. */
const SHARE_FROM = 20

/**
 * The loop: look, decide, act, sleep. Holds no state that table, record files and scheduler do not hold: killed anywhere, the next
 * call goes on. Ends when nothing is pending, cut or live.
 */
export async function coordinate(context: RunContext, lease: Lease, options: CoordinateOptions): Promise<Outcome> {
  const loop = new Coordinator(context, lease, options)
  return loop.run()
}

class Coordinator {
  readonly #context: RunContext
  readonly #lease: Lease
  readonly #options: CoordinateOptions
  readonly #site: Site
  readonly #watch: Watch
  readonly #publisher: Publisher
  readonly #requests: RequestWatch
  readonly #arrays = new Map<string, LiveArray>()
  #publishedAt = 0
  #heededAt = Number.NEGATIVE_INFINITY
  #cut = 0
  #missing = 0
  #total = 0
  #verdictsAtPlan = -1
  #fruitless = 0
  #stopping: Outcome['stopped'] = null
  /** Verdicts when the share of failures was last looked at. */
  #judged = 0
  /** True when jobs may wait for a plan: at the start, and after verdicts that ask for another try. */
  #unplanned = true
  /** Until when nothing is submitted, by the monotonic clock; how often in a row the site did not take an array, and what it said. */
  #fullUntil = Number.NEGATIVE_INFINITY
  #refused = 0
  #blocked: string | null = null

  constructor(context: RunContext, lease: Lease, options: CoordinateOptions) {
    this.#context = context
    this.#lease = lease
    this.#options = options
    this.#site = context.site
    this.#publisher = new Publisher(
      context,
      () => lease.guard(),
      async () => ({ ...(await stateFacts(context.tables)), ...harvestedFacts(this.#arrays.values()) }),
    )
    this.#requests = new RequestWatch(context.tables)
    this.#watch = new Watch(context, this.#publisher, (array) => this.#readRecords(array))
  }

  async run(): Promise<Outcome> {
    const { clock } = this.#context
    const started = clock.ticks()
    this.#publishedAt = started
    await this.#takeUp()
    for (;;) {
      await this.#plan()
      await this.#submitAgain()
      await this.#stageMore()
      await this.#watch.look([...this.#arrays.values()])
      await this.#heedRequests()
      await this.#judge()
      await this.#settle()
      this.#options.onProgress?.(this.#progress((clock.ticks() - started) / 1000))
      if (this.#options.signal?.aborted) this.#stopping = 'interrupted'
      if (this.#stopping === 'interrupted' || this.#finished()) break
      if (this.#options.once) {
        this.#stopping = 'once'
        break
      }
      await clock.sleep(this.#site.rhythm.turnMs, this.#options.signal)
    }
    await this.#publish()
    const merged = this.#stopping === 'interrupted' ? null : await this.#merge()
    return { tally: this.#publisher.tally, stopped: this.#stopping, missing: this.#missing, merged }
  }

  #finished(): boolean {
    return this.#arrays.size === 0 && (this.#stopping !== null || (this.#cut === 0 && !this.#unplanned))
  }

  /**
   * Arrays that an earlier coordinator left; their records are read from the start. One that may have been submitted is submitted as it was
   * staged, since its tasks may be reading the manifest; one that never was is let go, and its jobs wait for a plan.
   */
  async #takeUp(): Promise<void> {
    const { arrays, cut, cutJobs } = await liveArrays(this.#context)
    await this.#site.pull(arrays.map(({ array }) => array.id))
    this.#cut = cut
    this.#total += cutJobs
    for (const { array, committed } of arrays) {
      this.#arrays.set(array.id, array)
      const { state, nativeId } = await this.#site.submission(array.id)
      array.nativeId = nativeId
      if (state === 'tried') await this.#submit(array)
      else if (state !== 'submitted') for (const { task } of array.batches) array.markGone(task)
      this.#publisher.addDecided(array, array.harvest(committed))
      this.#total += array.undecidedJobs
    }
  }

  async #plan(): Promise<void> {
    if (!this.#unplanned || this.#cut > 0 || this.#stopping !== null) return
    if (this.#openTasks() >= (await this.#limits()).planBelow) return
    await this.#publish()
    this.#unplanned = false
    // Mostly known from the last commit's facts, where choosing reads the keys of all jobs.
    this.#missing = 0
    if ((await countStates(this.#context.tables)).pending === 0) return
    const { jobs, missing } = await chooseRunnable(this.#context)
    // Before anything takes over an output of a job that was replaced or withdrawn, that one is told to end.
    await this.#cancelUnwanted()
    this.#missing = missing
    if (jobs === 0) return
    const verdicts = this.#done() + this.#publisher.tally.retried
    this.#fruitless = verdicts === this.#verdictsAtPlan ? this.#fruitless + 1 : 0
    this.#verdictsAtPlan = verdicts
    if (this.#fruitless > FRUITLESS_MAX) {
      throw new FloeError('STAGE_FAILED', `${FRUITLESS_MAX} times all tasks ended without deciding a job.`, {
        hint: `See the records and tasks.log below ${this.#site.paths.arrays}, and scratch/local/scheduler.log on this machine.`,
      })
    }
    const { batches } = await planRunnable(this.#context, {
      ...this.#options,
      jobs,
      guard: () => this.#lease.guard(),
    })
    this.#cut = batches
    this.#total = Math.max(this.#total, this.#done()) + jobs
  }

  /** Keeps the site fed: a new array whenever fewer tasks wait than could start soon. */
  async #stageMore(): Promise<void> {
    const { clock } = this.#context
    if (this.#cut === 0 || this.#stopping !== null || clock.ticks() < this.#fullUntil) return
    const { refillBelow, openMax, arrayMax } = await this.#limits()
    while (this.#cut > 0 && this.#openTasks() < refillBelow && clock.ticks() >= this.#fullUntil) {
      const array = await assignArray(this.#context, {
        first: this.#arrays.size === 0,
        tasks: Math.min(arrayMax, openMax - this.#openTasks()),
        guard: () => this.#lease.guard(),
      })
      if (!array) {
        this.#cut = 0
        return
      }
      this.#cut -= array.batches.length
      this.#arrays.set(array.id, array)
      await this.#send(array)
    }
  }

  async #send(array: LiveArray): Promise<void> {
    const context = this.#context
    const site = this.#site
    await context.tables.view('plan', undefined, 'plan_positions')
    const staged = await stageArray(context.tables, {
      arrayId: array.id,
      tasks: array.batches.map(({ task, batchId }) => ({ task, batchId, terms: array.terms })),
      chosen: `select p.job_key, p.revision, p.position, b.task
        from plan_positions p join batches b on b.plan_id = p.plan_id and p.position >= b.position_from and p.position < b.position_to
        where b.array_id = '${array.id}'`,
      directory: array.directory,
      cache: sitePaths(context.paths.scratch, context.campaignId).cache,
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
    await site.send(array.id)
    await this.#submit(array)
  }

  /** A site that is full, or does not answer, is asked again later: the array stays as it is staged. */
  async #submit(array: LiveArray): Promise<void> {
    const { campaignId, clock } = this.#context
    const site = this.#site
    const directory = join(site.paths.arrays, array.id)
    try {
      array.nativeId = await site.submit({
        name: `floe-${campaignId.slice(0, 8)}-${array.id}`,
        directory,
        count: array.batches.length,
        command: [...(await site.runner()), '--array', directory],
        ...site.shape(array.terms),
      })
      this.#refused = 0
      this.#blocked = null
    } catch (error) {
      if (!(error instanceof FloeError) || (error.code !== 'SITE_FULL' && error.code !== 'SITE_UNREACHABLE'))
        throw error
      if (++this.#refused > REFUSALS_MAX && error.code === 'SITE_UNREACHABLE') throw error
      this.#fullUntil = clock.ticks() + Math.min(FULL_MAX_MS, FULL_MS * 2 ** Math.min(this.#refused, 8))
      this.#blocked = error.message
    }
  }

  /** Arrays that the site did not take are offered again. */
  async #submitAgain(): Promise<void> {
    for (const array of this.#arrays.values()) {
      if (array.nativeId !== undefined || array.over || this.#context.clock.ticks() < this.#fullUntil) continue
      await this.#submit(array)
    }
  }

  #limits(): Promise<TaskLimits> {
    return this.#site.limits()
  }

  #readRecords(array: LiveArray): void {
    this.#publisher.addDecided(array, array.harvest())
    for (const { task, attempt, message } of array.takeFailed()) {
      this.#giveUpTask(array, { task, attempt, message: message ?? 'no reason given' })
    }
  }

  /** A runner that could not work: a full disk stops the run, anything else (`setup` fails) is told of the task's jobs. */
  #giveUpTask(array: LiveArray, { task, attempt, message }: { task: number; attempt: number; message: string }): void {
    if (/ENOSPC|EDQUOT|EROFS|no space left/i.test(message)) {
      throw new FloeError('DISK_FULL', `Task ${task} of array ${array.id} stopped: ${message}.`)
    }
    const rule = `the task could not work: ${message}`
    const undecided = undecidedJobs(array, task, attempt)
    this.#publisher.addInferred(array, undecided, { verdict: 'failed', class: 'launch', rule, evidence: 'record' })
  }

  async #heedRequests(): Promise<void> {
    if (this.#context.clock.ticks() - this.#heededAt < HEED_EVERY_MS) return
    this.#heededAt = this.#context.clock.ticks()
    const news = await this.#requests.news()
    if (news.jobs) {
      await lookAtFiles(this.#context, { stale: 'leave', digests: true, guard: () => this.#lease.guard() })
      this.#unplanned = true
    }
    if (news.requests) this.#unplanned = true
    if (news.requests || news.jobs) await this.#cancelUnwanted()
  }

  async #cancelUnwanted(): Promise<void> {
    for (const { arrayId, jobs } of await cancelRequested(this.#context, [...this.#arrays.keys()])) {
      const array = this.#arrays.get(arrayId)
      if (!array) continue
      array.askCancel(jobs)
      await this.#site.sendCancel(arrayId)
    }
  }

  /** Too many failures: nothing new is staged, and tasks that have not begun are taken back; their jobs stay pending. */
  async #judge(): Promise<void> {
    const { tally } = this.#publisher
    const isTooMuch = () =>
      tally.failed + tally.succeeded >= SHARE_FROM &&
      tally.failed / (tally.failed + tally.succeeded) > this.#context.settings.stopWhenFailed
    const verdicts = tally.failed + tally.succeeded + tally.retried
    if (this.#stopping !== null || verdicts < this.#judged * 2 || !isTooMuch()) return
    // Published failures alone tell which are tried again; verdicts double between two looks, so that these cost few commits.
    this.#judged = verdicts
    await this.#publish()
    if (!isTooMuch()) return
    this.#stopping = 'too many failures'
    for (const array of this.#arrays.values()) {
      if (array.nativeId !== undefined)
        await cancelTasks(await this.#site.connector(), array.nativeId, array.unstartedTasks)
    }
  }

  /** Publishes when due, then lets go of arrays that are over. */
  async #settle(): Promise<void> {
    const over = [...this.#arrays.values()].filter((array) => array.over)
    const due =
      this.#context.clock.ticks() - this.#publishedAt > PUBLISH_EVERY_MS || this.#publisher.waiting > WAITING_MAX
    if (over.length === 0 && !due) return
    if (over.length > 0 && (due || this.#arrays.size === over.length || over.length > 8)) {
      await this.#publish()
      await endArrays(this.#context, over, () => this.#lease.guard())
      for (const array of over) this.#arrays.delete(array.id)
      this.#unplanned = true
    } else if (due) await this.#publish()
  }

  async #publish(): Promise<void> {
    this.#publishedAt = this.#context.clock.ticks()
    await this.#publisher.flush()
  }

  async #merge(): Promise<Outcome['merged']> {
    if (this.#publisher.tally.succeeded === 0 && this.#stopping === 'once') return null
    const bring = bringOutputs(this.#context)
    return mergeOutputs(this.#context.tables, {
      root: this.#context.paths.root,
      bring,
      guard: () => this.#lease.guard(),
    })
  }

  #openTasks(): number {
    let open = 0
    for (const array of this.#arrays.values()) open += array.openTasks.length
    return open
  }

  #done(): number {
    const { succeeded, failed, cancelled, lost } = this.#publisher.tally
    return succeeded + failed + cancelled + lost
  }

  #progress(elapsedSec: number): Progress {
    let running = 0
    let queued = 0
    for (const array of this.#arrays.values()) {
      running += array.runningJobs
      queued += array.unstartedTasks.length
    }
    return {
      site: this.#site.name,
      total: this.#total,
      done: this.#done(),
      tally: this.#publisher.tally,
      running,
      queued,
      elapsedSec,
      stopping: this.#stopping,
      waiting: this.#blocked ?? this.#watch.waiting,
    }
  }
}
