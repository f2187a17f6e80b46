import { describe, expect, test } from 'vitest'
import type { Connector } from '../../connectors/connector.ts'
import { request } from '../../src/catalog/catalog.ts'
import type { RunContext } from '../../src/run/run.ts'
import { runCampaign } from '../../src/run/run.ts'
import { attempts, connectedBy, grid, madeCampaign, runContext } from '../fakes/campaign.ts'
import { type Fate, scriptedConnector } from '../fakes/scripted-connector.ts'

describe('killed at any step and run again', () => {
  test('has the same rows, and runs nothing twice', async () => {
    const plain = await madeCampaign(grid(20), scriptedConnector(), 'batch: {jobs: 4}')
    await runCampaign(plain)
    const wanted = await attempts(plain)
    await plain.tables.close()
    let step = 1
    for (; ; step++) {
      const connector = scriptedConnector()
      const context = await madeCampaign(grid(20), connector, 'batch: {jobs: 4}')
      const survived = await runUntil(context, step)
      await context.tables.close()
      const { openTables } = await import('../../src/ports/tables/tables.ts')
      const { paths, clock } = context
      const tables = await openTables({ root: paths.root, cache: paths.cache, clock })
      const again = runContext(paths.root, tables, connector, 'batch: {jobs: 4}')
      const report = await runCampaign(again)
      expect(report.counts, `stopped at step ${step}`).toMatchObject({ succeeded: 20 })
      expect(await attempts(again), `stopped at step ${step}`).toEqual(wanted)
      await tables.view('results')
      const [results] = await tables.sql.rows(
        'select count(*)::integer as n, count(distinct job_id)::integer as jobs from results',
      )
      expect(results, `stopped at step ${step}`).toEqual({ n: 20, jobs: 20 })
      for (const [job, count] of connector.runs) expect(count, `${job}, stopped at step ${step}`).toBe(1)
      await tables.close()
      if (survived) break
    }
    expect(step).toBeGreaterThan(12)
  })

  test('tells of a lost job once', async () => {
    for (let step = 5; ; step += 2) {
      let vanished = false
      const connector = scriptedConnector(({ job }) => {
        if (job !== 'job0003' || vanished) return {}
        vanished = true
        return 'vanish'
      })
      const context = await madeCampaign(grid(6), connector, 'batch: {jobs: 6}')
      const survived = await runUntil(context, step)
      expect((await runCampaign(context)).counts, `stopped at step ${step}`).toMatchObject({ succeeded: 6 })
      const lost = (await attempts(context)).filter(({ verdict }) => verdict === 'lost')
      expect(lost, `stopped at step ${step}`).toMatchObject([{ job_id: 'job0003', try: 1 }])
      await context.tables.close()
      if (survived) break
    }
  })

  test('has the new content of a job that was asked for again, once', async () => {
    for (let step = 1; ; step++) {
      const said = ({ job, try: nth }: { job: string; try: number }): Fate => ({
        outputs: [{ path: `out/${Number(job.slice(3))}.csv`, size_bytes: nth, digest: `sha256:0${nth}` }],
      })
      const context = await madeCampaign(grid(4), scriptedConnector(said))
      await runCampaign(context)
      const retry = { action: 'retry', selection: { jobs: ['job0001', 'job0003'] }, who: 'tester@host' } as const
      await request(context.tables, retry, { nowMs: 1, uuid: `retry-${step}` })
      const survived = await runUntil(context, step)
      expect((await runCampaign(context)).counts, `stopped at step ${step}`).toMatchObject({ succeeded: 4 })
      await context.tables.view('results')
      const rows = await context.tables.sql.rows('select job_id, size_bytes, digest from results order by job_id')
      const row = (job_id: string, nth: number) => ({ job_id, size_bytes: nth, digest: `sha256:0${nth}` })
      const wanted = [row('job0000', 1), row('job0001', 2), row('job0002', 1), row('job0003', 2)]
      expect(rows, `stopped at step ${step}`).toEqual(wanted)
      await context.tables.close()
      if (survived) break
    }
  })

  /** Runs until it dies just before (odd) or after (even) a commit or submission; true: there is no such step any more. */
  async function runUntil(context: RunContext, last: number): Promise<boolean> {
    let steps = 0
    const step = async <T>(act: () => Promise<T>): Promise<T> => {
      if (++steps === last) throw new Error('killed')
      const value = await act()
      if (++steps === last) throw new Error('killed')
      return value
    }
    const connector = await context.site.connector()
    const submit: Connector['submit'] = (array) => step(() => connector.submit(array))
    const mortal: RunContext = {
      ...connectedBy(context, async () => ({ ...connector, submit })),
      tables: { ...context.tables, commit: (table, commit) => step(() => context.tables.commit(table, commit)) },
    }
    return runCampaign(mortal).then(
      () => true,
      (error: Error) => {
        if (error.message !== 'killed') throw error
        return false
      },
    )
  }
})
