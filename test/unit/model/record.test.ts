import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeRecord,
  encodeRecord,
  glanceAtRecord,
  type JobStarted,
  type RecordLine,
} from '../../../src/model/record.ts'

const started = (job: string): JobStarted => ({
  v: 1,
  at: 1_700_000_000_000_000,
  event: 'job started',
  job,
  revision: 1,
  slot: 0,
  started_at: 0,
  stdout: { file: 'o', offset: 0 },
  stderr: { file: 'e', offset: 0 },
})

test('a line reads back as it was written, whatever the name of the job', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (job) => {
      expect(decodeRecord(encodeRecord(started(job)).slice(0, -1))).toEqual({ ...started(job), crc: undefined })
    }),
  )
})

test('a glance sees what reading does, whatever the order of the fields', () => {
  const fields = fc.record({
    job: fc.string({ unit: 'binary' }),
    at: fc.nat(),
    event: fc.constantFrom('job started', 'job ended'),
  })
  const task = fc.record({ at: fc.nat(), event: fc.constant('task started'), batch: fc.nat() })
  const shuffled = fc.oneof(fields, task).chain((line) => {
    const entries = Object.entries({ v: 1, ...line })
    return fc
      .shuffledSubarray(entries, { minLength: entries.length })
      .map((all) => Object.fromEntries(all) as unknown as RecordLine)
  })
  fc.assert(
    fc.property(
      fc.oneof(
        shuffled,
        fields.map((line) => ({ ...started(''), ...line }) as RecordLine),
      ),
      (line) => {
        const glance = glanceAtRecord(encodeRecord(line).slice(0, -1))!
        expect(glance.at).toBe(line.at)
        expect(glance.event).toBe(line.event)
        expect(glance.job && JSON.parse(glance.job)).toBe('job' in line ? line.job : undefined)
        expect(glance.batch).toBe('batch' in line ? line.batch : undefined)
        expect(JSON.parse(`${glance.body}}`)).toEqual(line)
      },
    ),
  )
})

test('a torn or damaged line is not there', () => {
  const line = encodeRecord(started('Ærø "1"\n')).slice(0, -1)
  for (let cut = 0; cut < line.length; cut++)
    expect([decodeRecord(line.slice(0, cut)), glanceAtRecord(line.slice(0, cut))]).toEqual([undefined, undefined])
  for (let at = 0; at < line.length - 1; at++) {
    const damaged = line.slice(0, at) + (line[at] === 'x' ? 'y' : 'x') + line.slice(at + 1)
    expect([decodeRecord(damaged), glanceAtRecord(damaged)]).toEqual([undefined, undefined])
  }
})
