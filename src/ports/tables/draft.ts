import { join } from 'node:path'
import type { Add } from './log.ts'
import { quotePath } from './quote.ts'

/** Parts that lie in the folder of a table and are listed by no version of it yet. */
export interface Draft {
  readonly adds: readonly Add[]
  /** How many rows. */
  readonly count: number
  /** Relation of the rows in SQL, with `row`, their number; undefined when there are none. */
  readonly rows: string | undefined
  /** Says that a first commit is being made. */
  readonly first: string | undefined
}

/** More rows than a part can have: the number of a row is that of its part and its place there. */
const PART = 2 ** 32

export function draftRows(folder: string, adds: readonly Add[]): string | undefined {
  if (adds.length === 0) return undefined
  const paths = adds.map(({ path }) => quotePath(join(folder, path)))
  return `(SELECT * EXCLUDE (file_row_number), CAST(file_index AS BIGINT) * ${PART} + file_row_number AS row
    FROM read_parquet([${paths.join(', ')}], hive_partitioning = false, file_row_number = true))`
}
