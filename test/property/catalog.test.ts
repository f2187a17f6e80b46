import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { bytesSql, secondsSql } from '../../src/catalog/amounts.ts'
import { type AddReport, addJobFiles } from '../../src/catalog/catalog.ts'
import { parseBytes, parseSeconds } from '../../src/model/resources.ts'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'

/* What must hold for any jobs: all formats say the same, odd names stay as they are, the order of rows and a second add change nothing. */

const roots: string[] = []
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true })
})

async function inCampaign<T>(act: (tables: Tables, root: string) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'floe-property-'))
  roots.push(root)
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock, threads: 1 })
  try {
    return await act(tables, root)
  } finally {
    await tables.close()
  }
}

const add = (tables: Tables, root: string, path: string): Promise<AddReport> =>
  addJobFiles(tables, [path], {
    campaign: root,
    outputs: join(root, 'outputs'),
    cache: join(root, '.floe'),
    clock: systemClock,
  })

interface Job {
  readonly id: string
  readonly data: { readonly input: readonly string[]; readonly output: readonly string[] }
  readonly executable: string
  readonly arguments: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly priority?: number
  readonly resources?: { readonly memory?: string; readonly cpus?: number }
}

const piece = fc.oneof(
  fc.constantFrom(
    ...[
      ' ',
      '  ',
      '"',
      "'",
      '\n',
      '\t',
      ';',
      ',',
      '$(rm -rf)',
      '`x`',
      '\\',
      '\\n',
      '-',
      '--',
      '🧊',
      'é',
      'æ',
      '~',
      '*',
      '?',
      '[',
    ],
    ...[
      ']',
      '{',
      '}',
      '{{',
      '#',
      ': ',
      '- ',
      '&a',
      '*a',
      '!',
      '|',
      '>',
      '%',
      '@',
      '=',
      '<',
      'null',
      'true',
      '01',
      '1e3',
      '1982-01',
    ],
  ),
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 4 })
    .map((text) => [...text].filter((sign) => sign >= ' ' && sign !== '\x7f').join('')),
)
/** Of a few texts, such as a blank and a newline, `yaml` does not read back what it wrote: nothing to blame floe's reader for. */
const text = fc
  .array(piece, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join(''))
  .filter((one) => parse(stringify([one]))[0] === one)
/** One part of a path, which says nothing of where it leads. */
const part = text.map((one) => one.replaceAll(/[/:]/g, '_')).filter((one) => !/^\.*$/.test(one) && !one.startsWith('.'))
const path = fc.array(part, { minLength: 1, maxLength: 2 }).map((parts) => parts.join('/'))

const jobs: fc.Arbitrary<Job[]> = fc
  .uniqueArray(
    fc.record(
      {
        id: text.filter((id) => id.trim() !== '' && id !== 'templates'),
        data: fc.record({ input: fc.uniqueArray(path, { maxLength: 3 }), output: fc.constant([] as string[]) }),
        executable: part,
        arguments: fc.array(
          text.map((one) => one.replaceAll('{', '(')),
          { maxLength: 3 },
        ),
        labels: fc.dictionary(
          text,
          text.filter((one) => one !== ''),
          { maxKeys: 2 },
        ),
        priority: fc.integer({ min: -5, max: 5 }),
        resources: fc.record(
          { memory: fc.constantFrom('2GB', '1.5GiB'), cpus: fc.integer({ min: 1, max: 9 }) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: ['id', 'data', 'executable', 'arguments', 'labels'] },
    ),
    { selector: ({ id }) => id, minLength: 1, maxLength: 12 },
  )
  .map((all) => all.map((job, n) => ({ ...job, data: { ...job.data, output: [`o${n}/${job.data.input[0] ?? 'x'}`] } })))

const cell = (value: string): string => `"${value.replaceAll('"', '""')}"`

const FORMATS: Readonly<Record<string, (jobs: readonly Job[]) => string>> = {
  'jobs.ndjson': (all) => all.map((job) => `${JSON.stringify(job)}\n`).join(''),
  'jobs.json': (all) => JSON.stringify(Object.fromEntries(all.map(({ id, ...job }) => [`${id}`, job])), null, 1),
  'list.json': (all) => JSON.stringify(all),
  'jobs.yaml': (all) => stringify(all.map((job) => job)),
  'jobs.csv': (all) => {
    const rows = all.map(({ id, data, executable, ...job }) =>
      [id, JSON.stringify(data.input), JSON.stringify(data.output), executable, JSON.stringify(job.arguments)]
        .concat(
          job.priority === undefined ? '' : String(job.priority),
          job.resources?.memory ?? '',
          String(job.resources?.cpus ?? ''),
        )
        .map(cell)
        .join(','),
    )
    return `${['id,input,output,executable,arguments,priority,memory,cpus', ...rows].join('\n')}\n`
  },
}

/** All that a job is, as the tables have it. */
const FACTS =
  'job_id, job_key, spec_digest, executable, arguments, inputs, input_names, outputs, labels, input_hash, bucket, priority, resources'

async function factsOf(given: readonly Job[], format: string): Promise<unknown[]> {
  return inCampaign(async (tables, root) => {
    // The same directory name for all: urls are part of the text of a job.
    const file = join(root, format)
    writeFileSync(file, FORMATS[format]!(given))
    const report = await add(tables, root, file)
    expect(report.firstRejects, format).toEqual([])
    expect(report.added).toBe(given.length)
    expect(await add(tables, root, file)).toMatchObject({ added: 0, replaced: 0, unchanged: given.length })
    await tables.view('jobs', undefined, 'told')
    const rows = await tables.sql.rows(`SELECT ${FACTS} FROM told ORDER BY job_id`)
    return JSON.parse(
      JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? String(value) : value)).replaceAll(root, 'ROOT'),
    )
  })
}

