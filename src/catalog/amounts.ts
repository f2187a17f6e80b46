/*
 * Sizes and durations in SQL, for a column of millions; the same texts as `parseBytes` and `parseSeconds` of the model take, with the
 * same answers (a property test compares them). Null: the text is neither.
 */

const scaled = (unit: string, factors: Readonly<Record<string, number>>): string =>
  `CASE ${unit} ${Object.entries(factors)
    .map(([name, factor]) => `WHEN '${name}' THEN ${factor}`)
    .join(' ')} END`

const POWERS = { '': 0, k: 1, m: 2, g: 3, t: 4 }
const BYTES = Object.fromEntries(
  Object.entries(POWERS).flatMap(([letter, power]) =>
    letter === ''
      ? [
          ['', 1],
          ['b', 1],
        ]
      : [
          [letter, 1000 ** power],
          [`${letter}b`, 1000 ** power],
          [`${letter}i`, 1024 ** power],
          [`${letter}ib`, 1024 ** power],
        ],
  ),
)

/** BIGINT. */
export function bytesSql(text: string): string {
  const form = "'^\\s*(\\d+(?:\\.\\d+)?(?:e\\d+)?)\\s*([a-z]*)\\s*$'"
  const part = (group: number) => `regexp_extract(lower(${text}), ${form}, ${group})`
  return `CASE WHEN regexp_full_match(${text}, '\\d{1,15}') THEN CAST(${text} AS BIGINT)
    WHEN regexp_matches(lower(${text}), ${form})
    THEN TRY_CAST(floor(CAST(${part(1)} AS DOUBLE) * ${scaled(part(2), BYTES)} + 0.5) AS BIGINT) END`
}

const SECONDS = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 }

/** DOUBLE. */
export function secondsSql(text: string): string {
  const clock = "'^\\s*(?:(\\d+)-)?(\\d+):(\\d{1,2})(?::(\\d{1,2}))?\\s*$'"
  const digits = (group: number) => `coalesce(TRY_CAST(regexp_extract(${text}, ${clock}, ${group}) AS DOUBLE), 0)`
  const amount = "CAST(regexp_extract(token, '^[0-9.]+') AS DOUBLE)"
  return `CASE WHEN regexp_full_match(${text}, '\\s*\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?\\s*') THEN CAST(trim(${text}) AS DOUBLE)
    WHEN regexp_matches(${text}, ${clock}) THEN ${digits(1)} * 86400 + CASE WHEN regexp_extract(${text}, ${clock}, 4) = ''
      THEN ${digits(2)} * 60 + ${digits(3)} ELSE ${digits(2)} * 3600 + ${digits(3)} * 60 + ${digits(4)} END
    WHEN regexp_full_match(lower(${text}), '\\s*(?:\\d+(?:\\.\\d+)?\\s*(?:sec|min|s|m|h|d)\\s*)+')
    THEN list_sum(list_transform(regexp_extract_all(lower(${text}), '\\d+(?:\\.\\d+)?\\s*(?:sec|min|s|m|h|d)'),
      lambda token: ${amount} * ${scaled("regexp_extract(token, '[a-z]+$')", SECONDS)})) END`
}

/** INTEGER of at least `min`. */
export const countSql = (text: string, min: number): string =>
  `CASE WHEN TRY_CAST(${text} AS INTEGER) >= ${min} AND regexp_full_match(trim(${text}), '[0-9]+(?:[.]0+)?') THEN CAST(${text} AS INTEGER) END`
