import { quoteText } from '../ports/tables/tables.ts'
import type { GivenColumn } from './given.ts'

/** What a job asks for that says nothing. */
const ORDINARY = "{'cpus': 1, 'memory_bytes': NULL, 'walltime_sec': NULL, 'gpus': 0, 'nodes': 1}"

/*
 * spec_digest, version 3: MD5, in hex, of the concatenation, in this order, of a letter and the text of each value. The first six are always there,
 * empty when nothing is said; the others are left out when they are null, empty or what every job has: one core, no limits, no GPU, one node; cache
 * true; publish files; priority 0. Lists and maps are JSON, maps sorted by key; U+001E comes before each letter. Of an input's name only the length is
 * in it, as the name is an end of the url: how many bytes of the url come before it when that is the same for all, else `=` and the lengths of the
 * names. What floe.yaml fills in counts as written: two formats that say the same job give the same digest, and a changed default makes new revisions.
 */
const SPEC: readonly { letter: string; sql: string; from?: GivenColumn }[] = [
  { letter: 'e', sql: 'executable', from: 'executable' },
  { letter: 'a', sql: 'CAST(to_json(arguments) AS VARCHAR)', from: 'arguments' },
  { letter: 'i', sql: pathsSql('inputs'), from: 'inputs' },
  { letter: 'n', sql: lengthsSql('inputs', 'input_names', 'plain_inputs'), from: 'inputs' },
  { letter: 'o', sql: pathsSql('output_paths'), from: 'outputs' },
  { letter: 'l', sql: entriesSql('labels') },
]

const MORE: typeof SPEC = [
  {
    letter: 'm',
    sql: 'CASE WHEN list_contains(optionals, true) THEN CAST(optionals AS VARCHAR) END',
    from: 'optionals',
  },
  { letter: 'f', sql: pathsSql('files'), from: 'files' },
  { letter: 'g', sql: lengthsSql('files', 'file_names', 'false'), from: 'files' },
  { letter: 'v', sql: entriesSql('environment') },
  { letter: 's', sql: 'setup' },
  { letter: 'k', sql: 'container', from: 'container' },
  { letter: 'd', sql: 'stdin', from: 'stdin' },
  { letter: 't', sql: 'stdout', from: 'stdout' },
  { letter: 'c', sql: '"check"' },
  { letter: 'r', sql: `CASE WHEN resources IS DISTINCT FROM ${ORDINARY} THEN CAST(to_json(resources) AS VARCHAR) END` },
  { letter: 'p', sql: 'CASE WHEN priority <> 0 THEN CAST(priority AS VARCHAR) END' },
  { letter: 'w', sql: 'site', from: 'site' },
  { letter: 'u', sql: 'parent', from: 'parent' },
  { letter: 'h', sql: "CASE WHEN NOT cache THEN 'false' END" },
  { letter: 'b', sql: "CASE WHEN publish <> 'files' THEN publish END" },
]

function pathsSql(paths: string): string {
  return `CASE WHEN len(${paths}) > 0 THEN CAST(to_json(${paths}) AS VARCHAR) END`
}

/** `plain`: whether the names are known to be ends behind one base. */
function lengthsSql(urls: string, names: string, plain: string): string {
  const before = `list_transform(list_zip(${urls}, ${names}), lambda pair: strlen(pair[1]) - strlen(pair[2]))`
  return `CASE WHEN len(${names}) = 1 OR ${plain} OR len(list_distinct(${before})) = 1
      THEN CAST(strlen(${urls}[1]) - strlen(${names}[1]) AS VARCHAR)
    WHEN len(${names}) > 0 THEN '=' || array_to_string(list_transform(${names}, lambda name: strlen(name)), ',') END`
}

function entriesSql(map: string): string {
  return `CAST(CASE WHEN cardinality(${map}) = 1 THEN to_json(${map})
    WHEN cardinality(${map}) > 1 THEN to_json(map_from_entries(list_sort(map_entries(${map})))) END AS VARCHAR)`
}

/** The text of a job. */
export function specSql(columns: ReadonlySet<GivenColumn>): string {
  const isThere = ({ from }: (typeof SPEC)[number]) => from === undefined || columns.has(from)
  const letter = (text: string) => quoteText(`\u001e${text}`)
  // What is null adds nothing.
  const always = SPEC.flatMap((part) => (isThere(part) ? [letter(part.letter), part.sql] : [letter(part.letter)]))
  const more = MORE.filter(isThere).map((part) => `${letter(part.letter)} || ${part.sql}`)
  return `concat(${[...always, ...more].join(', ')})`
}

/** What input_hash is made of. */
export function sortedInputs(urls: string): string {
  return `CASE WHEN len(${urls}) = 1 THEN ${urls}[1]
    WHEN len(${urls}) = 2 AND ${urls}[1] <> ${urls}[2] THEN concat(least(${urls}[1], ${urls}[2]), chr(10), greatest(${urls}[1], ${urls}[2]))
    ELSE coalesce(array_to_string(list_sort(list_distinct(${urls})), chr(10)), '') END`
}

/** The last six bits of 128. */
export const BUCKET = "CAST(CAST('0x' || right(input_hash, 2) AS INTEGER) % 64 AS INTEGER)"
