import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Elements } from '../../../src/run/elements.ts'

const isOpen = (state: string | undefined) => state !== undefined && state !== 'ended'
const states = (...all: (string | undefined)[]) =>
  new Map([...all.entries()].flatMap(([element, state]) => (state === undefined ? [] : [[element, state] as const])))

test('elements have the numbers of tasks unless a record says else', () => {
  const elements = new Elements([0, 1, 2], () => false)
  const known = states('ended', 'queued', undefined)
  expect(elements.heed(known, isOpen)).toBe(known)
  expect(elements.of([2, 0])).toEqual([2, 0])
})

test('one that died without a task leaves a task that nobody began', () => {
  const elements = new Elements([0, 1, 2, 3], () => true)
  // Element 0 died, element 2 runs task 0 and element 3 task 2.
  elements.bind(0, 2)
  elements.bind(2, 3)
  const byTask = elements.heed(states('ended', 'queued', 'running', 'running'), isOpen)
  expect(Object.fromEntries(byTask)).toEqual({ 0: 'running', 1: 'queued', 2: 'running', 3: 'ended' })
  expect(elements.of([0, 1, 2, 3])).toEqual([2, 1, 3, 0])
  // Element 1 began the last one.
  elements.bind(3, 1)
  expect(Object.fromEntries(elements.heed(states('ended', 'running', 'ended', 'running'), isOpen))).toEqual({
    ...{ 0: 'ended', 1: 'ended', 2: 'running', 3: 'running' },
  })
})

test('one that is not listed any more is not taken for one that waits', () => {
  const elements = new Elements([0, 1], () => true)
  expect(Object.fromEntries(elements.heed(states(undefined, 'queued'), isOpen))).toEqual({ 0: 'queued' })
  expect(elements.of([1])).toEqual([0])
})

test('as many tasks that nobody began are open as elements that may start', () => {
  const world = fc.integer({ min: 1, max: 30 }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      order: fc.shuffledSubarray([...Array(count).keys()], { minLength: count, maxLength: count }),
      bound: fc.integer({ min: 0, max: count }),
      states: fc.array(fc.constantFrom('queued', 'running', 'ended', undefined), {
        minLength: count,
        maxLength: count,
      }),
    }),
  )
  fc.assert(
    fc.property(world, ({ count, order, bound, states: all }) => {
      const tasks = [...Array(count).keys()]
      const elements = new Elements(tasks, () => true)
      for (const [task, element] of order.slice(0, bound).entries()) elements.bind(task, element)
      const byTask = elements.heed(states(...all), isOpen)
      for (const [task, element] of order.slice(0, bound).entries()) expect(byTask.get(task)).toBe(all[element])
      const openElements = order.slice(bound).filter((element) => isOpen(all[element])).length
      expect(tasks.slice(bound).filter((task) => isOpen(byTask.get(task))).length).toBe(openElements)
      expect([...elements.of(tasks)].sort((a, b) => a - b)).toEqual(tasks)
    }),
  )
})
