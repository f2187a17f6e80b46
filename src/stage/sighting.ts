import { FloeError } from '../model/errors.ts'
import type { Clock } from '../ports/clock.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'
import { Grounds, isBareHere } from './grounds.ts'
import { HASHED_MAX_BYTES, hashContent, type Sight, seeFile, sizeTimeDigest } from './look-up.ts'
import { RemoteLook, type RemoteStores } from './remote.ts'
import { isHdfs, isRemote, sitePath } from './site-path.ts'

/** How digests of looked-up files are made; `auto` reads files up to 16 MB, as long as they are not too much together. */
export type DigestPolicy = 'auto' | 'hashed' | 'size_mtime'

/** Bytes that one look-up with `auto` reads at most, so that the first plan over terabytes does not read them all. */
const READ_MAX_BYTES = 4e9

export interface SightingOptions {
  readonly roots: Readonly<Record<string, string>>
  readonly clock: Clock
  /** Absent: sizes only, no content is read. */
  readonly digest?: DigestPolicy
  /** Files that only the site sees; absent: this machine sees all. */
  readonly elsewhere?: ElsewhereLook
  readonly stores: RemoteStores
  readonly onProgress?: (files: number) => void
  readonly signal?: AbortSignal
}

/** Looks at paths of a site, many at a time. */
export interface ElsewhereLook {
  has(path: string): boolean
  /** `unknown`: who has it, if anybody, does not answer. */
  see(paths: readonly string[]): Promise<readonly (Sight | 'unknown' | undefined)[]>
  digests(paths: readonly string[]): Promise<readonly (string | undefined)[]>
  /** Whether a directory is not there, or has nothing in it. */
  isBare(directory: string): Promise<boolean>
}

export interface Sighting {
  readonly files: number
  readonly missing: number
  /** Files that differ from what earlier results were made of. */
  readonly changed: readonly string[]
  /** Rows in temporary table `files_seen`: what table `files` does not say yet. */
  readonly news: number
}

interface FileRow extends Row {
  readonly url: string
  readonly kind: string
  readonly size_bytes: number | null
  readonly mtime_us: number | null
  readonly digest: string | null
  readonly digest_kind: string | null
  readonly missing: boolean | null
}

const SEEN = [
  { name: 'url', type: 'VARCHAR' },
  { name: 'size_bytes', type: 'BIGINT' },
  { name: 'mtime_us', type: 'BIGINT' },
  { name: 'digest', type: 'VARCHAR' },
  { name: 'digest_kind', type: 'VARCHAR' },
  { name: 'missing', type: 'BOOLEAN' },
  { name: 'changed', type: 'BOOLEAN' },
] as const

/** Rows of `files` held at a time. */
const SLICE = 50_000

/** Names of changed files that are kept for messages; the rest is counted in `files_seen`. */
const NAMED_MAX = 100

/**
 * Looks at every file of the table `files` once and puts what is new into the temporary table `files_seen`. Changes no durable table.
 * Costs one stat a distinct file, in HDFS one listing a folder, and one reading of each file whose digest is not known yet. Throws INPUTS_MISSING when a whole root, or all
 * that the campaign's inputs lie in, is not there or empty.
 */
export async function sightFiles(tables: Tables, options: SightingOptions): Promise<Sighting> {
  const { sql } = tables
  await tables.view('files')
  const look = new Look(options)
  await sql.run(
    `create or replace temp table files_seen (${SEEN.map(({ name, type }) => `${name} ${type}`).join(', ')})`,
  )
  // Those of one folder of HDFS follow each other.
  await sql.run(
    `create or replace temp table files_known as select *, row_number() over (order by case when regexp_matches(url, '^s?webhdfs://') then url end) as n
     from files`,
  )
  for (let from = 0; ; from += SLICE) {
    const rows = await sql.rows<FileRow>(
      `select url, kind, size_bytes, epoch_us(mtime) as mtime_us, digest, digest_kind, missing from files_known where n > ${from} and n <= ${from + SLICE}`,
    )
    if (rows.length === 0) break
    const news = await look.news(rows)
    if (news.length === 0) continue
    await sql.load('files_seen_slice', SEEN, [news])
    await sql.run('insert into files_seen select * from files_seen_slice')
  }
  await look.checkGrounds()
  return { files: look.files, missing: look.missing, changed: look.changed, news: look.newsCount }
}

/** Commits of others that may come in between. */
const CONFLICTS_MAX = 10

export interface CommitSighting {
  readonly acceptChanged: boolean
  readonly clock: Clock
  readonly guard?: () => Promise<void>
}

/**
 * Makes table `files` say what `files_seen` holds. Without `acceptChanged`, files that results were made of keep what the table says,
 * so that the next look notices again.
 */
