import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Action, type Request, request } from '../../../src/catalog/request.ts'
import type { Selection } from '../../../src/catalog/selection.ts'
import { openViews } from '../../../src/catalog/views.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables, type Tables } from '../../../src/ports/tables/tables.ts'
import { addJobs, attempt, planJobs, type Small, select, smallCampaign } from './campaign.ts'

let small: Small
beforeEach(async () => {
  small = await smallCampaign()
  await addJobs(small.tables, 6)
  await planJobs(small.tables, { j1: 'ended', j2: 'ended', j3: 'submitted' })
  const attempts = [attempt('j1', 1, 'succeeded'), attempt('j2', 1, 'failed')]
  await small.tables.commit('attempts', { operation: 'x', select: select('attempts', attempts) })
})
afterEach(() => small.close())

const ask = (action: Action, selection: Selection, tables: Tables = small.tables) => {
  const asked: Request = { action, selection, who: "o'neill@host", why: null }
  return request(tables, asked, { nowMs: 1_795_248_000_000, uuid: systemClock.uuid() })
}
const states = async () => {
  await openViews(small.tables)
  const rows = await small.tables.sql.rows<{ job_id: string; state: string }>(
    'SELECT job_id, state FROM jobs ORDER BY job_id',
  )
  return Object.fromEntries(rows.map(({ job_id, state }) => [job_id, state]))
}

it('writes who asked what of which job, at which try', async () => {
  const done = await ask('cancel', { jobs: ['j3', 'j4'] })
  expect(done).toMatchObject({ asked: 2, skipped: {} })
  await small.tables.view('requests')
  const rows = await small.tables.sql.rows('FROM requests ORDER BY job_id')
  expect(rows).toEqual([
    expect.objectContaining({
      job_id: 'j3',
      job_key: 3,
      revision: 1,
      action: 'cancel',
      seq: 1,
      after_try: 1,
      who: "o'neill@host",
    }),
    expect.objectContaining({
      job_id: 'j4',
      after_try: 0,
      why: null,
      request_id: done.requestId,
      asked_at: 1795248000000000,
    }),
  ])
  await ask('hold', { jobs: ['j5'] })
  await small.tables.view('requests')
  expect(await small.tables.sql.rows('SELECT max(seq) AS s FROM requests')).toEqual([{ s: 2 }])
})

it('holds, releases, cancels and retries', async () => {
  await ask('hold', { all: true })
  expect(await states()).toEqual({ j1: 'succeeded', j2: 'failed', j3: 'queued', j4: 'held', j5: 'held', j6: 'held' })
  await ask('release', { jobs: ['j4'] })
  await ask('cancel', { where: "job_id in ('j5', 'j3')" })
  expect(await states()).toEqual({
    j1: 'succeeded',
    j2: 'failed',
    j3: 'queued',
    j4: 'pending',
    j5: 'cancelled',
    j6: 'held',
  })
  expect(await ask('retry', { all: true })).toMatchObject({
    asked: 3,
    skipped: { pending: 1, queued: 1, succeeded: 1 },
  })
  expect(await states()).toMatchObject({ j1: 'succeeded', j2: 'pending', j5: 'pending', j6: 'pending' })
})

it('runs succeeded jobs again only when they are named or asked for by state', async () => {
  await expect(ask('retry', { where: "job_id = 'j1'" })).rejects.toMatchObject({ code: 'NOTHING_SELECTED' })
  await ask('retry', { jobs: ['j1'] })
  expect(await states()).toMatchObject({ j1: 'pending' })
})

it('changes nothing when nothing fits, and says what is there', async () => {
  const none = { code: 'NOTHING_SELECTED' }
  await expect(ask('release', { all: true })).rejects.toMatchObject({
    ...none,
    message: expect.stringContaining('1 failed'),
  })
  await expect(ask('hold', { jobs: ['j4', 'nope'] })).rejects.toMatchObject({
    ...none,
    message: expect.stringContaining('nope'),
  })
  await expect(ask('hold', { where: 'tries > 99' })).rejects.toMatchObject(none)
  expect(await small.tables.head('requests')).toMatchObject({ version: -1 })
})

it('removes jobs from the catalog, rewriting only the buckets they are in', async () => {
  const before = await small.tables.snapshot('jobs')
  expect(await ask('remove', { jobs: ['j3', 'j5'] })).toMatchObject({ asked: 2 })
  expect(Object.keys(await states())).toEqual(['j1', 'j2', 'j4', 'j6'])
  const after = await small.tables.snapshot('jobs')
  const other = (one: typeof after) =>
    one.parts.filter((part) => part.partitionValues.bucket === '1').map((part) => part.path)
  expect(other(after)).toEqual(other(before))
  await small.tables.view('jobs', after, 'all_jobs')
  expect(await small.tables.sql.rows('SELECT count(*) AS n FROM all_jobs')).toEqual([{ n: 6 }])
  await small.tables.view('requests')
  expect(
    await small.tables.sql.rows("SELECT job_id, after_try FROM requests WHERE action = 'remove' ORDER BY 1"),
  ).toEqual([
    { job_id: 'j3', after_try: 1 },
    { job_id: 'j5', after_try: 0 },
  ])
})

it('goes on after conflicts: many people at once', async () => {
  const others = await Promise.all(
    Array.from({ length: 4 }, () => openTables({ root: small.root, cache: `${small.root}/.floe`, clock: systemClock })),
  )
  await Promise.all([
    ask('hold', { jobs: ['j4'] }, others[0]),
    ask('hold', { jobs: ['j6'] }, others[1]),
    ask('remove', { jobs: ['j2'] }, others[2]),
    ask('remove', { jobs: ['j1', 'j5'] }, others[3]),
  ])
  expect(await states()).toEqual({ j3: 'queued', j4: 'held', j6: 'held' })
  await small.tables.view('requests')
  const rows = await small.tables.sql.rows('SELECT job_id FROM requests ORDER BY 1')
  expect(rows.map((row) => row.job_id)).toEqual(['j1', 'j2', 'j4', 'j5', 'j6'])
  for (const tables of others) await tables.close()
})
