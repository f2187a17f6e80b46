import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type FixedTable, TABLES } from '../../../src/model/tables.ts'
import { deltaType, parseType } from '../../../src/ports/tables/types.ts'

/** What each table is for, above its columns. */
const PURPOSE: Readonly<Record<FixedTable, string>> = {
  jobs: 'The catalog, one row a job. Partitioned by `bucket`; a change rewrites the buckets that it touches.',
  files: 'Each distinct file that jobs name, once.',
  plan: 'The map phase: one row a job, its position in the affinity order.',
  batches: 'Ranges of that order, as cut for a site.',
  attempts: 'What happened: one row a job and try. It only grows.',
  results:
    'What came out: one row a job digest and output, with what was published last. It grows; a row may be replaced.',
  requests: 'What people asked for: one row a job and command. It only grows.',
}

/** The type in Delta's words, nested ones shortly. */
function typeText(delta: unknown): string {
  if (typeof delta === 'string') return delta
  const nested = delta as Record<string, unknown>
  if (nested.type === 'array') return `list of ${typeText(nested.elementType)}`
  if (nested.type === 'map') return `map of ${typeText(nested.keyType)} to ${typeText(nested.valueType)}`
  const fields = nested.fields as { name: string; type: unknown }[]
  return `struct {${fields.map(({ name, type }) => `${name} ${typeText(type)}`).join(', ')}}`
}

function columnsText(): string {
  return (Object.keys(TABLES) as FixedTable[])
    .map((table) => {
      const rows = TABLES[table].columns.map(
        ({ name, type, text }) => `| \`${name}\` | ${typeText(deltaType(parseType(type)))} | ${text} |`,
      )
      return [`### ${table}`, '', PURPOSE[table], '', '| column | type | |', '|---|---|---|', ...rows].join('\n')
    })
    .join('\n\n')
}

const [BEGIN, END] = [
  '<!-- columns: made from src/model/tables.ts, see test/unit/ports/formats.test.ts -->',
  '<!-- end of columns -->',
]

it('docs/formats.md gives every column (FLOE_WRITE_DOCS=1 writes it)', () => {
  const path = new URL('../../../docs/formats.md', import.meta.url)
  const page = readFileSync(path, 'utf8')
  const [before, rest] = page.split(BEGIN)
  const [, after] = rest!.split(END)
  const wanted = `${before}${BEGIN}\n\n${columnsText()}\n\n${END}${after}`
  if (process.env.FLOE_WRITE_DOCS) writeFileSync(path, wanted)
  else expect(page).toBe(wanted)
})
