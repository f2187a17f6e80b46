import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join, posix } from 'node:path'
import type { ArraySpec, Connector, SiteLimits } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Carried, Transport } from '../../connectors/transport/transport.ts'
import type { SitePaths } from '../model/campaign.ts'
import { FloeError } from '../model/errors.ts'
import { Carriage } from './carriage.ts'
import { elsewhereOn } from './elsewhere.ts'
import { pullRecords, readPartThere } from './pull-records.ts'
import { type RunnerWishes, stageRunner } from './runner-there.ts'
import type { ArrayTerms, Rhythm, Site, Submission, TaskLimits } from './site.ts'
import { translated } from './translate.ts'

export interface ScratchSiteOptions {
  readonly name: string
  /** The site's directories. */
  readonly paths: SitePaths
  /** Directories on this machine that stand for them. */
  readonly mirror: SitePaths
  readonly roots: Readonly<Record<string, string>>
  readonly transport: Transport
  readonly connector: Connector
  readonly runner: RunnerWishes
  readonly queue: string | null
  readonly account: string | null
  /** More words for the submit command. */
  readonly options: readonly string[]
  /** Of one task. */
  readonly task: { readonly cpus: number; readonly walltimeSec: number }
  /** Below what the site itself allows; null: what it allows. */
  readonly limits: { readonly queued: number | null; readonly array: number | null }
  readonly intervalMs: number
  /** What the site allowed when it was looked at last; taken when it does not say now. */
  readonly knownLimits: SiteLimits | null
}

/** Floe keeps this share of what a site allows, so that a person can still submit by hand. */
const SHARE = 0.9
/** Where a site names no limit of its own. */
const OPEN_MAX = 10_000
/** Tasks of one array at most, whatever a site allows: an array is staged in one go. */
const ARRAY_MAX = 10_000
/** Tasks that may run side by side, for the length of batches of unknown jobs. */
const TASKS_GUESSED = 16
/** Beyond what its jobs may use: the runner itself. */
const RUNNER_BYTES = 192 * 2 ** 20
/** What a task has beyond the limit of its longest job, to start and to seal. */
const MARGIN_SEC = 120

/**
 * A cluster: a scheduler, and a scratch directory that its nodes see, reached by a transport. Arrays are staged in a mirror on this machine
 * and carried over whole; record lines are brought back. Calls of the site: two a look, whatever the number of tasks.
 */
export function openScratchSite(options: ScratchSiteOptions): Site {
  const site = new ScratchSite(options)
  const { transport, connector, paths, intervalMs } = options
  const tell = <T>(tried: string, act: () => Promise<T>): Promise<T> =>
    translated(`${tried} at ${transport.where}`, act)
  return {
    name: options.name,
    paths,
    outputs: site.outputs,
    roots: options.roots,
    rhythm: rhythmOf(intervalMs),
    slots: options.task.cpus * TASKS_GUESSED,
    limits: () => tell('read the limits', () => site.limits()),
    connector: async () => connector,
    runner: () => tell('put the runner into the scratch directory', () => site.runner()),
    shape: (terms) => site.shape(terms),
    makeArray: (id) => tell('make the directory of an array', () => site.makeArray(id)),
    place: (file) => site.carriage.place(file),
    elsewhere: elsewhereOn(transport, { has: (path) => site.carriage.isInPlace(path) }),
    probe: (program, setup) => tell(`look for ${program}`, () => site.probe(program, setup)),
    send: (id) => tell(`carry array ${id}`, () => site.send(id)),
    submission: (id) => tell(`look at array ${id}`, () => site.submission(id)),
    submit: (array) => tell(`submit ${array.name}`, () => connector.submit(array)),
    pull: (ids) =>
      tell('read the records', () => pullRecords(transport, { there: paths.arrays, here: options.mirror.arrays, ids })),
    sendCancel: (id) => tell(`cancel jobs of ${id}`, () => site.sendCancel(id)),
    readPart: (id, file, range) =>
      tell(`read ${file} of ${id}`, () => readPartThere(transport, posix.join(paths.arrays, id, file), range)),
    fetch: (files) => tell('fetch files', () => transport.fetch(files)),
    remove: (ids, wish) => tell('clean the scratch directory', () => site.remove(ids, wish)),
    close: () => transport.close(),
  }
}

/** A turn of the loop looks at what is here already, so it may be more frequent than looks at the site. */
const rhythmOf = (intervalMs: number): Rhythm => ({
  turnMs: Math.min(1000, intervalMs),
  pullMs: intervalMs,
  watchMs: intervalMs,
  // Shared file systems show a new line to other machines after some seconds.
  graceMs: Math.max(3 * intervalMs, 5000),
})

class ScratchSite {
  readonly outputs: string
  readonly carriage: Carriage
  readonly #options: ScratchSiteOptions
  #limits: Promise<SiteLimits> | undefined
  #runner: Promise<readonly string[]> | undefined

  constructor(options: ScratchSiteOptions) {
    this.#options = options
    this.outputs = `${options.paths.campaign}/outputs`
    const { transport, paths, mirror, roots } = options
    this.carriage = new Carriage(transport, { there: paths.cache, here: mirror.cache, roots })
  }

