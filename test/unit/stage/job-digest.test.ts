import { expect, test } from 'vitest'
import { type DigestParts, jobDigest } from '../../../src/stage/job-digest.ts'

const parts: DigestParts = {
  program: 'sha256:aa',
  arguments: ['{input:1}'],
  inputs: [{ name: 'a.csv', digest: 'sha256:01' }],
  files: [],
  labels: {},
  outputs: ['out.csv'],
  environment: { A: '1', B: '2' },
  setup: null,
  container: null,
  stdin: null,
  stdout: null,
  check: null,
}

test('the name of an output does not count, its number does', () => {
  expect(jobDigest({ ...parts, outputs: ['else.csv'] })).toBe(jobDigest(parts))
  expect(jobDigest({ ...parts, outputs: ['out.csv', 'two.csv'] })).not.toBe(jobDigest(parts))
  expect(jobDigest({ ...parts, outputs: ['*.csv'] })).not.toBe(jobDigest(parts))
})

test('the order of the environment does not count', () => {
  expect(jobDigest({ ...parts, environment: { B: '2', A: '1' } })).toBe(jobDigest(parts))
})

test.each([
  ['program', { program: 'sha256:bb' }],
  ['argument', { arguments: ['{input:1}', '-v'] }],
  ['content of an input', { inputs: [{ name: 'a.csv', digest: 'sha256:02' }] }],
  ['name of an input', { inputs: [{ name: 'b.csv', digest: 'sha256:01' }] }],
  ['helper file', { files: [{ name: 'lib.py', digest: 'sha256:03' }] }],
  ['label that an argument names', { labels: { month: '1' } }],
  ['environment', { environment: { A: '1', B: '3' } }],
  ['setup', { setup: 'module load cdo' }],
  ['check', { check: 'test -s x' }],
] as const)('%s counts', (_name, change) => {
  expect(jobDigest({ ...parts, ...change })).not.toBe(jobDigest(parts))
})
