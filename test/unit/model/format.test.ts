import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatCount,
  formatCounted,
  formatFactor,
  formatRate,
  formatSeconds,
  formatShare,
} from '../../../src/model/format.ts'

describe('numbers', () => {
  test('counts', () => {
    expect([0, 999, 1499988, 12345678901234567890n].map(formatCount)).toEqual([
      '0',
      '999',
      '1,499,988',
      '12,345,678,901,234,567,890',
    ])
    expect([0, 1, 1056].map((count) => formatCounted(count, 'job'))).toEqual(['0 jobs', '1 job', '1,056 jobs'])
    expect(formatCounted(2, 'batch', 'batches')).toBe('2 batches')
  })

  test('bytes', () => {
    expect([0, 1, 999, 999.6, 1000, 41e6, 4.02e9, 1.42e12, 9.996e5, 999_499, 999_500, 3e21].map(formatBytes)).toEqual([
      '0 B',
      '1 B',
      '999 B',
      '1.00 kB',
      '1.00 kB',
      '41.0 MB',
      '4.02 GB',
      '1.42 TB',
      '1.00 MB',
      '999 kB',
      '1.00 MB',
      '3000 EB',
    ])
  })

  test('bytes never show more than four digits below a zettabyte', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 9e20, noNaN: true }), (bytes) => {
        expect(formatBytes(bytes).replace(/\D/g, '').length).toBeLessThanOrEqual(4)
      }),
    )
  })

  test('seconds', () => {
    expect([0, 0.004, 0.2, 2.84, 9.96, 41, 59.6, 125, 3599.9, 3600, 5400, 794_000].map(formatSeconds)).toEqual([
      '0.0 s',
      '0.004 s',
      '0.2 s',
      '2.8 s',
      '10 s',
      '41 s',
      '1 min',
      '2 min 5 s',
      '1 h',
      '1 h',
      '1 h 30 min',
      '9 d 5 h',
    ])
  })

  test('shares are 0 and 100 only when they are', () => {
    expect(
      [
        [0, 10],
        [1, 1_000_000],
        [24, 100],
        [1, 16],
        [999_999, 1_000_000],
        [995, 1000],
        [10, 10],
        [0, 0],
      ].map(([part, whole]) => formatShare(part!, whole!)),
    ).toEqual(['0 %', '< 0.1 %', '24 %', '6.3 %', '> 99.9 %', '99.5 %', '100 %', '–'])
  })

  test('factors and rates', () => {
    expect([1, 3.31, 99.6, 1234].map(formatFactor)).toEqual(['1.0 ×', '3.3 ×', '100 ×', '1,234 ×'])
    expect(
      [
        [0, 0],
        [384, 1],
        [98, 10],
        [12, 60],
        [1, 3600],
        [12_000, 1],
      ].map(([count, seconds]) => formatRate(count!, seconds!)),
    ).toEqual(['– jobs/s', '384 jobs/s', '9.8 jobs/s', '12.0 jobs/min', '1.0 jobs/h', '12,000 jobs/s'])
  })
})
