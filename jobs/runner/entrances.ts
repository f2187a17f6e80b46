import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Entrances } from '../../src/model/entrance.ts'
import type { Tokens } from '../../src/ports/files/hdfs-login.ts'
import { WebHdfs } from '../../src/ports/files/webhdfs.ts'
import { parseHdfsUrl } from '../../src/ports/files/webhdfs-url.ts'

export const isRemote = (path: string): boolean => /^s?webhdfs:\/\//.test(path)

/** Clients of each HDFS that an array reads or writes, as its file `hdfs` says how to get in. */
export class HdfsClients {
  readonly #array: string
  readonly #clients = new Map<string, WebHdfs>()
  #entrances: Entrances | undefined

  constructor(array: string) {
    this.#array = array
  }

  at(url: string): WebHdfs {
    const address = parseHdfsUrl(url)
    const key = `${address.scheme}://${address.authority}`
    const known = this.#clients.get(key)
    if (known) return known
    this.#entrances ??= this.#read()
    const entrance = this.#entrances[address.authority]
    const token = entrance?.token === undefined ? {} : { token: this.#tokens(address.authority) }
    const client = new WebHdfs(address, { ...entrance, ...token })
    this.#clients.set(key, client)
    return client
  }

  /** When it is refused, the coordinator may have put another one there. */
  #tokens(authority: string): Tokens {
    return async (refused) => {
      if (refused !== undefined && this.#entrances![authority]?.token === refused) this.#entrances = this.#read()
      return this.#entrances![authority]!.token!
    }
  }

  #read(): Entrances {
    return JSON.parse(readFileSync(join(this.#array, 'hdfs'), 'utf8')) as Entrances
  }
}
