import { expect, test } from 'vitest'
import { FloeError } from '../../../src/model/errors.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { Patience } from '../../../src/run/patience.ts'

const HOUR_MS = 3_600_000

function patient() {
  let now = 0
  const patience = new Patience({ ...systemClock, ticks: () => now })
  const fails = (code: 'SITE_UNREACHABLE' | 'SITE_FULL') =>
    patience.tries(() => Promise.reject(new FloeError(code, 'no room', { hint: 'Wait.' })))
  const pass = (ms: number) => {
    now += ms
  }
  return { patience, fails, pass }
}

test('a site that never answered is an error at once', async () => {
  const { fails } = patient()
  await expect(fails('SITE_UNREACHABLE')).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' })
})

test('one that has answered may be away for most of a day, and not for ever', async () => {
  const { patience, fails, pass } = patient()
  patience.heard()
  for (let hour = 0; hour < 24; hour++) {
    expect(await fails('SITE_UNREACHABLE')).toBe(false)
    expect(patience.blocked).toBe('no room. Wait.')
    pass(HOUR_MS)
  }
  patience.heard()
  expect(patience.blocked).toBeNull()
  expect(await fails('SITE_UNREACHABLE')).toBe(false)
  pass(25 * HOUR_MS)
  await expect(fails('SITE_UNREACHABLE')).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' })
})

test('a full site is asked for ever, in growing pauses, and that is no silence', async () => {
  const { patience, fails, pass } = patient()
  for (let day = 0; day < 5; day++) {
    expect(await fails('SITE_FULL')).toBe(false)
    expect(patience.isPaused).toBe(true)
    pass(24 * HOUR_MS)
    expect(patience.isPaused).toBe(false)
  }
  expect(await fails('SITE_UNREACHABLE')).toBe(false)
  patience.done()
  expect(patience.blocked).toBeNull()
})

test('what is broken otherwise is thrown', async () => {
  const { patience } = patient()
  patience.heard()
  await expect(patience.tries(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
})
