/** Types of a content column in the merged table. Integers are BIGINT, fractions DOUBLE; times without a zone are UTC; the rest is text. */
export type ContentType = 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'DATE' | 'TIMESTAMPTZ' | 'VARCHAR'

/** What a staged column holds: text of a CSV file, a JSON value, or a typed value of a Parquet file. */
export type Source = 'text' | 'json' | ContentType

/** What the values of one file's column were: a sum of these bits, 0 for nothing but nulls. */
const BITS: Readonly<Record<ContentType, number>> = {
  BIGINT: 1,
  DOUBLE: 2,
  BOOLEAN: 4,
  DATE: 8,
  TIMESTAMPTZ: 16,
  VARCHAR: 32,
}

const DAY = '\\d{4}-\\d\\d-\\d\\d'
const ZONE = '(\\s?(Z|UTC|[+-]\\d\\d(:?\\d\\d)?))'
const MOMENT = `${DAY}[ T]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?`

// DuckDB 1.5.6 reads no zone behind a time without seconds; text without a zone is UTC.
const asMoment = (x: string): string => {
  const full = `regexp_replace(trim(${x}), '^(.{16})${ZONE}?$', '\\1:00\\2')`
  return `try_cast(CASE WHEN regexp_full_match(trim(${x}), '${DAY}') THEN trim(${x}) || ' 00:00:00Z' WHEN regexp_full_match(trim(${x}), '${MOMENT}') THEN ${full} || 'Z' ELSE ${full} END AS TIMESTAMPTZ)`
}

// `try_cast` takes 1.5 and 1e3 for integers and 1_000 for a number; the sniffer of DuckDB 1.5.6 does not, and neither should we.
const isInteger = (x: string): string =>
  `(translate(${x}, '0123456789+- ', '') = '' AND try_cast(${x} AS BIGINT) IS NOT NULL)`

const isTime = (x: string): string =>
  `WHEN regexp_full_match(trim(${x}), '${DAY}') AND try_cast(trim(${x}) AS DATE) IS NOT NULL THEN ${BITS.DATE} WHEN regexp_full_match(trim(${x}), '${MOMENT}${ZONE}?') AND ${asMoment(x)} IS NOT NULL THEN ${BITS.TIMESTAMPTZ}`

/** SQL that tells one value's bit. Empty text and R's NA are nulls as far as types go. */
export function maskOf(source: Source, x: string): string {
  if (source === 'json') {
    const text = `(${x} ->> '$')`
    return `CASE json_type(${x}) WHEN 'BIGINT' THEN ${BITS.BIGINT} WHEN 'UBIGINT' THEN CASE WHEN try_cast(${text} AS BIGINT) IS NULL THEN ${BITS.DOUBLE} ELSE ${BITS.BIGINT} END WHEN 'DOUBLE' THEN ${BITS.DOUBLE} WHEN 'BOOLEAN' THEN ${BITS.BOOLEAN} WHEN 'VARCHAR' THEN CASE ${isTime(text)} ELSE ${BITS.VARCHAR} END WHEN 'ARRAY' THEN ${BITS.VARCHAR} WHEN 'OBJECT' THEN ${BITS.VARCHAR} ELSE 0 END`
  }
  if (source !== 'text') return `CASE WHEN ${x} IS NULL THEN 0 ELSE ${BITS[source]} END`
  return `CASE WHEN ${x} IS NULL OR trim(${x}) IN ('', 'NA') THEN 0 WHEN ${isInteger(x)} THEN ${BITS.BIGINT} WHEN try_cast(${x} AS DOUBLE) IS NOT NULL AND NOT contains(${x}, '_') THEN ${BITS.DOUBLE} WHEN lower(trim(${x})) IN ('true', 'false') THEN ${BITS.BOOLEAN} ${isTime(x)} ELSE ${BITS.VARCHAR} END`
}

