import type { GivenColumn } from './given.ts'
import { isGlob, isWrongUrl, outputOf } from './paths.ts'

/** What can be wrong with one row by itself. `when` sees the resolved row; the texts see the row that came out. All are SQL. */
interface Problem {
  readonly when: string
  /** Not asked when the source has none of these columns. */
  readonly needs: readonly GivenColumn[]
  readonly value: string
  readonly reason: string
  readonly hint: string
}

const ID_MAX = 1000
const CONTROL = "'[\\x00-\\x08\\x0b-\\x1f\\x7f]'"

const text = (sentence: string): string => `'${sentence.replaceAll("'", "''")}'`
const first = (list: string, test: (one: string) => string): string =>
  `list_filter(${list}, lambda one: ${test('one')})[1]`

const OUTPUT_PATHS = 'list_transform(outputs, lambda one: one.path)'
const NAMES = 'list_concat(coalesce(input_names, []), coalesce(file_names, []))'
const URLS = 'list_concat(coalesce(inputs, []), coalesce(files, []))'
/** The same url under the same name twice is one link; two urls under one name are not. */
const PAIRS = `list_transform(list_zip(${URLS}, ${NAMES}), lambda pair: pair[2] || chr(1) || pair[1])`
const COLLISIONS = `list_filter(list_distinct(${NAMES}), lambda name:
  len(list_filter(list_distinct(${PAIRS}), lambda pair: starts_with(pair, name || chr(1)))) > 1 OR name = '')`

/** Nothing is wrong with the path of any input by itself. */
const PLAIN_URLS = 'files IS NULL AND plain_inputs'

/** The first branches are nearly all jobs. */
const namesTwice = `CASE WHEN files IS NULL AND len(inputs) = 1 THEN input_names[1] = ''
  WHEN ${PLAIN_URLS} AND len(inputs) = 2 AND input_names[1] <> input_names[2] THEN false
  WHEN files IS NULL AND len(inputs) = 2 AND input_names[1] NOT IN ('', input_names[2]) AND input_names[2] <> '' THEN false
  WHEN list_contains(${NAMES}, '') THEN true
  WHEN len(list_distinct(${NAMES})) = len(${NAMES}) THEN false
  ELSE len(list_distinct(${NAMES})) < len(list_distinct(${PAIRS})) END`

const JOINED = 'array_to_string(arguments, chr(1))'
const names = (joined: string): string =>
  `(contains(${joined}, '{input:') OR contains(${joined}, '{output:') OR contains(${joined}, '{label:'))`
const TOKEN = '\\{(?:input|output|label):[^{}\\x01]*\\}'
const numbered = (list: string, kind: string): string =>
  `list_transform(range(1, coalesce(len(${list}), 0) + 1), lambda n: '{${kind}:' || n || '}')`
const valid = (outputs: string): string => `list_concat(${numbered('inputs', 'input')}, ${numbered(outputs, 'output')},
  coalesce(list_transform(map_keys(labels), lambda name: '{label:' || name || '}'), []))`
/** Placeholders, the escaped ones taken out, that name nothing of the job. */
const WRONG_TOKENS = (
  outputs = 'outputs',
): string => `list_filter(regexp_extract_all(regexp_replace(${JOINED}, '\\{${TOKEN}\\}', chr(1), 'g'), '${TOKEN}'),
  lambda token: NOT list_contains(${valid(outputs)}, token))`
/** Whole arguments of other tools, which nothing would replace here: no shell sees the arguments. */
const FOREIGN = `[${['input', 'output']
  .flatMap((kind) => [`{${kind}}`, `\${${kind}}`, `$FLOE_${kind.toUpperCase()}_1`, `\${FLOE_${kind.toUpperCase()}_1}`])
  .map(text)
  .join(', ')}]`
const QUICK = "replace(replace(arguments_text, '{input:1}', ''), '{output:1}', '')"

const FREE =
  "array_to_string(arguments, ''), array_to_string(inputs, ''), array_to_string(output_paths, ''), array_to_string(files, ''), CAST(labels AS VARCHAR), CAST(environment AS VARCHAR)"
const allNames = (columns: string): string => `concat_ws(chr(10), ${columns})`

