import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ArraySpec } from '../../../connectors/connector.ts'
import { simulatedRunner } from '../../../src/dispatch/simulated-runner.ts'
import { foldRecords, readRecords } from '../../../src/events/events.ts'
import type { ManifestJob, ManifestTask } from '../../../src/model/manifest.ts'
import { decodeRecord } from '../../../src/model/record.ts'

const jobs = ['a', 'b', 'c', 'd'].map(
  (job): ManifestJob => ({
    ...{ job, revision: 1, job_digest: '', try: 1, program: 'x', arguments: [], inputs: [], outputs: [] },
  }),
)

/** Task 3 of an array, whose jobs take from 5 s to 15 s each. */
function scene() {
  const directory = mkdtempSync(join(tmpdir(), 'floe-simulated-'))
  const header = { campaign: 'c', array: 'a', task: 3, batch: 0 } as ManifestTask
  const play = simulatedRunner({ seed: 1, jobSec: 10, failures: 0 }, () => ({ header, jobs }))
  return {
    at: (sec: number): boolean => play({ array: { directory } as ArraySpec, index: 3, startedAt: 0, now: 1000 * sec }),
    cancel: (name: string, text: string) => writeFileSync(join(directory, name), text),
    text: () => readFileSync(join(directory, 'records', '3.1'), 'utf8'),
    running: () => foldRecords(readRecords(directory, {}).lines).runningJobs,
    ended: () =>
      readFileSync(join(directory, 'records', '3.1'), 'utf8')
        .split('\n')
        .map(decodeRecord)
        .flatMap((line) => {
          if (line?.event === 'job ended') return [`${line.job} ${line.verdict}`]
          return line?.event === 'task ended' ? [`task ${line.reason} of ${line.jobs} at ${line.at / 1e6}`] : []
        }),
  }
}

test('jobs that were named end as cancelled: the one that runs now, the others when their turn comes', () => {
  const { at, cancel, ended } = scene()
  expect(at(1)).toBe(false)
  cancel('cancel', '"a"\n"c"\n')
  expect(at(2)).toBe(false)
  expect(ended()).toEqual(['a cancelled'])
  expect(at(100)).toBe(true)
  expect(ended().slice(0, 4)).toEqual(['a cancelled', 'b succeeded', 'c cancelled', 'd succeeded'])
  expect(ended()[4]).toMatch(/^task done of 4/)
})

test('an empty file ends all at once, for its task alone', () => {
  const { at, cancel, ended } = scene()
  cancel('cancel.4', '')
  expect(at(16)).toBe(false)
  const before = ended()
  expect(before.length).toBeGreaterThan(0)
  cancel('cancel.3', '')
  expect(at(17)).toBe(true)
  expect(ended()).toEqual([
    ...before,
    ...jobs.slice(before.length).map(({ job }) => `${job} cancelled`),
    'task cancelled of 4 at 17',
  ])
  expect(at(18)).toBe(true)
})

test('the job whose turn it is runs, and is told once', () => {
  const { at, running, ended, text } = scene()
  at(0)
  expect(running()).toEqual(['1 a'])
  at(1)
  expect(running()).toEqual(['1 a'])
  for (let sec = 1; ended().length === 0; sec++) at(sec)
  expect([ended(), running()]).toEqual([['a succeeded'], ['1 b']])
  expect(text().match(/"job started"/g)).toHaveLength(2)
  at(100)
  expect(running()).toEqual([])
})

test('when they were looked at changes nothing', () => {
  const [often, once] = [scene(), scene()]
  for (let sec = 0; sec <= 60; sec++) often.at(sec)
  once.at(60)
  expect(often.ended()).toEqual(once.ended())
  expect(once.ended()).toHaveLength(5)
})
