import { expect, test } from 'vitest'
import { labelsNamed, resolveArguments } from '../../../src/model/arguments.ts'

const context = { inputs: ['a b.csv', '-x.csv'], outputs: ['out/1.csv'], labels: { month: '1982-01', 'a b': '$(rm)' } }

test('placeholders are replaced wherever they stand', () => {
  expect(resolveArguments(['{input:2}', '--m={label:month}', '{output:1}{label:a b}'], context)).toEqual([
    '-x.csv',
    '--m=1982-01',
    'out/1.csv$(rm)',
  ])
})

test('without arguments: the inputs, then the outputs', () => {
  expect(resolveArguments(null, context)).toEqual(['a b.csv', '-x.csv', 'out/1.csv'])
})

test('braces that are no placeholder stay, so awk programs need no escapes', () => {
  const awk = '{ if ($1 > 0) { n++; s[$2] += $1 } } END { for (k in s) { print k, s[k] }}'
  expect(resolveArguments([awk, '{{input:1}}', '{}', '{input}'], context)).toEqual([awk, '{input:1}', '{}', '{input}'])
})

test.each(['{input:3}', '{input:0}', '{output:2}', '{label:year}', '{input:x}'])(
  '%s names what the job has not',
  (text) => {
    expect(resolveArguments([text], context)).toBeUndefined()
  },
)

test('the labels that count for a result are those that arguments name', () => {
  expect(labelsNamed(['{label:month}', '{input:1}'], context.labels)).toEqual({ month: '1982-01' })
})
