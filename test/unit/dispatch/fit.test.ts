import { describe, expect, test } from 'vitest'
import type { SiteLimits } from '../../../connectors/connector.ts'
import { clampedTo, misfitOf, namedIn, type TaskWishes, taskLimits, taskShape } from '../../../src/dispatch/fit.ts'

const queue = (name: string, more: object = {}) => ({
  ...{
    name,
    isDefault: false,
    walltimeMaxSec: null,
    cpusMax: null,
    memoryMaxBytes: null,
    arrayMax: null,
    queuedMax: null,
  },
  ...more,
})
const site: SiteLimits = {
  ...{
    version: 'Slurm 22.05.8',
    arrayMax: 1001,
    queuedMax: 5000,
    arraysMax: null,
    accounts: ['ice', 'ice', 'ice-gpu'],
    notes: [],
  },
  ...{ forgetsAfterSec: 300, hasAccounting: true },
  queues: [
    queue('main', { isDefault: true, cpusMax: 16, memoryMaxBytes: 64e9 }),
    queue('short', { walltimeMaxSec: 1800, arrayMax: 200, queuedMax: 100 }),
  ],
}
const wishes = (more: Partial<TaskWishes> = {}): TaskWishes => ({
  ...{ queue: null, account: null, options: [], task: { cpus: 4, walltimeSec: 3600 } },
  limits: { queued: null, array: null },
  ...more,
})
const terms = (more: object = {}) => ({ cpus: 1, memory_bytes: null, walltime_sec: null, gpus: 0, ...more })

describe('a task', () => {
  test('is filled with jobs side by side', () => {
    expect(taskShape(wishes(), terms({ gpus: 1, memory_bytes: 1e9 }), site)).toMatchObject({
      ...{ cpus: 4, gpus: 4, walltimeSec: 3600 },
      memoryBytes: 4e9 + 192 * 2 ** 20,
    })
    expect(taskShape(wishes(), terms({ cpus: 3 }), site)).toMatchObject({ cpus: 3, memoryBytes: null })
    expect(taskShape(wishes(), terms({ cpus: 8 }), site)).toMatchObject({ cpus: 8 })
    // A node has no more.
    expect(taskShape(wishes({ task: { cpus: 64, walltimeSec: 60 } }), terms(), site)).toMatchObject({ cpus: 16 })
    expect(taskShape(wishes(), terms({ memory_bytes: 30e9 }), site)).toMatchObject({ cpus: 2 })
  })

  test('has what its jobs need, and beyond that no more than the queue gives', () => {
    const short = wishes({ queue: 'short' })
    expect(taskShape(short, terms(), site)).toMatchObject({ walltimeSec: 1800, queue: 'short' })
    expect(taskShape(short, terms({ walltime_sec: 1800 }), site)).toMatchObject({ walltimeSec: 1920 })
    expect(taskShape(wishes(), terms({ walltime_sec: 7200 }), site)).toMatchObject({ walltimeSec: 7320 })
  })
})

test('what no queue could give is said, and nothing else', () => {
  const short = wishes({ queue: 'short' })
  expect(misfitOf(short, terms(), site)).toBeUndefined()
  expect(misfitOf(short, terms({ walltime_sec: 1680 }), site)).toBeUndefined()
  expect(misfitOf(short, terms({ walltime_sec: 1681 }), site)).toMatchInlineSnapshot(
    `"a walltime of 28 min 1 s: the queue short gives a task at most 30 min, of which 28 min are for a job"`,
  )
  expect(misfitOf(wishes(), terms({ cpus: 17 }), site)).toMatchInlineSnapshot(
    `"17 cpus: the queue main gives a task at most 16"`,
  )
  expect(misfitOf(wishes(), terms({ memory_bytes: 65e9 }), site)).toMatchInlineSnapshot(
    `"65 GB of memory: the queue main gives a task at most 64 GB, of which 63.8 GB are for a job"`,
  )
  expect(misfitOf(wishes({ queue: 'unknown' }), terms({ cpus: 1000 }), site)).toBeUndefined()
  expect(clampedTo(short, terms({ walltime_sec: 9000, memory_bytes: 1e12 }), site)).toEqual(
    terms({ walltime_sec: 1680, memory_bytes: 1e12 }),
  )
  expect(clampedTo(wishes(), terms({ memory_bytes: 65e9 }), site)).toEqual(
    terms({ memory_bytes: 64e9 - 192 * 2 ** 20 }),
  )
  expect(misfitOf(short, clampedTo(short, terms({ walltime_sec: 9000 }), site), site)).toBeUndefined()
})

test('the queue is the one that the words for the submit command name, if they do', () => {
  const more = { ...site, queues: [...site.queues, queue('long', { walltimeMaxSec: 9000, cpusMax: 4 })] }
  const long = { queue: 'short', queuesByOptions: ['long'] }
  expect(taskShape(wishes({ ...long, task: { cpus: 8, walltimeSec: 99_999 } }), terms(), more)).toMatchObject({
    ...{ walltimeSec: 9000, cpus: 4, queue: 'short' },
  })
  expect(misfitOf(wishes(long), terms({ walltime_sec: 8881 }), more)).toMatch(/^a walltime of .*: the queue long gives/)
  expect(taskLimits(wishes({ queuesByOptions: ['short'] }), more)).toMatchObject({ openMax: 90, arrayMax: 200 })
  expect(clampedTo(wishes(long), terms({ walltime_sec: 99_999 }), more)).toEqual(terms({ walltime_sec: 8880 }))
  // A task that may go to several goes where it fits.
  const both = { queue: 'short,long' }
  expect(misfitOf(wishes(both), terms({ walltime_sec: 8880, cpus: 9 }), more)).toBeUndefined()
  expect(misfitOf(wishes(both), terms({ walltime_sec: 8881 }), more)).toMatch(/the queue short or long gives/)
  expect(taskLimits(wishes(both), more)).toMatchObject({ openMax: 90, arrayMax: 200 })
  expect(misfitOf(wishes({ queue: 'short,secret' }), terms({ walltime_sec: 8881 }), more)).toBeUndefined()
})

test('limits are the least of site, queue and wishes, with some left for a person', () => {
  expect(taskLimits(wishes(), site)).toEqual({
    openMax: 4500,
    planBelow: 3375,
    refillBelow: 3375,
    arrayMax: 1001,
    arraysMax: 10_000,
  })
  expect(taskLimits(wishes({ queue: 'short' }), site)).toMatchObject({ openMax: 90, arrayMax: 200 })
  const own = { queued: 10, array: 5 }
  expect(taskLimits(wishes({ limits: own }), site)).toMatchObject({ openMax: 10, arrayMax: 5 })
  expect(taskLimits(wishes(), { ...site, arraysMax: 30 })).toMatchObject({ arraysMax: 27 })
  expect(taskLimits(wishes(), { ...site, queuedMax: null, queues: [] })).toMatchObject({ openMax: 9000 })
})

test('a hint says where a setting stands and what may be there', () => {
  expect(namedIn('Set `account:` to one of yours.', 'frost', site)).toBe(
    'Set `account:` of frost in sites.yaml to one of yours. Yours: ice, ice-gpu.',
  )
  expect(namedIn('Set `queue:`.', 'frost', undefined)).toBe('Set `queue:` of frost in sites.yaml.')
  expect(namedIn('Ask the site.', 'frost', site)).toBe('Ask the site.')
})
