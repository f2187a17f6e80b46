import { readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'

/**
 * Links below a directory that lead out of it, as paths relative to it: what would be written behind them would leave. Reads each folder once
 * and looks at nothing but links; a directory that is not there has none.
 */
export async function outwardLinks(root: string): Promise<string[]> {
  const home = await realpath(root).catch(() => undefined)
  if (home === undefined) return []
  const found: string[] = []
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true }).catch(() => [])) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) folders.push(path)
      if (!entry.isSymbolicLink()) continue
      const target = await realpath(join(root, path)).catch(() => undefined)
      if (target !== home && !target?.startsWith(home + sep)) found.push(path)
    }
  }
  return found
}
