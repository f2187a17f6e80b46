import { createHash, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { FileEntry, Files } from './files.ts'

/**
 * The path of a file that is written aside, in the folder of its target. The dot keeps it out of globs and Delta readers. The end of the name stays:
 * a temporary file of a part is known by it. 40 characters are at most 160 of the 255 bytes that a name may have.
 */
export function asideOf(path: string, unique: string): string {
  return join(dirname(path), `.${[...basename(path)].slice(-40).join('')}.${unique}.tmp`)
}

const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

/** Tells whose a file is that is written aside: `<host>-<pid>-<uuid>`, 56 bytes at most. */
export const ownUnique = (): string => `${host}-${process.pid}-${randomUUID()}`

const ASIDE = /^\..*\.(?<host>[0-9a-f]{8})-(?<pid>\d+)-[0-9a-f-]{36}\.tmp$/s
/** Longer than anything is being written aside; for those of other hosts, where nobody can be asked. */
const OVER_MS = 3_600_000

/**
 * Removes what writers that died left aside in a folder and all below it: of this host at once, of others an hour later. Answers the files and
 * their bytes. Costs one listing a folder.
 */
export async function sweepAsides(
  files: Files,
  folder: string,
  nowMs: number,
): Promise<{ files: number; bytes: number }> {
  const swept = { files: 0, bytes: 0 }
  for (const entry of await files.list(folder)) {
    const path = join(folder, entry.name)
    if (isLeft(entry, nowMs)) {
      await files.remove(path)
      swept.files++
      swept.bytes += entry.sizeBytes
    } else if (entry.kind === 'folder') {
      const below = await sweepAsides(files, path, nowMs)
      swept.files += below.files
      swept.bytes += below.bytes
    }
  }
  return swept
}

function isLeft({ name, mtime }: FileEntry, nowMs: number): boolean {
  const { host: there, pid } = ASIDE.exec(name)?.groups ?? {}
  if (pid === undefined) return false
  if (there !== host) return nowMs - mtime / 1000 > OVER_MS
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
