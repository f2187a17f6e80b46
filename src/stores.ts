import { readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { CampaignStore, Means } from './campaign/campaign.ts'
import { type HdfsSetting, hdfsSetting, sitesFile } from './config/config.ts'
import type { Entrance } from './model/entrance.ts'
import { FloeError } from './model/errors.ts'
import { sweepAsides } from './ports/files/aside.ts'
import type { Files } from './ports/files/files.ts'
import { hdfsFiles } from './ports/files/hdfs.ts'
import { bytesAtNodes } from './ports/files/hdfs-places.ts'
import { WebHdfs } from './ports/files/webhdfs.ts'
import { parseHdfsUrl } from './ports/files/webhdfs-url.ts'
import { cachedNear } from './ports/tables/near-cached.ts'

/* Chooses what stands behind addresses that are not of this machine's disk. */

/** A directory in HDFS, reached as sites.yaml says. Asks nothing of it yet. Throws USAGE and CONFIG_INVALID. */
export function openStore(text: string, environment: NodeJS.ProcessEnv): CampaignStore {
  const address = parseHdfsUrl(text)
  const { scheme, authority, path } = address
  const { cacheBytes } = hdfsSetting(sitesFile(environment), authority)
  const url = `${scheme}://${authority}${path === '/' ? '' : path}`
  const client = new WebHdfs(address, entranceTo(authority, environment))
  const below = (home: string | undefined, usual: string) => (id: string) =>
    join(home || join(homedir(), usual), 'floe', 'campaigns', id)
  const cacheFor = below(environment.XDG_CACHE_HOME, '.cache')
  const stateFor = below(environment.XDG_STATE_HOME, '.local/state')
  return {
    ...{ files: hdfsFiles(client), groupFiles: hdfsFiles(client, { group: true }), path, url, cacheFor, stateFor },
    host: authority,
    openNear: (id, files) =>
      cachedNear({
        ...{ files, url: `${url}/tables`, root: join(path, 'tables') },
        cache: join(cacheFor(id), 'tables'),
        keepBytes: cacheBytes,
      }),
  }
}

/** What addresses of files in HDFS lead to; each HDFS has one client. */
export function openStores(environment: NodeJS.ProcessEnv): Means['stores'] {
  const known = new Map<string, { readonly client: WebHdfs; readonly files: Files }>()
  const at = async (url: string) => {
    const address = parseHdfsUrl(url)
    const { scheme, authority, path } = address
    const name = `${scheme}://${authority}`
    const make = () => {
      const client = new WebHdfs(address, entranceTo(authority, environment))
      return { client, files: hdfsFiles(client) }
    }
    const store = known.get(name) ?? make()
    known.set(name, store)
    return { ...store, path, authority }
  }
  return {
    at,
    async nodes(url) {
      const { client, path } = await at(url)
      return bytesAtNodes(client, path, url.endsWith('/'))
    },
    async sweep(url, nowMs) {
      const { files, path } = await at(url)
      return sweepAsides(files, path, nowMs)
    },
    async entrances(urls, hosts) {
      const authorities = new Set([...urls].map((url) => parseHdfsUrl(url).authority))
      const entrance = (authority: string) => ({ ...entranceTo(authority, environment), ...(hosts && { hosts }) })
      return Object.fromEntries([...authorities].map((authority) => [authority, entrance(authority)]))
    },
  }
}

function entranceTo(authority: string, environment: NodeJS.ProcessEnv): Entrance {
  const setting = hdfsSetting(sitesFile(environment), authority)
  const { hosts, nameNodes } = setting
  return { ...whoAsks(setting, environment), hosts, nameNodes }
}

function whoAsks({ token, user }: HdfsSetting, environment: NodeJS.ProcessEnv): { token: string } | { user: string } {
  if (token === null) return { user: user ?? environment.HADOOP_USER_NAME ?? userInfo().username }
  try {
    return { token: readFileSync(token, 'utf8').trim() }
  } catch (cause) {
    throw new FloeError('HDFS_LOGIN', `the delegation token cannot be read: ${(cause as Error).message}`, { cause })
  }
}
