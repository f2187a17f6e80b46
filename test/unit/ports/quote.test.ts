import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, quoteName, quoteText, quoteTexts } from '../../../src/ports/tables/tables.ts'
import { temporaryFolder } from '../../conformance/files.ts'

const place = temporaryFolder()
const tables = await openTables({ root: place.root, cache: `${place.root}/.floe`, clock: systemClock })
afterAll(async () => {
  await tables.close()
  await place.close()
})

// Lone surrogates are no text: Node turns them into U+FFFD on the way to DuckDB.
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom("'", '"', '\\', '\0', ';', '--', '/*', '$$', '\n', '?', '$1', 'é', '🎉') }),
)

it('gives any text back from a literal', async () => {
  await fc.assert(
    fc.asyncProperty(text, async (value) => {
      const [row] = await tables.sql.rows(`SELECT ${quoteText(value)} AS v`)
      expect(row).toEqual({ v: value })
    }),
    { numRuns: 300 },
  )
})

it('gives lists of texts back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1 }), async (values) => {
      const [row] = await tables.sql.rows(`SELECT ${quoteTexts(values)} AS v`)
      expect(row).toEqual({ v: values })
    }),
    { numRuns: 100 },
  )
})

it('names columns with any text but NUL', async () => {
  await fc.assert(
    fc.asyncProperty(
      text.filter((name) => name !== '' && !name.includes('\0')),
      async (name) => {
        const [row] = await tables.sql.rows(`SELECT 1 AS ${quoteName(name)}`)
        expect(row).toEqual({ [name]: 1 })
      },
    ),
    { numRuns: 200, examples: [['__proto__']] },
  )
})
