import { describe, expect, test } from 'vitest'
import { compileConfig } from '../../../src/config/config.ts'
import type { FailureClass } from '../../../src/model/verdict.ts'
import { decideNext, type Had } from '../../../src/run/policy.ts'

const policyOf = (yaml: string) => compileConfig(yaml, { path: 'floe.yaml', directory: '/' }).policy
const usual = policyOf('')

/** After `same` earlier failures in the class, and `counted` in all classes that use up tries. */
const decide = (
  policy: typeof usual,
  failure: FailureClass | null,
  same: number,
  { counted = same, had = {}, max }: { counted?: number; had?: Had; max?: number } = {},
) => decideNext(policy, failure, { before: { same, counted }, had, maxTries: max ?? null })

describe('by default', () => {
  test('a program that fails is not run again by itself', () => {
    expect(decide(usual, 'app', 0)).toBe('give up')
    expect(decide(usual, 'check', 0)).toBe('give up')
  })

  test('memory and walltime are tried again until their tries are used up', () => {
    for (const name of ['memory', 'walltime'] as const) {
      const { tries } = usual[name]
      expect(tries).toBeGreaterThan(1)
      expect(decide(usual, name, tries - 2)).toBe('retry')
      expect(decide(usual, name, tries - 1)).toBe('give up')
    }
  })

  test('what succeeded is done; what was cancelled stays so; what lacks its input is held', () => {
    expect(decide(usual, null, 3)).toBe('done')
    expect(decide(usual, 'cancelled', 0)).toBe('give up')
    expect(decide(usual, 'input', 0)).toBe('hold')
  })

  test('a loss by the site uses up no try', () => {
    for (const name of ['node', 'preempted', 'purged', 'lost', 'staging'] as const)
      expect(decide(usual, name, 0, { counted: 100, max: 1 }), name).toBe('retry')
  })
})

test('--max-tries bounds the tries of all classes together', () => {
  expect(decide(usual, 'memory', 0, { counted: 1, max: 3 })).toBe('retry')
  expect(decide(usual, 'memory', 0, { counted: 2, max: 3 })).toBe('give up')
})

test('a rule that asks for more ends where no more is to be had', () => {
  const policy = policyOf('policy: {memory: {cap: 4GB, exhausted: hold}, walltime: {action: split, tries: 9}}')
  expect(decide(policy, 'memory', 0, { had: { memoryBytes: 3e9 } })).toBe('retry')
  expect(decide(policy, 'memory', 0, { had: { memoryBytes: 4e9 } })).toBe('hold')
  expect(decide(policy, 'walltime', 0, { had: { jobs: 2 } })).toBe('retry')
  expect(decide(policy, 'walltime', 0, { had: { jobs: 1 } })).toBe('give up')
})

test('a class that is not tried again by default is, when it is said how often', () => {
  expect(decide(policyOf('policy: {app: {tries: 2}}'), 'app', 0)).toBe('retry')
  expect(decide(policyOf('policy: {app: {exhausted: hold}}'), 'app', 0)).toBe('hold')
  expect(decide(policyOf('policy: {app: {action: elsewhere, tries: 3, exhausted: hold}}'), 'app', 2)).toBe('hold')
  expect(decide(policyOf('policy: {memory: {action: give up}}'), 'memory', 0)).toBe('give up')
  expect(decide(policyOf('policy: {memory: {tries: 1}}'), 'memory', 0)).toBe('give up')
})
