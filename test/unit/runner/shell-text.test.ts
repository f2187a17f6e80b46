import { execFileSync, spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quote } from '../../../jobs/runner/shell-text.ts'

const HOSTILE = [
  ...["'", "''", '"', '\\', '\n', '\r\n', '\t', ' ', '$(rm -rf .)', '`id`', '$HOME', '${x}', '!!', '-n', '--', '-'],
  ...['*', '?', '[a-z]', '~', '#', '&', ';', '|', '<', '>', '(', ')', '{}', '=', '😁', 'é', '\u0081', '\x1e', '\x7f'],
  ...['\u{1F9CA}', '日本語', '\u2028', 'a=b', 'it\'s "it"'],
]
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom(...HOSTILE) }),
  fc.string({ unit: 'binary' }).map((any) => any.replaceAll('\0', '')),
)

describe('quote', () => {
  it('gives a shell the same bytes back, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (words) => {
        const out = execFileSync('/bin/sh', ['-s'], { input: `printf '%s\\0' ${words.map(quote).join(' ')}\n` })
        const expected = words.map((word) => Buffer.from(word).toString('utf8'))
        expect(out.toString('utf8').split('\0').slice(0, -1)).toEqual(expected)
      }),
      { numRuns: 150 },
    )
  })

  it('lets nothing run', () => {
    const words = HOSTILE.map((sign) => quote(`${sign}$(echo run >&2)${sign}\`echo run >&2\``))
    const { stderr, status } = spawnSync('/bin/sh', ['-s'], { input: `: ${words.join(' ')}\n` })
    expect(status).toBe(0)
    expect(stderr.toString()).toBe('')
  })
})
