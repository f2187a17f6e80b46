import { readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { CampaignStore } from './campaign/campaign.ts'
import { type HdfsSetting, hdfsSetting, sitesFile } from './config/config.ts'
import { FloeError } from './model/errors.ts'
import { sweepAsides } from './ports/files/aside.ts'
import { hdfsFiles } from './ports/files/hdfs.ts'
import { WebHdfs } from './ports/files/webhdfs.ts'
import { parseHdfsUrl } from './ports/files/webhdfs-url.ts'
import { cachedNear } from './ports/tables/near-cached.ts'

/* Chooses what stands behind the address of a directory that is not on this machine's disk. */

/** A directory in HDFS, reached as sites.yaml says. Asks nothing of it yet. Throws USAGE and CONFIG_INVALID. */
export function openStore(text: string, environment: NodeJS.ProcessEnv): CampaignStore {
  const address = parseHdfsUrl(text)
  const { scheme, authority, path } = address
  const setting = hdfsSetting(sitesFile(environment), authority)
  const url = `${scheme}://${authority}${path === '/' ? '' : path}`
  const { hosts, nameNodes, cacheBytes } = setting
  const client = new WebHdfs(address, { ...whoAsks(setting, environment), hosts, nameNodes })
  const below = (home: string | undefined, usual: string) => (id: string) =>
    join(home || join(homedir(), usual), 'floe', 'campaigns', id)
  const cacheFor = below(environment.XDG_CACHE_HOME, '.cache')
  const stateFor = below(environment.XDG_STATE_HOME, '.local/state')
  return {
    ...{ files: hdfsFiles(client), groupFiles: hdfsFiles(client, { group: true }), path, url, cacheFor, stateFor },
    host: authority,
    sweep: (nowMs) => sweepAsides(hdfsFiles(client), path, nowMs),
    openNear: (id, files) =>
      cachedNear({
        ...{ files, url: `${url}/tables`, root: join(path, 'tables') },
        cache: join(cacheFor(id), 'tables'),
        keepBytes: cacheBytes,
      }),
  }
}

function whoAsks({ token, user }: HdfsSetting, environment: NodeJS.ProcessEnv): { token: string } | { user: string } {
  if (token === null) return { user: user ?? environment.HADOOP_USER_NAME ?? userInfo().username }
  try {
    return { token: readFileSync(token, 'utf8').trim() }
  } catch (cause) {
    throw new FloeError('HDFS_LOGIN', `the delegation token cannot be read: ${(cause as Error).message}`, { cause })
  }
}
