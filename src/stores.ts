import { readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { CampaignStore, Means } from './campaign/campaign.ts'
import { hdfsSetting, sitesFile } from './config/config.ts'
import type { Entrance } from './model/entrance.ts'
import { FloeError } from './model/errors.ts'
import { sweepAsides } from './ports/files/aside.ts'
import type { Files } from './ports/files/files.ts'
import { hdfsFiles } from './ports/files/hdfs.ts'
import { type Login, tokenByKerberos, tokenInFile } from './ports/files/hdfs-login.ts'
import { bytesAtNodes } from './ports/files/hdfs-places.ts'
import { negotiateWith } from './ports/files/kerberos.ts'
import { type HdfsAccess, WebHdfs } from './ports/files/webhdfs.ts'
import { type HdfsUrl, parseHdfsUrl } from './ports/files/webhdfs-url.ts'
import { cachedNear } from './ports/tables/near-cached.ts'

/* Chooses what stands behind addresses that are not of this machine's disk. */

/** A directory in HDFS, reached as sites.yaml says. Asks nothing of it yet. Throws USAGE and CONFIG_INVALID. */
export function openStore(text: string, environment: NodeJS.ProcessEnv): CampaignStore {
  const address = parseHdfsUrl(text)
  const { scheme, authority, path } = address
  const { cacheBytes } = hdfsSetting(sitesFile(environment), authority)
  const url = `${scheme}://${authority}${path === '/' ? '' : path}`
  const client = clientOf(address, environment)
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
    const { path, authority } = address
    const make = () => {
      const client = clientOf(address, environment)
      return { client, files: hdfsFiles(client) }
    }
    const store = known.get(nameOf(address)) ?? make()
    known.set(nameOf(address), store)
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
      const each = new Map([...urls].map(parseHdfsUrl).map((address) => [address.authority, address]))
      const entrances = [...each].map(async ([authority, address]) => {
        const { login, ...access } = accessTo(address, environment)
        const token = login && { token: await login.tokens() }
        return [authority, { ...access, ...token, ...(hosts && { hosts }), scheme: address.scheme }] as const
      })
      return Object.fromEntries(await Promise.all(entrances))
    },
    async keep(nowMs) {
      const told = await Promise.all([...logins.values()].map((login) => login.keep(nowMs)))
      return told.find((one) => one !== null) ?? null
    },
  }
}

/** Of this process: all clients of an HDFS go in with one token. */
const logins = new Map<string, Login>()

const nameOf = ({ scheme, authority }: HdfsUrl): string => `${scheme}://${authority}`

function clientOf(address: HdfsUrl, environment: NodeJS.ProcessEnv): WebHdfs {
  const { login, ...access } = accessTo(address, environment)
  return new WebHdfs(address, { ...access, token: login?.tokens })
}

type Access = Pick<Entrance, 'hosts' | 'nameNodes' | 'user' | 'ca'> & { readonly login?: Login }

function accessTo(address: HdfsUrl, environment: NodeJS.ProcessEnv): Access {
  const { hosts, nameNodes, user, token, kerberos, ca } = hdfsSetting(sitesFile(environment), address.authority)
  const way = { hosts, nameNodes, ...(ca !== null && { ca: certificatesIn(ca) }) }
  if (token === null && !kerberos) return { ...way, user: user ?? environment.HADOOP_USER_NAME ?? userInfo().username }
  const known = logins.get(nameOf(address))
  if (known) return { ...way, login: known }
  const login = token === null ? byKerberos(address, way) : tokenInFile(token)
  logins.set(nameOf(address), login)
  return { ...way, login }
}

function certificatesIn(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const message = `\`ca:\` of an HDFS in sites.yaml cannot be read: ${(cause as Error).message}`
    throw new FloeError('CONFIG_INVALID', message, { cause })
  }
}

function byKerberos(address: HdfsUrl, way: HdfsAccess): Login {
  return tokenByKerberos(new WebHdfs(address, { ...way, negotiate: negotiateWith() }), nameOf(address))
}