export const commitSighting = (tables: Tables, options: CommitSighting): Promise<void> =>
  overConflicts(() => commitOnce(tables, options))

export async function overConflicts(commit: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await commit()
    } catch (cause) {
      // An `add` came in between: its rows are kept, and what was seen is put on top.
      if (!(cause instanceof FloeError && cause.code === 'TABLE_CONFLICT') || tries === CONFLICTS_MAX) throw cause
    }
  }
}

/** Another content lies elsewhere. */
const MOVED = `s.url is not null and (s.size_bytes is distinct from f.size_bytes or s.mtime_us is distinct from epoch_us(f.mtime))`

async function commitOnce(tables: Tables, options: CommitSighting): Promise<void> {
  const wanted = options.acceptChanged ? 'true' : 'not changed'
  const snapshot = await tables.view('files')
  await tables.commit('files', {
    operation: 'look up files',
    ...(options.guard && { guard: options.guard }),
    expect: snapshot.version,
    remove: snapshot.parts,
    select: `select f.* replace (
        case when s.url is null then f.size_bytes else s.size_bytes end as size_bytes,
        case when s.url is null then f.mtime else make_timestamptz(s.mtime_us) end as mtime,
        case when s.url is null then f.digest else s.digest end as digest,
        case when s.url is null then f.digest_kind else s.digest_kind end as digest_kind,
        case when s.url is null then f.missing else s.missing end as missing,
        case when ${MOVED} then null else f.nodes end as nodes,
        case when ${MOVED} then null else f.nodes_at end as nodes_at,
        case when s.url is null then f.seen_at else make_timestamptz(${Math.round(options.clock.now() * 1000)}) end as seen_at)
      from files f left join (select * from files_seen where ${wanted}) s on s.url = f.url`,
  })
}

class Look {
  files = 0
  missing = 0
  newsCount = 0
  readonly changed: string[] = []
  #readBytes = 0
  readonly #elsewhere = new Map<string, { sight: Sight | 'unknown' | undefined; digest: string | undefined }>()
  readonly #options: SightingOptions
  readonly #grounds: Grounds
  readonly #remote: RemoteLook
  #seenRemote: ReadonlyMap<string, Sight> = new Map()
  #checksums: ReadonlyMap<string, string> = new Map()

  constructor(options: SightingOptions) {
    this.#options = options
    this.#remote = new RemoteLook(options.stores)
    this.#grounds = new Grounds(options.roots)
  }