/** In order: a row is told the first one only. The number of a problem is its place, from 1. */
const PROBLEMS: readonly Problem[] = [
  {
    when: "job_id IS NULL OR job_id = ''",
    needs: [],
    value: 'NULL',
    reason: text('no id'),
    hint: text('add `id:` with a name that no other job has'),
  },
  {
    when: `length(job_id) > ${ID_MAX}`,
    needs: ['id'],
    value: 'job_id',
    reason: text(`the id is longer than ${ID_MAX} characters`),
    hint: text('give the job a shorter name'),
  },
  {
    when: "wrong_key IN ('after', 'nodes over 1')",
    needs: ['after', 'nodes'],
    value: 'wrong_value',
    reason:
      "'not supported yet: `' || split_part(wrong_key, ' ', 1) || '`' || CASE WHEN wrong_key LIKE '% over 1' THEN ' over 1' ELSE '' END",
    hint: "'take `' || split_part(wrong_key, ' ', 1) || '` out of the job for now'",
  },
  {
    when: "wrong_key = 'container'",
    needs: ['container'],
    value: 'wrong_value',
    reason: text('`container` names no image file'),
    hint: "'make one and name it: `apptainer build image.sif ' || left(wrong_value, 200) || '`'",
  },
  {
    when: "executable IS NULL OR executable = ''",
    needs: [],
    value: 'NULL',
    reason: text('no executable'),
    hint: text('add `executable:` with a path or URL'),
  },
  {
    // No program can be given a NUL; in an id the others would reach terminals and file names.
    when: `regexp_matches(job_id, ${CONTROL}) OR contains(spec, chr(0)) OR contains(spec, '\\u0000')
      AND contains(${allNames(FREE)}, chr(0))`,
    needs: [],
    value: 'NULL',
    reason: text('a control character in the id, or NUL'),
    hint: text('take it out; newline and tab may stay'),
  },
  {
    when: `CASE WHEN ${PLAIN_URLS} THEN false ELSE list_contains(given_inputs, '') OR list_contains(given_files, '')
      OR len(list_filter(list_concat(given_inputs, given_files), lambda one: one IS NULL)) > 0 END`,
    needs: ['inputs', 'files'],
    value: 'NULL',
    reason: text('an input without a name'),
    hint: text('take the empty entry out of the list'),
  },
  {
    when: `CASE WHEN ${PLAIN_URLS} OR files IS NULL AND NOT contains(array_to_string(given_inputs, chr(10)), ':') THEN false
      ELSE len(list_filter(${URLS}, lambda one: ${isWrongUrl('one')})) > 0 END`,
    needs: ['inputs', 'files'],
    value: first(URLS, isWrongUrl),
    reason: `'input ' || ${first(URLS, isWrongUrl)} || ' is none that floe can read'`,
    hint: text('name a path, https://, webhdfs://, or a path below a root: era5:1982/01.nc'),
  },
  {
    when: namesTwice,
    needs: ['inputs', 'files'],
    value: `${COLLISIONS}[1]`,
    reason: `CASE WHEN ${COLLISIONS}[1] = '' THEN 'an input without a file name' ELSE 'two inputs would both be called ' || ${COLLISIONS}[1] END`,
    hint: text('name them by relative paths that differ; URLs and absolute paths get their last part as name'),
  },
  {
    when: `CASE WHEN plain_outputs THEN false ELSE len(list_filter(output_paths, lambda one: ${outputOf('one')} IS NULL)) > 0 END`,
    needs: ['outputs'],
    value: first(OUTPUT_PATHS, (one) => `${outputOf(one)} IS NULL`),
    reason: `CASE WHEN list_contains(${OUTPUT_PATHS}, '') THEN 'an output without a name'
      ELSE 'output ' || ${first(OUTPUT_PATHS, (one) => `${outputOf(one)} IS NULL`)} || ' leaves the campaign' END`,
    hint: text("name it below the campaign's outputs"),
  },
  {
    when: 'CASE WHEN len(output_paths) < 2 THEN false ELSE len(list_distinct(output_paths)) < len(output_paths) END',
    needs: ['outputs'],
    value: `list_filter(${OUTPUT_PATHS}, lambda one: len(list_filter(outputs, lambda other: other.path = one)) > 1)[1]`,
    reason: text('the job names an output twice'),
    hint: text('name each output once'),
  },
  {
    when: `CASE WHEN files IS NULL AND len(output_paths) = 1 THEN list_contains(input_names, output_paths[1])
      ELSE list_has_any(input_names, output_paths) OR list_has_any(file_names, output_paths) END`,
    needs: ['outputs'],
    value: `list_intersect(${NAMES}, ${OUTPUT_PATHS})[1]`,
    reason: `'output ' || list_intersect(${NAMES}, ${OUTPUT_PATHS})[1] || ' has the name of an input'`,
    hint: text('give the output another path: the job would write over its input'),
  },
  {
    when: `CASE WHEN len(inputs) > 0 AND len(output_paths) > 0 AND len(list_filter(arguments, lambda one:
        one <> '{input:1}' AND one <> '{output:1}' AND contains(one, '{'))) = 0 THEN false
      WHEN len(inputs) > 0 AND len(output_paths) > 0 AND NOT ${names(QUICK)} THEN false
      WHEN NOT ${names('arguments_text')} THEN false ELSE len(${WRONG_TOKENS('output_paths')}) > 0 END`,
    needs: ['arguments'],
    value: `${WRONG_TOKENS()}[1]`,
    reason: `'argument ' || ${WRONG_TOKENS()}[1] || ' names nothing: the job has ' || coalesce(len(inputs), 0) || ' inputs, ' ||
      coalesce(len(outputs), 0) || ' outputs and ' || coalesce(cardinality(labels), 0) || ' labels'`,
    hint: text('count from {input:1}; {{input:1}} is the text itself'),
  },
  {
    when: `CASE WHEN contains(arguments_text, 'put}') OR contains(arguments_text, 'PUT_1') THEN list_has_any(arguments, ${FOREIGN}) ELSE false END`,
    needs: ['arguments'],
    value: `list_intersect(arguments, ${FOREIGN})[1]`,
    reason: `'argument ' || list_intersect(arguments, ${FOREIGN})[1] || ' would reach the program as it is'`,
    hint: text('write {input:1} or {output:1}, and so on'),
  },
  {
    when: 'stdin IS NOT NULL AND NOT coalesce(list_contains(input_names, stdin), false)',
    needs: ['stdin'],
    value: 'stdin',
    reason: "'`stdin` names ' || stdin || ', which is no input'",
    hint: text('write one of the inputs, or {input:1}'),
  },
  {
    when: `stdout IS NOT NULL AND NOT coalesce(list_contains(output_paths, stdout), false)
      OR stdout IS NOT NULL AND ${isGlob('stdout')}`,
    needs: ['stdout'],
    value: 'stdout',
    reason: "'`stdout` names ' || stdout || ', which is no output'",
    hint: text('write one of the outputs, or {output:1}; not a glob'),
  },
  {
    when: 'wrong_key IS NOT NULL',
    needs: ['cpus', 'memory', 'walltime', 'gpus', 'nodes', 'cache', 'publish', 'priority'],
    value: 'wrong_value',
    reason: "'`' || wrong_key || ': ' || left(wrong_value, 200) || '` cannot be read'",
    hint: `CASE wrong_key WHEN 'memory' THEN 'write a size such as 512MB or 2GB' WHEN 'walltime' THEN 'write a duration such as 90s, 10m or 1h30m'
      WHEN 'cache' THEN 'write true or false' WHEN 'publish' THEN 'write files, pack or table' ELSE 'write a whole number' END`,
  },
  {
    when: "len(list_filter(map_keys(environment), lambda name: NOT regexp_full_match(name, '[A-Za-z_][A-Za-z0-9_]*'))) > 0",
    needs: ['environment'],
    value: "list_filter(map_keys(environment), lambda name: NOT regexp_full_match(name, '[A-Za-z_][A-Za-z0-9_]*'))[1]",
    reason: text('a name in `environment` that no shell takes'),
    hint: text('use letters, digits and _'),
  },
]

/** Number of the row's first problem, 0 for none. */
export function problemSql(columns: ReadonlySet<GivenColumn>): string {
  const arms = PROBLEMS.flatMap(({ when, needs }, at) =>
    needs.length === 0 || needs.some((name) => columns.has(name)) ? [`WHEN ${when} THEN ${at + 1}`] : [],
  )
  return `CAST(CASE ${arms.join('\n')} ELSE 0 END AS TINYINT)`
}

/** value, reason and hint of the resolved rows that have a problem of their own. */
export function problemTexts(): string {
  const arm = (pick: (problem: Problem) => string) =>
    `CASE problem ${PROBLEMS.map((problem, at) => `WHEN ${at + 1} THEN ${pick(problem)}`).join('\n')} END`
  return `left(CAST(${arm((problem) => problem.value)} AS VARCHAR), 200) AS value,
    ${arm((problem) => problem.reason)} AS reason, ${arm((problem) => problem.hint)} AS hint`
}
