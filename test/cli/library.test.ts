import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type * as library from '../../src/floe.ts'
import { Place, withSums } from './place.ts'

/* The library as a program of others would import it: the bundle. */

const place = new Place()
let floe: typeof library
let campaign: library.Campaign

beforeAll(async () => {
  floe = await import(join(import.meta.dirname, '..', '..', 'dist', 'floe.js'))
  withSums(place)
  await floe.initCampaign(place.path('winds'))
  campaign = await floe.openCampaign(place.path('winds'))
})
afterAll(async () => {
  await campaign.close()
  place.close()
})

async function rowsOf(stream: library.RowStream | Promise<library.RowStream>): Promise<library.JsonRow[]> {
  const { rows, close } = await stream
  const all: library.JsonRow[] = []
  for await (const chunk of rows) all.push(...chunk)
  await close()
  return all
}

const code = (thrown: unknown) => (thrown as library.FloeError).code

describe('the library', () => {
  test('adds, plans, runs with progress, and tells what --json tells', async () => {
    expect(await campaign.add([place.path('jobs.ndjson')])).toMatchObject({ added: 8, rejected: 0 })
    expect(await campaign.plan()).toMatchObject({ jobs: 8, missing: 0 })
    const seen: library.RunProgress[] = []
    const report = await campaign.run({ onProgress: (progress) => seen.push(progress) })
    expect(report).toMatchObject({ jobs: 8, succeeded: 7, failed: 1, stopped: null })
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.at(-1)).toMatchObject({ site: 'local', total: 8 })
    expect(await campaign.status()).toEqual(await place.json('-C', 'winds', 'status'))
    expect(await campaign.show('b4')).toEqual(await place.json('-C', 'winds', 'show', 'b4'))
  })

  test('streams jobs, queries and results', async () => {
    const jobs = await rowsOf(campaign.jobs({ state: 'failed', columns: ['job_id', 'class'] }))
    expect(jobs).toEqual([{ job_id: 'b4', class: 'app' }])
    expect(await rowsOf(campaign.query('select sum(sum) as s from merged'))).toEqual([{ s: 176 }])
    let csv = ''
    for await (const piece of campaign.resultBytes('csv')) csv += piece
    expect(csv.split('\n')).toHaveLength(9)
    let log = ''
    for await (const { text } of campaign.logs('a1')) log += text
    expect(log).toBe('job a1\n')
  })

  test('tries one job with its output', async () => {
    let log = ''
    const report = await campaign.try('a1', {
      write: (_, text) => {
        log += text
      },
    })
    expect(log).toBe('job a1\n')
    expect(report).toMatchObject({ job_id: 'a1', ended: { verdict: 'succeeded', exit: 0 } })
    expect((await campaign.status()).succeeded).toBe(7)
  })

  test('throws FloeErrors with codes', async () => {
    await expect(floe.openCampaign(place.path('nowhere'))).rejects.toSatisfy((e) => code(e) === 'CAMPAIGN_MISSING')
    await expect(campaign.hold({})).rejects.toSatisfy((e) => code(e) === 'USAGE')
    await expect(campaign.hold({ jobs: ['nobody'] })).rejects.toSatisfy((e) => code(e) === 'NOTHING_SELECTED')
    await expect(campaign.query('drop table jobs')).rejects.toSatisfy((e) => code(e) === 'SQL_INVALID')
    await expect(rowsOf(campaign.jobs({ where: 'nope = 1' }))).rejects.toSatisfy((e) => code(e) === 'SQL_INVALID')
    expect(() => campaign.jobs({ columns: ['nope'] })).toThrow('Jobs have no column nope.')
    expect(floe.CODES.NOTHING_SELECTED.exit).toBe(4)
  })

  test('stops a run when its signal aborts, and leaves the campaign free for the next', async () => {
    const slow = join(place.directory, 'slow')
    place.program('wait.sh', 'while ! test -e "$1"; do sleep 0.05; done')
    place.jobs('wait.ndjson', [{ id: 'w', executable: './wait.sh', arguments: [place.path('go')] }])
    await floe.initCampaign(slow)
    const other = await floe.openCampaign(slow)
    await other.add([place.path('wait.ndjson')])
    const stop = new AbortController()
    const first = other.run({
      signal: stop.signal,
      onProgress: ({ queued, running }) => queued + running > 0 && stop.abort(),
    })
    expect(await first).toMatchObject({ stopped: 'interrupted', succeeded: 0 })
    place.file('go', '')
    expect(await other.run()).toMatchObject({ succeeded: 1, stopped: null })
    await other.close()
  })
})
