import type { Connector, SiteLimits } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Transport } from '../../connectors/transport/transport.ts'
import { FloeError } from '../model/errors.ts'
import { counted } from './calls.ts'
import { Carriage } from './carriage.ts'
import { elsewhereOn } from './elsewhere.ts'
import { clampedTo, misfitOf, namedIn, type TaskWishes, taskLimits, taskShape } from './fit.ts'
import { readPartThere } from './pull-records.ts'
import { programThere, type RunnerWishes, type StagedRunner } from './runner-there.ts'
import { ScratchArrays, type ScratchPlace } from './scratch-arrays.ts'
import type { Rhythm, Site } from './site.ts'
import { isRefusal, scratchFull, submitted, translated } from './translate.ts'

export interface ScratchSiteOptions extends Omit<ScratchPlace, 'site'>, TaskWishes {
  readonly name: string
  readonly roots: Readonly<Record<string, string>>
  readonly transport: Transport
  readonly connector: Connector
  readonly runner: RunnerWishes
  /** Another program that has to be there as long as arrays run, such as a scheduler of ours. */
  readonly companion?: () => Promise<StagedRunner>
  readonly intervalMs: number
  /** What runs images there; null: nothing. */
  readonly container: string | null
  /** Where hosts of HDFS are for its nodes; null: as for this machine. */
  readonly hdfsHosts: Readonly<Record<string, string>> | null
  readonly dataNodesOf: readonly string[]
  /** Of what floe keeps there, for `clean`; null: none. */
  readonly quotaBytes: number | null
  /** What the site allowed when it was looked at last; taken when it does not say now. */
  readonly knownLimits: SiteLimits | null
  readonly clockOffSec: number | null
  readonly isOneNode: boolean
}

/** Tasks that may run side by side, for the length of batches of unknown jobs. */
const TASKS_GUESSED = 16
const PROBE_MS = 120_000
const LIMITS_AGAIN_MS = 60_000

/**
 * A cluster: a scheduler, and a scratch directory that its nodes see, reached by a transport. Arrays are staged in a mirror on this machine
 * and carried over whole; record lines are brought back. Calls of the site: two a look, whatever the number of tasks.
 */
export function openScratchSite(given: ScratchSiteOptions): Site {
  const { connector, calls } = counted(given.connector)
  const options = { ...given, connector }
  const { name, transport, paths, intervalMs } = options
  const site = new ScratchSite(options)
  const arrays = new ScratchArrays(transport, { ...options, site: name })
  const tell = <T>(tried: string, act: () => Promise<T>): Promise<T> =>
    translated(`${tried} at ${transport.where}`, act)
  const limits = () => tell('read the limits', () => site.limits())
  const full = async () => {
    const said = await tell('see whether the scratch has room', () => arrays.lack())
    return said === undefined ? undefined : scratchFull(`${options.scratch} of ${name}`, said)
  }
  return {
    name,
    isSimulated: false,
    paths,
    outputs: `${paths.campaign}/outputs`,
    roots: options.roots,
    rhythm: rhythmOf(intervalMs),
    clockOffSec: options.clockOffSec,
    calls,
    isOneNode: options.isOneNode,
    hints: {
      directory: `Name a directory that login and compute nodes share as \`scratch:\` of ${name} in sites.yaml.`,
      fruitless: `Do the compute nodes of ${name} see ${options.scratch}? If so, tasks.log beside the records below ${paths.arrays} says more.`,
    },
    slots: options.task.cpus * TASKS_GUESSED,
    taskSec: options.task.walltimeSec,
    container: options.container,
    hdfsHosts: options.hdfsHosts ?? undefined,
    dataNodesOf: options.dataNodesOf,
    limits: async () => taskLimits(options, await limits()),
    reserve: (asked) => tell('see what other campaigns have', () => arrays.reserve(asked)),
    connector: async () => connector,
    runner: () => tell('put the runner into the scratch directory', () => site.runner()),
    shape: async (terms) => taskShape(options, terms, await limits()),
    misfit: async (terms) => misfitOf(options, terms, await limits()),
    clamped: async (terms) => clampedTo(options, terms, await limits()),
    makeArray: (id) => tell('make the directory of an array', () => arrays.make(id)),
    place: (file) => site.carriage.place(file),
    elsewhere: elsewhereOn(transport, { has: (path) => site.carriage.isInPlace(path) }),
    probe: (program, setup) => tell(`look for ${program}`, () => site.probe(program, setup)),
    send: (id) =>
      tell(`carry array ${id}`, async () => {
        await site.runner()
        await arrays.need(id, site.carriage.names)
        await site.carriage.send()
        await arrays.send(id)
      }),
    submission: (id) => tell(`look at array ${id}`, () => arrays.submission(id)),
    submit: (array) =>
      submitted(
        { site: name, name: array.name },
        () => connector.submit(array),
        async (hint) => namedIn(hint, name, await limits().catch(() => undefined)),
      ).catch(async (error: unknown) => {
        throw (isUnwritable(error) ? await full() : undefined) ?? error
      }),
    pull: (ids) => tell('read the records', () => arrays.pull(ids)),
    seal: (id, seals) => tell(`seal tasks of ${id}`, () => arrays.seal(id, seals)),
    full,
    sendCancel: (id) => tell(`cancel jobs of ${id}`, () => arrays.sendCancel(id)),
    sendEntrances: (id, text) => tell(`renew the way in of ${id}`, () => arrays.sendEntrances(id, text)),
    list: (folder) => tell(`list ${folder}`, () => arrays.list(folder)),
    usage: () => tell('see how full the scratch is', () => arrays.usage()),
    readPart: (id, file, range) =>
      tell(`read ${file} of ${id}`, () => readPartThere(transport, `${paths.arrays}/${id}/${file}`, range)),
    fetch: (files) => tell('fetch files', () => transport.fetch(files)),
    quotaBytes: options.quotaBytes,
    release: (ids) => tell('let go of what arrays needed', () => arrays.release(ids)),
    remove: (ids, cached = []) => tell('clean the scratch directory', () => arrays.remove(ids, cached)),
    close: () => transport.close(),
  }
}

