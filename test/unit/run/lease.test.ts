import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { leaseHolder, takeLease } from '../../../src/run/lease.ts'

const campaign = () => mkdtempSync(join(tmpdir(), 'floe-lease-'))
const dead = { host: hostname(), pid: 2 ** 22, started: '1', epoch: 7, expires_at: Date.now() + 60_000 }

test('a second coordinator is told who works', () => {
  const root = campaign()
  const lease = takeLease(root, systemClock)
  expect(() => takeLease(root, systemClock)).toThrow(/Another `floe run`/)
  expect(leaseHolder(root, systemClock)?.pid).toBe(process.pid)
  lease.release()
  expect(leaseHolder(root, systemClock)).toBeUndefined()
  takeLease(root, systemClock).release()
})

test('a holder that died on this host is followed at once, with a higher epoch', () => {
  const root = campaign()
  writeFileSync(join(root, 'lease.json'), JSON.stringify(dead))
  const lease = takeLease(root, systemClock)
  expect(lease.epoch).toBe(8)
  lease.release()
})

test('an epoch that a dead process had begun to take is passed over', () => {
  const root = campaign()
  writeFileSync(join(root, '.lease.epoch-1'), JSON.stringify({ ...dead, epoch: 1 }))
  const lease = takeLease(root, systemClock)
  expect(lease.epoch).toBe(2)
  lease.release()
})

test('a holder on another host keeps it until it expires', () => {
  const root = campaign()
  writeFileSync(join(root, 'lease.json'), JSON.stringify({ ...dead, host: 'elsewhere' }))
  expect(() => takeLease(root, systemClock)).toThrow(/elsewhere/)
  expect(takeLease(root, { ...systemClock, now: () => Date.now() + 61_000 }).epoch).toBe(8)
})

test('who was followed may not commit any more', async () => {
  const root = campaign()
  const lease = takeLease(root, systemClock)
  await lease.guard()
  const followed = { ...JSON.parse(readFileSync(join(root, 'lease.json'), 'utf8')), epoch: lease.epoch + 1, pid: 1 }
  writeFileSync(join(root, 'lease.json'), JSON.stringify(followed))
  await expect(lease.guard()).rejects.toThrow(/took this campaign over/)
  lease.release()
  expect(JSON.parse(readFileSync(join(root, 'lease.json'), 'utf8')).epoch).toBe(lease.epoch + 1)
})
