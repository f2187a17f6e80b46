import { basename } from 'node:path'
import { isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import type * as z from 'zod'
import { FloeError } from '../model/errors.ts'
import type { Json } from '../model/json.ts'
import { nearest } from '../model/nearest.ts'
import { configSchema, type ParsedConfig } from './schema.ts'
import { type ParsedSites, sitesSchema } from './sites-schema.ts'

/** One thing wrong in floe.yaml. */
interface Fault {
  readonly line: number
  readonly key: string
  readonly message: string
}

type Document = ReturnType<typeof parseDocument>

const FAULTS_SHOWN = 5

/** Text of floe.yaml to options with defaults. Throws CONFIG_INVALID that names every fault with its line. */
export const parseConfig = (text: string, path: string): ParsedConfig => parse(text, path, configSchema)

/** The same for sites.yaml. */
export const parseSites = (text: string, path: string): ParsedSites => parse(text, path, sitesSchema)

function parse<T>(text: string, path: string, schema: z.ZodType<T>): T {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors.map(({ message, pos }) => ({ line: lines.linePos(pos[0]).line, key: '', message }))
  if (broken.length > 0) throw invalid(path, broken)
  const given = toPlain(document, path) ?? {}
  const result = schema.safeParse(given)
  if (result.success) return result.data
  throw invalid(
    path,
    result.error.issues.flatMap((issue) =>
      faultsOf(issue, { document, schema, lineAt: (offset) => lines.linePos(offset).line }),
    ),
  )
}

function toPlain(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new FloeError('CONFIG_INVALID', `${path}: ${(cause as Error).message}`, { cause })
  }
}

function invalid(path: string, faults: readonly Fault[]): FloeError {
  const shown = faults.slice(0, FAULTS_SHOWN).map(({ line, message }) => `${path}:${line}: ${message}`)
  const more = faults.length > FAULTS_SHOWN ? [`and ${faults.length - FAULTS_SHOWN} more`] : []
  return new FloeError('CONFIG_INVALID', [...shown, ...more].join('\n'), {
    hint: `Correct ${basename(path)}; docs/config.md lists every option.`,
    details: { file: path, faults: faults as unknown as Json },
  })
}

interface Place {
  readonly document: Document
  readonly schema: unknown
  readonly lineAt: (offset: number) => number
}

function faultsOf(issue: z.core.$ZodIssue, { document, schema, lineAt }: Place): Fault[] {
  const path = issue.path.map(String)
  const where = path.join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const known = keysAt(schema, path)
      const meant = nearest(key, known)
      const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean \`${meant}\`?`
      return {
        line: lineAt(keyOffset(document, path, key)),
        key: [...path, key].join('.'),
        message: `unknown key \`${[...path, key].join('.')}\`; ${hint}`,
      }
    })
  }
  const branch = issue.code === 'invalid_union' ? innerIssues(issue) : undefined
  if (branch) return branch.flatMap((inner) => faultsOf(inner, { document, schema, lineAt }))
  const node = document.getIn(issue.path, true) as Node | undefined
  const words = node === undefined && issue.code === 'invalid_type' && where !== '' ? 'is missing' : says(issue)
  return [
    {
      line: lineAt(node?.range?.[0] ?? nearestOffset(document, path)),
      key: where,
      message: `${where || 'it'} ${words}`,
    },
  ]
}

/** Of a choice between text and a mapping: what is wrong in the mapping, when one was given. */
function innerIssues(issue: z.core.$ZodIssue & { code: 'invalid_union' }): z.core.$ZodIssue[] | undefined {
  const inside = issue.errors.find((issues) =>
    issues.some(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  )
  return inside?.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

/** Of what is missing: the key that it would stand under. */
function nearestOffset(document: Document, path: readonly string[]): number {
  const [above, key] = [path.slice(0, -2), path.at(-2)]
  return key === undefined ? 0 : keyOffset(document, above, key)
}

/** Offset of a key in a mapping of the document. */
function keyOffset(document: Document, path: readonly string[], key: string): number {
  const map = path.length === 0 ? document.contents : document.getIn(path, true)
  if (!isMap(map)) return 0
  const pair = map.items.find(({ key: name }) => isScalar(name) && String(name.value) === key)
  return (pair?.key as Node | undefined)?.range?.[0] ?? 0
}

/** Names of the options at a place of the schema. */
function keysAt(whole: unknown, path: readonly string[]): string[] {
  let schema: unknown = whole
  for (const name of path) schema = shapeOf(schema)?.[name] ?? valuesOf(schema)
  return Object.keys(shapeOf(schema) ?? {})
}

/** What every value of a mapping with free names is. */
function valuesOf(schema: unknown): unknown {
  let inner = schema as { def?: { innerType?: unknown; valueType?: unknown } } | undefined
  while (inner && !inner.def?.valueType) inner = inner.def?.innerType as typeof inner
  return inner?.def?.valueType
}

interface Shaped {
  readonly shape?: Record<string, unknown>
  readonly def?: { readonly innerType?: unknown; readonly options?: readonly unknown[] }
}

/** Keys of a mapping; of a choice, those of the mapping in it. */
function shapeOf(schema: unknown): Record<string, unknown> | undefined {
  let inner = schema as Shaped | undefined
  while (inner && !inner.shape) {
    inner = (inner.def?.options?.find((option) => shapeOf(option) !== undefined) ??
      inner.def?.innerType) as typeof inner
  }
  return inner?.shape
}

function says(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'custom':
      return issue.message
    case 'invalid_type':
      return `must be ${TYPE_WORDS[issue.expected] ?? issue.expected}`
    case 'invalid_union':
      return 'must be text or a number'
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`
    case 'too_small':
      return issue.origin === 'string'
        ? 'must not be empty'
        : `must be ${issue.inclusive ? `${issue.minimum} or more` : `more than ${issue.minimum}`}`
    case 'too_big':
      return `must be ${issue.maximum} or less`
    case 'invalid_key':
      return 'is no name for a root: use two or more letters, digits, - and _'
    default:
      return issue.message
  }
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping (key: value)',
  record: 'a mapping (key: value)',
}
