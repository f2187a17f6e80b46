import { expect, test } from 'vitest'
import { LiveArray } from '../../../src/run/live-array.ts'

const array = () =>
  new LiveArray({
    id: 'a000001',
    site: {
      name: 'local',
      outputs: '/none',
      paths: { cache: '/none', campaign: '/none', arrays: '/none' },
      taskSec: null,
    },
    arrays: '/none',
    batches: [{ batchId: 1, task: 0, jobs: 1 }],
    terms: { cpus: 1, memory_bytes: null, walltime_sec: null, gpus: 0, setup: null, container: null, publish: 'files' },
  })

test('a task that ended has ended, though the scheduler forgets it soon', () => {
  const one = array()
  expect(one.missingFor(0, 'ended', 1000)).toBe(0)
  expect(one.missingFor(0, 'absent', 6000)).toBe(5000)
  expect(one.hasEnded(0)).toBe(true)
  expect(one.missingFor(0, 'ended', 7000)).toBe(6000)
  // Begun again, as after a requeue.
  one.isBack(0)
  expect(one.hasEnded(0)).toBe(false)
  expect(one.missingFor(0, 'absent', 8000)).toBe(0)
  expect(one.hasEnded(0)).toBe(false)
  // That it was not listed for long says less than that it ended.
  expect(one.missingFor(0, 'ended', 99_000)).toBe(0)
})
