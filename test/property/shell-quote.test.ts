import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quote, quoteWords } from '../../connectors/quote.ts'

const SHELLS = ['/bin/sh', '/bin/bash']

/** The words as a shell reads them back, fed on stdin as on a site. */
function readBack(shell: string, text: string): string[] {
  const { stdout, stderr } = spawnSync(shell, { input: `printf '%s\\0' ${text}\n`, encoding: 'utf8' })
  expect(stderr).toBe('')
  return stdout.split('\0').slice(0, -1)
}

const character = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...'\'"\\$`!*?[]{}()<>|&;#~=% \t\n\r-+@:,./^') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
)
const word = fc
  .oneof(
    fc.array(character, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.constantFrom('', 'if', 'done', '{', '!', '-n', '--name=a b', 'A=1', '~', '~root', '$(touch x)', "''", '\\', '#'),
    fc.string({ unit: 'binary' }),
  )
  .filter((text) => !text.includes('\0'))

describe('a quoted word', () => {
  test.each(SHELLS)('is read back by %s as it was', (shell) => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 20 }), (words) => {
        expect(readBack(shell, quoteWords(words))).toEqual(words)
      }),
      { numRuns: 150 },
    )
  })

  test.each(SHELLS)('quoted again is still one word of %s', (shell) => {
    fc.assert(
      fc.property(word, (text) => {
        expect(readBack(shell, quote(quote(text)))).toEqual([quote(text)])
      }),
      { numRuns: 50 },
    )
  })

  test('is never a keyword or an assignment where a command begins', () => {
    for (const name of ['if', 'while', 'A=1', '{', '!', 'alias x=y']) {
      const { stderr, status } = spawnSync('/bin/bash', { input: `${quote(name)}\n`, encoding: 'utf8' })
      expect([status, stderr]).toEqual([127, expect.stringContaining('not found')])
    }
  })

  test('stays readable where it can', () => {
    expect(quoteWords(['squeue', '--jobs=1,2', '-o', '%F|%K', '/a/b.sh'])).toBe("squeue --jobs=1,2 -o '%F|%K' /a/b.sh")
  })

  test('cannot hold a NUL', () => {
    expect(() => quote('a\0b')).toThrow(TypeError)
  })
})
