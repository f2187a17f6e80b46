import { expect, test } from 'vitest'
import { parseBytes, parseSeconds } from '../../../src/model/resources.ts'

test.each([
  ['2GB', 2e9],
  ['512 MiB', 512 * 2 ** 20],
  ['1.5g', 1.5e9],
  ['1e9', 1e9],
  [4096, 4096],
  ['10', 10],
  ['2 GBit', undefined],
  ['-1', undefined],
  [-1, undefined],
  ['', undefined],
] as const)('%s is %s bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes))

test.each([
  ['10m', 600],
  ['1h30m', 5400],
  ['90', 90],
  ['01:30:00', 5400],
  ['05:30', 330],
  ['2-12:00:00', 216_000],
  ['1.5 h', 5400],
  ['2 days', undefined],
  ['soon', undefined],
  [-1, undefined],
] as const)('%s is %s seconds', (text, seconds) => expect(parseSeconds(text)).toBe(seconds))
