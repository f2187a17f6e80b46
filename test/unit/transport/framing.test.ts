import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Answer, Cut, frame, newMark } from '../../../connectors/transport/framing.ts'

const MARK = newMark()

/** Feeds a stream in pieces of these sizes, over and over. */
function fed(bytes: Buffer, sizes: readonly number[]): Cut {
  const cut = new Cut(MARK)
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!
    cut.push(bytes.subarray(at, at + size))
    at += size
  }
  return cut
}

it('cuts an answer out of what is around it, in whatever pieces it comes', () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const mixed = fc.oneof(
    bytes,
    fc.constant(Buffer.from(MARK.slice(0, 9))),
    fc.constant(Buffer.from(`+ printf ${MARK} 3\n`)),
  )
  fc.assert(
    fc.property(
      mixed,
      fc.array(mixed, { maxLength: 4 }),
      mixed,
      fc.nat(255),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }),
      (before, inside, after, exit, sizes) => {
        const content = Buffer.concat(inside)
        const whole = [before, `${MARK} begin 4711\n`, content, `${MARK} end ${exit}\n`, after].map((part) =>
          Buffer.from(part),
        )
        const cut = fed(Buffer.concat(whole), sizes)
        expect(cut.content.equals(content)).toBe(true)
        expect(cut).toMatchObject({ exit, pid: 4711, isEnded: true, sizeBytes: content.length })
      },
    ),
  )
})

it('takes no part of an answer for one', () => {
  const whole = Buffer.from(`banner\n${MARK} begin 12\nout${MARK} end 10\n`)
  for (let length = 0; length < whole.length; length++)
    expect(fed(whole.subarray(0, length), [7]).isEnded, String(length)).toBe(false)
  expect(fed(whole, [7]).exit).toBe(10)
})

it('needs the end of both streams, and keeps what came instead', () => {
  const answer = new Answer(MARK)
  answer.stdout.push(Buffer.from('This account is closed.\n'))
  answer.stderr.push(Buffer.from('Bye.\n'))
  expect(answer.noise).toBe('This account is closed.\n\nBye.')
  const half = new Answer(MARK)
  half.stdout.push(Buffer.from(`${MARK} begin 1\n${MARK} end 0\n`))
  expect(half.isWhole).toBe(false)
})

it('sends a script as one word', () => {
  expect(frame("it's", MARK)).toContain("(eval 'it'\\''s') </dev/null")
  expect(() => frame('a\0b', MARK)).toThrow(/NUL/)
})
