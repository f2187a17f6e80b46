import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Claims, chooseTask } from '../../../jobs/runner/claims.ts'
import { thisNode } from '../../../jobs/runner/nearness.ts'
import type { ManifestTask } from '../../../src/model/manifest.ts'
import { encodePlaces } from '../../../src/model/places.ts'
import { encodeRecord } from '../../../src/model/record.ts'
import { fakeArray, fakeJob } from '../../fakes/array.ts'
import { script, useRunner } from '../../fakes/task.ts'

const nodes = ['/r1/n1', '/r1/n2', '/r2/n3']
const free = (...tasks: number[]) => new Set(tasks)
const at = (...own: number[]) => new Set(own)
const placed = (...tasks: [number, number][][]) => ({ nodes, tasks })

test('what lies on this node comes first, of that what lies nowhere better', () => {
  const places = placed([[2, 10]], [[1, 20], [0, 19]], [[0, 5]], [[2, 9], [0, 2]]) // biome-ignore format: a table
  expect(chooseTask(places, free(0, 1, 2, 3), { own: at(0), nearness: 'node' })).toBe(2)
  expect(chooseTask(places, free(0, 1, 3), { own: at(0), nearness: 'node' })).toBe(1)
  // A fifth of its bytes is not enough while others may come who have all.
  expect(chooseTask(places, free(0, 3), { own: at(0), nearness: 'node' })).toBeUndefined()
  expect(chooseTask(places, free(0, 3), { own: at(0), nearness: 'rack' })).toBe(3)
  expect(chooseTask(places, free(0), { own: at(0), nearness: 'rack' })).toBeUndefined()
  expect(chooseTask(places, free(0), { own: at(0), nearness: 'any' })).toBe(0)
  expect(chooseTask(places, free(), { own: at(0), nearness: 'any' })).toBeUndefined()
})

test('what lies nowhere is taken at once; of what lies elsewhere, where most wait', () => {
  const places = placed([[0, 1]], [], [[1, 1]], [[1, 1]])
  expect(chooseTask(places, free(0, 1, 2, 3), { own: at(2), nearness: 'node' })).toBe(1)
  expect(chooseTask(places, free(0, 2, 3), { own: at(2), nearness: 'any' })).toBe(2)
  expect(chooseTask({ nodes: [], tasks: [] }, free(4, 5), { own: at(), nearness: 'node' })).toBe(4)
})

test('whatever lies where, something is taken in the end', () => {
  const place = fc.tuple(fc.nat({ max: 2 }), fc.integer({ min: 1, max: 100 }))
  const tasks = fc.array(fc.uniqueArray(place, { selector: ([node]) => node, maxLength: 3 }), { minLength: 1 })
  fc.assert(
    fc.property(tasks, fc.subarray([0, 1, 2]), (all, own) => {
      const chosen = chooseTask({ nodes, tasks: all }, new Set(all.keys()), { own: new Set(own), nearness: 'any' })
      expect(all[chosen!]).toBeDefined()
    }),
  )
})

const runner = useRunner()
const late = (count: number, terms: Partial<ManifestTask> = {}) => {
  const jobs = Array.from({ length: count }, (_, task) => [
    fakeJob(`j${task}`, { ...script(`echo ${task} > out`), outputs: [{ path: 'out', optional: false }] }),
  ])
  return fakeArray(runner.scratch, jobs, { binds_late: true, ...terms })
}
const recordsOf = (directory: string) =>
  readdirSync(join(directory, 'records')).flatMap((name) => {
    const { lines } = runner.read(directory)
    return lines.filter((line) => line.event === 'task started' && `${line.task}.${line.attempt}` === name)
  })

test('elements that start at once take a task each, the one that lies on their node if it can be had', async () => {
  const directory = late(6)
  const here = new Map([['/r1/here', 10]])
  const other = new Map([['/r2/other', 10]])
  writeFileSync(join(directory, 'places'), encodePlaces([other, here, other, here, other, here]))
  const begin = (element: number, node: string) =>
    runner.start(directory, { task: element, env: { SLURMD_NODENAME: node } })
  const begun = await Promise.all([0, 1, 2, 3, 4, 5].map((element) => begin(element, element < 3 ? 'here' : 'other')))
  for (const { exit } of begun) expect(await exit).toBe(0)
  const started = recordsOf(directory).flatMap((line) => (line.event === 'task started' ? [line] : []))
  expect(started.map(({ task }) => task).sort()).toEqual([0, 1, 2, 3, 4, 5])
  expect(started.map(({ element }) => element!).sort()).toEqual([0, 1, 2, 3, 4, 5])
  for (const { task, element } of started) expect(task % 2, `task of element ${element}`).toBe(element! < 3 ? 1 : 0)
  expect([...runner.read(directory).ended.values()].filter(({ verdict }) => verdict === 'succeeded').length).toBe(6)
})

test('an element that is started again has the task it had; one too many finds none', async () => {
  const directory = late(2)
  for (let start = 0; start < 2; start++) expect(await (await runner.start(directory, { task: 1 })).exit).toBe(0)
  expect(recordsOf(directory).length).toBe(1)
  expect(await (await runner.start(directory, { task: 0 })).exit).toBe(0)
  expect(recordsOf(directory).length).toBe(2)
  expect(new Claims(directory, 7, thisNode()).begin({})).toBeUndefined()
  expect(await new Claims(directory, 7, thisNode()).take()).toBeUndefined()
})

test('a task that was given up is passed over, and an element that died with a claim takes it up again', async () => {
  const directory = late(3)
  // Element 2 died between its claim and its record.
  const dead = new Claims(directory, 2, thisNode())
  expect(dead.begin({ element: 2 })).toBeUndefined()
  expect(await dead.take()).toEqual({ task: 2, isOld: false })
  // Nobody has begun task 1; it is sealed.
  const seal = { v: 1, at: 1, event: 'task ended', reason: 'drained', message: 'given up', jobs: 0 } as const
  writeFileSync(join(directory, 'records', '1.1'), encodeRecord(seal))
  expect(await (await runner.start(directory, { task: 1 })).exit).toBe(0)
  expect([...runner.read(directory).ended.keys()]).toEqual(['j0'])
  expect(await (await runner.start(directory, { task: 2 })).exit).toBe(0)
  expect([...runner.read(directory).ended.keys()].sort()).toEqual(['j0', 'j2'])
  expect(statSync(join(directory, 'records', '1.1')).size).toBeGreaterThan(0)
  expect(readdirSync(join(directory, 'records')).sort()).toEqual(['0.1', '1.1', '2.1'])
})

test('an element that passed a sealed task over finds the one that it took then', async () => {
  const directory = late(3)
  const seal = { v: 1, at: 1, event: 'task ended', reason: 'drained', message: 'given up', jobs: 0 } as const
  writeFileSync(join(directory, 'records', '1.1'), encodeRecord(seal))
  const one = new Claims(directory, 1, thisNode())
  expect(one.begin({})).toBeUndefined()
  expect([await one.take(), await one.take()]).toMatchObject([{ task: 1 }, { task: 2 }])
  expect(new Claims(directory, 1, thisNode()).begin({})).toEqual({ task: 2, isOld: true })
})

test('an array without the file binds late all the same', async () => {
  const directory = late(2)
  rmSync(join(directory, 'places'), { force: true })
  expect(await (await runner.start(directory, { task: 1 })).exit).toBe(0)
  expect(recordsOf(directory)).toMatchObject([{ task: 1, element: 1 }])
})
