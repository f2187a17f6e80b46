import fc from 'fast-check'
import { expect, test } from 'vitest'
import { foldRecords } from '../../src/events/events.ts'
import type { RecordLine } from '../../src/model/record.ts'

type Line = Parameters<typeof foldRecords>[0] extends Iterable<infer One> ? One : never

const ended = (job: string, verdict: 'succeeded' | 'failed'): RecordLine => ({
  v: 1,
  at: 1,
  event: 'job ended',
  job,
  revision: 1,
  job_digest: 'd',
  try: 1,
  slot: 0,
  started_at: 0,
  verdict,
  class: verdict === 'failed' ? 'app' : null,
  rule: 'exit',
  exit: 0,
  signal: null,
  wall_sec: 0,
  cpu_sec: null,
  memory_max_bytes: null,
  stdout: null,
  stderr: null,
  outputs: [],
  checked: false,
  sandbox: null,
})

/** Lines of a few tasks and attempts, each at its own place. */
const lines = fc
  .uniqueArray(
    fc.record({
      task: fc.nat(2),
      attempt: fc.integer({ min: 1, max: 3 }),
      end: fc.integer({ min: 1, max: 400 }),
      kind: fc.constantFrom('start', 'succeeded', 'failed', 'task', 'seal'),
      job: fc.constantFrom('a', 'b', 'c'),
    }),
    { selector: ({ task, attempt, end }) => `${task}.${attempt}.${end}`, maxLength: 30 },
  )
  .map((drawn) =>
    drawn.map(({ task, attempt, end, kind, job }): Line => {
      const base = { v: 1, at: 1 } as const
      const line: RecordLine =
        kind === 'start'
          ? {
              ...base,
              event: 'job started',
              job,
              revision: 1,
              slot: 0,
              started_at: 0,
              stdout: { file: 'o', offset: 0 },
              stderr: { file: 'e', offset: 0 },
            }
          : kind === 'seal'
            ? { ...base, event: 'task ended', reason: 'done', message: null, jobs: 1 }
            : kind === 'task'
              ? {
                  ...base,
                  event: 'task started',
                  campaign: 'c',
                  array: 'a',
                  task,
                  attempt,
                  batch: 1,
                  node: 'n',
                  native_id: null,
                  pid: 1,
                  slots: 1,
                }
              : ended(job, kind)
      return { task, attempt, end, line }
    }),
  )

const plain = (fold: ReturnType<typeof foldRecords>) => ({
  tasks: [...fold.tasks].sort(([a], [b]) => (a < b ? -1 : 1)),
  decided: fold.decided,
  running: [...fold.running.keys()].sort(),
})

test('events may come doubled and in any order: the state is the same', () => {
  fc.assert(
    fc.property(lines, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (all, chance) => {
      const shuffled = [...all, ...all.slice(0, 5)]
        .map((line) => ({ line, key: chance.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ line }) => line)
      expect(plain(foldRecords(shuffled))).toEqual(plain(foldRecords(all)))
    }),
    { numRuns: 500 },
  )
})

test('verdicts of two tasks at the same attempt and place have one order', () => {
  const at = (task: number): Line => ({ task, attempt: 1, end: 2, line: ended('c', 'failed') })
  expect(plain(foldRecords([at(0), at(1)]))).toEqual(plain(foldRecords([at(1), at(0)])))
})

test('one verdict a job counts: the first by attempt and place', () => {
  fc.assert(
    fc.property(lines, (all) => {
      const { decided } = foldRecords(all)
      const counted = decided.filter(({ superseded }) => !superseded)
      expect(new Set(counted.map(({ ended: { job } }) => job)).size).toBe(counted.length)
      for (const verdict of decided) {
        const first = counted.find(({ ended: { job } }) => job === verdict.ended.job)!
        expect(first.attempt < verdict.attempt || (first.attempt === verdict.attempt && first.end <= verdict.end)).toBe(
          true,
        )
      }
    }),
  )
})

test('more lines never take a verdict away', () => {
  fc.assert(
    fc.property(lines, fc.nat(30), (all, cut) => {
      const before = foldRecords(all.slice(0, cut)).decided.map(({ task, attempt, end }) => `${task}.${attempt}.${end}`)
      const after = foldRecords(all).decided.map(({ task, attempt, end }) => `${task}.${attempt}.${end}`)
      for (const verdict of before) expect(after).toContain(verdict)
    }),
  )
})
