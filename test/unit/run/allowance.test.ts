import { expect, test } from 'vitest'
import type { Site } from '../../../src/dispatch/dispatch.ts'
import { FloeError } from '../../../src/model/errors.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { Allowance } from '../../../src/run/allowance.ts'

type Asked = Parameters<NonNullable<Site['reserve']>>[0]

/** A site that is looked at every 10 s, where another campaign has so many tasks. */
function scene() {
  let ms = 0
  const state = { others: 4, isAway: false }
  const asked: Asked[] = []
  const allowance = new Allowance(
    {
      rhythm: { turnMs: 1000, pullMs: 10_000, watchMs: 10_000, graceMs: 0, absentMs: 0, blankMs: 0 },
      async reserve(one) {
        if (state.isAway) throw new FloeError('SITE_UNREACHABLE', 'away')
        asked.push(one)
        const granted = one.takes ? Math.min(one.wanted, one.max - one.open - state.others) : 0
        return { granted, others: state.others, campaigns: state.others > 0 ? 1 : 0 }
      },
    },
    { ...systemClock, ticks: () => ms },
  )
  return {
    ...{ allowance, asked, state },
    pass(seconds: number) {
      ms += seconds * 1000
    },
  }
}

test('what is not given is asked for again at the next look, and said', async () => {
  const { allowance, asked, pass, state } = scene()
  expect(await allowance.take({ open: 0, wanted: 20, max: 10 })).toBe(6)
  expect(allowance.waiting).toBe('10 of 10 submitted allowed, 4 of them by another campaign')
  expect(await allowance.take({ open: 6, wanted: 14, max: 10 })).toBe(0)
  expect(asked).toHaveLength(1)
  pass(10)
  state.others = 0
  expect(await allowance.take({ open: 6, wanted: 14, max: 10 })).toBe(4)
  expect(asked).toHaveLength(2)
  expect(allowance.waiting).toBe(null)
})

test('others are told of what ended, once a look, and now and then that all is as it was', async () => {
  const { allowance, asked, pass } = scene()
  await allowance.take({ open: 0, wanted: 5, max: 10 })
  await allowance.look({ open: 3, cut: 0 })
  expect(asked).toHaveLength(1)
  pass(10)
  await allowance.look({ open: 3, cut: 0 })
  expect(asked.at(-1)).toMatchObject({ open: 3, wanted: 0, takes: false })
  pass(10)
  await allowance.look({ open: 3, cut: 0 })
  expect(asked).toHaveLength(2)
  pass(3600)
  await allowance.look({ open: 3, cut: 0 })
  expect(asked).toHaveLength(3)
  await allowance.finish({ open: 1, cut: 0 })
  expect(asked.at(-1)).toMatchObject({ open: 1 })
})

test('who has nothing left to send wants no more', async () => {
  const { allowance, asked, pass } = scene()
  await allowance.take({ open: 0, wanted: 20, max: 10 })
  pass(10)
  await allowance.look({ open: 6, cut: 0 })
  expect(allowance.waiting).toBe(null)
  expect(asked.at(-1)).toMatchObject({ open: 6, wanted: 0 })
})

test('a site that does not answer ends nothing when it is only told', async () => {
  const { allowance, state } = scene()
  state.isAway = true
  await allowance.look({ open: 3, cut: 0 })
  await allowance.finish({ open: 3, cut: 0 })
  await expect(allowance.take({ open: 3, wanted: 1, max: 10 })).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' })
})

test('where nothing is counted all may be sent', async () => {
  const rhythm = { turnMs: 1, pullMs: 1, watchMs: 1, graceMs: 0, absentMs: 0, blankMs: 0 }
  const allowance = new Allowance({ rhythm }, systemClock)
  expect(await allowance.take({ open: 3, wanted: 7, max: 5 })).toBe(7)
})
