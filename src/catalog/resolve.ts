import { jobKeySql } from '../model/job-key.ts'
import { quoteName, quoteText } from '../ports/tables/tables.ts'
import { bytesSql, countSql, secondsSql } from './amounts.ts'
import { GIVEN, type GivenColumn } from './given.ts'
import { arePlainOutputs, arePlainUrls, linesOf, nameOf, outputOf, urlOf } from './paths.ts'
import { problemSql } from './problems.ts'
import { BUCKET, sortedInputs, specSql } from './spec.ts'

/** What holds for every job that does not say otherwise: `jobs:` of floe.yaml. */
export interface JobDefaults {
  readonly resources: {
    readonly cpus: number
    readonly memoryBytes: number | null
    readonly walltimeSec: number | null
    readonly gpus: number
    readonly nodes: number
  }
  readonly setup: string | null
  readonly environment: Readonly<Record<string, string>>
  readonly publish: 'files' | 'pack' | 'table'
  readonly check: string | null
  readonly cache: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly priority: number
}

export const NO_DEFAULTS: JobDefaults = {
  resources: { cpus: 1, memoryBytes: null, walltimeSec: null, gpus: 0, nodes: 1 },
  setup: null,
  environment: {},
  publish: 'files',
  check: null,
  cache: true,
  labels: {},
  priority: 0,
}

/** Where a job file stands: what its relative paths mean. */
export interface Place {
  /** Its number among the files that are added. */
  readonly file: number
  /** Directory of the job file, absolute, with a trailing slash. */
  readonly base: string
  readonly defaults: JobDefaults
}

/** Columns of resolved rows: those of the jobs table, and what was found wrong. */
export const ROWS: Readonly<Record<string, string>> = {
  file: 'INTEGER',
  line: 'BIGINT',
  job_id: 'VARCHAR',
  job_key: 'BIGINT',
  spec_digest: 'VARCHAR',
  executable: 'VARCHAR',
  is_program: 'BOOLEAN',
  arguments: 'VARCHAR[]',
  inputs: 'VARCHAR[]',
  input_names: 'VARCHAR[]',
  input_sizes: 'BIGINT[]',
  input_digests: 'VARCHAR[]',
  outputs: 'STRUCT(path VARCHAR, optional BOOLEAN)[]',
  files: 'VARCHAR[]',
  file_names: 'VARCHAR[]',
  environment: 'MAP(VARCHAR, VARCHAR)',
  setup: 'VARCHAR',
  container: 'VARCHAR',
  stdin: 'VARCHAR',
  stdout: 'VARCHAR',
  check: 'VARCHAR',
  resources: 'STRUCT(cpus INTEGER, memory_bytes BIGINT, walltime_sec DOUBLE, gpus INTEGER, nodes INTEGER)',
  labels: 'MAP(VARCHAR, VARCHAR)',
  priority: 'INTEGER',
  site: 'VARCHAR',
  parent: 'VARCHAR',
  cache: 'BOOLEAN',
  publish: 'VARCHAR',
  input_hash: 'VARCHAR',
  bucket: 'INTEGER',
  wrong_key: 'VARCHAR',
  wrong_value: 'VARCHAR',
  problem: 'TINYINT',
}

/** Jobs as they were given: a relation with these columns, and `row_line`. */
export interface GivenRows {
  readonly columns: ReadonlySet<GivenColumn>
  readonly from: string
}

/**
 * Makes resolved rows from jobs as they were given: urls, names, defaults, units, digests, and the number of the first problem. One pass
 * over the rows; a column that the source has not costs nothing. Rows are put in order before they grow: what is given is half of what comes out.
 */
export function resolveSql(given: GivenRows, place: Place, order: 'by bucket' | 'any'): string {
  const keyed = keyedSql(given, place)
  const told = `SELECT ${selectList(toldColumns(given, place))} FROM (${keyed}${order === 'any' ? '' : ' ORDER BY bucket'})`
  const spelled = `SELECT *, ${specSql(given.columns)} AS spec FROM (${told})`
  const digested = `SELECT *, md5(spec) AS spec_digest, ${jobKeySql('job_id')} AS job_key FROM (${spelled})`
  const made: Readonly<Record<string, string>> = {
    file: String(place.file),
    problem: problemSql(given.columns),
    outputs: outputsSql(given.columns),
  }
  const columns = Object.entries(ROWS).map(([name, type]): [string, string] => [
    name,
    `CAST(${made[name] ?? quoteName(name)} AS ${type})`,
  ])
  return `SELECT ${selectList(columns)} FROM (${digested})`
}

