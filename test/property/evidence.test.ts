import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Fact, judge, TRUST } from '../../src/run/evidence.ts'

const CAUSES = ['memory', 'walltime', 'node', 'preempted', 'cancelled', 'launch', 'failed', 'succeeded'] as const

const record = fc.constantFrom(
  { verdict: 'succeeded', class: null, rule: 'exit 0' } as const,
  { verdict: 'failed', class: 'app', rule: 'exit 3' } as const,
  { verdict: 'cancelled', class: 'cancelled', rule: 'cancelled on request' } as const,
)
const fact: fc.Arbitrary<Fact> = fc.oneof(
  record.map((line): Fact => ({ source: 'record', line })),
  fc
    .record({
      cause: fc.constantFrom(...CAUSES),
      word: fc.constantFrom('FAILED', 'COMPLETED', 'x'),
      exit: fc.constantFrom(null, 0, 1, 73),
      signal: fc.constantFrom(null, 9),
    })
    .map((ending): Fact => ({ source: 'accounting', ending })),
  fc
    .constantFrom('queued', 'held', 'running', 'ended', 'recalled')
    .map((state): Fact => ({ source: 'queue', state: state as 'queued' })),
  fc.constant<Fact>({ source: 'heartbeat' }),
  fc.constantFrom('vanished', 'purged').map((why): Fact => ({ source: 'absence', why: why as 'purged' })),
)
const facts = fc.array(fact, { maxLength: 8 })
const rank = ({ source }: Pick<Fact, 'source'>): number => TRUST.indexOf(source)

test('the most trusted fact that says how a job ended decides, whatever is said below it', () => {
  fc.assert(
    fc.property(facts, facts, (some, more) => {
      const judged = judge(some)
      fc.pre(judged !== undefined)
      const below = more.filter((other) => rank(other) > TRUST.indexOf(judged!.evidence))
      expect(judge([...some, ...below])).toEqual(judged)
    }),
  )
})

test('one more trusted fact decides before all others, or leaves them undecided', () => {
  fc.assert(
    fc.property(facts, fact, (some, one) => {
      fc.pre(some.every((other) => rank(other) > rank(one)))
      const alone = judge([one])
      if (alone) expect(judge([...some, one])).toEqual(alone)
      // What is listed or writes is not absent; that its task ended says nothing of a job.
      else if (one.source !== 'queue' || one.state !== 'ended') expect(judge([...some, one])).toBeUndefined()
      else expect(judge([...some, one])).toEqual(judge(some))
    }),
  )
})

test('the order in which facts come, and how often, changes nothing', () => {
  fc.assert(
    fc.property(
      facts.chain((some) => fc.tuple(fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length }))),
      ([some, shuffled]) => {
        expect(judge([...shuffled, ...some])).toEqual(judge(some))
      },
    ),
  )
})

test('nothing but a record line says succeeded, and it has succeeded only without a class of failure', () => {
  fc.assert(
    fc.property(facts, (some) => {
      const judged = judge(some)
      if (judged?.verdict !== 'succeeded') return
      expect(judged).toMatchObject({ evidence: 'record', class: null })
      expect(some).toContainEqual({ source: 'record', line: expect.objectContaining({ verdict: 'succeeded' }) })
    }),
  )
})

test('absence decides only when nothing else was heard', () => {
  fc.assert(
    fc.property(facts, (some) => {
      if (judge(some)?.evidence !== 'absence') return
      expect(some.every((one) => one.source === 'absence' || (one.source === 'queue' && one.state === 'ended'))).toBe(
        true,
      )
    }),
  )
})
