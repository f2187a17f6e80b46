import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDocument, stringify } from 'yaml'
import { parsePlain } from '../../src/catalog/yaml-plain.ts'

/** What the full parser gives for the lines below a key; undefined: not YAML. */
function parseFully(lines: readonly string[]): unknown {
  const document = parseDocument(`job:\n${lines.join('\n')}\n`, {
    schema: 'failsafe',
    customTags: ['null', 'merge'],
    merge: true,
    logLevel: 'silent',
  })
  if (document.errors.length > 0) return undefined
  return (document.toJS() as { job: unknown }).job
}

function agree(lines: readonly string[]): boolean {
  const plain = parsePlain(lines)
  if (plain === undefined) return false
  expect(JSON.stringify(plain), lines.join('\n')).toBe(JSON.stringify(parseFully(lines)))
  return true
}

const odd = fc.constantFrom(
  ...['-', ' ', ':', '#', ',', '[', ']', '{', '}', '"', "'", '&', '*', '!', '|', '>', '%', '@', '`', '\\', '?', '~'],
  ...[
    '=',
    '<',
    '$',
    '/',
    '.',
    '..',
    'a',
    'b1',
    '01',
    '1e3',
    'null',
    'true',
    'yes',
    'Ærø',
    '\u{1F9CA}',
    '\u00a0',
    '\t',
    '--- ',
    ': ',
    ' #',
    '- ',
  ],
)
const text = fc.array(odd, { maxLength: 6 }).map((parts) => parts.join(''))
const key = fc.constantFrom('executable', 'data', 'input', 'a.b', 'x-y', 'null', 'A1', '_')

test('what the plain reader reads of any lines, the full parser reads alike', () => {
  const line = fc.oneof(
    fc.tuple(key, text).map(([name, value]) => `${name}: ${value}`),
    fc.tuple(key, text).map(([name, value]) => `${name}:${value}`),
    text.map((value) => `- ${value}`),
    text,
    key.map((name) => `${name}:`),
  )
  const lines = fc.array(
    fc.tuple(fc.constantFrom(2, 2, 2, 4, 4, 6, 1), line).map(([indent, all]) => ' '.repeat(indent) + all),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  let read = 0
  fc.assert(
    fc.property(lines, (all) => {
      if (agree(all)) read++
    }),
    { numRuns: 5000 },
  )
  expect(read).toBeGreaterThan(100)
})

test('and of what a person writes', () => {
  const scalar = fc.oneof(
    text,
    fc.string(),
    fc.constantFrom(
      'winds/1982-01.csv',
      '{input:1}',
      '--month',
      '2GB',
      '10m',
      'test -s "$FLOE_OUTPUT_1"',
      '1982-01',
      '',
    ),
  )
  const job = fc.record(
    {
      data: fc.record({
        input: fc.array(scalar),
        output: fc.array(fc.oneof(scalar, fc.record({ path: scalar, optional: fc.boolean() }))),
      }),
      executable: scalar,
      arguments: fc.array(scalar),
      environment: fc.dictionary(fc.stringMatching(/^[A-Z_]{1,5}$/), scalar),
      labels: fc.dictionary(fc.string(), scalar),
      check: scalar,
    },
    { requiredKeys: ['executable'] },
  )
  const style = fc.record({
    indent: fc.constantFrom(2, 4),
    indentSeq: fc.boolean(),
    collectionStyle: fc.constantFrom('any' as const, 'block' as const, 'flow' as const),
    lineWidth: fc.constantFrom(0, 60),
    singleQuote: fc.constantFrom(null, true, false),
  })
  fc.assert(
    fc.property(job, style, (given, options) => {
      const lines = stringify({ job: given }, options).split('\n').slice(1)
      agree(lines)
    }),
    { numRuns: 1500 },
  )
})

test("the users' own form is plain", () => {
  const job = `  data:
    input:
      - winds/1982-01.csv            # relative to this job file
      - zarr/1982/
    output:
      - mean/1982-01.csv
  executable: https://example.org/prg.sh
  arguments: ["{input:1}", "--month", "{label:month}", "{output:1}"]
  files: [lib.py, namelist.nml]
  setup: module load cdo
  environment: {LANG: C}
  resources: {cpus: 1, memory: 2GB, walltime: 10m}
  labels: {month: 1982-01}
  check: test -s "$FLOE_OUTPUT_1"`
  const withoutComments = job.split('\n').map((line) => line.replace(/ +#.*$/, ''))
  expect(agree(withoutComments)).toBe(true)
})
