import { expect, test } from 'vitest'
import { compileConfig } from '../../../src/config/config.ts'
import { decideNext } from '../../../src/run/policy.ts'

const { retries } = compileConfig('', { path: 'floe.yaml', directory: '/' })

test('a program that fails is not run again by itself', () => {
  expect(decideNext(retries, 'app', 0)).toBe('give up')
})

test('memory is tried again until its tries are used up', () => {
  const { tries } = retries.memory
  expect(tries).toBeGreaterThan(1)
  expect(decideNext(retries, 'memory', tries - 2)).toBe('retry')
  expect(decideNext(retries, 'memory', tries - 1)).toBe('give up')
})

test('what succeeded is done; what was cancelled stays so', () => {
  expect(decideNext(retries, null, 3)).toBe('done')
  expect(decideNext(retries, 'cancelled', 0)).toBe('give up')
})

test('a class may ask to wait for a person', () => {
  expect(decideNext({ ...retries, input: { ...retries.input, exhausted: 'hold' } }, 'input', 9)).toBe('hold')
})
