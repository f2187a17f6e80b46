import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { diskFiles } from '../../../src/ports/files/disk.ts'
import { leasesIn } from '../../../src/run/lease-elsewhere.ts'

const campaign = () => {
  const root = mkdtempSync(join(tmpdir(), 'floe-lease-'))
  const leases = (clock = systemClock) => leasesIn(diskFiles(), root, clock)
  const put = (epoch: number, lease: object) =>
    writeFileSync(join(root, `lease-${epoch}.json`), JSON.stringify({ ...dead, epoch, ...lease }))
  return { root, leases, put, names: () => readdirSync(root).filter((name) => name.includes('lease')) }
}
const dead = { host: hostname(), pid: 2 ** 22, started: '1', epoch: 7, expires_at: Date.now() + 60_000 }
const later = { ...systemClock, now: () => Date.now() + 61_000 }

test('a second coordinator is told who works, until the first gives it back', async () => {
  const { leases, names } = campaign()
  const lease = await leases().take('plan')
  await expect(leases().take()).rejects.toThrow(/Another `floe plan`/)
  expect(await leases().holder('plan')).toEqual({ host: hostname(), pid: process.pid })
  expect(await leases().holder()).toBeUndefined()
  await lease.release()
  expect(await leases().holder('plan')).toBeUndefined()
  const next = await leases().take()
  expect([lease.epoch, next.epoch]).toEqual([1, 2])
  expect(names()).toEqual(['lease-2.json'])
  await next.release()
})

test('of many that follow a dead holder at once one gets it, with a higher epoch', async () => {
  const { leases, put, names } = campaign()
  put(9, {})
  put(10, {})
  const taken = await Promise.allSettled(Array.from({ length: 8 }, () => leases().take()))
  const won = taken.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  expect(won.map(({ epoch }) => epoch)).toEqual([11])
  for (const one of taken) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'RUN_LOCKED' })
  await won[0]!.guard()
  expect(names()).toEqual(['lease-11.json'])
  await won[0]!.release()
})

test('a holder on another host keeps it until it expires, and may commit no more when it was followed', async () => {
  const { root, leases, put, names } = campaign()
  put(4, { host: 'elsewhere' })
  await expect(leases().take()).rejects.toThrow(/elsewhere/)
  const lease = await leases(later).take()
  expect(lease.epoch).toBe(5)
  await lease.guard()
  // Another follows, while this one sleeps.
  put(6, { host: 'elsewhere' })
  await expect(lease.guard()).rejects.toThrow(/took this campaign over/)
  await lease.release()
  expect(JSON.parse(readFileSync(join(root, 'lease-6.json'), 'utf8'))).toMatchObject({ host: 'elsewhere', epoch: 6 })
  expect(await leases().holder()).toMatchObject({ host: 'elsewhere' })
  // The one that was overtaken leaves a name behind, which the next takes away.
  expect(names()).toEqual(['lease-5.json', 'lease-6.json'])
  await (await leases(later).take()).release()
  expect(names()).toEqual(['lease-7.json'])
})

test('an epoch that a dead process had begun to write is passed over', async () => {
  const { root, leases } = campaign()
  writeFileSync(join(root, 'lease-1.json'), '')
  const lease = await leases().take()
  expect(lease.epoch).toBe(2)
  await lease.release()
})
