/**
 * Which element of the scheduler's array runs which task. They have the same numbers, unless elements choose their tasks when they start: then
 * records say whose is whose, and an element of which no record speaks stands for a task that nobody has begun, those that may still start first.
 * So what is known of elements can be read as of tasks: as many elements are left as tasks, and those that died without a task leave one each.
 */
export class Elements {
  #bindLate: boolean | undefined
  readonly #look: () => boolean | undefined
  readonly #tasks: readonly number[]
  readonly #elementOf = new Map<number, number>()
  /** Elements that were not to start any more when somebody looked last. */
  #spent: ReadonlySet<number> = new Set()

  /** `bindLate` may not be known yet: it is asked until it is. */
  constructor(tasks: readonly number[], bindLate: () => boolean | undefined) {
    this.#tasks = tasks
    this.#look = bindLate
  }

  /** Undefined: not known; then any element may take any task, as far as anybody can tell. */
  get bindLate(): boolean | undefined {
    this.#bindLate ??= this.#look()
    return this.#bindLate
  }

  /** As a record says. False: it said so before. */
  bind(task: number, element: number): boolean {
    this.#bindLate = true
    const isNews = this.#elementOf.get(task) !== element
    this.#elementOf.set(task, element)
    return isNews
  }

  /** What is known of elements, as of tasks; `isOpen`: of one that runs, or may still start. */
  byTask<T>(known: ReadonlyMap<number, T>, isOpen: (it: T | undefined) => boolean): ReadonlyMap<number, T> {
    if (!this.bindLate) return known
    const elements = this.#pair(new Set(this.#tasks.filter((element) => !isOpen(known.get(element)))))
    return new Map(
      [...elements].flatMap(([task, element]) => (known.has(element) ? [[task, known.get(element)!]] : [])),
    )
  }

  /** As `byTask` of the states of elements, and remembers them. */
  heed<T>(states: ReadonlyMap<number, T>, isOpen: (state: T | undefined) => boolean): ReadonlyMap<number, T> {
    this.#spent = new Set(this.#tasks.filter((element) => !isOpen(states.get(element))))
    return this.byTask(states, isOpen)
  }

  /** The elements that these tasks are, or would be. */
  of(tasks: readonly number[]): number[] {
    if (!this.bindLate) return [...tasks]
    const elements = this.#pair(this.#spent)
    return tasks.flatMap((task) => elements.get(task) ?? [])
  }

  /** Task → element. */
  #pair(spent: ReadonlySet<number>): ReadonlyMap<number, number> {
    const bound = new Set(this.#elementOf.values())
    const free = this.#tasks.filter((element) => !bound.has(element))
    const inTurn = [...free.filter((element) => !spent.has(element)), ...free.filter((element) => spent.has(element))]
    const pairs = new Map(this.#elementOf)
    for (const task of this.#tasks) {
      if (pairs.has(task)) continue
      const element = inTurn.shift()
      if (element !== undefined) pairs.set(task, element)
    }
    return pairs
  }
}
