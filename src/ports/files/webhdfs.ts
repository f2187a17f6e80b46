import type { IncomingMessage } from 'node:http'
import { FloeError } from '../../model/errors.ts'
import type { Tokens } from './hdfs-login.ts'
import type { Negotiate } from './kerberos.ts'
import { type BlockLocations, type HdfsBlock, type LocatedBlocks, locatedBlocks } from './webhdfs-blocks.ts'
import { connectionFault, type Fault, faultIn, hdfsError, remoteFault } from './webhdfs-faults.ts'
import { type Body, bytesOf, exchange, type Hosts } from './webhdfs-http.ts'
import type { HdfsUrl } from './webhdfs-url.ts'

/*
 * The WebHDFS REST API, version 1, of name nodes and of HttpFS
 * (https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html), as far as floe speaks it. A name node sends who reads or
 * writes on to a data node; HttpFS answers itself, or sends on to itself. Both are followed alike.
 */

/** Who asks, and how to get there. */
export interface HdfsAccess {
  /** For a cluster without Kerberos: the user that it believes. */
  readonly user?: string | undefined
  /** A delegation token, instead of a user. */
  readonly token?: string | Tokens | undefined
  /** Logs in by Kerberos, instead of either: for taking and renewing tokens. */
  readonly negotiate?: Negotiate | undefined
  readonly hosts?: Hosts | undefined
  /** Whose certificates are trusted, PEM; absent: those that Node trusts. */
  readonly ca?: string | undefined
  /** Name nodes of which one is active, `host:port`, in place of the host of the URL. */
  readonly nameNodes?: readonly string[] | undefined
  /** A silence after which a machine counts as away; 30 s. */
  readonly idleMs?: number | undefined
  /** How long what may pass is waited for: safe mode, a change of the active name node, dead machines; 60 s. */
  readonly patienceMs?: number | undefined
}

/** One entry, in HDFS's words. Times in ms; `fileId` stays when it is renamed (HttpFS tells none). */
export interface HdfsStatus {
  readonly pathSuffix: string
  readonly type: 'FILE' | 'DIRECTORY' | 'SYMLINK'
  readonly length: number
  readonly modificationTime: number
  readonly fileId?: number
  /** Bytes; 0 of a folder. */
  readonly blockSize?: number
}

export interface HdfsQuota {
  /** -1: none. */
  readonly quota: number
  readonly spaceQuota: number
  /** With all replicas. */
  readonly spaceConsumed: number
  readonly fileAndDirectoryCount: number
}

interface Listing {
  readonly FileStatuses: { readonly FileStatus: readonly HdfsStatus[] }
}

interface Operation {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly path: string
  readonly op: string
  /** Asked for at each try. */
  readonly params?: () => Readonly<Record<string, string | number | boolean>>
  readonly body?: Body
  /** For messages: `read`, `write` … */
  readonly verb: string
  /** How the answer is taken; a failure in it is one of this try. */
  readonly take?: (reply: IncomingMessage, host: string | undefined) => Promise<unknown>
  /** What may have been done is not done again. */
  readonly again?: 'unless done'
  /** Other than the usual patience. */
  readonly patienceMs?: number
}

interface Failure {
  readonly fault: Fault
  /** The data node that it happened at. */
  readonly node?: string
  readonly cause?: unknown
  /** The one that was asked with. */
  readonly token?: string | undefined
}

type Outcome = { readonly value: unknown } | Failure

/** Data nodes that failed are kept out of the way for so long. */
const AVOID_MS = 30_000
/** Where blocks lie is good to know, and nothing waits long for it. */
const LOCATE_MS = 1000
const PAUSES_MS = [0, 100, 200, 400, 800, 1600, 3000]

/**
 * A client of one HDFS. Paths are absolute. Each operation is tried again while what it met may pass: also one whose reply was lost, so that
 * the caller has to know what to make of an answer that is told twice. Throws FloeError: HDFS_UNREACHABLE, HDFS_LOGIN, HDFS_REFUSED,
 * NOT_WRITABLE, DISK_FULL (quotas), FILE_BUSY, NOT_SUPPORTED (names).
 */
export class WebHdfs {
  readonly #url: HdfsUrl
  readonly #access: HdfsAccess
  readonly #nameNodes: readonly string[]
  #active = 0
  /** Older ones, and some HttpFS, do not know GETFILEBLOCKLOCATIONS. */
  #knowsLocations = true
  /** Data node → until when it is kept out of the way. */
  readonly #avoided = new Map<string, number>()

