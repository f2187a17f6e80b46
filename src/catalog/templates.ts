import { dirname } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { quoteName, quoteText } from '../ports/tables/tables.ts'
import type { Adding, JobFile } from './adding.ts'
import { GIVEN, type GivenColumn } from './given.ts'
import { type Given, isFault, jobForm } from './job-form.ts'
import { hintFor } from './keys.ts'
import { checkWhere } from './where.ts'

/*
 * templates:
 *   - for: {NAME: [a, b], NAME: {range: [1, 12, 1], format: "%02d"}, NAME: {glob: "winds/*.csv", match: "(\d+)-(\d+)"}}
 *     combine: cross | zip          cross: each with each; zip: first with first, as long as the shortest
 *     where: SQL over the names     numbers of a range are numbers, all else is text; groups of `match` are NAME_1, NAME_2 …
 *     job: {id: "x-${NAME}", …}     ${NAME} is replaced in every text
 */
interface Variable {
  readonly name: string
  /** FROM clause that gives the columns `columns` in order of `ord`. */
  readonly from: string
  /** Column, its SQL as value and its SQL as text. */
  readonly columns: readonly { readonly name: string; readonly text: string }[]
}

/** Expands the templates of a job file into jobs, by one SQL statement a template. Throws JOB_FILE_INVALID when one cannot be read. */
export async function expandTemplates(
  adding: Adding,
  file: JobFile,
  { line, given }: { line: number; given: Given },
): Promise<void> {
  if (!Array.isArray(given)) throw invalid(file, line, '`templates` is no list', 'Write `- for: …` below it.')
  for (const [at, template] of (given as readonly Given[]).entries()) {
    await expandTemplate(adding, file, { line, label: `template ${at + 1}`, template })
  }
}

interface Template {
  readonly line: number
  readonly label: string
  readonly template: Given
}

const invalid = (file: JobFile, line: number, message: string, hint: string): FloeError =>
  new FloeError('JOB_FILE_INVALID', `${file.name}:${line}: ${message}`, { hint, details: { file: file.name, line } })

const KEYS = ['for', 'combine', 'where', 'job']

async function expandTemplate(adding: Adding, file: JobFile, { line, label, template }: Template): Promise<void> {
  const wrong = (message: string, hint: string) => invalid(file, line, `${label}: ${message}`, hint)
  if (!isMap(template)) throw wrong('no map', 'Write `for:` and `job:` in it.')
  for (const key of Object.keys(template)) {
    if (!KEYS.includes(key)) throw wrong(`unknown key \`${key}\``, hintFor(key, KEYS))
  }
  if (!isMap(template.for) || Object.keys(template.for).length === 0)
    throw wrong('no `for`', 'Write `for: {NAME: [values]}`.')
  if (!isMap(template.job)) throw wrong('no `job`', 'Write `job:` as you would write one job, with `id:` in it.')
  const combine = template.combine ?? 'cross'
  if (combine !== 'cross' && combine !== 'zip')
    throw wrong(`\`combine\` is ${JSON.stringify(combine)}`, 'Write cross or zip.')
  const variables = Object.entries(template.for).map(([name, values]) =>
    variable(name, values, { base: dirname(file.path), wrong }),
  )
  const form = jobForm(template.job)
  if (isFault(form)) throw wrong(`${form.reason}${form.value === null ? '' : ` (${form.value})`}`, form.hint)
  if (form.id === undefined)
    throw wrong('its job has no `id`', `Write an id with all names in it, as \${${variables[0]!.name}}.`)
  const known = new Map(variables.flatMap(({ columns }) => columns.map(({ name, text }) => [name, text] as const)))
  const list = Object.entries(form).map(
    ([column, value]) => `${given(value, known, wrong)}::${GIVEN[column as GivenColumn]} AS ${quoteName(column)}`,
  )
  const where = template.where
  if (where !== undefined && where !== null) {
    if (typeof where !== 'string') throw wrong('`where` is no text', 'Write an SQL expression over the names.')
    await checkWhere(adding.sql, where)
  }
  const select = `SELECT ${line}::BIGINT AS line, ${list.join(', ')} FROM ${together(variables, combine)} ${where ? `WHERE (${where}\n)` : ''}`
  const columns = new Set<GivenColumn>(['line', ...(Object.keys(form) as GivenColumn[])])
  const before = adding.rows
  await adding.insert(file, { columns, select }).catch((cause: Error) => {
    if (cause instanceof FloeError && cause.code !== 'BUG') throw cause
    throw wrong(cause.message.split('\n')[0]!, 'Correct `where`, or the names in it.')
  })
  if (adding.rows === before) throw wrong('it makes no job', 'See `where`, and whether the globs match anything.')
}

type Wrong = (message: string, hint: string) => FloeError

const isMap = (value: Given): value is { readonly [key: string]: Given } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const FORMAT = /^[^%]*%0?\d*d[^%]*$/