  async checkGrounds(): Promise<void> {
    const { elsewhere } = this.#options
    await this.#grounds.check(async (directory) =>
      elsewhere?.has(`${directory}/`) ? elsewhere.isBare(directory) : isBareHere(directory),
    )
  }

  async news(rows: readonly FileRow[]): Promise<Row[]> {
    const news: Row[] = []
    await this.#lookElsewhere(rows)
    await this.#lookInHdfs(rows)
    for (const row of rows) {
      if (this.#options.signal?.aborted) throw new FloeError('INTERRUPTED', 'Stopped while looking at the input files.')
      const seen = await this.#see(row)
      if (seen) news.push(seen)
    }
    this.newsCount += news.length
    this.#options.onProgress?.(this.files)
    return news
  }

  /** What the site sees of these rows, in one question for sizes and one for contents. */
  async #lookElsewhere(rows: readonly FileRow[]): Promise<void> {
    this.#elsewhere.clear()
    const { elsewhere, roots, digest: policy } = this.#options
    if (!elsewhere) return
    const paths = rows
      .filter(({ url }) => !isRemote(url))
      .map(({ url }) => sitePath(url, roots))
      .filter((path): path is string => path !== undefined && elsewhere.has(path))
    const seen = await elsewhere.see(paths)
    for (const [at, path] of paths.entries()) this.#elsewhere.set(path, { sight: seen[at], digest: undefined })
    if (policy === undefined) return
    const read = rows.flatMap((row) => {
      const path = sitePath(row.url, roots)
      const sight = path === undefined ? undefined : this.#elsewhere.get(path)?.sight
      if (path === undefined || sight === undefined || sight === 'unknown' || path.endsWith('/')) return []
      const known =
        row.missing !== true &&
        row.digest !== null &&
        row.size_bytes === sight.sizeBytes &&
        row.mtime_us === sight.mtimeUs
      return !known && this.#isRead(sight) ? [path] : []
    })
    const digests = await elsewhere.digests(read)
    for (const [at, path] of read.entries()) this.#elsewhere.get(path)!.digest = digests[at]
  }

  async #lookInHdfs(rows: readonly FileRow[]): Promise<void> {
    const wanted = rows.filter((row) => isHdfs(row.url) && !isDeclared(row))
    this.#seenRemote = await this.#remote.see(wanted.map(({ url }) => url))
    if (this.#options.digest !== 'hashed') return
    const unknown = wanted.filter((row) => {
      const sight = this.#seenRemote.get(row.url)
      return sight && !row.url.endsWith('/') && !(row.digest !== null && isSame(row, sight))
    })
    this.#checksums = await this.#remote.digests(unknown.map(({ url }) => url))
  }

  async #see(row: FileRow): Promise<Row | undefined> {
    this.files++
    const hdfs = isHdfs(row.url)
    const remote = isRemote(row.url) && !hdfs
    const path = isRemote(row.url) ? undefined : sitePath(row.url, this.#options.roots)
    // What was declared, or fetched once, is not looked up again: a server is not asked for a million files each run.
    if (remote && (row.digest !== null || row.size_bytes !== null)) return undefined
    if (hdfs && isDeclared(row)) return undefined
    const there = path === undefined ? undefined : this.#elsewhere.get(path)
    const sight = hdfs
      ? this.#seenRemote.get(row.url)
      : remote
        ? await seeUrl(row.url)
        : there
          ? there.sight
          : path === undefined
            ? undefined
            : seeFile(path)
    if (sight === 'unknown') return undefined
    if (path !== undefined && row.kind !== 'program') this.#grounds.note(path, sight !== undefined)
    if (sight === undefined) {
      this.missing++
      return row.missing ? undefined : { ...known(row), missing: true, changed: false }
    }
    const same = row.missing !== true && isSame(row, sight)
    const declared = row.digest_kind === 'declared' && (row.size_bytes === null || row.size_bytes === sight.sizeBytes)
    if (same && (row.digest !== null || this.#options.digest === undefined || remote)) return undefined
    const digest = declared ? row.digest : remote ? null : this.#digest(row.url, path, sight)
    const changed = row.digest !== null && (digest === null ? !same : digest !== row.digest)
    if (changed && this.changed.length < NAMED_MAX) this.changed.push(row.url)
    return {
      url: row.url,
      size_bytes: sight.sizeBytes,
      mtime_us: sight.mtimeUs,
      digest,
      digest_kind: digest === null ? null : declared ? 'declared' : kindOf(digest),
      missing: false,
      changed,
    }
  }

  /** `path` undefined: in HDFS. */
  #digest(url: string, path: string | undefined, sight: Sight): string | null {
    if (this.#options.digest === undefined) return null
    if (path === undefined) return this.#checksums.get(url) ?? sizeTimeDigest(url, sight)
    const there = this.#elsewhere.get(path)
    if (there) return there.digest ?? sizeTimeDigest(url, sight)
    return this.#isRead(sight) ? hashContent(path) : sizeTimeDigest(url, sight)
  }

  /** Whether the content of a file is read for its digest. */
  #isRead({ sizeBytes }: Sight): boolean {
    const policy = this.#options.digest
    const isSmall = sizeBytes <= HASHED_MAX_BYTES && this.#readBytes + sizeBytes <= READ_MAX_BYTES
    if (policy !== 'hashed' && (policy !== 'auto' || !isSmall)) return false
    this.#readBytes += sizeBytes
    return true
  }
}

const isSame = (row: FileRow, sight: Sight): boolean =>
  row.size_bytes === sight.sizeBytes && row.mtime_us === sight.mtimeUs

/** Its job says what it is, so it is looked at by the one that reads it. */
const isDeclared = ({ digest_kind, digest, size_bytes, mtime_us, missing }: FileRow): boolean =>
  digest_kind === 'declared' || (size_bytes !== null && mtime_us === null && digest === null && missing === null)

const KINDS: Readonly<Record<string, string>> = { sha256: 'hashed', checksum: 'checksum' }
const kindOf = (digest: string): string => KINDS[digest.split(':', 1)[0]!] ?? 'size_mtime'

const known = ({ url, size_bytes, mtime_us, digest, digest_kind }: FileRow) => ({
  url,
  size_bytes,
  mtime_us,
  digest,
  digest_kind,
})

/** Size and time of a URL by HEAD; undefined: not there. A server that does not tell a size is believed to have the file. */
async function seeUrl(url: string): Promise<Sight | undefined> {
  const answer = await fetch(url, { method: 'HEAD', redirect: 'follow', signal: AbortSignal.timeout(30_000) }).catch(
    () => undefined,
  )
  if (!answer?.ok) return undefined
  const modified = Date.parse(answer.headers.get('last-modified') ?? '')
  return {
    sizeBytes: Number(answer.headers.get('content-length') ?? 0),
    mtimeUs: Number.isNaN(modified) ? 0 : modified * 1000,
  }
}
