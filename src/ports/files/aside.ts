import { basename, dirname, join } from 'node:path'

/**
 * The path of a file that is written aside, in the folder of its target. The dot keeps it out of globs and Delta readers. The end of the name stays:
 * a temporary file of a part is known by it. 40 characters are at most 160 of the 255 bytes that a name may have.
 */
export function asideOf(path: string, unique: string): string {
  return join(dirname(path), `.${[...basename(path)].slice(-40).join('')}.${unique}.tmp`)
}
