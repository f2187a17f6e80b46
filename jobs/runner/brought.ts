import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FloeError } from '../../src/model/errors.ts'
import type { ManifestInput } from '../../src/model/manifest.ts'
import { type Fetching, fetchFile, Lanes } from '../../src/ports/files/hdfs-fetch.ts'
import type { WebHdfs } from '../../src/ports/files/webhdfs.ts'
import { faultIn } from '../../src/ports/files/webhdfs-faults.ts'
import { parseHdfsUrl } from '../../src/ports/files/webhdfs-url.ts'
import { HdfsClients } from './entrances.ts'
import { inputDifference } from './inputs.ts'
import type { Reads } from './reads.ts'
import { isDiskError } from './room.ts'
import { failed, type Judged } from './verdict.ts'

/** Files at once, and blocks of files that have several. */
const AT_ONCE = 6
const BLOCKS_AT_ONCE = 8
/** So many files in a row that do not come for no reason of their own: it is the way there, and other jobs would wait for nothing. */
const VAIN_MAX = 3
/** Faults of a file; the rest is of the way to it. */
const OF_THE_FILE = ['absent', 'denied', 'busy', 'name']

interface Wanted {
  readonly input: ManifestInput
  readonly job: string
}

/** From HDFS to this node. */
interface Way {
  readonly path: string
  readonly local: string
  readonly fetching: Fetching
}

/** An input as it is on this node, or why its jobs cannot run. */
export type Brought = { readonly path: string } | { readonly judged: Judged }

/**
 * Inputs that lie in HDFS, each brought once a task from the data nodes to a folder on this node; some at a time. What differs from the plan, is
 * not there, may not be read or has no end yet is class `input`; what did not come is `staging`.
 */
export class BroughtInputs {
  readonly #folder: string
  readonly #known = new Map<string, Brought | 'coming'>()
  readonly #waiting: Wanted[] = []
  readonly #lanes = new Lanes(BLOCKS_AT_ONCE)
  readonly #reads: Reads
  readonly #clients: HdfsClients
  readonly #told: { onBrought: () => void; onFailed: (error: unknown) => void }
  #coming = 0
  #count = 0
  #vain = 0
  #isClosed = false

  constructor(
    place: { readonly array: string; readonly folder: string; readonly reads: Reads },
    told: { onBrought: () => void; onFailed: (error: unknown) => void },
  ) {
    this.#clients = new HdfsClients(place.array)
    this.#folder = place.folder
    this.#reads = place.reads
    this.#told = told
  }

  /** What is known of it; it is on its way from the first question on, for the job that asked. */
  find(input: ManifestInput, job: string): Brought | 'coming' {
    const known = this.#known.get(input.path)
    if (known !== undefined) return known
    this.#known.set(input.path, 'coming')
    this.#waiting.push({ input, job })
    this.#begin()
    return 'coming'
  }

  /** No more is begun. */
  close(): void {
    this.#isClosed = true
    this.#waiting.length = 0
  }

  #begin(): void {
    while (this.#coming < AT_ONCE && this.#waiting.length > 0) {
      this.#coming++
      void this.#bring(this.#waiting.shift()!)
    }
  }

  async #bring({ input, job }: Wanted): Promise<void> {
    try {
      const path = await this.#fetch(input, {
        lanes: this.#lanes,
        onReply: () => this.#goOn(),
        onBytes: (host, bytes) => this.#reads.add(job, host, bytes),
      })
      this.#vain = 0
      this.#known.set(input.path, { path })
    } catch (error) {
      if (isDiskError(error)) this.#told.onFailed(error)
      else if (!this.#isOfOne(error)) this.#told.onFailed(new Error(wordsOf(error), { cause: error }))
      this.#known.set(input.path, { judged: judgedOf(input, error) })
    }
    this.#coming--
    this.#begin()
    if (!this.#isClosed) this.#told.onBrought()
  }

  #isOfOne(error: unknown): boolean {
    if (error instanceof Difference || OF_THE_FILE.includes(faultIn(error) ?? '')) this.#vain = 0
    else this.#vain++
    return this.#vain < VAIN_MAX
  }

  async #fetch(input: ManifestInput, fetching: Fetching): Promise<string> {
    const { path } = parseHdfsUrl(input.path)
    const client = this.#clients.at(input.path)
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    // Programs may look at the end of a name behind a link, and images are shown folders by names without these.
    const name = [...path.slice(path.lastIndexOf('/') + 1)].slice(-40).join('').replace(/[:,]/g, '_')
    const local = join(this.#folder, `${this.#count++}-${name}`)
    if (!input.path.endsWith('/')) {
      await this.#fetchFile(client, input, { path, local, fetching })
      return local
    }
    await this.#fetchFolder(client, { path, local, fetching })
    return `${local}/`
  }

  async #fetchFile(client: WebHdfs, input: ManifestInput, { path, local, fetching }: Way): Promise<void> {
    const status = await client.status(path)
    if (status === undefined || status.type === 'DIRECTORY')
      throw new Difference(`input ${input.name} is not there: ${input.path}`)
    const difference = inputDifference(input, { sizeBytes: status.length, mtimeUs: status.modificationTime * 1000 })
    if (difference !== undefined) throw new Difference(difference)
    if (!(await fetchFile(client, path, local, { ...fetching, status })))
      throw new Difference(`input ${input.name} is not there: ${input.path}`)
    if (input.digest === undefined) return
    // Its blocks came in any order.
    const digest = await digestOf(local)
    if (digest === input.digest) return
    rmSync(local, { force: true })
    throw new Difference(`input ${input.name} has the digest ${digest}, its job says ${input.digest}`)
  }

  async #fetchFolder(client: WebHdfs, { path, local, fetching }: Way): Promise<void> {
    mkdirSync(local, { mode: 0o700 })
    const entries = await client.list(path)
    if (entries === undefined || entries.some(({ pathSuffix }) => pathSuffix === ''))
      throw new Difference(`the folder ${client.urlOf(path)} is not there`)
    for (const { pathSuffix: name, type } of entries) {
      this.#goOn()
      const below = { path: `${path}/${name}`, local: join(local, name), fetching }
      if (type === 'DIRECTORY') await this.#fetchFolder(client, below)
      else if (!(await fetchFile(client, below.path, below.local, fetching)))
        throw new Difference(`${client.urlOf(below.path)} was removed meanwhile`)
    }
  }

  #goOn(): void {
    if (this.#isClosed) throw new FloeError('INTERRUPTED', 'the task ends')
  }
}

async function digestOf(local: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(local, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/** It is not what was planned. */
class Difference extends Error {}

function judgedOf({ name }: ManifestInput, error: unknown): Judged {
  if (error instanceof Difference) return failed('input', error.message)
  const isOwn = OF_THE_FILE.includes(faultIn(error) ?? '')
  return failed(isOwn || codeOf(error) === 'FILE_BUSY' ? 'input' : 'staging', `input ${name}: ${wordsOf(error)}`)
}

/** What to do is said as well where it is not what all errors of this kind say: a host that this node cannot resolve. */
const wordsOf = (error: unknown): string =>
  faultIn(error) === 'lost' ? `${(error as Error).message}; ${(error as FloeError).hint}` : (error as Error).message

const codeOf = (error: unknown) => (error instanceof FloeError ? error.code : undefined)