  constructor(url: HdfsUrl, access: HdfsAccess = {}) {
    this.#url = url
    this.#access = access
    this.#nameNodes = access.nameNodes?.length ? access.nameNodes : [url.authority]
  }

  /** For messages and tables. */
  urlOf(path: string): string {
    return `${this.#url.scheme}://${this.#url.authority}${path}`
  }

  async status(path: string): Promise<HdfsStatus | undefined> {
    const answer = await this.#json<{ FileStatus: HdfsStatus }>({ ...get(path, 'GETFILESTATUS'), verb: 'look at' })
    return answer?.FileStatus
  }

  /** Of a file: itself, without a name. A page at a time, as large as HDFS makes them: the text of a folder of millions would be too long for one. */
  async list(path: string): Promise<readonly HdfsStatus[] | undefined> {
    type Page = { DirectoryListing: { partialListing: Listing; remainingEntries: number } }
    const found: HdfsStatus[] = []
    let left: number | undefined
    for (;;) {
      const startAfter = found.at(-1)?.pathSuffix
      const params = () => (startAfter === undefined ? {} : { startAfter })
      const answer = await this.#json<Page>({ ...get(path, 'LISTSTATUS_BATCH'), verb: 'list', params })
      if (answer === undefined) return undefined
      const { partialListing, remainingEntries } = answer.DirectoryListing
      const page = partialListing.FileStatuses.FileStatus
      // HDFS 3.4.2 goes on at another place after some names, as one with `+` and `%`; or the folder changes meanwhile.
      if (left !== undefined && (page.length === 0 || page.length + remainingEntries !== left))
        return this.#listWhole(path)
      for (const status of page) found.push(status)
      left = remainingEntries
      if (left === 0) return found
    }
  }

