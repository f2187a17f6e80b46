/** A text as an SQL literal. DuckDB knows no escapes in '…' but the doubled quote; a NUL, which no literal can hold, is spelled as chr(0). */
export function quoteText(text: string): string {
  const literal = `'${text.replaceAll("'", "''")}'`
  return literal.includes('\0') ? `(${literal.replaceAll('\0', "' || chr(0) || '")})` : literal
}

/** A name of a table or column as an SQL identifier. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A list of texts as an SQL literal. */
export function quoteTexts(texts: readonly string[]): string {
  return `[${texts.map(quoteText).join(', ')}]`
}

/** A path for read_parquet and its like, which take * ? [ for patterns. */
export function quotePath(path: string): string {
  return quoteText(escapePath(path))
}

/** A path as a pattern that matches it alone. */
export function escapePath(path: string): string {
  return path.replace(/[[*?]/g, (sign) => `[${sign}]`)
}
