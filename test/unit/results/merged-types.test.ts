import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ContentType, decideType, type Evidence, fits, typeOfMask } from '../../../src/results/merged-types.ts'

const TYPES: readonly ContentType[] = ['BIGINT', 'DOUBLE', 'BOOLEAN', 'DATE', 'TIMESTAMPTZ', 'VARCHAR']
const evidence = fc.array(
  fc.record({ type: fc.constantFrom<ContentType | null>(...TYPES, null), files: fc.integer({ min: 1, max: 9 }) }),
)

test('a mask of values speaks of the narrowest type that holds them', () => {
  expect([0, 1, 2, 3, 4, 5, 8, 16, 24, 32, 33, 9].map(typeOfMask)).toEqual([
    ...[null, 'BIGINT', 'DOUBLE', 'DOUBLE', 'BOOLEAN', 'VARCHAR', 'DATE', 'TIMESTAMPTZ', 'TIMESTAMPTZ'],
    ...['VARCHAR', 'VARCHAR', 'VARCHAR'],
  ])
})

test('most files decide; numbers win a tie with text', () => {
  const decide = (...seen: [ContentType | null, number][]) =>
    decideType(
      null,
      seen.map(([type, files]) => ({ type, files })),
      true,
    )
  expect(decide(['BIGINT', 5], ['DOUBLE', 1])).toBe('DOUBLE')
  expect(decide(['BIGINT', 2], ['DOUBLE', 2], ['VARCHAR', 3])).toBe('DOUBLE')
  expect(decide(['VARCHAR', 2], ['DATE', 1])).toBe('VARCHAR')
  expect(decide(['VARCHAR', 1], ['BIGINT', 1])).toBe('BIGINT')
  expect(decide(['DATE', 1], ['TIMESTAMPTZ', 1])).toBe('TIMESTAMPTZ')
  expect(decide([null, 9])).toBeNull()
  expect(decide([null, 9], ['BOOLEAN', 1])).toBe('BOOLEAN')
})

test('the order of the evidence does not matter, and what most files have fits', () => {
  fc.assert(
    fc.property(evidence, (seen) => {
      const type = decideType(null, seen, true)
      expect(decideType(null, [...seen].reverse(), true)).toBe(type)
      const count = (some: readonly Evidence[]) => some.reduce((sum, { files }) => sum + files, 0)
      const spoken = seen.filter((one) => one.type !== null)
      expect(type === null).toBe(spoken.length === 0)
      if (type !== null) {
        expect(count(spoken.filter((one) => fits(one.type, type))) * 4).toBeGreaterThanOrEqual(count(spoken))
      }
    }),
  )
})

test('a type that is there stays, or becomes one that its values fit in', () => {
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), evidence, fc.boolean(), (now, seen, mayWiden) => {
      const type = decideType(now, seen, mayWiden)!
      expect(fits(now, type)).toBe(true)
      if (!mayWiden) expect(type).toBe(now)
      if (now !== 'VARCHAR') expect(type).not.toBe('VARCHAR')
    }),
  )
})
