/** Jobs that a task is to end; empty files say all. */
export type Cancelled = 'all' | ReadonlySet<string>

/**
 * What the files `cancel` (all tasks) and `cancel.<task>` of an array ask for, by the texts of those that are there: NDJSON, one job name (a
 * JSON string) a line; empty: all jobs.
 */
export function decodeCancel(texts: readonly string[]): Cancelled {
  const files = texts.map((text) => text.split('\n').filter(Boolean))
  return files.some((lines) => lines.length === 0) ? 'all' : new Set(files.flat().map(parseName))
}

/** A plain name without quotes is understood too, for a file written by hand. */
function parseName(line: string): string {
  try {
    const name: unknown = JSON.parse(line)
    return typeof name === 'string' ? name : line
  } catch {
    return line
  }
}
