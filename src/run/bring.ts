import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { lenient } from '../dispatch/dispatch.ts'
import type { BringOutputs } from '../results/results.ts'
import type { RunContext } from './context.ts'

/**
 * Brings outputs of other sites and of HDFS here, for the merged table: each file once, into the given folder. What its site has no more, or a site that
 * does not answer, is left out; a later merge tries again.
 */
export const bringOutputs =
  ({ openSite, stores }: Pick<RunContext, 'openSite' | 'stores'>): BringOutputs =>
  async (files, folder) => {
    const brought = new Map<string, string>()
    const all = [...new Map(files.map((file) => [`${file.site}:${file.path}`, file])).values()]
    const remote = all.filter(({ path }) => path.includes('://'))
    const wanted = all.filter((file) => !remote.includes(file))
    for (const [at, { path }] of remote.entries()) {
      const here = join(folder, `hdfs-${at}`)
      const { files: store, path: there } = await stores.at(path)
      if (await store.fetch(there, here).catch(() => false)) brought.set(path, here)
    }
    for (const name of new Set(wanted.map(({ site }) => site))) {
      const site = await openSite(name)
      const carried = wanted
        .filter((file) => file.site === name)
        .map(({ path, digest }, at) => ({
          ...{ there: path, here: join(folder, name, String(at)) },
          ...(digest !== undefined && { digest }),
        }))
      try {
        await lenient(() => site.fetch(carried))
      } catch {
        // One of them is gone or is another by now: the others are still wanted.
        for (const one of carried) await site.fetch([one]).catch(() => undefined)
      }
      for (const { there, here } of carried) if (existsSync(here)) brought.set(there, here)
    }
    return brought
  }
