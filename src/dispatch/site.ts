import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { ArraySpec, Connector, NativeId } from '../../connectors/connector.ts'
import type { SitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import type { Calls } from './calls.ts'
import type { PlacedFile } from './carriage.ts'
import type { HeldArrays } from './held.ts'
import type { ReserveAsked, Reserved } from './reserve.ts'
import { ROOM_BYTES, scratchFull, translated } from './translate.ts'

/** What the jobs of an array have in common; numbers of one job. */
export interface ArrayTerms {
  readonly cpus: number
  readonly memory_bytes: number | null
  readonly walltime_sec: number | null
  readonly gpus: number
  /** Walltime of a task, where it is known better than the site's settings do. */
  readonly task_sec?: number
}

/** A file as it lies somewhere. Times are UTC microseconds. */
export interface SeenFile {
  readonly sizeBytes: number
  readonly mtimeUs: number
}

/** What is known of the submission of an array. */
export interface Submission {
  /** `gone`: the site has no directory of this array any more. */
  readonly state: 'submitted' | 'tried' | 'not tried' | 'gone'
  readonly nativeId: NativeId | undefined
}

/** How often a site is looked at, milliseconds. */
export interface Rhythm {
  /** Between two turns of the loop. */
  readonly turnMs: number
  /** Between two looks at record files. */
  readonly pullMs: number
  /** Between two questions to the scheduler. */
  readonly watchMs: number
  /** After the scheduler said that a task ended, its record may still be on the way for so long. */
  readonly graceMs: number
  /** A task that is listed no more, and of which nothing else is known, is gone after so long. */
  readonly absentMs: number
  /** The same where nothing at all is listed: that may be the scheduler's trouble, not the tasks'. */
  readonly blankMs: number
}

/** A record line that ends a task which is given up, as the attempt that would come next. */
export interface Seal {
  readonly task: number
  readonly attempt: number
  readonly line: string
}

/** Counts of tasks. */
export interface TaskLimits {
  /** Jobs that wait are planned when fewer are open. */
  readonly planBelow: number
  /** Another array is made when fewer are open. */
  readonly refillBelow: number
  readonly openMax: number
  readonly arrayMax: number
  /** Arrays that may be open at once. */
  readonly arraysMax: number
}

/**
 * Where arrays run: a scheduler and a scratch directory. What the site keeps of an array is shown here by its mirror, a directory on this
 * machine with the same files: the directory itself where this machine is the site, else a copy that `pull` brings up to date and that may
 * be deleted. Paths in `paths`, `outputs` and `roots` are the site's. All calls may be repeated.
 */
export interface Site {
  readonly name: string
  /** Nothing is run there: what it tells is for rehearsals alone. */
  readonly isSimulated: boolean
  readonly paths: SitePaths
  readonly outputs: string
  readonly roots: Readonly<Record<string, string>>
  readonly rhythm: Rhythm
  /** The site's clock minus this machine's, seconds, as measured last; null: not measured. */
  readonly clockOffSec: number | null
  /** What its scheduler was asked since it was opened; null: there is none. */
  readonly calls: Readonly<Calls> | null
  /** All tasks run on this machine. */
  readonly isOneNode: boolean
  /** What to do when tasks end again and again without having done anything, and when they do not find their directory. */
  readonly hints: { readonly fruitless: string; readonly directory: string }
  limits(): Promise<TaskLimits>
  /** Takes of what the site allows a user, which all campaigns of that user share; absent: no other campaign sends tasks there. */
  readonly reserve?: (asked: ReserveAsked) => Promise<Reserved>
  /** Jobs that run at once, for choosing the length of batches. */
  readonly slots: number
  connector(): Promise<Connector>
  /** argv of the runner on the site, without array and task; it is put there first where it is not. */
  runner(): Promise<readonly string[]>
  /** What the scheduler is asked for, for each task. */
  shape(terms: ArrayTerms): Promise<Omit<ArraySpec, 'name' | 'directory' | 'count' | 'command'>>
  /** Why no task with such jobs could ever start here, in words; undefined: nothing is known against it. */
  misfit(terms: ArrayTerms): Promise<string | undefined>
  /** The same terms, with no more of each than a task may have here. */
  clamped(terms: ArrayTerms): Promise<ArrayTerms>
  /** What runs images here: Apptainer or Singularity, by name or path; null: nothing. */
  readonly container: string | null
  /** Walltime of a task of jobs that name none; null: none. */
  readonly taskSec: number | null
  /** Where hosts of HDFS are for its nodes; undefined: as for this machine. */
  readonly hdfsHosts: Readonly<Record<string, string>> | undefined
  /** HDFS clusters whose data nodes its nodes are, by all their names: `host:port`, or a host for all its ports. */
  readonly dataNodesOf: readonly string[]
  /** Where nothing is real: arrays that are held by the site; absent: they are files in their mirrors. */
  readonly held?: HeldArrays
  /** False when the directory was there: whoever makes it may submit the array. */
  makeArray(id: string): Promise<boolean>
  /** Where a file of this machine will lie on the site; what the site does not see is carried by the next `send`. */
  place(file: PlacedFile): string
  /** Files that only the site sees; undefined: this machine sees them all. */
  readonly elsewhere: Elsewhere | undefined
  /** What a shell on the site says of a program: undefined when it is found, else its words. */
  readonly probe: ((program: string, setup: string | null) => Promise<string | undefined>) | undefined
  /** Brings the mirror of a staged array, and all that was placed, to the site. */
  send(id: string): Promise<void>
  submission(id: string): Promise<Submission>
  /** Submits exactly once, whoever calls and however often. */
  submit(array: ArraySpec): Promise<NativeId>
  /** Brings new record lines into the mirrors. Answers the arrays whose directory is gone. */
  pull(ids: readonly string[]): Promise<ReadonlySet<string>>
  /** Seals tasks that are given up, so that none of them starts later; answers those that have just started. */
  seal(id: string, seals: readonly Seal[]): Promise<ReadonlySet<number>>
  /** DISK_FULL, when nothing can be written into its scratch now; undefined: it can, or that cannot be told. */
  full(): Promise<FloeError | undefined>
  /** Tells runners what was written into the mirror's file `cancel`. */
  sendCancel(id: string): Promise<void>
  /** Replaces the file by which tasks of an array get in to HDFS. */
  sendEntrances(id: string, text: string): Promise<void>
  /** Files below a folder of the site; undefined: it is not there. */
  list(folder: string): Promise<readonly string[] | undefined>
  usage(): Promise<SiteUsage>
  /** At most `bytes` of a file of an array from `offset`; undefined: it is not there. */
  readPart(
    id: string,
    file: string,
    range: { readonly offset: number; readonly bytes: number },
  ): Promise<Buffer | undefined>
  /** Brings files of the site here. */
  fetch(files: readonly { readonly here: string; readonly there: string; readonly digest?: string }[]): Promise<void>
  /** Of what floe keeps there; null: none was set. */
  readonly quotaBytes: number | null
  /** Says of arrays that they are over: what they read of the cache may be freed. */
  release(ids: readonly string[]): Promise<void>
  /** Takes away directories of arrays, and contents of the cache; answers those that an array has come to need. */
  remove(ids: readonly string[], cached?: readonly string[]): Promise<ReadonlySet<string>>
  close(): Promise<void>
}

/** What lies on the site. */
export interface SiteUsage {
  /** The arrays of this campaign. */
  readonly arrays: ReadonlyMap<string, { readonly bytes: number; readonly usedAtSec: number }>
  /** Bytes of the arrays of each other campaign of this user. */
  readonly others: ReadonlyMap<string, number>
  /** The cache of all campaigns of this user. */
  readonly cached: readonly CachedContent[]
}

export interface CachedContent {
  readonly name: string
  readonly bytes: number
  /** When it was carried, or an array that reads it was made, whichever is later. */
  readonly usedAtSec: number
  /** Arrays that are not over and read it. */
  readonly neededBy: readonly { readonly campaign: string; readonly array: string }[]
}

export interface Elsewhere {
  /** Whether a path is one of the site's own. */
  has(path: string): boolean
  /** One question for all paths; a trailing slash asks for a folder. */
  see(paths: readonly string[]): Promise<readonly (SeenFile | undefined)[]>
  /** `sha256:…` of the contents of files. */
  digests(paths: readonly string[]): Promise<readonly (string | undefined)[]>
  /** Whether a directory is not there, or has nothing in it. */
  isBare(directory: string): Promise<boolean>
}

export interface LocalSiteOptions {
  readonly paths: SitePaths
  readonly outputs: string
  readonly roots: Readonly<Record<string, string>>
  readonly slots: number
  readonly connect: () => Promise<Connector>
  readonly runner: readonly string[]
}

/** Tasks of an array, and of the queue of this machine. */
const LOCAL_ARRAY_MAX = 1000

/** This machine: its mirrors are the directories themselves, and nothing has to be carried. */
export function localSite({ paths, outputs, roots, slots, connect, runner }: LocalSiteOptions): Site {
  let connector: Promise<Connector> | undefined
  const connected = () => {
    connector ??= connect()
    return connector
  }
  const directory = (id: string) => join(paths.arrays, id)
  return {
    name: 'local',
    isSimulated: false,
    paths,
    outputs,
    roots,
    slots,
    rhythm: { turnMs: 120, pullMs: 0, watchMs: 1000, graceMs: 0, absentMs: 30_000, blankMs: 30_000 },
    limits: async () => ({
      ...{
        planBelow: slots,
        refillBelow: slots * 4,
        openMax: Number.POSITIVE_INFINITY,
        arrayMax: LOCAL_ARRAY_MAX,
        arraysMax: Number.POSITIVE_INFINITY,
      },
    }),
    connector: connected,
    runner: async () => runner,
    shape: async ({ cpus, memory_bytes }) => ({
      ...{ cpus, memoryBytes: memory_bytes, walltimeSec: null, gpus: 0, queue: null, account: null },
    }),
    ...{ clockOffSec: 0, calls: null, isOneNode: true },
    hints: hintsBelow(paths.arrays),
    misfit: async () => undefined,
    clamped: async (terms) => terms,
    taskSec: null,
    container: 'apptainer',
    ...{ hdfsHosts: undefined, dataNodesOf: [] },
    async makeArray(id) {
      mkdirSync(paths.arrays, { recursive: true, mode: 0o700 })
      try {
        mkdirSync(directory(id), { mode: 0o700 })
        return true
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
        return false
      }
    },
    place: ({ path }) => path,
    ...{ elsewhere: undefined, probe: undefined },
    send: async () => {},
    submission: async (id) => submissionHere(directory(id)),
    submit: async (array) => submitHere(await connected(), array),
    pull: async () => new Set(),
    seal: async (id, seals) => sealHere(directory(id), seals),
    full: async () => fullHere(paths.arrays),
    sendCancel: async () => {},
    sendEntrances: async (id, text) => writePrivately(join(directory(id), 'hdfs'), text),
    readPart: async (id, file, range) => partOf(join(directory(id), file), range),
    fetch: async () => {},
    list: async () => undefined,
    quotaBytes: null,
    release: async () => {},
    // Who reads from the cache of a campaign is known to that campaign.
    usage: async () => ({
      arrays: new Map(namesIn(paths.arrays).map((id) => [id, lying(directory(id))])),
      cached: namesIn(paths.cache).map((name) => ({ name, ...lying(join(paths.cache, name)), neededBy: [] })),
      others: new Map(),
    }),
    async remove(ids, cached = []) {
      for (const path of [...ids.map(directory), ...cached.map((name) => join(paths.cache, name))])
        rmSync(path, { recursive: true, force: true })
      return new Set()
    },
    close: async () => {},
  }
}

const BEGINS_MS = 300_000

/** As the seals of a cluster: a file that is empty for minutes is of a runner that was killed before it wrote. */
function sealHere(directory: string, seals: readonly Seal[]): ReadonlySet<number> {
  const begun = new Set<number>()
  if (!existsSync(directory)) return begun
  const folder = join(directory, 'records')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const { task, attempt, line } of seals) {
    const path = join(folder, `${task}.${attempt}`)
    try {
      writeFileSync(path, line, { flag: 'wx', mode: 0o600 })
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
      const { size, mtimeMs } = statSync(path)
      if (size > 0 || Date.now() - mtimeMs < BEGINS_MS) begun.add(task)
      else appendFileSync(path, line)
    }
  }
  return begun
}

