import { FloeError } from '../../model/errors.ts'
import type { Json } from '../../model/json.ts'
import { quoteName } from './quote.ts'

/** A type of a column in DuckDB's words, taken apart. */
export type Type =
  | { readonly kind: 'scalar'; readonly name: string }
  | { readonly kind: 'list'; readonly element: Type }
  | { readonly kind: 'struct'; readonly fields: readonly { readonly name: string; readonly type: Type }[] }
  | { readonly kind: 'map'; readonly key: Type; readonly value: Type }

export interface NamedType {
  readonly name: string
  readonly type: string
}

/** DuckDB's scalar types that a Delta table may hold, and Delta's words for them. Unsigned and zoneless types have none. */
const SCALARS: Readonly<Record<string, string>> = {
  VARCHAR: 'string',
  TINYINT: 'byte',
  SMALLINT: 'short',
  INTEGER: 'integer',
  BIGINT: 'long',
  FLOAT: 'float',
  DOUBLE: 'double',
  BOOLEAN: 'boolean',
  'TIMESTAMP WITH TIME ZONE': 'timestamp',
  DATE: 'date',
  BLOB: 'binary',
}
const BY_DELTA = new Map(Object.entries(SCALARS).map(([duck, delta]) => [delta, duck]))
const ALIASES: Readonly<Record<string, string>> = {
  TIMESTAMPTZ: 'TIMESTAMP WITH TIME ZONE',
  TEXT: 'VARCHAR',
  STRING: 'VARCHAR',
  INT: 'INTEGER',
  LONG: 'BIGINT',
  BOOL: 'BOOLEAN',
  REAL: 'FLOAT',
}

/** The words of a type and the place of the next one. */
interface Cursor {
  readonly text: string
  readonly tokens: readonly string[]
  at: number
}

/** Reads `STRUCT(path VARCHAR, "a b" INTEGER[])[]` and its like. */
export function parseType(text: string): Type {
  const cursor: Cursor = { text, tokens: text.match(/"(?:[^"]|"")*"|\w+|[()[\],]/g) ?? [], at: 0 }
  const type = readType(cursor)
  if (cursor.at !== cursor.tokens.length) refuse(cursor)
  return type
}

function refuse({ text }: Cursor): never {
  throw new FloeError('BUG', `not a type that floe knows: ${text}`)
}

function next(cursor: Cursor): string {
  return cursor.tokens[cursor.at++] ?? refuse(cursor)
}

function take(cursor: Cursor, token: string): void {
  if (next(cursor) !== token) refuse(cursor)
}

function skip(cursor: Cursor, token: string): boolean {
  if (cursor.tokens[cursor.at]?.toUpperCase() !== token) return false
  cursor.at += 1
  return true
}

function readType(cursor: Cursor): Type {
  let type = readBare(cursor)
  while (skip(cursor, '[')) {
    take(cursor, ']')
    type = { kind: 'list', element: type }
  }
  return type
}

function readBare(cursor: Cursor): Type {
  const word = next(cursor).toUpperCase()
  if (word === 'STRUCT') return readStruct(cursor)
  if (word === 'MAP') return readMap(cursor)
  if (word === 'DECIMAL' || word === 'NUMERIC') return { kind: 'scalar', name: readDecimal(cursor) }
  if (word === 'TIMESTAMP' && skip(cursor, 'WITH')) {
    if (!skip(cursor, 'TIME') || !skip(cursor, 'ZONE')) refuse(cursor)
    return { kind: 'scalar', name: 'TIMESTAMP WITH TIME ZONE' }
  }
  if (!/^\w+$/.test(word)) refuse(cursor)
  return { kind: 'scalar', name: ALIASES[word] ?? word }
}

function readStruct(cursor: Cursor): Type {
  const fields: { name: string; type: Type }[] = []
  take(cursor, '(')
  do {
    const word = next(cursor)
    const name = word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word
    fields.push({ name, type: readType(cursor) })
  } while (skip(cursor, ','))
  take(cursor, ')')
  return { kind: 'struct', fields }
}

