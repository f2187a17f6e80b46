import { FloeError } from '../../model/errors.ts'
import { hostOf, type NodePlace, nodePlace } from '../../model/places.ts'

/** A piece of a file, bytes, and the nodes that hold a replica of it, each once. */
export interface HdfsBlock {
  readonly offset: number
  readonly length: number
  readonly nodes: readonly NodePlace[]
}

/** Answer to GETFILEBLOCKLOCATIONS (HDFS 2.9 and 3, HttpFS 3). `hosts` and `topologyPaths` (rack, a slash, address and port) are parallel. */
export interface BlockLocations {
  readonly BlockLocations: {
    readonly BlockLocation: readonly {
      readonly offset: number
      readonly length: number
      readonly hosts: readonly string[]
      readonly topologyPaths?: readonly string[]
    }[]
  }
}

/** Answer to GET_BLOCK_LOCATIONS, which name nodes have had from the beginning and no document tells of; some HttpFS answer as to the other. */
export interface LocatedBlocks {
  readonly LocatedBlocks: {
    readonly locatedBlocks: readonly {
      readonly startOffset: number
      readonly block: { readonly numBytes: number }
      readonly locations: readonly { readonly hostName: string; readonly networkLocation?: string }[]
    }[]
  }
}

/** The rack of nodes where HDFS was told of none. */
const DEFAULT_RACK = '/default-rack'

/** Either answer in one form. Throws HDFS_REFUSED for another one. */
export function locatedBlocks(answer: BlockLocations | LocatedBlocks | undefined): readonly HdfsBlock[] | undefined {
  if (answer === undefined) return undefined
  try {
    if ('BlockLocations' in answer)
      return answer.BlockLocations.BlockLocation.map(({ offset, length, hosts, topologyPaths = [] }) =>
        block(
          offset,
          length,
          hosts.map((host, at) => nodePlace(rackIn(topologyPaths[at]), host)),
        ),
      )
    return answer.LocatedBlocks.locatedBlocks.map(({ startOffset, block: { numBytes }, locations }) =>
      block(
        startOffset,
        numBytes,
        locations.map((at) => nodePlace(at.networkLocation ?? DEFAULT_RACK, at.hostName)),
      ),
    )
  } catch (cause) {
    throw new FloeError('HDFS_REFUSED', 'HDFS says where blocks lie in words that are not known', { cause })
  }
}

const block = (offset: number, length: number, nodes: readonly NodePlace[]): HdfsBlock => ({
  offset,
  length,
  nodes: [...new Set(nodes)],
})

const rackIn = (topologyPath = `${DEFAULT_RACK}/`): string =>
  topologyPath.slice(0, topologyPath.length - hostOf(topologyPath).length - 1)
