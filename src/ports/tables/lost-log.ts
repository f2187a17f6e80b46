import { join } from 'node:path'
import type { Files } from '../files/files.ts'
import { damaged } from './faults.ts'

/** Begins the name of a file in the log that lies there while the first commit of a table is being made, and for good if it was not. */
export const FIRST = '.first-'

/**
 * For a table without a commit: throws TABLE_DAMAGED when parts lie there all the same, since then its log was taken away. `names` are those
 * in the log. Costs a listing of the folder, and of its partitions up to the first part.
 */
export async function refuseLostLog(
  files: Files,
  folder: string,
  { log, names }: { log: string; names: readonly string[] },
): Promise<void> {
  if (names.some((name) => name.startsWith(FIRST))) return
  const part = await firstPart(files, folder)
  if (part === undefined) return
  throw damaged(log, `it has no commit, though parts of the table lie beside it, such as ${part}`, {
    hint: `Restore this folder from a backup; nothing was changed. If the table is to be empty, remove ${folder} as a whole.`,
  })
}

async function firstPart(files: Files, folder: string): Promise<string | undefined> {
  const names = await files.names(folder)
  const isPart = (name: string) => name.endsWith('.parquet')
  const top = names.find(isPart)
  if (top !== undefined) return top
  for (const partition of names.filter((name) => name.includes('='))) {
    const part = (await files.names(join(folder, partition))).find(isPart)
    if (part !== undefined) return `${partition}/${part}`
  }
  return undefined
}
