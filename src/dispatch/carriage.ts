import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'
import { quote } from '../../connectors/quote.ts'
import type { Carried, Transport } from '../../connectors/transport/transport.ts'

export interface CarriagePlace {
  /** The cache of the site, and its mirror here. */
  readonly there: string
  readonly here: string
  readonly roots: Readonly<Record<string, string>>
}

/** Something to be carried: a file, or a folder with all that is in it. */
interface Load {
  readonly from: string
  /** Of a file by content. */
  readonly digest: string | undefined
  readonly isFolder: boolean
}

/** Names of the cache that one question lists. */
const ASKED_MAX = 2000

/**
 * What the site does not see is carried into its cache once, by content: `cache/<digest>` is a file or a folder, read-only, and there only
 * when it is whole: a folder has `<digest>.whole` beside it. Holds a name for each thing that was placed.
 */
export class Carriage {
  readonly #transport: Transport
  readonly #place: CarriagePlace
  readonly #waiting = new Map<string, Load>()
  readonly #there = new Set<string>()
  readonly #roots: readonly string[]

  constructor(transport: Transport, place: CarriagePlace) {
    this.#transport = transport
    this.#place = place
    this.#roots = Object.values(place.roots).map((root) => (root.endsWith('/') ? root : `${root}/`))
  }

  /** Below one of the roots: the site's own, read in place. */
  isInPlace(path: string): boolean {
    return this.#roots.some((root) => path.startsWith(root))
  }

  /** Where the file will lie on the site. A trailing slash says folder, and stays. */
  place({ path, digest }: { path: string; digest: string }): string {
    if (this.isInPlace(path)) return path
    const inCache = relative(this.#place.here, path)
    if (!inCache.startsWith('..') && !posix.isAbsolute(inCache)) {
      // Staged here already, as programs are: its folder goes over under the same name.
      const [name, ...below] = inCache.split(sep)
      this.#want(name!, { from: join(this.#place.here, name!), digest: undefined, isFolder: below.length > 0 })
      return posix.join(this.#place.there, name!, ...below)
    }
    const isFolder = path.endsWith('/')
    const name = nameOf(digest)
    const isContent = digest.startsWith('sha256:') && !isFolder
    this.#want(name, { from: path, digest: isContent ? digest : undefined, isFolder })
    return `${posix.join(this.#place.there, name)}${isFolder ? '/' : ''}`
  }

  #want(name: string, load: Load): void {
    if (!this.#there.has(name)) this.#waiting.set(name, load)
  }

  /** Carries what was placed and is not there. */
  async send(): Promise<void> {
    const waiting = [...this.#waiting]
    for (let from = 0; from < waiting.length; from += ASKED_MAX) {
      const some = waiting.slice(from, from + ASKED_MAX)
      const missing = await this.#missing(some)
      await this.#transport.send(missing.flatMap(([name, load]) => this.#files(name, load)))
      await this.#seal(missing.filter(([, { isFolder }]) => isFolder).map(([name]) => name))
      for (const [name] of some) {
        this.#there.add(name)
        this.#waiting.delete(name)
      }
    }
  }

  /** What was carried may be gone: scratch directories are purged. */
  forget(): void {
    this.#there.clear()
  }

  async #missing(some: readonly (readonly [string, Load])[]): Promise<(readonly [string, Load])[]> {
    const marks = some.map(([name, { isFolder }]) => (isFolder ? `${name}.whole` : name))
    const list = marks.map(quote).join(' ')
    const { stdout } = await this.#transport.run(
      `umask 077; mkdir -p ${quote(this.#place.there)}; cd ${quote(this.#place.there)} || exit 3
       for name in ${list}; do [ -e "$name" ] && printf '%s\\n' "$name"; done; :`,
    )
    const there = new Set(stdout.split('\n'))
    return some.filter((_, at) => !there.has(marks[at]!))
  }

  #files(name: string, { from, digest, isFolder }: Load): Carried[] {
    const there = posix.join(this.#place.there, name)
    if (!isFolder) return [{ here: from, there, mode: modeOf(from), ...(digest !== undefined && { digest }) }]
    return filesBelow(from).map((path) => {
      const here = join(from, path)
      return { here, there: posix.join(there, ...path.split(sep)), mode: modeOf(here) }
    })
  }

  async #seal(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const { there } = this.#place
    // An empty folder has no file that would have made it.
    const lines = names.map(
      (name) => `mkdir -p ${quote(posix.join(there, name))} && : >${quote(posix.join(there, `${name}.whole`))}`,
    )
    await this.#transport.run(`umask 077\n${lines.join('\n')}`)
  }
}

/** Digests that a person declared may be of any form. */
const nameOf = (digest: string): string =>
  /^(?:sha256|size_mtime):([0-9a-f]{64})$/.exec(digest)?.[1] ?? createHash('sha256').update(digest).digest('hex')

/** Read-only, for what it is named by is its content. */
const modeOf = (path: string): number => ((statSync(path).mode & 0o111) !== 0 ? 0o500 : 0o400)

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() || (entry.isSymbolicLink() && isFile(join(entry.parentPath, entry.name))))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
