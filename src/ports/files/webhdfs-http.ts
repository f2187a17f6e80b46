import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FloeError } from '../../model/errors.ts'

/** What is sent: opened anew for each try. */
export interface Body {
  readonly length: number
  open(): Readable
}

export interface Exchange {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly url: URL
  /** Whose certificates are trusted, PEM, instead of those that Node trusts. */
  readonly ca?: string | undefined
  /** What stands behind `Authorization:`. */
  readonly authorization?: string | undefined
  readonly body?: Body | undefined
  /** So long a silence, of the connection or of the answer, ends it. */
  readonly idleMs: number
  readonly hosts: Hosts
  readonly signal?: AbortSignal | undefined
}

/** Where hosts of a cluster are for this machine: `name` or `name:port` → `address` or `address:port`. */
export type Hosts = Readonly<Record<string, string>>

/** A server that says nothing to the announcement of a body is sent it all the same. */
const CONTINUE_MS = 3000

const agents = { http: new Agent({ keepAlive: true }), https: new TlsAgent({ keepAlive: true }) }

/** Where to connect for a host and port of the cluster. */
export function addressOf(url: URL, hosts: Hosts): { host: string; port: number } {
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const mapped = hosts[`${name}:${port}`] ?? hosts[name]
  if (mapped === undefined) return { host: name, port }
  const [, host, mappedPort] = /^(.*?)(?::(\d+))?$/.exec(mapped)!
  return { host: host!, port: mappedPort === undefined ? port : Number(mappedPort) }
}

/**
 * One request; resolves with the head of the answer, whatever its status. A body is sent once the server asks for it, so that a refusal is heard
 * before, and not lost with a connection that it closes. (Global `fetch` cannot write to a data node, which sends `100 Continue` unasked.)
 */
export function exchange(asked: Exchange): Promise<IncomingMessage> {
  const { method, url, body, idleMs, hosts, signal, authorization, ca } = asked
  const isTls = url.protocol === 'https:'
  const options: RequestOptions & { servername?: string; ca?: string } = {
    ...addressOf(url, hosts),
    method,
    path: `${url.pathname}${url.search}`,
    headers: { Host: url.host, ...(authorization && { Authorization: authorization }), ...(body && headersOf(body)) },
    agent: body ? false : isTls ? agents.https : agents.http,
    timeout: idleMs,
    ...(isTls && { servername: url.hostname, ...(ca !== undefined && { ca }) }),
    ...(signal && { signal }),
  }
  return new Promise((resolve, reject) => {
    const sent = (isTls ? tlsRequest : request)(options)
    const late = body && setTimeout(() => send(), Math.min(CONTINUE_MS, idleMs / 2))
    let isSending = false
    let own: Error | undefined
    const send = () => {
      clearTimeout(late)
      if (isSending || sent.destroyed) return
      isSending = true
      const source = inFull(body!)
      // The request's own error says only that it was hung up.
      source.on('error', (cause) => {
        own = cause
      })
      // What else ends the sending is told by the answer, or by that error.
      pipeline(source, sent).catch(() => sent.destroy())
    }
    let answer: IncomingMessage | undefined
    sent.on('timeout', () => (answer ?? sent).destroy(silence(idleMs)))
    sent.on('response', (reply) => {
      clearTimeout(late)
      answer = reply
      // It may have been refused before all was sent.
      if (body) reply.once('end', () => sent.destroy())
      resolve(reply)
    })
    sent.on('error', (cause) => {
      clearTimeout(late)
      reject(own ?? cause)
    })
    if (body) sent.on('continue', send).flushHeaders()
    else sent.end()
  })
}

/** A file may be cut while it is sent; then the other side would wait for the rest. */
const inFull = ({ length, open }: Body): Readable => {
  async function* chunks() {
    let sent = 0
    for await (const chunk of open() as AsyncIterable<Uint8Array>) {
      sent += chunk.length
      yield chunk
    }
    if (sent !== length) throw new FloeError('FILE_BUSY', `only ${sent} of ${length} bytes were there to be sent`)
  }
  return Readable.from(chunks(), { objectMode: false })
}

const headersOf = ({ length }: Body) => ({
  'Content-Type': 'application/octet-stream',
  'Content-Length': length,
  Expect: '100-continue',
})

const silence = (idleMs: number) =>
  Object.assign(new Error(`no word for ${idleMs / 1000} s`), { code: 'ETIMEDOUT' as const })

/** The whole body, at most `most` bytes. */
export async function bytesOf(reply: IncomingMessage, most = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > most) break
  }
  return Buffer.concat(chunks)
}