/** SQL that makes a staged value one of the column's type. Only for values that fit. */
export function castOf(source: Source, x: string, type: ContentType): string {
  const isText = source === 'text' || source === 'json'
  const value = source === 'json' ? `(${x} ->> '$')` : x
  if (type === 'VARCHAR') return isText ? value : `CAST(${value} AS VARCHAR)`
  if (!isText) return widen(value, source, type)
  switch (type) {
    case 'TIMESTAMPTZ':
      return asMoment(value)
    case 'BOOLEAN':
      return `CASE lower(trim(${value})) WHEN 'true' THEN true WHEN 'false' THEN false END`
    case 'DATE':
      return `try_cast(trim(${value}) AS DATE)`
    default:
      return `try_cast(${value} AS ${type})`
  }
}

/** SQL that makes a value of one type one of a wider type. */
export function widen(x: string, from: ContentType, to: ContentType): string {
  if (from === to) return x
  return from === 'DATE' && to === 'TIMESTAMPTZ' ? `timezone('UTC', CAST(${x} AS TIMESTAMP))` : `CAST(${x} AS ${to})`
}

/** The type that a mask speaks of; null for nothing but nulls. */
export function typeOfMask(mask: number): ContentType | null {
  if (mask === 0) return null
  if ((mask & ~BITS.BIGINT) === 0) return 'BIGINT'
  if ((mask & ~(BITS.BIGINT | BITS.DOUBLE)) === 0) return 'DOUBLE'
  if (mask === BITS.BOOLEAN) return 'BOOLEAN'
  if (mask === BITS.DATE) return 'DATE'
  if ((mask & ~(BITS.DATE | BITS.TIMESTAMPTZ)) === 0) return 'TIMESTAMPTZ'
  return 'VARCHAR'
}

/** Narrow to wide; a tie between families goes to the earlier. */
const FAMILIES: readonly (readonly ContentType[])[] = [
  ['BIGINT', 'DOUBLE'],
  ['DATE', 'TIMESTAMPTZ'],
  ['BOOLEAN'],
  ['VARCHAR'],
]
const familyOf = (type: ContentType) => FAMILIES.find((family) => family.includes(type))!

/** Whether values of a type may lie in a column of another: as they are, or wider; anything may lie in a column of text. */
export function fits(type: ContentType | null, column: ContentType): boolean {
  if (type === null || column === 'VARCHAR') return true
  const family = familyOf(column)
  return family.includes(type) && family.indexOf(type) <= family.indexOf(column)
}

/** How many files spoke of a type in one column. */
export interface Evidence {
  readonly type: ContentType | null
  readonly files: number
}

/**
 * The type of a column. Once it has one, only widening within its family (BIGINT to DOUBLE, DATE to TIMESTAMPTZ) changes it, and only if
 * `mayWiden`. A new column gets the family that most files have, and its widest type; null while nothing but nulls was seen.
 */
export function decideType(
  now: ContentType | null,
  evidence: readonly Evidence[],
  mayWiden: boolean,
): ContentType | null {
  const seen = evidence.filter((one): one is { type: ContentType; files: number } => one.type !== null)
  const votes = (family: readonly ContentType[]) =>
    seen.filter(({ type }) => family.includes(type)).reduce((sum, { files }) => sum + files, 0)
  if (now === null && seen.length === 0) return null
  if (now !== null && !mayWiden) return now
  const family = now === null ? FAMILIES.reduce((best, one) => (votes(one) > votes(best) ? one : best)) : familyOf(now)
  const widest = Math.max(now === null ? 0 : family.indexOf(now), ...seen.map(({ type }) => family.indexOf(type)))
  return family[widest]!
}

const TYPES: readonly string[] = ['BIGINT', 'DOUBLE', 'BOOLEAN', 'DATE', 'VARCHAR']

/** The type of a column of the table as ours. */
export function contentType(type: string): ContentType {
  return type === 'TIMESTAMP WITH TIME ZONE' ? 'TIMESTAMPTZ' : TYPES.includes(type) ? (type as ContentType) : 'VARCHAR'
}