const withoutDigests = (rows: unknown[]) =>
  rows.map((row) => ({ ...(row as object), spec_digest: null, input_hash: null, bucket: null }))

test('odd names stay as they are, in every format', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(jobs, async (given) => {
      const ndjson = await factsOf(given, 'jobs.ndjson')
      const byId = [...given].sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)))
      expect(ndjson).toMatchObject(
        byId.map((job) => ({
          job_id: job.id,
          executable: job.executable,
          arguments: job.arguments,
          inputs: job.data.input.map((one) => `ROOT/${one}`),
          input_names: job.data.input,
          outputs: job.data.output.map((one) => ({ path: one, optional: false })),
          labels: Object.keys(job.labels).length === 0 ? null : job.labels,
        })),
      )
      for (const format of ['list.json', 'jobs.yaml']) {
        expect(withoutDigests(await factsOf(given, format)), format).toEqual(withoutDigests(ndjson))
      }
      const bare = given.map((job) => ({ ...job, labels: {} }))
      expect(withoutDigests(await factsOf(bare, 'jobs.csv'))).toEqual(withoutDigests(await factsOf(bare, 'list.json')))
    }),
    { numRuns: 10, endOnFailure: true },
  )
})

test('one directory: the same digests from every format, whatever the order of the rows', {
  timeout: 300_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(jobs, fc.infiniteStream(fc.nat()), (given, numbers) =>
      inCampaign(async (tables, root) => {
        const bare = given.map((job) => ({ ...job, labels: {} }))
        for (const [format, write] of Object.entries(FORMATS)) {
          const mixed = bare
            .map((job) => ({ job, at: numbers.next().value as number }))
            .sort((a, b) => a.at - b.at)
            .map(({ job }) => job)
          const file = join(root, format)
          writeFileSync(file, write(mixed))
          const report = await add(tables, root, file)
          const wanted = format === 'jobs.ndjson' ? { added: given.length } : { added: 0, unchanged: given.length }
          expect(report, format).toMatchObject({ ...wanted, replaced: 0, rejected: 0 })
        }
      }),
    ),
    { numRuns: 10, endOnFailure: true },
  )
})

test('sizes and durations mean in SQL what they mean in the model', async () => {
  const number = fc.oneof(
    fc.nat({ max: 10_000 }).map(String),
    fc.tuple(fc.nat({ max: 99 }), fc.nat({ max: 999 })).map(([a, b]) => `${a}.${b}`),
  )
  const blank = fc.constantFrom('', '', ' ')
  const unit = fc.constantFrom('', 'b', 'k', 'KB', 'm', 'MB', 'MiB', 'G', 'GB', 'gi', 'TiB', 'x', 'BB')
  const size = fc.tuple(blank, number, blank, unit, blank).map((parts) => parts.join(''))
  const span = fc
    .tuple(number, blank, fc.constantFrom('s', 'sec', 'm', 'min', 'h', 'd', 'H', 'y', ''))
    .map((parts) => parts.join(''))
  const clock = fc
    .tuple(
      fc.constantFrom('', '2-', '0-'),
      fc.nat({ max: 99 }),
      fc.constantFrom(':5', ':05', ':30:10', ':7:8', ':123', ':'),
    )
    .map((parts) => parts.join(''))
  const duration = fc.oneof(
    fc.array(span, { minLength: 1, maxLength: 3 }).map((spans) => spans.join(' ')),
    clock,
    fc.constantFrom('', 'soon', '-5', '1:2:3:4'),
  )
  await inCampaign(async ({ sql }) => {
    const compare = async (texts: string[], expression: string, meant: (text: string) => number | undefined) => {
      const rows = await sql.rows<{ value: number | null }>(
        `SELECT CAST(${expression} AS DOUBLE) AS value FROM (SELECT unnest(?::VARCHAR[]) AS t)`,
        [texts],
      )
      for (const [at, one] of texts.entries()) expect(rows[at]!.value, one).toBeCloseToOrNull(meant(one) ?? null)
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 50 }),
        fc.array(duration, { minLength: 1, maxLength: 50 }),
        async (sizes, durations) => {
          await compare(sizes, bytesSql('t'), parseBytes)
          await compare(durations, secondsSql('t'), parseSeconds)
        },
      ),
      { numRuns: 40 },
    )
  })
})

expect.extend({
  toBeCloseToOrNull(received: number | null, wanted: number | null) {
    const pass =
      wanted === null || received === null
        ? received === wanted
        : Math.abs(received - wanted) <= 1e-9 * Math.abs(wanted)
    return { pass, message: () => `${String(received)} instead of ${String(wanted)}` }
  },
})

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: the signature of vitest
  interface Matchers<T = any> {
    toBeCloseToOrNull(wanted: number | null): T
  }
}