/** What was given, with the bucket, and whether its lists need no look at each path. */
function keyedSql({ columns, from }: GivenRows, { base }: Place): string {
  const lists = (['inputs', 'outputs'] as const).filter((name) => columns.has(name))
  const lines = lists.map((name) => `, ${linesOf(name)} AS ${name}_lines`)
  const flags = lists.map((name) => `, ${PLAIN[name](name, `${name}_lines`)} AS plain_${name}`)
  const flagged = `SELECT *${flags.join('')} FROM (SELECT *${lines.join('')} FROM ${from})`
  const has = columns.has('inputs')
  const urls = `SELECT *${has ? `, ${inputUrls(base)} AS urls` : ''} FROM (${flagged})`
  const gone = [...lists.map((name) => `${name}_lines`), ...(has ? ['urls'] : [])]
  const hashed = `SELECT *${gone.length > 0 ? ` EXCLUDE (${gone.join(', ')})` : ''}, md5(${has ? sortedInputs('urls') : "''"}) AS input_hash FROM (${urls})`
  return `SELECT *, ${BUCKET} AS bucket FROM (${hashed})`
}

const PLAIN = { inputs: arePlainUrls, outputs: arePlainOutputs }

const inputUrls = (base: string): string => {
  const directory = quoteText(base)
  return `CASE WHEN plain_inputs THEN list_transform(inputs, lambda path: ${directory} || path)
    ELSE list_transform(inputs, lambda path: ${urlOf('path', directory)}) END`
}

const selectList = (columns: readonly (readonly [string, string])[]): string =>
  columns.map(([name, sql]) => `${sql} AS ${quoteName(name)}`).join(', ')

type Has = (name: GivenColumn) => boolean

function toldColumns({ columns }: GivenRows, { base, defaults }: Place): [string, string][] {
  const has: Has = (name) => columns.has(name)
  const given = (name: GivenColumn): string => (has(name) ? quoteName(name) : `CAST(NULL AS ${GIVEN[name]})`)
  const directory = quoteText(base)
  const each = (name: GivenColumn, sql: (path: string) => string): string =>
    has(name) ? `list_transform(${name}, lambda path: ${sql('path')})` : `CAST(NULL AS VARCHAR[])`
  const image = `CASE WHEN container <> '' THEN ${urlOf('container', directory)} END`
  const plainOr = (name: 'inputs' | 'outputs', plain: string, sql: string): string =>
    has(name) ? `CASE WHEN plain_${name} THEN ${plain} ELSE ${sql} END` : sql
  const isProgram = has('executable')
    ? "coalesce(contains(executable, '/') AND NOT starts_with(executable, '/'), false)"
    : 'false'
  return [
    ['line', 'row_line'],
    ['job_id', given('id')],
    [
      'executable',
      has('executable')
        ? `CASE WHEN ${isProgram} THEN ${urlOf('executable', directory)} ELSE executable END`
        : given('executable'),
    ],
    ['is_program', isProgram],
    ['arguments', given('arguments')],
    ['arguments_text', has('arguments') ? 'array_to_string(arguments, chr(1))' : 'CAST(NULL AS VARCHAR)'],
    ['inputs', has('inputs') ? inputUrls(base) : given('inputs')],
    ['input_names', plainOr('inputs', 'inputs', each('inputs', nameOf))],
    ['input_sizes', given('input_sizes')],
    ['input_digests', given('input_digests')],
    [
      'output_paths',
      plainOr(
        'outputs',
        'outputs',
        each('outputs', (path) => `coalesce(${outputOf(path)}, ${path})`),
      ),
    ],
    ['plain_inputs', has('inputs') ? 'plain_inputs' : 'false'],
    ['plain_outputs', has('outputs') ? 'plain_outputs' : 'false'],
    ['optionals', given('optionals')],
    ['files', each('files', (path) => urlOf(path, directory))],
    ['file_names', each('files', nameOf)],
    ['environment', mapSql(has('environment'), 'environment', defaults.environment)],
    ['setup', textOr(given('setup'), defaults.setup)],
    ['container', has('container') ? image : given('container')],
    ['stdin', has('stdin') ? streamSql('stdin', has('inputs'), nameOf, 'inputs') : given('stdin')],
    [
      'stdout',
      has('stdout')
        ? streamSql('stdout', has('outputs'), (path) => `coalesce(${outputOf(path)}, ${path})`, 'outputs')
        : given('stdout'),
    ],
    ['check', textOr(given('check'), defaults.check)],
    ['resources', resourcesSql(has, defaults.resources)],
    ['labels', mapSql(has('labels'), 'labels', defaults.labels)],
    [
      'priority',
      has('priority') ? `coalesce(TRY_CAST(priority AS INTEGER), ${defaults.priority})` : String(defaults.priority),
    ],
    ['site', given('site')],
    ['parent', given('parent')],
    ['cache', has('cache') ? `coalesce(TRY_CAST(cache AS BOOLEAN), ${defaults.cache})` : String(defaults.cache)],
    ['publish', textOr(given('publish'), defaults.publish)],
    ...wrongColumns(has),
    ['input_hash', 'input_hash'],
    ['bucket', 'bucket'],
    ['given_inputs', given('inputs')],
    ['given_files', given('files')],
  ]
}

