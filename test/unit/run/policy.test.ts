import { expect, test } from 'vitest'
import { DEFAULT_RETRIES, decideNext } from '../../../src/run/policy.ts'

test('a program that fails is not run again by itself', () => {
  expect(decideNext(DEFAULT_RETRIES, 'app', 0)).toBe('give up')
})

test('memory is tried again until its tries are used up', () => {
  expect([0, 1, 2].map((before) => decideNext(DEFAULT_RETRIES, 'memory', before))).toEqual([
    'retry',
    'retry',
    'give up',
  ])
})

test('what succeeded is done; what was cancelled stays so', () => {
  expect(decideNext(DEFAULT_RETRIES, null, 3)).toBe('done')
  expect(
    decideNext({ ...DEFAULT_RETRIES, cancelled: { ...DEFAULT_RETRIES.cancelled, tries: 9 } }, 'cancelled', 0),
  ).toBe('give up')
})

test('a class may ask to wait for a person', () => {
  expect(decideNext({ ...DEFAULT_RETRIES, input: { ...DEFAULT_RETRIES.input, exhausted: 'hold' } }, 'input', 0)).toBe(
    'hold',
  )
})
