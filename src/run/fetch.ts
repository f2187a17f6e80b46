import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join, posix, resolve, sep } from 'node:path'
import { openViews, type Selection, selectionSql } from '../catalog/catalog.ts'
import type { Site } from '../dispatch/dispatch.ts'
import { FloeError } from '../model/errors.ts'
import type { Files } from '../ports/files/files.ts'
import type { RunContext } from './context.ts'

export interface FetchWishes {
  /** Only what lies at this site; absent: at all sites. */
  readonly site?: string
  readonly selection: Selection
  readonly onProgress?: (progress: FetchProgress) => void
  readonly signal?: AbortSignal
}

export interface FetchProgress {
  readonly site: string
  readonly done: number
  readonly total: number
  readonly bytes: number
}

export interface FetchReport {
  /** Outputs that came, and their bytes. */
  readonly fetched: number
  readonly bytes: number
  /** The directory of this machine that they are in. */
  readonly directory: string
  /** Outputs that were here already. */
  readonly skipped: number
  /** Outputs that their site has no more, or not as they were published; the first few by name. */
  readonly missing: number
  readonly missing_outputs: readonly string[]
}

/** An output as `results` has it. */
type Wanted = Readonly<{
  output: string
  site: string
  url: string | null
  pack: string | null
  offset_bytes: number | null
  size_bytes: number
  digest: string | null
}>

/** Outputs of one question and one transfer. */
const GROUP_MAX = 1000
const NAMED_MAX = 20
const PIECE_BYTES = 1 << 20

/**
 * Brings outputs that lie at sites into the campaign's directory of outputs: whole files by their digests, directories file by file,
 * members out of packs. What is here with the right digest stays; nothing is written half. No table is changed: results keep the place
 * where they were made. Cut anywhere, the next call goes on. Outputs that are kept in the merged table alone are no files, and not fetched.
 */
export async function fetchOutputs(context: RunContext, wishes: FetchWishes): Promise<FetchReport> {
  // A name that is in no sites.yaml is a mistake, not a site without outputs.
  if (wishes.site !== undefined) await context.openSite(wishes.site)
  const fetching = new Fetching(context)
  const total = await choose(context, wishes)
  const rows = context.tables.sql.stream<Wanted>('select * from fetch_wanted order by no')
  for await (const group of groupsOf(rows)) {
    if (wishes.signal?.aborted) throw new FloeError('INTERRUPTED', 'Stopped while outputs were being fetched.')
    await fetching.bring(group)
    const { fetched, skipped, missing, bytes } = fetching.report
    wishes.onProgress?.({ site: group[0]!.site, done: fetched + skipped + missing, total, bytes })
  }
  await context.tables.sql.run('drop table fetch_wanted')
  return fetching.report
}

/** Makes the temporary table `fetch_wanted`: the newest result of each output, numbered so that what comes together stands together. */
async function choose({ tables }: RunContext, { site, selection }: FetchWishes): Promise<number> {
  await openViews(tables)
  const { from, where } = await selectionSql(tables, selection)
  await tables.sql.run(
    `create or replace temp table fetch_wanted as
     select row_number() over (order by site, contains(url, '://'), pack nulls first, digest is null, output) as no, output, site, url, pack,
       offset_bytes::double as offset_bytes, size_bytes::double as size_bytes, digest
     from (from results semi join (select job_key from ${from} where ${where}) using (job_key)
       qualify row_number() over (partition by output order by published_at desc, revision desc) = 1)
     where (site <> 'local' or contains(url, '://')) and site = coalesce($1, site) and (url is not null or contains(pack, '/.packs/'))`,
    [site ?? null],
  )
  const [count] = await tables.sql.rows<{ n: number }>('select count(*)::integer as n from fetch_wanted')
  return count!.n
}

