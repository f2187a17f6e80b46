/*
 * A job as a job file gives it, in one shape for all formats: texts as written, nothing resolved. Readers that go through JavaScript
 * write it as NDJSON with these keys; readers in SQL select these columns. A column that a source does not have is left out.
 */
export const GIVEN = {
  line: 'BIGINT',
  id: 'VARCHAR',
  executable: 'VARCHAR',
  arguments: 'VARCHAR[]',
  inputs: 'VARCHAR[]',
  input_sizes: 'BIGINT[]',
  input_digests: 'VARCHAR[]',
  outputs: 'VARCHAR[]',
  optionals: 'BOOLEAN[]',
  files: 'VARCHAR[]',
  setup: 'VARCHAR',
  environment: 'MAP(VARCHAR, VARCHAR)',
  cpus: 'VARCHAR',
  memory: 'VARCHAR',
  walltime: 'VARCHAR',
  gpus: 'VARCHAR',
  nodes: 'VARCHAR',
  labels: 'MAP(VARCHAR, VARCHAR)',
  check: 'VARCHAR',
  stdin: 'VARCHAR',
  stdout: 'VARCHAR',
  cache: 'VARCHAR',
  publish: 'VARCHAR',
  priority: 'VARCHAR',
  site: 'VARCHAR',
  parent: 'VARCHAR',
  after: 'VARCHAR[]',
  container: 'VARCHAR',
  /** SQL may not have read the row as what it is; see read-ndjson.ts. */
  is_odd: 'BOOLEAN',
} as const

export type GivenColumn = keyof typeof GIVEN

/** One job, without its line. Absent: not given. */
export type GivenJob = {
  -readonly [name in Exclude<GivenColumn, 'line' | 'is_odd'>]?:
    | string
    | readonly (string | number | boolean | null)[]
    | Texts
}

export type Texts = Readonly<Record<string, string>>

/** Why a row is not taken: what stands there, what is wrong with it, what to do. */
export interface Fault {
  readonly job: string | null
  readonly value: string | null
  readonly reason: string
  readonly hint: string
}

/** SQL that gives jobs: the columns that it has, and its FROM clause. */
export interface GivenSql {
  readonly columns: ReadonlySet<GivenColumn>
  readonly select: string
}

/** Longest text that a message or a reject quotes. */
const QUOTED_MAX = 200

export const excerpt = (text: string): string => (text.length <= QUOTED_MAX ? text : `${text.slice(0, QUOTED_MAX)}…`)
