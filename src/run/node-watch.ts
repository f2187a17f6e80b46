import { keepFrom, lenient, type TaskEnding } from '../dispatch/dispatch.ts'
import type { FloeError } from '../model/errors.ts'
import { undecidedJobs } from './arrays.ts'
import { BadNodes, type Barred, LEFT_OUT_MS } from './bad-nodes.ts'
import type { RunContext } from './context.ts'
import { couldNotWrite } from './evidence.ts'
import type { LiveArray } from './live-array.ts'
import type { Publisher } from './publisher.ts'

/** Exit of a task whose node does not see the array's directory; see the job script. */
const NO_DIRECTORY = 72

/** It could not work, and left before there was a runner, or when that had written nothing: no record is on the way. */
export const isWithoutRecord = (ending: TaskEnding): boolean => ending.exit === NO_DIRECTORY || couldNotWrite(ending)

/** By the words of the runner, which end a task with them. */
function causeIn(said: string): Barred['cause'] {
  if (said.startsWith('setup ')) return 'setup'
  if (said.startsWith('the scratch ')) return 'scratch'
  return said.startsWith('the root ') ? 'root' : 'runner'
}

/** A task that could not work, and who says so. */
interface Ended {
  readonly task: number
  readonly attempt: number
  readonly barred: Barred
  readonly evidence: 'record' | 'accounting'
}

/**
 * Tells apart nodes and jobs where tasks could not work at all: jobs of a bad node were not tried, and are sent again; queued tasks are kept
 * from it where the scheduler can. Costs one command for each array whose tasks wait, when a node is found bad.
 */
export class NodeWatch {
  readonly nodes: BadNodes
  /** Why no node can work; undefined: some may. */
  hopeless: FloeError | undefined
  readonly #context: RunContext
  readonly #publisher: Publisher
  /** What was said of arrays since they were submitted, and when that was last looked through. */
  readonly #told = new Map<string, string>()
  readonly #seen = new WeakMap<LiveArray, number>()
  /** A task could not write to the scratch: it is to be seen whether any could now. */
  #scratchIsSuspect = false
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(context: RunContext, publisher: Publisher) {
    const { clock, site } = context
    this.#context = context
    this.#publisher = publisher
    const { name, isOneNode, rhythm, hints } = site
    this.nodes = new BadNodes(clock, { site: name, isOneNode, pauseMs: rhythm.watchMs, hints })
  }

  /** Somebody did something that may have helped. */
  forget(): void {
    this.hopeless = undefined
    this.nodes.forget()
  }

  /** What record lines say that were read since the last call. */
  heedRecords(array: LiveArray): void {
    const { setup } = array.terms
    for (const [node, hasEnded] of array.takeWorked()) this.nodes.worked(node, setup, { hasEnded })
    for (const { task, attempt, message } of array.takeFailed()) {
      const said = message ?? 'no reason given'
      const barred: Barred = {
        ...{ node: array.node(task, attempt)?.node ?? null, setup, generation: array.generation },
        ...{ cause: causeIn(said), why: `could not work: ${said}` },
      }
      this.#heed(array, { task, attempt, barred, evidence: 'record' })
    }
  }

  /** A task that is gone, by what accounting says of it. */
  heedEnding(array: LiveArray, task: number, ending: TaskEnding): void {
    const { cause, exit, node, word } = ending
    if (cause !== 'failed' && cause !== 'launch') return
    if (!array.isOver(task) || !array.bar(task)) return
    if (couldNotWrite(ending)) this.#scratchIsSuspect = true
    if (array.hasBegun(task)) return
    const { arrays } = this.#context.site.paths
    const place = { node, setup: array.terms.setup, generation: array.generation }
    const barred: Barred =
      exit === NO_DIRECTORY
        ? { ...place, cause: 'directory', why: `does not see ${arrays}` }
        : couldNotWrite(ending)
          ? { ...place, cause: 'scratch', why: `cannot write to ${arrays} (${word}, exit ${exit})` }
          : { ...place, cause: 'start', why: `ends tasks before they begin (${word}${exit ? `, exit ${exit}` : ''})` }
    this.#heed(array, { task, attempt: 1, barred, evidence: 'accounting' })
  }

  #heed(array: LiveArray, { task, attempt, barred, evidence }: Ended): void {
    const jobs = undecidedJobs(array, task, attempt)
    // Known since an earlier run.
    if (jobs.jobs.length === 0) return
    if (barred.cause === 'scratch') this.#scratchIsSuspect = true
    const consequence = this.nodes.failed(barred)
    if (consequence === 'theirs') {
      const rule = `the task ${barred.why}`
      this.#publisher.addInferred(array, jobs, { verdict: 'failed', class: 'launch', rule, evidence })
      return
    }
    const rule = `the node ${barred.why}`
    const lost = { verdict: 'lost', class: 'node', rule, evidence, node: barred.node, hasBegun: false } as const
    this.#publisher.addInferred(array, jobs, lost)
    if (consequence === 'stop') this.hopeless ??= this.nodes.errorOf(barred)
  }

  /** Asks the site itself whether its scratch is full, for a task that says so may have ended long ago. */
  async lookAtScratch(): Promise<void> {
    if (!this.#scratchIsSuspect) return
    this.#scratchIsSuspect = false
    this.hopeless ??= await lenient(() => this.#context.site.full())
  }

  /** Keeps tasks that wait from nodes that turned out bad, and lets them go there again later. */
  async keepAway(arrays: Iterable<LiveArray>): Promise<void> {
    const connector = await this.#context.site.connector()
    const { clock, site } = this.#context
    if (!connector.avoid || clock.ticks() - this.#toldAt < site.rhythm.watchMs) return
    this.#toldAt = clock.ticks()
    for (const array of arrays) {
      const { id, nativeId, avoids, terms } = array
      // As at its submission: a trial goes on until another node has worked, or the hour is over.
      const since = this.#seen.get(array) ?? clock.ticks()
      this.#seen.set(array, since)
      const also = clock.ticks() - since < LEFT_OUT_MS ? terms.avoid : undefined
      const nodes = this.nodes.avoided(terms.setup, { surely: false, also })
      if (nativeId === undefined || (this.#told.get(id) ?? avoids.join()) === nodes.join()) continue
      if (array.unstartedTasks.length === 0) continue
      const { options = [] } = await site.shape(terms)
      if (await keepFrom(connector, nativeId, { nodes, options })) this.#told.set(id, nodes.join())
    }
  }
}
