import type { Connector } from '../../connectors/connector.ts'
import type { SimulatedCluster } from '../../connectors/simulated/simulated.ts'
import { type TaskWishes, taskLimits, taskShape } from './fit.ts'
import type { SimulatedArrays } from './simulated-arrays.ts'
import { type LocalSiteOptions, localSite, type Rhythm, type SeenFile, type Site } from './site.ts'

export interface SimulatedSiteOptions
  extends TaskWishes,
    Pick<LocalSiteOptions, 'paths' | 'outputs' | 'roots' | 'slots'> {
  readonly name: string
  readonly connector: Connector
}

/**
 * A site that runs nothing, for rehearsals: arrays are planned, cut, staged on this machine, submitted and followed as anywhere, and nothing is
 * copied. What lies below its roots is believed to be there.
 */
export function simulatedSite(options: SimulatedSiteOptions): Site {
  const { name, connector, roots } = options
  const folders = Object.values(roots).map((root) => `${root.replace(/\/$/, '')}/`)
  return {
    ...localSite({ ...options, connect: async () => connector, runner: ['simulated'] }),
    name,
    isSimulated: true,
    limits: async () => taskLimits(options, await connector.siteLimits()),
    shape: async (terms) => taskShape(options, terms, await connector.siteLimits()),
    taskSec: options.task.walltimeSec,
    elsewhere: {
      has: (path) => folders.some((folder) => path.startsWith(folder)),
      see: async (paths) => paths.map(() => ({ sizeBytes: 0, mtimeUs: 0 })),
      digests: async (paths) => paths.map(() => undefined),
      isBare: async () => false,
    },
    probe: async () => undefined,
  }
}

export interface ClusterSiteOptions extends Omit<SimulatedSiteOptions, 'connector'> {
  readonly cluster: SimulatedCluster
  readonly held: SimulatedArrays
  readonly rhythm: Rhythm
  /** What is known of a file that only the site sees. */
  readonly known: (path: string) => SeenFile | undefined
}

/** A site on a cluster in memory, that is looked at as often as the real one would be. What tasks write is seen when it is pulled. */
export function clusterSite({ cluster, held, rhythm, known, ...options }: ClusterSiteOptions): Site {
  const site = simulatedSite({ ...options, connector: cluster.connector })
  const { elsewhere } = site
  return {
    ...site,
    rhythm,
    held,
    isOneNode: false,
    ...(elsewhere && {
      elsewhere: {
        ...elsewhere,
        see: async (paths) => paths.map((path) => known(path) ?? { sizeBytes: 0, mtimeUs: 0 }),
      },
    }),
    async pull(ids) {
      cluster.show()
      return new Set(ids.filter((id) => !held.has(id)))
    },
    seal: async (id, seals) => held.seal(id, seals),
    async release(ids) {
      for (const id of ids) held.drop(id)
    },
    remove(ids, cached) {
      for (const id of ids) held.drop(id)
      return site.remove(ids, cached)
    },
  }
}
