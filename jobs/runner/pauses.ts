/** Waits that somebody may cut short. */
export class Pauses {
  readonly #wakes = new Set<() => void>()

  /** True when `what` has happened, false when the wait was cut short before. */
  async until(what: Promise<unknown>): Promise<boolean> {
    let wake = (): void => {}
    const woken = new Promise<false>((done) => {
      wake = () => done(false)
    })
    this.#wakes.add(wake)
    try {
      return await Promise.race([what.then(() => true), woken])
    } finally {
      this.#wakes.delete(wake)
    }
  }

  wake(): void {
    for (const wake of [...this.#wakes]) wake()
  }
}
