import { readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { FloeError } from '../model/errors.ts'
import type { Resources } from '../model/resources.ts'
import type { FailureClass } from '../model/verdict.ts'
import { parseConfig } from './parse.ts'
import { POLICY_DEFAULTS, type PolicyRule, RULED, toRule } from './policy.ts'
import type { ParsedConfig } from './schema.ts'

export type { KafkaSetting } from './kafka.ts'
export { isCounted, type PolicyAction, type PolicyRule } from './policy.ts'
export {
  type HdfsSetting,
  hdfsSetting,
  openKafka,
  openSites,
  type SiteSetting,
  type SshSetting,
  siteNamed,
  sitesFile,
} from './sites.ts'
export { configMarkdown, configTemplate, jsonSchema, sitesJsonSchema } from './texts.ts'

/** What holds for every job that does not say otherwise. */
export interface JobDefaults {
  readonly resources: Resources
  readonly setup: string | null
  readonly environment: Readonly<Record<string, string>>
  readonly publish: 'files' | 'pack' | 'table'
  readonly check: string | null
  readonly cache: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly priority: number
}

/** floe.yaml, compiled: units resolved, paths absolute, defaults filled in, frozen. */
export interface Config {
  readonly name: string
  readonly site: string
  /** Null: the cores of the machine. */
  readonly slots: number | null
  readonly jobs: JobDefaults
  /** `jobs` null: chosen by the number of jobs and slots. */
  readonly batch: { readonly jobs: number | null; readonly seconds: number; readonly bytes: number | null }
  readonly scouts: { readonly jobs: number; readonly from: number; readonly waitSec: number }
  readonly policy: Readonly<Record<FailureClass, PolicyRule>>
  readonly stopWhenFailed: number
  readonly reuse: readonly string[]
  readonly digest: 'auto' | 'hashed' | 'size_mtime'
  readonly sandboxesMax: number
  readonly roots: Readonly<Record<string, string>>
  readonly outputs: string
  /** A folder in HDFS that tasks publish outputs in; then `outputs` is where `fetch` brings them. Null: none. */
  readonly outputsUrl: string | null
  readonly group: boolean
  readonly memoryBytes: number
  readonly threads: number | null
}

export const CONFIG_FILE = 'floe.yaml'

/**
 * Reads floe.yaml of a campaign; without the file, the defaults. Throws CONFIG_INVALID with file, line, what is wrong and, for a key
 * that does not exist, the one that was meant. Writes nothing.
 */
export function openConfig(directory: string): Config {
  const path = join(directory, CONFIG_FILE)
  return compileConfig(readText(path), { path, directory })
}

/** The same of a campaign that lies elsewhere. */
export async function openConfigIn(files: Files, { path, url }: { path: string; url: string }): Promise<Config> {
  const text = (await files.read(`${path}/${CONFIG_FILE}`))?.toString('utf8') ?? ''
  return compileConfig(text, { path: `${url}/${CONFIG_FILE}`, directory: url })
}

interface Files {
  read(path: string): Promise<Buffer | undefined>
}

/** The same from a text; `path` is for messages. */
export function compileConfig(text: string, place: { path: string; directory: string }): Config {
  return freeze(toConfig(parseConfig(text, place.path), place.directory))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new FloeError('CONFIG_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function toConfig(parsed: ParsedConfig, directory: string): Config {
  const { memory, walltime, cpus, gpus } = parsed.jobs.resources
  const below = (path: string) => pathBelow(directory, path)
  return {
    name: parsed.name ?? basename(directory),
    site: parsed.site,
    slots: parsed.slots,
    jobs: { ...parsed.jobs, resources: { cpus, memoryBytes: memory, walltimeSec: walltime, gpus, nodes: 1 } },
    batch: parsed.batch,
    scouts: { jobs: parsed.scouts.jobs, from: parsed.scouts.from, waitSec: parsed.scouts.wait },
    policy: toPolicy(parsed.policy),
    stopWhenFailed: parsed.stop_when_failed,
    reuse: parsed.reuse.map(below),
    digest: parsed.digest,
    sandboxesMax: parsed.sandboxes,
    roots: Object.fromEntries(Object.entries(parsed.roots).map(([name, path]) => [name, below(path)])),
    outputs: below(isAddress(parsed.outputs) ? 'outputs' : parsed.outputs),
    outputsUrl: isAddress(parsed.outputs) ? parsed.outputs.replace(/\/+$/, '') : null,
    group: parsed.group,
    memoryBytes: parsed.memory,
    threads: parsed.threads,
  }
}

/** A path as a campaign says it; that of a campaign in HDFS is a URL. */
function pathBelow(directory: string, path: string): string {
  if (!directory.includes('://')) return resolve(directory, path)
  return path.startsWith('/') || path.includes('://') ? path : `${directory}/${path}`
}

const isAddress = (path: string): boolean => path.includes('://')

function toPolicy(given: ParsedConfig['policy']): Record<FailureClass, PolicyRule> {
  return { ...POLICY_DEFAULTS, ...Object.fromEntries(RULED.map((name) => [name, toRule(name, given[name])])) }
}

function freeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) freeze(inner)
  return Object.freeze(value)
}
