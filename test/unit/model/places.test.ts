import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodePlaces, hostOf, nodePlace, PLACES_MAX, parsePlaces, rackOf } from '../../../src/model/places.ts'

const node = fc
  .tuple(fc.constantFrom('/r1', '/r2', '/dc/r3'), fc.integer({ min: 1, max: 20 }))
  .map(([rack, n]) => nodePlace(rack, `dn${n}.example.org`))
const task = fc.dictionary(node, fc.integer({ min: 1, max: 1e12 })).map((one) => new Map(Object.entries(one)))

test('places come back as they were written: most bytes first, at most eight a task', () => {
  fc.assert(
    fc.property(fc.array(task), (tasks) => {
      const { nodes, tasks: told } = parsePlaces(encodePlaces(tasks))
      expect(told.length).toBe(tasks.length)
      for (const [at, places] of told.entries()) {
        expect(places.length).toBe(Math.min(PLACES_MAX, tasks[at]!.size))
        const bytes = places.map(([, count]) => count)
        expect(bytes).toEqual([...tasks[at]!.values()].sort((a, b) => b - a).slice(0, PLACES_MAX))
        for (const [index, count] of places) expect(tasks[at]!.get(nodes[index]!)).toBe(count)
      }
    }),
  )
})

test('the same places make the same text, whatever their order', () => {
  fc.assert(
    fc.property(fc.array(task), (tasks) => {
      expect(encodePlaces(tasks.map((one) => new Map([...one].reverse())))).toBe(encodePlaces(tasks))
    }),
  )
})

test.each(['', '{', 'null', '{"v":2,"nodes":[],"tasks":[]}', '{"v":1,"nodes":["/a/b"],"tasks":[[[1,5]]]}', '{"v":1}'])(
  'a file that says %s advises nothing',
  (text) => {
    expect(parsePlaces(text)).toEqual({ nodes: [], tasks: [] })
  },
)

test('a node is its rack and its host', () => {
  expect([rackOf('/dc/r3/dn1'), hostOf('/dc/r3/dn1')]).toEqual(['/dc/r3', 'dn1'])
})
