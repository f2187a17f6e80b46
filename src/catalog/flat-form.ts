import { FloeError } from '../model/errors.ts'
import type { Fault, GivenJob } from './given.ts'
import { type Given, jobForm } from './job-form.ts'
import { hintFor, JOB_KEYS, keyNamed, RESOURCE_KEYS, resourceNamed } from './keys.ts'

/*
 * A job as a row of cells (CSV, TSV, XLSX). The first row names the columns: the keys of a job, `data.input` or `input`, `resources.memory` or
 * `memory`, `labels.month`, `environment.LANG`. Lists are separated by `;`, or written in JSON: ["a;b", "c"]. A cell of labels or environment is `name=value;name=value`. An empty
 * cell says nothing.
 */

/** Where the value of a column goes in a job, and how its text is read. */
export interface FlatColumn {
  readonly path: readonly string[]
  readonly form: 'text' | 'list' | 'map'
}

const LISTS = new Set(['list', 'inputs', 'outputs'])

/** The column that a heading means; undefined: none. */
export function flatColumn(heading: string): FlatColumn | undefined {
  const [first = '', ...more] = heading.trim().split('.')
  const rest = more.join('.')
  const known = keyNamed(first)
  if (rest !== '') {
    if (known?.form === 'map') return { path: [known.key, rest], form: 'text' }
    if (known?.form === 'data') return flatColumn(rest)
    return known?.form === 'resources' && resourceNamed(rest) ? { path: ['resources', rest], form: 'text' } : undefined
  }
  if (!known) return resourceNamed(first) && { path: ['resources', first], form: 'text' }
  if (known.form === 'data' || known.form === 'resources') return undefined
  return { path: [known.key], form: known.form === 'map' ? 'map' : LISTS.has(known.form) ? 'list' : 'text' }
}

/** The columns of a file. Throws JOB_FILE_INVALID for a heading that means nothing, or when jobs could not have a name or a program. */
export function flatColumns(file: string, headings: readonly string[], line = 1): FlatColumn[] {
  const invalid = (message: string, hint: string): never => {
    throw new FloeError('JOB_FILE_INVALID', `${file}:${line}: ${message}`, { hint, details: { file, line } })
  }
  const columns = headings.map((heading, at) => {
    // Data frames write their index so.
    if (heading.trim() === '') invalid(`column ${at + 1} has no name`, 'Name it, or take it out (pandas: index=False).')
    const column = flatColumn(heading)
    return column ?? invalid(`unknown column \`${heading}\``, hintFor(heading, [...JOB_KEYS, ...RESOURCE_KEYS]))
  })
  const names = columns.map(({ path }) => path.join('.'))
  for (const [at, name] of names.entries()) {
    if (names.indexOf(name) < at) invalid(`two columns mean \`${name}\``, 'Keep one of them.')
  }
  for (const wanted of ['id', 'executable']) {
    if (!names.includes(wanted)) {
      invalid(`no column \`${wanted}\``, `The first line names the columns: ${headings.join(', ')}. Add \`${wanted}\`.`)
    }
  }
  return columns
}

/** The job of a row of cells. */
export function flatForm(columns: readonly FlatColumn[], cells: readonly (string | null)[]): GivenJob | Fault {
  const job: Record<string, Given> = {}
  for (const [at, { path, form }] of columns.entries()) {
    const text = cells[at]
    if (text === null || text === undefined || text === '') continue
    const value = form === 'list' ? (jsonList(text) ?? splitList(text)) : form === 'map' ? splitMap(text) : text
    const [key, inner] = path as [string, string?]
    if (inner === undefined && form !== 'map') job[key] = value
    else
      job[key] = {
        ...(job[key] as object | undefined),
        ...(inner === undefined ? (value as object) : { [inner]: value }),
      }
  }
  return jobForm(job)
}

/** Names that hold `;` or begin or end in blanks: a cell may be a list in JSON. */
function jsonList(text: string): readonly Given[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const list = JSON.parse(text) as Given
    return Array.isArray(list) ? list : undefined
  } catch {
    return undefined
  }
}

export const splitList = (text: string): string[] =>
  text
    .split(';')
    .map((one) => one.trim())
    .filter((one) => one !== '')

function splitMap(text: string): Record<string, string> {
  return Object.fromEntries(
    splitList(text).map((pair) => {
      const at = pair.indexOf('=')
      return at < 0 ? [pair, ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    }),
  )
}
