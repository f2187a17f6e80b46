import { cancelTasks, lenient } from '../dispatch/dispatch.ts'
import type { RunContext } from './context.ts'
import type { LiveArray } from './live-array.ts'
import { cancelRequested } from './requests.ts'

/**
 * Passes on what people cancelled: to the runners by the array's file `cancel`, to the scheduler for tasks that have not begun and would
 * find nothing to do. Takes back what a run that stops has in the queue. A site that does not answer is told later.
 */
export class Cancels {
  readonly #context: RunContext
  readonly #arrays: ReadonlyMap<string, LiveArray>
  /** Tasks of an array that need not begin, until the site was told. */
  readonly #asked = new Map<LiveArray, readonly number[] | 'told'>()
  /** Arrays whose tasks that have not begun are taken back, until the site was told. */
  readonly #backs = new Set<LiveArray>()
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(context: RunContext, arrays: ReadonlyMap<string, LiveArray>) {
    this.#context = context
    this.#arrays = arrays
  }

  /** Reads the requests anew. */
  async heed(): Promise<void> {
    for (const { arrayId, jobs } of await cancelRequested(this.#context, [...this.#arrays.keys()])) {
      const array = this.#arrays.get(arrayId)
      if (!array) continue
      const isNew = array.askCancel(jobs)
      // Another process may have written the file and not come to send it.
      if (isNew || !this.#asked.has(array)) this.#asked.set(array, array.unstartedAllOf(jobs))
    }
  }

  /** Tasks that have not begun never will; their jobs stay pending. */
  takeBack(): void {
    for (const array of this.#arrays.values()) if (array.nativeId !== undefined) this.#backs.add(array)
  }

  async passOn(): Promise<void> {
    const { clock, site } = this.#context
    const waiting = this.#asked.size + this.#backs.size
    if (waiting === 0 || clock.ticks() - this.#toldAt < site.rhythm.pullMs) return
    this.#toldAt = clock.ticks()
    for (const [array, tasks] of this.#asked) {
      if (array.over) this.#asked.delete(array)
      else if (tasks !== 'told' && array.isSent && (await lenient(() => this.#tell(array, tasks))))
        this.#asked.set(array, 'told')
    }
    for (const array of this.#backs)
      if (array.over || (await lenient(() => this.#recall(array)))) this.#backs.delete(array)
  }

  async #recall({ nativeId, unstartedTasks, elements }: LiveArray): Promise<true> {
    await cancelTasks(await this.#context.site.connector(), nativeId!, elements.of(unstartedTasks))
    return true
  }

  async #tell(array: LiveArray, tasks: readonly number[]): Promise<true> {
    const { site } = this.#context
    await site.sendCancel(array.id)
    if (array.nativeId === undefined || tasks.length === 0) return true
    await cancelTasks(await site.connector(), array.nativeId, array.elements.of(tasks))
    array.recall(tasks)
    return true
  }
}