function variable(name: string, values: Given, { base, wrong }: { base: string; wrong: Wrong }): Variable {
  if (!/^[A-Za-z_]\w*$/.test(name)) throw wrong(`\`${name}\` is no name`, 'Names are letters, digits and `_`.')
  const column = quoteName(name)
  if (Array.isArray(values)) {
    const texts = (values as readonly Given[]).map((value) => {
      if (value === null || typeof value === 'object')
        throw wrong(`\`${name}\` has a value that is no text`, 'Write a list of texts or numbers.')
      return quoteText(String(value))
    })
    if (texts.length === 0) throw wrong(`\`${name}\` has no values`, 'Write at least one.')
    return {
      name,
      from: `(SELECT unnest([${texts.join(', ')}]) AS ${column}, generate_subscripts([${texts.join(', ')}], 1) AS ord)`,
      columns: [{ name, text: column }],
    }
  }
  if (!isMap(values)) throw wrong(`\`${name}\` has no values`, 'Write a list, {range: [from, to]} or {glob: PATTERN}.')
  const keys = Object.keys(values).filter((key) => !['range', 'format', 'glob', 'match'].includes(key))
  if (keys.length > 0)
    throw wrong(`unknown key \`${keys[0]}\` of \`${name}\``, hintFor(keys[0]!, ['range', 'format', 'glob', 'match']))
  return values.glob === undefined ? range(name, values, wrong) : glob(name, values, { base, wrong })
}

function range(name: string, { range: bounds, format }: { readonly [key: string]: Given }, wrong: Wrong): Variable {
  const numbers = Array.isArray(bounds) ? bounds.map((bound) => Number(bound)) : []
  const [from, to, step = 1] = numbers
  if (numbers.length < 2 || numbers.length > 3 || !numbers.every(Number.isSafeInteger) || step === 0) {
    throw wrong(
      `the range of \`${name}\` is no [from, to] or [from, to, step] of whole numbers`,
      'Write {range: [1982, 1992]}; both ends are in it.',
    )
  }
  if (format !== undefined && (typeof format !== 'string' || !FORMAT.test(format))) {
    throw wrong(`the format of \`${name}\` is not of the form %02d`, 'Write {range: [1, 12], format: "%02d"}.')
  }
  const column = quoteName(name)
  const text = format === undefined ? `CAST(${column} AS VARCHAR)` : `printf(${quoteText(format as string)}, ${column})`
  return {
    name,
    from: `(SELECT range AS ${column}, row_number() OVER () AS ord FROM generate_series(${from}, ${to}, ${step}) t(range))`,
    columns: [{ name, text }],
  }
}

function glob(
  name: string,
  { glob: pattern, match }: { readonly [key: string]: Given },
  { base, wrong }: { base: string; wrong: Wrong },
): Variable {
  if (typeof pattern !== 'string' || pattern === '')
    throw wrong(`the glob of \`${name}\` is no text`, 'Write {glob: "winds/*.csv"}.')
  const absolute = pattern.startsWith('/')
  const prefix = absolute ? '' : `${base.endsWith('/') ? base : `${base}/`}`
  // The directory of the job file is taken as it is written, not as a pattern.
  const escaped = prefix.replace(/[*?[\]]/g, (char) => `[${char}]`)
  const path = `substr(file, ${prefix.length + 1})`
  const groups = match === undefined ? 0 : groupCount(match, name, wrong)
  const column = quoteName(name)
  const extra = Array.from({ length: groups }, (_, at) => quoteName(`${name}_${at + 1}`))
  const found = extra.map((one, at) => `regexp_extract(${path}, ${quoteText(match as string)}, ${at + 1}) AS ${one}`)
  const only = groups === 0 ? '' : `WHERE regexp_matches(${path}, ${quoteText(match as string)})`
  const select = [`${path} AS ${column}`, ...found, 'row_number() OVER (ORDER BY file) AS ord'].join(', ')
  return {
    name,
    from: `(SELECT ${select} FROM glob(${quoteText(escaped + pattern)}) ${only})`,
    columns: [{ name, text: column }, ...extra.map((text, at) => ({ name: `${name}_${at + 1}`, text }))],
  }
}

function groupCount(match: Given, name: string, wrong: Wrong): number {
  try {
    if (typeof match !== 'string') throw new Error('no text')
    return new RegExp(`${match}|`).exec('')!.length - 1
  } catch {
    throw wrong(
      `\`match\` of \`${name}\` is no regular expression`,
      'Write {glob: "winds/*.csv", match: "(\\d+)-(\\d+)"}.',
    )
  }
}

function together(variables: readonly Variable[], combine: 'cross' | 'zip'): string {
  if (combine === 'cross') return variables.map(({ from }, at) => `${from} v${at}`).join(' CROSS JOIN ')
  return variables
    .map(({ from }, at) => `${from} v${at}`)
    .reduce((left, right, at) => `${left} JOIN ${right} ON v0.ord = v${at}.ord`)
}

/** A value of the job as SQL: `${NAME}` in texts becomes the column. */
function given(value: unknown, known: ReadonlyMap<string, string>, wrong: Wrong): string {
  if (value === null) return 'NULL'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return filled(value, known, wrong)
  if (Array.isArray(value)) return `[${value.map((one) => given(one, known, wrong)).join(', ')}]`
  const entries = Object.entries(value as Record<string, string>)
  if (entries.length === 0) return 'MAP {}'
  return `MAP {${entries.map(([key, one]) => `${filled(key, known, wrong)}: ${filled(one, known, wrong)}`).join(', ')}}`
}

function filled(text: string, known: ReadonlyMap<string, string>, wrong: Wrong): string {
  const parts = text.split(/\$\{([A-Za-z_]\w*)\}/)
  const sql = parts.flatMap((part, at) => {
    if (at % 2 === 0) return part === '' ? [] : [quoteText(part)]
    const column = known.get(part)
    // Not a name of the template: the shell's, as in `check`.
    if (column !== undefined) return [column]
    if (part.startsWith('FLOE_')) return [quoteText(`\${${part}}`)]
    throw wrong(`\`\${${part}}\` is none of its names`, `Its names are ${[...known.keys()].join(', ')}.`)
  })
  return sql.length === 0 ? "''" : sql.join(' || ')
}
