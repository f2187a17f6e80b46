import { relative } from 'node:path'
import { visible } from './table.ts'

/** A path as one would type it from here: relative when it lies below. */
export function near(path: string, from = process.cwd()): string {
  if (path.includes('://')) return path
  const below = relative(from, path)
  if (below === '') return '.'
  return below.startsWith('..') ? path : below
}

/** A word to be typed into a shell: quoted when it needs to be; with escapes that the shell reads where it cannot be shown as it is. */
export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  if (visible(word) === word) return `'${word.replaceAll("'", "'\\''")}'`
  return `$'${visible(word.replace(/[\\']/g, '\\$&'))}'`
}
