import type { NodePlace } from '../../model/places.ts'
import type { WebHdfs } from './webhdfs.ts'

/** Bytes of a file, or of all files below a folder (`isFolder`), that lie at each node. `undefined`: it is not there. */
export async function bytesAtNodes(
  client: WebHdfs,
  path: string,
  isFolder: boolean,
): Promise<ReadonlyMap<NodePlace, number> | undefined> {
  const bytes = new Map<NodePlace, number>()
  const addFile = async (file: string): Promise<boolean> => {
    const blocks = await client.blocks(file)
    for (const { length, nodes } of blocks ?? [])
      for (const node of nodes) bytes.set(node, (bytes.get(node) ?? 0) + length)
    return blocks !== undefined
  }
  const addFolder = async (folder: string): Promise<boolean> => {
    const entries = await client.list(folder)
    for (const { pathSuffix: name, type } of entries ?? []) {
      const below = `${folder}/${name}`
      if (name !== '') await (type === 'DIRECTORY' ? addFolder(below) : addFile(below))
    }
    return entries !== undefined
  }
  return (await (isFolder ? addFolder(path) : addFile(path))) ? bytes : undefined
}