const textOr = (sql: string, fallback: string | null): string =>
  fallback === null ? sql : `coalesce(${sql}, ${quoteText(fallback)})`

function outputsSql(columns: ReadonlySet<GivenColumn>): string {
  if (!columns.has('outputs')) return `CAST(NULL AS ${ROWS.outputs})`
  const plain = `list_transform(output_paths, lambda one: {'path': one, 'optional': false})`
  if (!columns.has('optionals')) return plain
  const flagged = `list_transform(list_zip(output_paths, optionals), lambda pair: {'path': pair[1], 'optional': coalesce(pair[2], false)})`
  return `CASE WHEN optionals IS NULL THEN ${plain} ELSE ${flagged} END`
}

function mapSql(given: boolean, name: string, defaults: Readonly<Record<string, string>>): string {
  const entries = Object.entries(defaults)
  if (entries.length === 0)
    return given ? `CASE WHEN cardinality(${name}) > 0 THEN ${name} END` : 'CAST(NULL AS MAP(VARCHAR, VARCHAR))'
  const list = (values: string[]) => `[${values.map(quoteText).join(', ')}]`
  const fallback = `map(${list(entries.map(([key]) => key))}, ${list(entries.map(([, value]) => value))})`
  return given
    ? `CASE WHEN cardinality(${name}) > 0 THEN map_concat(${fallback}, ${name}) ELSE ${fallback} END`
    : fallback
}

/** `stdin: x` where x is an input as it was written, its name, or {input:N}: the name. `stdout` likewise with outputs. */
function streamSql(stream: string, isThere: boolean, sql: (path: string) => string, list: string): string {
  if (!isThere) return stream
  const kind = list.slice(0, -1)
  const placed = `TRY_CAST(regexp_extract(${stream}, '^\\{${kind}:([1-9][0-9]*)\\}$', 1) AS INTEGER)`
  const place = `coalesce(${placed}, list_position(${list}, ${stream}))`
  return `CASE WHEN ${stream} IS NOT NULL THEN coalesce(list_transform(list_filter([${list}[${place}]], lambda one: one IS NOT NULL),
    lambda one: ${sql('one')})[1], ${stream}) END`
}

const AMOUNTS = {
  cpus: countSql('cpus', 1),
  memory: bytesSql('memory'),
  walltime: secondsSql('walltime'),
  gpus: countSql('gpus', 0),
  nodes: countSql('nodes', 1),
}

function resourcesSql(has: Has, defaults: JobDefaults['resources']): string {
  const or = (name: keyof typeof AMOUNTS, fallback: number | null) =>
    has(name) ? `coalesce(${AMOUNTS[name]}, ${fallback ?? 'NULL'})` : (fallback ?? 'NULL')
  const values = `{'cpus': ${or('cpus', defaults.cpus)}, 'memory_bytes': ${or('memory', defaults.memoryBytes)},
    'walltime_sec': ${or('walltime', defaults.walltimeSec)}, 'gpus': ${or('gpus', defaults.gpus)}, 'nodes': ${or('nodes', defaults.nodes)}}`
  return `CAST(${values} AS ${ROWS.resources})`
}

/** What Apptainer pulls from somewhere: what it gives tomorrow is another image. */
const REGISTRIES = '^(?:docker|docker-daemon|docker-archive|library|oras|shub):'

/** The first key whose text is no amount, flag or choice, with its text. */
function wrongColumns(has: Has): [string, string][] {
  const tests: Readonly<Record<string, string>> = {
    ...Object.fromEntries(Object.entries(AMOUNTS).map(([name, sql]) => [name, `${sql} IS NULL`])),
    cache: 'TRY_CAST(cache AS BOOLEAN) IS NULL',
    publish: "publish NOT IN ('files', 'pack', 'table')",
    priority: "TRY_CAST(priority AS INTEGER) IS NULL OR NOT regexp_full_match(priority, '-?[0-9]+(?:[.]0+)?')",
  }
  const arms = [
    { from: 'after', key: 'after', test: 'len(after) > 0', value: "array_to_string(after, ', ')" },
    { from: 'container', key: 'container', test: `regexp_matches(container, '${REGISTRIES}')`, value: 'container' },
    { from: 'nodes', key: 'nodes over 1', test: `${AMOUNTS.nodes} > 1`, value: 'nodes' },
    ...Object.entries(tests).map(([name, test]) => ({
      from: name,
      key: name,
      test: `${name} IS NOT NULL AND (${test})`,
      value: name,
    })),
  ].filter(({ from }) => has(from as GivenColumn))
  const pick = (value: (arm: (typeof arms)[number]) => string) =>
    arms.length === 0
      ? 'CAST(NULL AS VARCHAR)'
      : `CASE ${arms.map((arm) => `WHEN ${arm.test} THEN ${value(arm)}`).join(' ')} END`
  return [
    ['wrong_key', pick(({ key }) => quoteText(key))],
    ['wrong_value', pick(({ value }) => value)],
  ]
}
