import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRecord, encodeRecord, type JobStarted } from '../../../src/model/record.ts'

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

test('a torn or damaged line is not there', () => {
  const line = encodeRecord(started('Ærø "1"\n')).slice(0, -1)
  for (let cut = 0; cut < line.length; cut++) expect(decodeRecord(line.slice(0, cut))).toBeUndefined()
  for (let at = 0; at < line.length - 1; at++) {
    const damaged = line.slice(0, at) + (line[at] === 'x' ? 'y' : 'x') + line.slice(at + 1)
    expect(decodeRecord(damaged)).toBeUndefined()
  }
})
