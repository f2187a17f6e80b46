import { createWriteStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { FloeError } from '../../model/errors.ts'
import { systemError } from './faults.ts'
import type { HdfsStatus, WebHdfs } from './webhdfs.ts'

/** Bytes that wait to be written at most. */
const WAITING_BYTES = 2 ** 22

export interface Fetching {
  /** The file as it was looked at just now; absent: it is looked at. */
  readonly status?: HdfsStatus
  /** Hears of each answer that bytes come with. */
  readonly onReply?: () => void
  /** Hears who sent bytes: the host of the data node, as HDFS calls it; undefined: who was asked itself. */
  readonly onBytes?: (host: string | undefined, bytes: number) => void
  /** A file of several blocks is fetched block by block, each from the replica nearest to this machine, as many at once as this lets. Absent: in one piece. */
  readonly lanes?: Lanes
}

/** Lets so many acts run at once. */
export class Lanes {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await act()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/** Goes on where a cut connection left it, as long as the file is the same. A new file of this machine; `false`, and none, when absent. */
export async function fetchFile(
  client: WebHdfs,
  path: string,
  local: string,
  fetching: Fetching = {},
): Promise<boolean> {
  const status = fetching.status ?? (await client.status(path))
  if (!status) return false
  const { blockSize = 0, length } = status
  const isOfBlocks = fetching.lanes !== undefined && blockSize > 0 && length > blockSize
  const source: Source = { client, path, fetching }
  const sink = isOfBlocks ? await openPieces(local) : openSink(local)
  try {
    const read = isOfBlocks ? await readBlocks(source, status, sink) : await readWhole(source, length, sink)
    await sink.end()
    const after = await client.status(path)
    if (await client.isBeingWritten(path))
      throw new FloeError('FILE_BUSY', `cannot read ${client.urlOf(path)}: another is still writing it`)
    const isSame = after?.fileId === status.fileId && after?.modificationTime === status.modificationTime
    if (!isSame || read !== after?.length)
      throw new FloeError('FILE_BUSY', `cannot read ${client.urlOf(path)}: it changes while it is read`)
    return true
  } catch (cause) {
    await sink.discard()
    throw cause
  }
}

interface Source {
  readonly client: WebHdfs
  readonly path: string
  readonly fetching: Fetching
}

/** Where bytes go; `at`: their offset in the file. */
interface Sink {
  write(chunk: Buffer, at: number): Promise<void>
  end(): Promise<void>
  discard(): Promise<void>
}

/** Answers how many bytes came. */
async function readWhole({ client, path, fetching }: Source, length: number, sink: Sink): Promise<number> {
  let offset = 0
  const take = async (reply: IncomingMessage, host: string | undefined) => {
    fetching.onReply?.()
    for await (const chunk of reply as AsyncIterable<Buffer>) {
      fetching.onBytes?.(host, chunk.length)
      await sink.write(chunk, offset)
      offset += chunk.length
    }
  }
  if (length > 0) await client.read(path, () => ({ offset }), take)
  return offset
}

/** The same, of each block for itself: the name node is asked for each by its offset, and sends on to the replica nearest to who asks. */
async function readBlocks(source: Source, { length, blockSize }: HdfsStatus, sink: Sink): Promise<number> {
  const { client, path, fetching } = source
  let failed = false
  let sum = 0
  const readBlock = async (from: number): Promise<void> => {
    const end = Math.min(length, from + blockSize!)
    let at = from
    const take = async (reply: IncomingMessage, host: string | undefined) => {
      fetching.onReply?.()
      try {
        for await (const chunk of reply as AsyncIterable<Buffer>) {
          // One that failed takes the file with it.
          if (failed) return
          fetching.onBytes?.(host, chunk.length)
          await sink.write(chunk, at)
          at += chunk.length
          sum += chunk.length
        }
      } catch (cause) {
        // It was cut behind the last byte.
        if (at < end) throw cause
      }
    }
    if (!failed) await client.read(path, () => ({ offset: at, length: end - at }), take)
  }
  const starts = Array.from({ length: Math.ceil(length / blockSize!) }, (_, block) => block * blockSize!)
  const read = starts.map((from) =>
    fetching
      .lanes!.run(() => readBlock(from))
      .catch((cause: unknown) => {
        failed = true
        throw cause
      }),
  )
  // The file is in use until all have ended.
  const outcomes = await Promise.allSettled(read)
  const lost = outcomes.find((outcome) => outcome.status === 'rejected')
  if (lost) throw lost.reason
  return sum
}

/** A new file of this machine that is written at several places at once. */
async function openPieces(local: string): Promise<Sink> {
  const tried = <T>(act: Promise<T>): Promise<T> =>
    act.catch((cause: unknown) => Promise.reject(systemError(cause, `cannot write ${local}`)))
  const file = await tried(open(local, 'wx', 0o600))
  return {
    async write(chunk, at) {
      for (let done = 0; done < chunk.length; )
        done += (await tried(file.write(chunk, done, chunk.length - done, at + done))).bytesWritten
    },
    end: () => tried(file.close()),
    async discard() {
      await file.close().catch(() => {})
      await rm(local, { force: true })
    },
  }
}

/** A new file of this machine. The next bytes come in while the last ones are written. */
function openSink(local: string): Sink {
  const stream = createWriteStream(local, { flags: 'wx', mode: 0o600, highWaterMark: WAITING_BYTES })
  let isMade = false
  stream.once('open', () => {
    isMade = true
  })
  const failed = new Promise<never>((_, reject) => {
    stream.on('error', (cause) => reject(systemError(cause, `cannot write ${local}`)))
  })
  failed.catch(() => {})
  const next = (event: 'drain' | 'finish' | 'close') =>
    new Promise<void>((resolve) => {
      stream.once(event, resolve)
    })
  return {
    async write(chunk: Buffer): Promise<void> {
      if (!stream.write(chunk)) await Promise.race([next('drain'), failed])
    },
    end(): Promise<void> {
      stream.end()
      return Promise.race([next('finish'), failed])
    },
    async discard(): Promise<void> {
      stream.destroy()
      if (!stream.closed) await next('close')
      if (isMade) await rm(local, { force: true })
    },
  }
}