  async limits(): Promise<TaskLimits> {
    this.#limits ??= this.#options.connector.siteLimits().catch((error: unknown) => {
      if (this.#options.knownLimits) return this.#options.knownLimits
      this.#limits = undefined
      throw error
    })
    const { queued, array } = this.#options.limits
    const { queuedMax, arrayMax } = await this.#limits
    const own = Math.max(1, Math.floor((queuedMax ?? OPEN_MAX) * SHARE))
    const openMax = Math.min(own, queued ?? own)
    // A few large arrays instead of one for each task that ended.
    const refillBelow = Math.max(1, Math.ceil(openMax * 0.75))
    return { planBelow: refillBelow, refillBelow, openMax, arrayMax: Math.min(arrayMax, array ?? arrayMax, ARRAY_MAX) }
  }

  runner(): Promise<readonly string[]> {
    this.#runner ??= stageRunner(this.carriage, this.#options.transport, this.#options.runner)
    return this.#runner
  }

  shape({
    cpus,
    memory_bytes,
    walltime_sec,
    gpus,
  }: ArrayTerms): Omit<ArraySpec, 'name' | 'directory' | 'count' | 'command'> {
    const { task, queue, account, options } = this.#options
    const slots = Math.max(1, Math.floor(task.cpus / cpus))
    return {
      cpus: slots * cpus,
      memoryBytes: memory_bytes === null ? null : memory_bytes * slots + RUNNER_BYTES,
      walltimeSec: Math.max(task.walltimeSec, (walltime_sec ?? 0) + MARGIN_SEC),
      gpus: gpus * slots,
      queue,
      account,
      ...(options.length > 0 && { options }),
    }
  }

  async makeArray(id: string): Promise<boolean> {
    const { arrays } = this.#options.paths
    const directory = posix.join(arrays, id)
    // `umask` for all that is made on the way; records and logs are there before a task looks.
    const { exit, stderr } = await this.#options.transport.run(
      `umask 077; mkdir -p ${quote(arrays)} || exit 3; mkdir ${quote(directory)} || { [ -d ${quote(directory)} ] && exit 9; exit 3; }
       mkdir ${quote(`${directory}/records`)} ${quote(`${directory}/logs`)}`,
    )
    if (exit === 9) return false
    if (exit !== 0) throw this.#unwritable(directory, stderr)
    mkdirSync(join(this.#options.mirror.arrays, id), { recursive: true, mode: 0o700 })
    return true
  }

  #unwritable(directory: string, said: string): FloeError {
    const { name, transport } = this.#options
    const isFull = /No space left|quota/i.test(said)
    return new FloeError(
      isFull ? 'DISK_FULL' : 'NOT_WRITABLE',
      `Could not make ${directory} at ${transport.where}: ${lastLine(said)}`,
      isFull ? {} : { hint: `Correct \`scratch:\` of the site ${name} in sites.yaml, or make it writable for you.` },
    )
  }

  async probe(program: string, setup: string | null): Promise<string | undefined> {
    const test = `command -v -- ${quote(program)} >/dev/null && { case ${quote(program)} in /*) test -x ${quote(program)} ;; esac; }`
    const { exit, stderr } = await this.#options.transport.run(`${setup ?? ':'}\n${test}`, { timeoutMs: 120_000 })
    return exit === 0 ? undefined : stderr.trim()
  }

  /** The index comes last: an array with an index is staged. */
  async send(id: string): Promise<void> {
    await this.carriage.send()
    const here = join(this.#options.mirror.arrays, id)
    const there = posix.join(this.#options.paths.arrays, id)
    for (const name of ['manifest', 'index'])
      await this.#options.transport.send([{ here: join(here, name), there: posix.join(there, name) }])
  }

  async submission(id: string): Promise<Submission> {
    const directory = posix.join(this.#options.paths.arrays, id)
    const { stdout } = await this.#options.transport.run(
      `cd ${quote(directory)} 2>/dev/null || { echo gone; exit; }
       if [ -s id ]; then echo submitted; cat id; elif [ -e tried ] || [ -e owner ]; then echo tried; else echo not tried; fi`,
    )
    const [state = '', nativeId] = stdout.split('\n')
    await this.#restore(id, state)
    if (state === 'submitted') return { state, nativeId: nativeId!.trim() }
    return { state: state === 'gone' || state === 'tried' ? state : 'not tried', nativeId: undefined }
  }

  /** The mirror is a cache: what it lacks of a staged array comes from the site. */
  async #restore(id: string, state: string): Promise<void> {
    const here = join(this.#options.mirror.arrays, id)
    mkdirSync(here, { recursive: true, mode: 0o700 })
    if (state === 'gone' || state === 'not tried') return
    const wanted = ['manifest', 'index'].filter((name) => !existsSync(join(here, name)))
    if (wanted.length === 0) return
    const there = posix.join(this.#options.paths.arrays, id)
    await this.#options.transport.fetch(
      wanted.map((name) => ({ here: join(here, name), there: posix.join(there, name) })),
    )
  }

  async sendCancel(id: string): Promise<void> {
    const here = join(this.#options.mirror.arrays, id, 'cancel')
    const file: Carried = { here, there: posix.join(this.#options.paths.arrays, id, 'cancel') }
    if (existsSync(here) && readFileSync(here).length > 0) await this.#options.transport.send([file])
  }

  async remove(ids: readonly string[], { cache }: { cache: boolean }): Promise<void> {
    const { paths, transport } = this.#options
    const folders = [...ids.map((id) => posix.join(paths.arrays, basename(id))), ...(cache ? [paths.cache] : [])]
    if (folders.length === 0) return
    await transport.run(
      folders.map((folder) => `chmod -R u+w ${quote(folder)} 2>/dev/null; rm -rf ${quote(folder)}`).join('\n'),
    )
    if (cache) this.carriage.forget()
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''