  async #listWhole(path: string): Promise<readonly HdfsStatus[] | undefined> {
    const answer = await this.#json<Listing>({ ...get(path, 'LISTSTATUS'), verb: 'list' })
    return answer?.FileStatuses.FileStatus
  }

  async quota(path: string): Promise<HdfsQuota | undefined> {
    const answer = await this.#json<{ QuotaUsage: HdfsQuota }>({ ...get(path, 'GETQUOTAUSAGE'), verb: 'look at' })
    return answer?.QuotaUsage
  }

  /** `algorithm:hex`: equal for equal content that was written with the same sizes of blocks and of checksums. */
  async checksum(path: string): Promise<string | undefined> {
    type Sum = { FileChecksum: { algorithm: string; bytes: string; length: number } }
    const answer = await this.#json<Sum>({ ...get(path, 'GETFILECHECKSUM'), verb: 'digest' })
    if (!answer) return undefined
    const { algorithm, bytes, length } = answer.FileChecksum
    return `${algorithm}:${bytes.slice(0, 2 * length)}`
  }

  /** Such a file has no end yet, though it can be read. HttpFS does not tell: `false`. */
  async isBeingWritten(path: string): Promise<boolean> {
    type Blocks = { LocatedBlocks?: { isUnderConstruction?: boolean } }
    const asked = { ...get(path, 'GET_BLOCK_LOCATIONS'), verb: 'look at', params: () => ({ length: 1 }) }
    const answer = await this.#json<Blocks>(asked).catch((cause: unknown) => {
      if (faultIn(cause) === 'other') return undefined
      throw cause
    })
    return answer?.LocatedBlocks?.isUnderConstruction ?? false
  }

  /** Of a file, in order: where each block lies; none of an empty one. `undefined` when absent. */
  async blocks(path: string): Promise<readonly HdfsBlock[] | undefined> {
    const asked = (op: string) => ({ ...get(path, op), verb: 'locate', patienceMs: LOCATE_MS })
    if (this.#knowsLocations) {
      try {
        return locatedBlocks(await this.#json<BlockLocations>(asked('GETFILEBLOCKLOCATIONS')))
      } catch (cause) {
        // HttpFS says so with the status of a server in trouble.
        if (!['other', 'wait'].includes(faultIn(cause) ?? '')) throw cause
      }
    }
    const blocks = locatedBlocks(await this.#json<LocatedBlocks>(asked('GET_BLOCK_LOCATIONS')))
    this.#knowsLocations = false
    return blocks
  }

  /**
   * Hands the bytes of a file to `take`, from the offset that `params` tells at each try, with the host that we were sent on to; undefined: who
   * was asked has answered itself. `undefined` when absent.
   */
  async read<T>(
    path: string,
    params: () => { offset: number; length?: number },
    take: (reply: IncomingMessage, host: string | undefined) => Promise<T>,
  ): Promise<T | undefined> {
    const asked = { ...get(path, 'OPEN'), verb: 'read', params, take }
    return (await this.#unlessAbsent(undefined, asked)) as T | undefined
  }

  /** Writes a file anew, in place of one that is there. A try that fails may leave a part of it. */
  async write(path: string, body: Body, permission: string): Promise<void> {
    const params = () => ({ overwrite: true, permission })
    await this.#ask({ method: 'PUT', path, op: 'CREATE', verb: 'write', params, body })
  }

  /** Waits for another who writes the file. After HDFS_UNREACHABLE the caller has to look how long it is. `false`: absent. */
  async append(path: string, body: Body): Promise<boolean> {
    const asked: Operation = { method: 'POST', path, op: 'APPEND', verb: 'append to', body, again: 'unless done' }
    return (await this.#unlessAbsent(undefined, asked)) !== undefined
  }

  /** With all folders above it. */
  async makeFolders(path: string, permission: string): Promise<void> {
    await this.#ask({ method: 'PUT', path, op: 'MKDIRS', verb: 'make the folder', params: () => ({ permission }) })
  }

  async setPermission(path: string, permission: string): Promise<void> {
    await this.#ask({ method: 'PUT', path, op: 'SETPERMISSION', verb: 'change', params: () => ({ permission }) })
  }

  /** A file, or a folder with all that is in it; `false` when absent. */
  async remove(path: string, { patienceMs }: { patienceMs?: number } = {}): Promise<boolean> {
    const params = () => ({ recursive: true })
    const limits = patienceMs === undefined ? {} : { patienceMs }
    const asked: Operation = { method: 'DELETE', path, op: 'DELETE', verb: 'remove', params, ...limits }
    return (await this.#json<{ boolean: boolean }>(asked))?.boolean ?? false
  }

  /**
   * In one step. `there`: the target is there (only without `replace`); `absent`: the source, or the folder of the target, is not there;
   * `unclear`: HttpFS, which cannot be asked for either, may have renamed, moved it into a folder of that name, or done nothing.
   */
  async rename(from: string, to: string, replace: boolean): Promise<'renamed' | 'there' | 'absent' | 'unclear'> {
    // HttpFS takes blanks away from the ends of this word, and the slash after that.
    const params = () => ({ destination: `${to}/`, renameoptions: replace ? 'OVERWRITE' : 'NONE' })
    const asked: Operation = { method: 'PUT', path: from, op: 'RENAME', verb: 'rename', params, take: textOf }
    try {
      const text = (await this.#ask(asked)) as string
      return text === '' ? 'renamed' : 'unclear'
    } catch (cause) {
      const fault = faultIn(cause)
      if ((fault === 'there' && !replace) || fault === 'absent') return fault
      throw cause
    }
  }

  /** A delegation token of who asks, who may renew it too. */
  async takeToken(): Promise<string> {
    type Token = { Token: { urlString: string } | null }
    const answer = await this.#json<Token>({ ...get('/', 'GETDELEGATIONTOKEN'), verb: 'take a delegation token of' })
    const token = answer?.Token?.urlString
    if (token !== undefined) return token
    const tried = `cannot take a delegation token of ${this.urlOf('/')}`
    throw new FloeError('HDFS_REFUSED', `${tried}: it gave none`, { hint: 'Does this HDFS use Kerberos at all?' })
  }

  /** Answers until when it may be used now, ms since 1970. */
  async renewToken(token: string): Promise<number> {
    const asked = {
      method: 'PUT',
      path: '/',
      op: 'RENEWDELEGATIONTOKEN',
      verb: 'renew the delegation token of',
    } as const
    return (await this.#json<{ long: number }>({ ...asked, params: () => ({ token }) }))!.long
  }

  async #json<T>(operation: Operation): Promise<T | undefined> {
    const take = async (reply: IncomingMessage): Promise<T> => JSON.parse(await textOf(reply)) as T
    return (await this.#unlessAbsent(undefined, { ...operation, take })) as T | undefined
  }

  async #unlessAbsent<A>(absent: A, operation: Operation): Promise<unknown> {
    try {
      return await this.#ask(operation)
    } catch (cause) {
      if (faultIn(cause) === 'absent') return absent
      throw cause
    }
  }

  async #ask(operation: Operation): Promise<unknown> {
    const patienceMs = operation.patienceMs ?? this.#access.patienceMs ?? 60_000
    let until = 0
    let from: string | undefined
    let isAnew = false
    for (let tries = 0; ; tries++) {
      // What got further begins to be patient anew.
      const at = JSON.stringify(operation.params?.())
      if (at !== from || tries === 0) {
        until = performance.now() + patienceMs
        from = at
        tries = 0
      }
      const outcome = await this.#tryOnce(operation)
      if ('value' in outcome) return outcome.value
      const { fault, node, cause } = outcome
      if (fault.kind === 'login' && !isAnew && (await this.#hasOther(outcome.token))) {
        isAnew = true
        continue
      }
      const pauseMs = PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]!
      if (!mayPass(outcome, operation) || performance.now() + pauseMs > until) {
        throw hdfsError(fault, `${operation.verb} ${this.urlOf(operation.path)}`, cause)
      }
      this.#avoid(fault, node)
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** Whether there is another token than that one, which was refused. */
  async #hasOther(refused: string | undefined): Promise<boolean> {
    const { token } = this.#access
    return refused !== undefined && typeof token === 'function' && (await token(refused)) !== refused
  }

  #avoid(fault: Fault, node: string | undefined): void {
    if (node === undefined) {
      this.#active = (this.#active + 1) % this.#nameNodes.length
      // It may have said that no other data node is left.
      this.#avoided.clear()
    } else if (fault.kind === 'node') this.#avoided.set(node, performance.now() + AVOID_MS)
  }

  async #tryOnce(operation: Operation): Promise<Outcome> {
    const { method, body, take = (reply) => bytesOf(reply) } = operation
    const { hosts = {}, idleMs = 30_000, ca } = this.#access
    const nameNode = this.#nameNodes[this.#active]!
    let host = nameNode
    let node: string | undefined
    try {
      const token = await this.#token()
      const url = this.#nameNodeUrl(operation, nameNode, token)
      const authorization = await this.#authorization(url)
      let reply = await exchange({ method, url, hosts, idleMs, ca, authorization })
      if (reply.statusCode === 307) {
        reply.resume()
        const to = new URL(reply.headers.location!)
        host = to.host
        node = to.host
        reply = await exchange({ method, url: to, body, hosts, idleMs, ca })
      }
      const status = reply.statusCode!
      if (status < 300) return { value: await take(reply, node === undefined ? undefined : hostIn(node)) }
      const fault = remoteFault(status, await textOf(reply), reply.headers['www-authenticate'])
      return { fault, token, ...(node !== undefined && { node }) }
    } catch (cause) {
      if (cause instanceof FloeError) throw withTried(cause, operation.verb, this.urlOf(operation.path))
      return { fault: connectionFault(cause, host), cause, ...(node !== undefined && { node }) }
    }
  }

  async #token(): Promise<string | undefined> {
    const { token } = this.#access
    return typeof token === 'function' ? token() : token
  }

  async #authorization({ hostname }: URL): Promise<string | undefined> {
    const { negotiate } = this.#access
    return negotiate && `Negotiate ${await negotiate(hostname)}`
  }

  #nameNodeUrl({ path, op, params }: Operation, nameNode: string, token: string | undefined): URL {
    const { scheme } = this.#url
    const { user } = this.#access
    const now = performance.now()
    const avoided = [...this.#avoided].filter(([, until]) => until > now).map(([node]) => node)
    const query = new URLSearchParams({
      op,
      ...(token !== undefined ? { delegation: token } : user !== undefined ? { 'user.name': user } : {}),
      ...(avoided.length > 0 && { excludedatanodes: avoided.join(',') }),
    })
    for (const [name, value] of Object.entries(params?.() ?? {})) query.set(name, String(value))
    const encoded = path.split('/').map(encodeURIComponent).join('/')
    return new URL(`${scheme === 'webhdfs' ? 'http' : 'https'}://${nameNode}/webhdfs/v1${encoded}?${query}`)
  }
}

const hostIn = (authority: string): string => authority.replace(/:\d+$/, '')

const withTried = (cause: FloeError, verb: string, url: string): FloeError =>
  new FloeError(cause.code, `cannot ${verb} ${url}: ${cause.message}`, {
    cause,
    hint: cause.hint,
    details: cause.details,
  })

/** A name node does nothing itself but send us on when it is asked to write. */
function mayPass({ fault: { kind }, node }: Failure, { again }: Operation): boolean {
  const isPassing = kind === 'wait' || kind === 'node'
  return again === 'unless done' ? kind === 'busy' || (isPassing && node === undefined) : isPassing
}

const get = (path: string, op: string) => ({ method: 'GET' as const, path, op })
const textOf = async (reply: IncomingMessage): Promise<string> => (await bytesOf(reply)).toString('utf8')