function readMap(cursor: Cursor): Type {
  take(cursor, '(')
  const key = readType(cursor)
  take(cursor, ',')
  const value = readType(cursor)
  take(cursor, ')')
  return { kind: 'map', key, value }
}

function readDecimal(cursor: Cursor): string {
  if (!skip(cursor, '(')) return 'DECIMAL(18,3)'
  const width = next(cursor)
  take(cursor, ',')
  const scale = next(cursor)
  take(cursor, ')')
  return `DECIMAL(${width},${scale})`
}

/** The type in DuckDB's words. */
export function formatType(type: Type): string {
  switch (type.kind) {
    case 'scalar':
      return type.name
    case 'list':
      return `${formatType(type.element)}[]`
    case 'map':
      return `MAP(${formatType(type.key)}, ${formatType(type.value)})`
    case 'struct':
      return `STRUCT(${type.fields.map((field) => `${quoteName(field.name)} ${formatType(field.type)}`).join(', ')})`
  }
}

/** One spelling for one type, so that two can be compared as text. */
export function sameType(a: string, b: string): boolean {
  return formatType(parseType(a)) === formatType(parseType(b))
}

/** The type in Delta's schema JSON. */
export function deltaType(type: Type): Json {
  switch (type.kind) {
    case 'scalar': {
      const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(type.name)
      const name = decimal ? `decimal(${decimal[1]},${decimal[2]})` : SCALARS[type.name]
      if (name) return name
      throw new FloeError('NOT_SUPPORTED', `a table cannot hold a column of type ${type.name}`, {
        hint: 'Cast it: unsigned integers to BIGINT, timestamps to TIMESTAMPTZ, others to VARCHAR.',
      })
    }
    case 'list':
      return { type: 'array', elementType: deltaType(type.element), containsNull: true }
    case 'map':
      return { type: 'map', keyType: deltaType(type.key), valueType: deltaType(type.value), valueContainsNull: true }
    case 'struct':
      return deltaStruct(type.fields.map((field) => ({ name: field.name, type: field.type })))
  }
}

function deltaStruct(fields: readonly { name: string; type: Type }[]): Json {
  return {
    type: 'struct',
    fields: fields.map((field) => ({ name: field.name, type: deltaType(field.type), nullable: true, metadata: {} })),
  }
}

/** `schemaString` of a table's metaData. */
export function toSchemaString(columns: readonly NamedType[]): string {
  return JSON.stringify(deltaStruct(columns.map(({ name, type }) => ({ name, type: parseType(type) }))))
}

/** The columns in DuckDB's words; throws on a schema that no DuckDB type stands for. */
export function fromSchemaString(schemaString: string): NamedType[] {
  const struct = typeOfDelta(JSON.parse(schemaString))
  if (struct.kind !== 'struct') throw new Error('the schema is no struct')
  return struct.fields.map((field) => ({ name: field.name, type: formatType(field.type) }))
}

interface DeltaNested {
  readonly type: string
  readonly elementType: unknown
  readonly keyType: unknown
  readonly valueType: unknown
  readonly fields: readonly { name: string; type: unknown }[]
}

function typeOfDelta(delta: unknown): Type {
  if (typeof delta === 'string') {
    const name = BY_DELTA.get(delta) ?? /^decimal\(\d+,\d+\)$/.exec(delta)?.[0].toUpperCase()
    if (name) return { kind: 'scalar', name }
    throw new Error(`the schema has the unknown type ${delta}`)
  }
  const nested = delta as DeltaNested
  if (nested.type === 'array') return { kind: 'list', element: typeOfDelta(nested.elementType) }
  if (nested.type === 'map') {
    return { kind: 'map', key: typeOfDelta(nested.keyType), value: typeOfDelta(nested.valueType) }
  }
  if (nested.type !== 'struct') throw new Error(`the schema has the unknown type ${JSON.stringify(delta)}`)
  return { kind: 'struct', fields: nested.fields.map(({ name, type }) => ({ name, type: typeOfDelta(type) })) }
}
