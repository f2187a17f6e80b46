import { createHash } from 'node:crypto'
import { readdirSync, type Stats, statSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'
import { ConnectorError } from '../../connectors/connector.ts'
import { quote } from '../../connectors/quote.ts'
import type { Carried, Transport } from '../../connectors/transport/transport.ts'
import { type ScratchShell, scratchShell } from './scratch-shell.ts'

export interface CarriagePlace {
  /** Scratch directory of the site: never made, for where it is missing the file system is away. */
  readonly scratch: string
  readonly site: string
  /** The cache of the site, and its mirror here; null: there is none. */
  readonly there: string
  readonly here: string | null
  readonly roots: Readonly<Record<string, string>>
}

export interface PlacedFile {
  readonly path: string
  readonly digest: string
  readonly mtimeUs?: number | null
}

/** Something to be carried: a file, or a folder with all that is in it. */
interface Load {
  readonly from: string
  /** Of a file by content. */
  readonly digest: string | undefined
  readonly isFolder: boolean
  /** UTC microseconds of a file that is named by its time: it must be that one still. */
  readonly mtimeUs: number | null
}

/** Names of the cache that one question lists. */
const ASKED_MAX = 2000

/**
 * What the site does not see is carried into its cache once, by content: `cache/<digest>` is a file or a folder, read-only, and there only
 * when it is whole: a folder has `<digest>.whole` beside it, with the count of its files. Scratch directories are purged, so what an array
 * needs is looked for each time, by name: one question for two thousand. Holds the names that were placed since the last `send`.
 */
export class Carriage {
  readonly #transport: Transport
  readonly #place: CarriagePlace
  readonly #run: ScratchShell
  readonly #waiting = new Map<string, Load>()
  readonly #roots: readonly string[]

  constructor(transport: Transport, place: CarriagePlace) {
    this.#transport = transport
    this.#place = place
    this.#run = scratchShell(transport, place)
    this.#roots = Object.values(place.roots).map((root) => (root.endsWith('/') ? root : `${root}/`))
  }

  /** Below one of the roots: the site's own, read in place. */
  isInPlace(path: string): boolean {
    return this.#roots.some((root) => path.startsWith(root))
  }

  /** Where the file will lie on the site. A trailing slash says folder, and stays. */
  place({ path, digest, mtimeUs = null }: PlacedFile): string {
    if (this.isInPlace(path)) return path
    const { here } = this.#place
    const inCache = here === null ? '..' : relative(here, path)
    if (here !== null && !inCache.startsWith('..') && !posix.isAbsolute(inCache)) {
      // Staged here already, as programs are: its folder goes over under the same name.
      const [name, ...below] = inCache.split(sep)
      this.#want(name!, {
        ...{ from: join(here, name!), digest: undefined, isFolder: below.length > 0, mtimeUs: null },
      })
      return posix.join(this.#place.there, name!, ...below)
    }
    const isFolder = path.endsWith('/')
    const name = nameOf(digest)
    const isContent = digest.startsWith('sha256:') && !isFolder
    this.#want(name, {
      ...{ from: path, digest: isContent ? digest : undefined, isFolder },
      mtimeUs: isContent || isFolder ? null : mtimeUs,
    })
    return `${posix.join(this.#place.there, name)}${isFolder ? '/' : ''}`
  }

  /** Names in the cache of what was placed. */
  get names(): readonly string[] {
    return [...this.#waiting.keys()]
  }

  #want(name: string, load: Load): void {
    this.#waiting.set(name, load)
  }

  /** Carries what was placed and is not there. Cut anywhere, the next call goes on. */
  async send(): Promise<void> {
    const waiting = [...this.#waiting]
    for (let from = 0; from < waiting.length; from += ASKED_MAX) {
      const some = waiting.slice(from, from + ASKED_MAX)
      const missing = await this.#missing(some)
      await this.#transport.send(missing.flatMap(([name, load]) => this.#files(name, load)))
      await this.#seal(missing.filter(([, { isFolder }]) => isFolder))
      for (const [name] of some) this.#waiting.delete(name)
    }
  }

  /** A folder counts its files: purges take old files and leave folders. */
  async #missing(some: readonly (readonly [string, Load])[]): Promise<(readonly [string, Load])[]> {
    const names = (isFolder: boolean) =>
      some.filter(([, load]) => load.isFolder === isFolder).map(([name]) => quote(name))
    const { stdout } = await this.#run(
      `umask 077; mkdir -p ${quote(this.#place.there)} && cd ${quote(this.#place.there)} || exit 1
       for name in ${names(false).join(' ')}; do [ -e "$name" ] && printf '%s\\n' "$name"; done
       for name in ${names(true).join(' ')}; do
         [ -s "$name.whole" ] && [ "$(find "$name" -type f | wc -l)" -eq "$(cat "$name.whole")" ] && printf '%s\\n' "$name"
       done
       :`,
      { tried: `use the cache ${this.#place.there}` },
    )
    const there = new Set(stdout.split('\n'))
    return some.filter(([name]) => !there.has(name))
  }

  #files(name: string, { from, digest, isFolder, mtimeUs }: Load): Carried[] {
    const there = posix.join(this.#place.there, name)
    // Milliseconds as a double hold microseconds to within 0.25.
    if (mtimeUs !== null && Math.abs(statOf(from).mtimeMs * 1000 - mtimeUs) > 2) {
      throw new ConnectorError(
        'refused',
        `${from} has changed since floe looked at it`,
        'Run again when it is at rest.',
      )
    }
    if (!isFolder) return [{ here: from, there, mode: modeOf(from), ...(digest !== undefined && { digest }) }]
    return filesBelow(from).map((path) => {
      const here = join(from, path)
      return { here, there: posix.join(there, ...path.split(sep)), mode: modeOf(here) }
    })
  }

  async #seal(folders: readonly (readonly [string, Load])[]): Promise<void> {
    if (folders.length === 0) return
    const { there } = this.#place
    // An empty folder has no file that would have made it.
    const lines = folders.map(([name, { from }]) => {
      const folder = posix.join(there, name)
      return `mkdir -p ${quote(folder)} && echo ${filesBelow(from).length} >${quote(`${folder}.whole`)} || exit 1`
    })
    await this.#run(['umask 077', ...lines].join('\n'), { tried: `write into the cache ${there}` })
  }
}

/** Digests that a person declared may be of any form. */
const nameOf = (digest: string): string =>
  /^(?:sha256|size_mtime):([0-9a-f]{64})$/.exec(digest)?.[1] ?? createHash('sha256').update(digest).digest('hex')

/** Read-only, for what it is named by is its content. */
const modeOf = (path: string): number => ((statOf(path).mode & 0o111) !== 0 ? 0o500 : 0o400)

/** What was there when it was placed may be gone, with the disk that it lies on. */
function reading<T>(path: string, look: () => T): T {
  try {
    return look()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const said = code === 'ENOENT' || code === 'ENOTDIR' ? 'it is not there any more' : message
    throw new ConnectorError(
      'refused',
      `cannot read ${path} on this machine: ${said}`,
      'Is its disk mounted? Put it back and run again; without it the jobs that need it wait, and the others go on.',
      error,
    )
  }
}

const statOf = (path: string): Stats => reading(path, () => statSync(path))

function filesBelow(folder: string): string[] {
  return reading(folder, () => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() || (entry.isSymbolicLink() && isFile(join(entry.parentPath, entry.name))))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
