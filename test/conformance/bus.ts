import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Bus, From, Received } from '../../src/ports/bus/bus.ts'

/** What each implementation of Bus keeps. `open` makes a bus with a topic of its own; `again` another client of the same topic. */
export function busConformance(
  name: string,
  open: () => Promise<{ bus: Bus; again(): Bus; close(): Promise<void> }>,
): void {
  describe(`bus: ${name}`, () => {
    let place: Awaited<ReturnType<typeof open>>
    beforeEach(async () => {
      place = await open()
    })
    afterEach(() => place.close())

    const numbers = (key: string, from: number, to: number) =>
      Array.from({ length: to - from }, (_, at) => ({ key, value: `${key} ${from + at}` }))

    /** Reads until so many came; `finish` tells that they were read. */
    async function take(
      bus: Bus,
      count: number,
      { group = 'g', from = 'earliest' as From, finish = true } = {},
    ): Promise<Received[]> {
      const all: Received[] = []
      const stop = new AbortController()
      const reading = bus.read({ group, from, signal: stop.signal })
      for await (const { messages, done } of reading) {
        all.push(...messages)
        if (finish) await done()
        if (all.length >= count) break
      }
      return all
    }
    const texts = (messages: readonly Received[], key: string) =>
      messages.filter((one) => one.key === key).map(({ value }) => String(value ?? ''))

    it('keeps the order of each key', async () => {
      const { bus } = place
      const [a, b] = [numbers('a', 0, 3000), numbers('b', 0, 3000)]
      await Promise.all([0, 1000, 2000].map((at) => bus.send([...a.slice(at, at + 1000), ...b.slice(at, at + 1000)])))
      const all = await take(place.again(), 6000)
      expect(texts(all, 'a')).toEqual(a.map(({ value }) => value))
      expect(texts(all, 'b')).toEqual(b.map(({ value }) => value))
    })

    it('goes on where a group was; what it did not finish comes again', async () => {
      const { bus } = place
      await bus.send(numbers('k', 0, 3))
      expect(await take(place.again(), 3)).toHaveLength(3)
      await bus.send(numbers('k', 3, 5))
      expect(texts(await take(place.again(), 2, { from: 'committed', finish: false }), 'k')).toEqual(['k 3', 'k 4'])
      expect(texts(await take(place.again(), 2, { from: 'committed' }), 'k')).toEqual(['k 3', 'k 4'])
      // From the beginning when it is asked for, whatever was finished; another group has read nothing.
      expect(await take(place.again(), 5)).toHaveLength(5)
      expect(await take(place.again(), 5, { group: 'other' })).toHaveLength(5)
    })

    it('takes any text and any bytes', async () => {
      const values = ['', 'é ❄ \u0000 "\n', JSON.stringify({ a: 'x'.repeat(100_000) })]
      await place.bus.send(values.map((value) => ({ key: 'Ω/1', value })))
      expect(texts(await take(place.again(), 3), 'Ω/1')).toEqual(values)
    })

    it('sends nothing gladly, and ends reading with the signal', async () => {
      await place.bus.send([])
      const stop = new AbortController()
      setTimeout(() => stop.abort(), 300)
      for await (const { messages } of place.bus.read({ group: 'idle', from: 'earliest', signal: stop.signal }))
        expect(messages).toEqual([])
      expect(stop.signal.aborted).toBe(true)
    })
  })
}