/** The site could not be brought to ask its scheduler. */
const isUnwritable = (error: unknown): boolean =>
  error instanceof FloeError && error.code === 'SUBMIT_REFUSED' && !isRefusal(error)

/** Of a site that is looked at so often. */
export const rhythmOf = (intervalMs: number): Rhythm => ({
  // A turn of the loop looks at what is here already, so it may be more frequent than looks at the site.
  turnMs: Math.min(1000, intervalMs),
  pullMs: intervalMs,
  watchMs: intervalMs,
  // NFS clients keep what they know of a file for up to a minute.
  graceMs: Math.max(8 * intervalMs, 5000),
  absentMs: 60 * intervalMs,
  blankMs: 600 * intervalMs,
})

class ScratchSite {
  readonly carriage: Carriage
  readonly #options: ScratchSiteOptions
  #limits: Promise<SiteLimits> | undefined
  readonly #runner: () => Promise<StagedRunner>

  constructor(options: ScratchSiteOptions) {
    this.#options = options
    const { transport, paths, mirror, roots, runner, scratch, name: site } = options
    this.carriage = new Carriage(transport, { scratch, site, there: paths.cache, here: mirror.cache, roots })
    this.#runner = programThere(transport, { scratch, cache: paths.cache }, runner)
  }

  /** Read once; a question that failed is asked again after a while, and answered by what was known before. */
  limits(): Promise<SiteLimits> {
    this.#limits ??= this.#options.connector.siteLimits().catch((error: unknown) => {
      // Busy schedulers are not asked again and again.
      setTimeout(() => {
        this.#limits = undefined
      }, LIMITS_AGAIN_MS).unref()
      if (this.#options.knownLimits) return this.#options.knownLimits
      throw error
    })
    return this.#limits
  }

  /** Proved once; its files are looked for with what each array needs, for the cache may be purged. */
  async runner(): Promise<readonly string[]> {
    const { companion } = this.#options
    const { argv, files } = await this.#runner()
    const beside = (await companion?.())?.files ?? []
    for (const file of [...files, ...beside]) this.carriage.place(file)
    return argv
  }

  async probe(program: string, setup: string | null): Promise<string | undefined> {
    const test = `command -v -- ${quote(program)} >/dev/null && { case ${quote(program)} in /*) test -x ${quote(program)} ;; esac; }`
    const { exit, stderr } = await this.#options.transport.run(`${setup ?? ':'}\n${test}`, { timeoutMs: PROBE_MS })
    return exit === 0 ? undefined : stderr.trim()
  }
}