/** Files of a site some at a time, each directory alone, and each pack with all that is wanted of it. */
async function* groupsOf(chunks: AsyncIterable<readonly Wanted[]>): AsyncGenerator<readonly Wanted[]> {
  const kindOf = ({ site, url, pack, digest, output }: Wanted): string =>
    `${site} ${isAddress(url)} ${pack ?? ''} ${digest === null ? output : ''}`
  let group: Wanted[] = []
  for await (const chunk of chunks) {
    for (const one of chunk) {
      const isFull = one.pack === null && group.length >= GROUP_MAX
      if (group.length > 0 && (isFull || kindOf(group[0]!) !== kindOf(one))) {
        yield group
        group = []
      }
      group.push(one)
    }
  }
  if (group.length > 0) yield group
}

class Fetching {
  readonly #context: RunContext
  readonly #missing: string[] = []
  readonly #counts = { fetched: 0, bytes: 0, skipped: 0, missing: 0 }

  constructor(context: RunContext) {
    this.#context = context
  }

  get report(): FetchReport {
    return { ...this.#counts, directory: this.#context.paths.outputs, missing_outputs: this.#missing }
  }

  async bring(group: readonly Wanted[]): Promise<void> {
    const absent: Wanted[] = []
    for (const one of group) {
      if (one.digest !== null && (await digestOf(this.#here(one), one.size_bytes)) === one.digest)
        this.#counts.skipped++
      else absent.push(one)
    }
    if (absent.length === 0) return
    if (isAddress(group[0]!.url)) {
      for (const one of absent) await this.#fromHdfs(one)
      return
    }
    const site = await this.#context.openSite(group[0]!.site)
    if (group[0]!.pack !== null) await this.#unpack(site, group[0]!.pack, absent)
    else if (group[0]!.digest === null) await this.#directory(site, absent[0]!)
    else await this.#files(site, absent)
  }

  async #files(site: Site, absent: readonly Wanted[]): Promise<void> {
    const seen = (await site.elsewhere?.see(absent.map(({ url }) => url!))) ?? []
    const there = absent.filter((_, at) => seen[at] !== undefined)
    for (const one of absent) if (!there.includes(one)) this.#lacks(one)
    const carried = there.map((one) => ({ there: one.url!, here: this.#here(one), digest: one.digest! }))
    try {
      await site.fetch(carried)
      for (const one of there) this.#came(one)
    } catch (error) {
      if (!(error instanceof FloeError) || error.code !== 'SUBMIT_UNREADABLE') throw error
      // One of them is another file by now: the others are still wanted.
      for (const [at, one] of there.entries()) await this.#alone(site, one, carried[at]!)
    }
  }

  async #alone(site: Site, one: Wanted, carried: { there: string; here: string; digest: string }): Promise<void> {
    try {
      await site.fetch([carried])
      this.#came(one)
    } catch (error) {
      if (!(error instanceof FloeError) || error.code !== 'SUBMIT_UNREADABLE') throw error
      this.#lacks(one)
    }
  }

  /** A folder comes as a whole; a file that is another by now is as good as gone. */
  async #fromHdfs(one: Wanted): Promise<void> {
    const { files, path } = await this.#context.stores.at(one.url!)
    const here = this.#here(one)
    const aside = `${here}.${process.pid}.part`
    rmSync(aside, { recursive: true, force: true })
    mkdirSync(dirname(here), { recursive: true, mode: 0o700 })
    const isThere = one.digest === null ? await fetchFolder(files, path, aside) : await files.fetch(path, aside)
    if (!isThere || (one.digest !== null && (await digestOf(aside, one.size_bytes)) !== one.digest)) {
      rmSync(aside, { recursive: true, force: true })
      this.#lacks(one)
      return
    }
    if (one.digest === null) rmSync(here, { recursive: true, force: true })
    renameSync(aside, here)
    this.#came(one)
  }

  /** A directory has no digest: by the count and bytes of its files it is here or not. */
  async #directory(site: Site, one: Wanted): Promise<void> {
    const names = await site.list(one.url!)
    if (names === undefined) {
      this.#lacks(one)
      return
    }
    const here = this.#here(one)
    const known = existsSync(here) ? filesBelow(here) : []
    const bytes = known.reduce((sum, path) => sum + statSync(path).size, 0)
    if (known.length === names.length && bytes === one.size_bytes) {
      this.#counts.skipped++
      return
    }
    const aside = `${here}.${process.pid}.part`
    rmSync(aside, { recursive: true, force: true })
    mkdirSync(aside, { recursive: true, mode: 0o700 })
    await site.fetch(names.map((name) => ({ there: posix.join(one.url!, name), here: join(aside, name) })))
    rmSync(here, { recursive: true, force: true })
    renameSync(aside, here)
    this.#came(one)
  }

  /** The whole pack comes once: it holds little else than what is wanted, and one transfer costs less than one for each member. */
  async #unpack(site: Site, pack: string, absent: readonly Wanted[]): Promise<void> {
    const [seen] = (await site.elsewhere?.see([pack])) ?? []
    if (seen === undefined) {
      for (const one of absent) this.#lacks(one)
      return
    }
    const tar = join(this.#context.paths.cache, 'fetch', `${process.pid}.tar`)
    await site.fetch([{ there: pack, here: tar }])
    const fd = openSync(tar, 'r')
    try {
      for (const one of absent) {
        if (member(fd, one, this.#here(one))) this.#came(one)
        else this.#lacks(one)
      }
    } finally {
      closeSync(fd)
      rmSync(tar, { force: true })
    }
  }

  #came({ size_bytes }: Wanted): void {
    this.#counts.fetched++
    this.#counts.bytes += size_bytes
  }

  #lacks({ output }: Wanted): void {
    this.#counts.missing++
    if (this.#missing.length < NAMED_MAX) this.#missing.push(output)
  }

  /** Names come from jobs; `add` refuses those that lead out, and tables may have been written by others. */
  #here({ output }: Wanted): string {
    const root = resolve(this.#context.paths.outputs)
    const path = resolve(root, output)
    if (!path.startsWith(`${root}${sep}`))
      throw new FloeError('TABLE_DAMAGED', `The output ${output} leads out of ${root}.`)
    return path
  }
}

async function fetchFolder(files: Files, from: string, to: string): Promise<boolean> {
  if ((await files.entry(from))?.kind !== 'folder') return false
  mkdirSync(to, { mode: 0o700 })
  for (const { name, kind } of await files.list(from)) {
    const [there, here] = [`${from}/${name}`, join(to, name)]
    if (!(await (kind === 'folder' ? fetchFolder(files, there, here) : files.fetch(there, here)))) return false
  }
  return true
}

const isAddress = (url: string | null): boolean => url?.includes('://') ?? false

/** Copies a member of a pack to its place, whole; false: it is not what was published. */
function member(pack: number, { offset_bytes, size_bytes, digest }: Wanted, target: string): boolean {
  const aside = `${target}.${process.pid}.part`
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const fd = openSync(aside, 'w', 0o600)
  const hash = createHash('sha256')
  try {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES)
    for (let at = 0; at < size_bytes; ) {
      const read = readSync(pack, buffer, 0, Math.min(PIECE_BYTES, size_bytes - at), (offset_bytes ?? 0) + at)
      if (read === 0) break
      const piece = buffer.subarray(0, read)
      hash.update(piece)
      for (let written = 0; written < read; ) written += writeSync(fd, piece, written)
      at += read
    }
  } finally {
    closeSync(fd)
  }
  const isRight = digest === `sha256:${hash.digest('hex')}`
  if (isRight) renameSync(aside, target)
  else rmSync(aside)
  return isRight
}

/** Undefined without reading it when the size is another. */
async function digestOf(path: string, sizeBytes: number): Promise<string | undefined> {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile() || stat.size !== sizeBytes) return undefined
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: PIECE_BYTES })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
