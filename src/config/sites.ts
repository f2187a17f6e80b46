import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { FloeError } from '../model/errors.ts'
import { nearest } from '../model/nearest.ts'
import { type KafkaSetting, toKafka } from './kafka.ts'
import { parseSites } from './parse.ts'
import { type ParsedSite, type ParsedSites, usualHdfs, usualRule } from './sites-schema.ts'

/** How a site is reached. */
export interface SshSetting {
  /** user@host, or a name of ~/.ssh/config. */
  readonly target: string
  readonly port?: number
  readonly identity?: string
  readonly jump?: string
  /** A socket; `none`. */
  readonly agent?: string
  readonly knownHosts?: string
  readonly channels?: number
}

/** A cluster as sites.yaml names it: units resolved, defaults filled in. */
export interface SiteSetting {
  readonly name: string
  readonly connector: 'slurm' | 'pbs' | 'sge' | 'local' | 'simulated'
  /** Null: commands run on this machine. */
  readonly ssh: SshSetting | null
  readonly scratch: string
  readonly roots: Readonly<Record<string, string>>
  readonly queue: string | null
  readonly account: string | null
  readonly limits: { readonly queued: number | null; readonly array: number | null }
  readonly task: { readonly cpus: number; readonly walltimeSec: number | null }
  /** Cores that tasks of floe's own scheduler use at a time; null: all. */
  readonly slots: number | null
  readonly node: string | null
  /** Words of Grid Engine that differ by site; null: the usual ones. */
  readonly pe: string | null
  readonly memory: string | null
  readonly gpu: string | null
  /** What runs images on its nodes. */
  readonly container: string | null
  /** Where hosts of HDFS are for its nodes; null: as for this machine. */
  readonly hdfsHosts: Readonly<Record<string, string>> | null
  /** HDFS clusters whose data nodes its nodes are: all names of them, `host:port`, or a host for all its ports. */
  readonly dataNodesOf: readonly string[]
  readonly setup: readonly string[]
  readonly options: readonly string[]
  readonly intervalSec: number
  /** The rule of a site that runs nothing. */
  readonly simulate: {
    readonly seed: number
    readonly queueDelaySec: number
    readonly jobSec: number
    readonly failures: number
  }
  /** Of what floe keeps in scratch. */
  readonly quotaBytes: number | null
}

/** `$XDG_CONFIG_HOME/floe/sites.yaml`, usually ~/.config/floe/sites.yaml. */
export const sitesFile = (environment: NodeJS.ProcessEnv): string =>
  join(environment.XDG_CONFIG_HOME || join(homedir(), '.config'), 'floe', 'sites.yaml')

/**
 * Reads sites.yaml; without the file there are none. Throws CONFIG_INVALID with file, line and what is wrong, also when others may write the
 * file: it says where commands are sent and what they are.
 */
export function openSites(path: string): readonly SiteSetting[] {
  const { sites = {}, hdfs = {} } = readSites(path)
  return Object.entries(sites).map(([name, site]) => ({
    ...toSetting(name, site, path),
    dataNodesOf: allNames(site.data_nodes_of, hdfs),
  }))
}

/** How an HDFS is reached. */
export interface HdfsSetting {
  readonly nameNodes: readonly string[]
  readonly user: string | null
  readonly kerberos: boolean
  /** A file. */
  readonly ca: string | null
  /** A file. */
  readonly token: string | null
  readonly hosts: Readonly<Record<string, string>>
  readonly cacheBytes: number
}

/** What sites.yaml says of an HDFS, named as its addresses do, with or without the port. Throws as `openSites`. */
export function hdfsSetting(path: string, authority: string): HdfsSetting {
  const { hdfs = {} } = readSites(path)
  const {
    name_nodes: nameNodes,
    cache,
    ...rest
  } = hdfs[authority] ?? hdfs[authority.replace(/:\d+$/, '')] ?? usualHdfs()
  return { ...rest, nameNodes, cacheBytes: cache }
}

/** `kafka:` of sites.yaml, as settings of librdkafka; null: none is named. Reads what its files hold. Throws CONFIG_INVALID as `openSites`. */
export function openKafka(path: string): KafkaSetting | null {
  const { kafka = null } = readSites(path)
  return kafka && toKafka(kafka, path)
}

function readSites(path: string): Partial<ParsedSites> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new FloeError('CONFIG_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
  if ((statSync(path).mode & 0o022) !== 0) {
    throw new FloeError('CONFIG_INVALID', `${path} may be written by others than you.`, { hint: `chmod 600 ${path}` })
  }
  return parseSites(text, path)
}

/** The site of that name. Throws SITE_UNKNOWN. */
export function siteNamed(sites: readonly SiteSetting[], name: string, path: string): SiteSetting {
  const found = sites.find((site) => site.name === name)
  if (found) return found
  const names = ['local', ...sites.map((site) => site.name)]
  const meant = nearest(name, names)
  throw new FloeError('SITE_UNKNOWN', `There is no site ${name} in ${path}.`, {
    hint: `${meant === undefined ? '' : `Did you mean ${meant}? `}Sites are ${names.join(', ')}.`,
    details: { site: name, file: path },
  })
}

const HOUR_SEC = 3600

/** A cluster goes by the name that `hdfs` gives it, and by each of its name nodes. */
function allNames(named: readonly string[], hdfs: ParsedSites['hdfs']): readonly string[] {
  const bare = (name: string) => name.replace(/:\d+$/, '')
  const isSame = (one: string, other: string) => one === other || one === bare(other) || bare(one) === other
  const all = new Set(named)
  for (const [alias, { name_nodes: nameNodes }] of Object.entries(hdfs)) {
    const names = [alias, ...nameNodes]
    if (names.some((name) => named.some((one) => isSame(name, one)))) for (const name of names) all.add(name)
  }
  return [...all].sort()
}

function toSetting(name: string, site: ParsedSite, path: string): Omit<SiteSetting, 'dataNodesOf'> {
  if (name === 'local') {
    throw new FloeError('CONFIG_INVALID', `${path}: \`local\` is this machine and cannot be named anew.`)
  }
  const { ssh, task, interval, quota, simulate = usualRule(), hdfs_hosts: hdfsHosts, data_nodes_of: _, ...rest } = site
  return {
    ...rest,
    name,
    // A simulated site alone has none, and needs none.
    scratch: site.scratch ?? '',
    ssh: ssh === undefined ? null : toSsh(ssh),
    // Where nothing ends a task, none has to drain before that.
    task: { cpus: task.cpus, walltimeSec: task.walltime ?? (site.connector === 'local' ? null : HOUR_SEC) },
    intervalSec: interval,
    quotaBytes: quota,
    hdfsHosts: hdfsHosts ?? (ssh === undefined ? null : {}),
    simulate: {
      ...{ seed: simulate.seed, queueDelaySec: simulate.queue_delay },
      ...{ jobSec: simulate.job, failures: simulate.failures },
    },
  }
}

function toSsh(ssh: NonNullable<ParsedSite['ssh']>): SshSetting {
  if (typeof ssh === 'string') return { target: ssh }
  const { to: target, known_hosts: knownHosts, ...rest } = ssh
  const given = Object.entries({ target, ...rest, knownHosts }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as unknown as SshSetting
}