/** For its owner alone, and as a whole: others may be reading it. */
export function writePrivately(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

function fullHere(arrays: string): FloeError | undefined {
  const path = join(arrays, `.room.${process.pid}`)
  try {
    writeFileSync(path, Buffer.alloc(ROOM_BYTES))
    return undefined
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    return code === 'ENOSPC' || code === 'EDQUOT' ? scratchFull(arrays, (error as Error).message) : undefined
  } finally {
    rmSync(path, { force: true })
  }
}

const hintsBelow = (arrays: string): Site['hints'] => ({
  directory: `See whether ${arrays} is still there.`,
  fruitless: `See the records and tasks.log below ${arrays}, and scratch/local/scheduler.log on this machine.`,
})

function submissionHere(directory: string): Submission {
  if (!existsSync(directory)) return { state: 'gone', nativeId: undefined }
  const nativeId = nativeIdOf(directory)
  if (nativeId !== undefined) return { state: 'submitted', nativeId }
  return { state: existsSync(join(directory, 'tried')) ? 'tried' : 'not tried', nativeId }
}

/**
 * An `id` file beside the manifest means done; else `tried` is written before the scheduler is asked, and `id` is published by link, first
 * wins. The local connector's `submit` is idempotent on the name.
 */
async function submitHere(connector: Connector, array: ArraySpec): Promise<NativeId> {
  const known = nativeIdOf(array.directory)
  if (known !== undefined) return known
  if (!existsSync(array.directory)) {
    throw new FloeError('SUBMIT_REFUSED', `Could not submit ${array.name}: there is no directory ${array.directory}.`, {
      hint: 'The scratch was cleaned; run again, and the array is staged anew.',
    })
  }
  writeFileSync(join(array.directory, 'tried'), `${array.name}\n`, { mode: 0o600 })
  const id = await translated(`submit ${array.name}`, () => connector.submit(array))
  const aside = join(array.directory, `id.${process.pid}`)
  writeFileSync(aside, `${id}\n`, { mode: 0o600 })
  try {
    linkSync(aside, join(array.directory, 'id'))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  } finally {
    rmSync(aside, { force: true })
  }
  return nativeIdOf(array.directory)!
}

function nativeIdOf(directory: string): NativeId | undefined {
  const path = join(directory, 'id')
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : [])

const lying = (path: string): { bytes: number; usedAtSec: number } => ({
  bytes: treeBytes(path),
  usedAtSec: (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) / 1000,
})

function treeBytes(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) return 0
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + treeBytes(join(path, name)), 0)
}

function partOf(path: string, { offset, bytes }: { offset: number; bytes: number }): Buffer | undefined {
  if (!existsSync(path)) return undefined
  const fd = openSync(path, 'r')
  try {
    const piece = Buffer.alloc(bytes)
    return piece.subarray(0, readSync(fd, piece, 0, bytes, offset))
  } finally {
    closeSync(fd)
  }
}
