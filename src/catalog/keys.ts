/*
 * The keys of a job, one place: what a job file may say, under which names, and what form its value has. The flat formats (CSV, TSV,
 * Parquet, XLSX) use the same names as columns: `data.input` or `input`, `resources.memory` or `memory`, `labels.month`.
 */

/** text: one text. list: texts. inputs: texts or {url, size_bytes, digest}. outputs: texts or {path, optional}. map: names and texts. */
export type KeyForm = 'text' | 'list' | 'inputs' | 'outputs' | 'map' | 'resources' | 'data'

const KEY_FORMS: Readonly<Record<string, KeyForm>> = {
  id: 'text',
  data: 'data',
  input: 'inputs',
  output: 'outputs',
  executable: 'text',
  arguments: 'list',
  files: 'list',
  setup: 'text',
  environment: 'map',
  resources: 'resources',
  labels: 'map',
  check: 'text',
  stdin: 'text',
  stdout: 'text',
  cache: 'text',
  publish: 'text',
  priority: 'text',
  site: 'text',
  parent: 'text',
  after: 'list',
  container: 'text',
}

/** Other names that can mean nothing else. */
const ALIASES: Readonly<Record<string, string>> = {
  job_id: 'id',
  name: 'id',
  inputs: 'input',
  outputs: 'output',
}

const RESOURCE_ALIASES: Readonly<Record<string, string>> = { memory_bytes: 'memory', walltime_sec: 'walltime' }

export const RESOURCE_KEYS = ['cpus', 'memory', 'walltime', 'gpus', 'nodes'] as const
export const DATA_KEYS = ['input', 'output'] as const

const own = (table: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

/** The key that a name means, with its form. */
export function keyNamed(name: string): { key: string; form: KeyForm } | undefined {
  const key = own(ALIASES, name) ?? name
  const form = own(KEY_FORMS, key) as KeyForm | undefined
  return form && { key, form }
}

export function resourceNamed(name: string): (typeof RESOURCE_KEYS)[number] | undefined {
  const key = own(RESOURCE_ALIASES, name) ?? name
  return RESOURCE_KEYS.find((known) => known === key)
}

export function dataNamed(name: string): (typeof DATA_KEYS)[number] | undefined {
  const key = own(ALIASES, name) ?? name
  return DATA_KEYS.find((known) => known === key)
}

export const JOB_KEYS: readonly string[] = Object.keys(KEY_FORMS)

/** What to do about a key that is not known: the nearest that is, or all of them. */
export function hintFor(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  return near === undefined ? `keys here: ${known.join(', ')}` : `did you mean \`${near}\`?`
}

/** The known name that is most like this one; `undefined` when none is like it. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const given = name.toLowerCase().slice(0, 64)
  let best: string | undefined
  let least = Math.max(1, Math.floor(given.length / 2.5)) + 1
  for (const one of known) {
    const distance = editDistance(given, one)
    if (distance < least) [best, least] = [one, distance]
  }
  return best
}

/** Insertions, deletions, changes, and swaps of two neighbours. */
function editDistance(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : Infinity
      next.push(Math.min(change, swap, row[j]! + 1, next[j - 1]! + 1))
    }
    ;[before, row] = [row, next]
  }
  return row[b.length]!
}
