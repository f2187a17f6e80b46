import type { OutputWritten } from '../../src/model/record.ts'
import { publishFolder, publishOver } from '../../src/ports/files/hdfs.ts'
import { parseHdfsUrl } from '../../src/ports/files/webhdfs-url.ts'
import type { HdfsClients } from './entrances.ts'
import type { Produced } from './outputs.ts'
import { digestLarge, directoryBytes, type Publisher } from './publish.ts'

/** Outputs at once. */
const AT_ONCE = 6

/**
 * Outputs in a folder in HDFS: each is written aside, its length is looked at, and it takes its name, and the place of an older one, by one rename.
 * A folder has no such rename: for an instant it is not there.
 */
export class HdfsPublisher implements Publisher {
  readonly #clients: HdfsClients
  readonly #outputs: string
  readonly #waiting: (() => void)[] = []
  #sending = 0

  constructor(clients: HdfsClients, outputs: string) {
    this.#clients = clients
    this.#outputs = outputs
  }

  async publish(produced: Produced, wanted: () => void): Promise<OutputWritten> {
    if (this.#sending >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#sending++
    try {
      return await this.#send(produced, wanted)
    } finally {
      this.#sending--
      this.#waiting.shift()?.()
    }
  }

  close(): void {}

  async #send({ path, source, isDirectory, stats }: Produced, wanted: () => void): Promise<OutputWritten> {
    const client = this.#clients.at(this.#outputs)
    const target = `${parseHdfsUrl(this.#outputs).path}/${path.replace(/\/+$/, '')}`
    const digest = isDirectory ? null : await digestLarge(source)
    wanted()
    if (isDirectory) await publishFolder(client, source, target)
    else await publishOver(client, source, target)
    return { path, size_bytes: isDirectory ? directoryBytes(source) : stats.size, digest }
  }
}
