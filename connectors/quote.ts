/* The one place that makes sh text of words. Everything that reaches a shell on a site goes through it. */

const PLAIN = /^[A-Za-z0-9_./:@%+,-]+$|^-[A-Za-z0-9_./:@%+,=-]+$/
const RESERVED = new Set(
  'case coproc do done elif else esac fi for function if in select then time until while'.split(' '),
)

/** One word of sh, whatever is in it; read back by any POSIX shell as the same bytes. A NUL cannot be in a word and throws. */
export function quote(word: string): string {
  if (word.includes('\0')) throw new TypeError(`no word of a command can hold a NUL: ${JSON.stringify(word)}`)
  if (PLAIN.test(word) && !RESERVED.has(word)) return word
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** A simple command. */
export const quoteWords = (words: readonly string[]): string => words.map(quote).join(' ')
