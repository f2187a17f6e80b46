import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { sitePaths } from '../../../src/model/campaign.ts'
import { planCampaign, runCampaign } from '../../../src/run/run.ts'
import { attempts, connectedBy, grid, madeCampaign } from '../../fakes/campaign.ts'
import { type Fate, scriptedConnector } from '../../fakes/scripted-connector.ts'

describe('a campaign', () => {
  test('is planned, staged, run and published; a second run does nothing', async () => {
    const connector = scriptedConnector()
    const context = await madeCampaign(grid(50), connector)
    const report = await runCampaign(context)
    expect(report.counts).toMatchObject({ succeeded: 50 })
    expect(report.stopped).toBeNull()
    expect([...connector.runs.values()].every((count) => count === 1)).toBe(true)
    const { version } = await context.tables.snapshot('attempts')
    const again = await runCampaign(context)
    expect(again.tally.succeeded).toBe(0)
    expect((await context.tables.snapshot('attempts')).version).toBe(version)
    expect(connector.submitted).toHaveLength(1)
    await context.tables.close()
  })

  test('a plan shows costs and is what the next run uses', async () => {
    const connector = scriptedConnector()
    const context = await madeCampaign(grid(42), connector)
    const plan = await planCampaign(context, { jobsPerBatch: 6 })
    expect(plan).toMatchObject({ jobs: 42, files: 10, missing: 0, filesNaive: 84 })
    await runCampaign(context)
    const batches = await context.tables.view('batches')
    expect(batches.version).toBeGreaterThan(0)
    const rows = await context.tables.sql.rows<{ jobs: number; state: string }>(
      'select jobs::integer as jobs, state from batches',
    )
    expect(rows.reduce((sum, { jobs }) => sum + jobs, 0)).toBe(42)
    expect(rows.every(({ jobs, state }) => jobs <= 7 && state === 'ended')).toBe(true)
    await context.tables.close()
  })

  test('memory is asked for again with more, and only so often', async () => {
    const fate = ({ job }: { job: string }): Fate => (job === 'job0001' ? { class: 'memory' } : {})
    const context = await madeCampaign(
      grid(4).map((job) => ({ ...job, memoryBytes: 1000 })),
      scriptedConnector(fate),
      'stop_when_failed: 1',
    )
    const report = await runCampaign(context)
    expect(report.counts).toMatchObject({ succeeded: 3, failed: 1 })
    const tries = (await attempts(context)).filter(({ job_id }) => job_id === 'job0001')
    expect(tries).toMatchObject([
      { try: 1, next: 'retry', memory_bytes: 1000 },
      { try: 2, next: 'retry', memory_bytes: 2000 },
      { try: 3, next: 'give up', memory_bytes: 4000 },
    ])
    await context.tables.close()
  })

  test('what was measured counts, and the cap; jobs that failed alike share an array', async () => {
    const fate = ({ job, try: nth }: { job: string; try: number }): Fate =>
      job < 'job0004' && nth < 3
        ? { class: 'memory', memory_max_bytes: nth === 1 ? 2900 + Number(job.slice(-1)) : 7000 }
        : {}
    const connector = scriptedConnector(fate)
    const jobs = grid(8).map((job) => ({ ...job, memoryBytes: 1000 }))
    const yaml = 'stop_when_failed: 1\npolicy: {memory: {tries: 4, cap: 10KB}}'
    const context = await madeCampaign(jobs, connector, yaml)
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 8 })
    const asked = (await attempts(context)).filter(({ job_id }) => job_id < 'job0004')
    expect(asked.map(({ memory_bytes }) => memory_bytes)).toEqual([0, 1, 2, 3].flatMap(() => [1000, 4000, 8000]))
    expect(connector.submitted).toHaveLength(3)
    await context.tables.close()
  })

  test('no try asks for more than the cap, and none follows one that had it', async () => {
    const fate = ({ job }: { job: string }): Fate => (job === 'job0001' ? { class: 'memory' } : {})
    const jobs = grid(4).map((job) => ({ ...job, memoryBytes: 1000 }))
    const yaml = 'stop_when_failed: 1\npolicy: {memory: {tries: 9, cap: 3KB, exhausted: hold}}'
    const context = await madeCampaign(jobs, scriptedConnector(fate), yaml)
    const report = await runCampaign(context)
    expect(report).toMatchObject({ counts: { succeeded: 3, held: 1 }, tally: { held: 1 } })
    expect((await attempts(context)).filter(({ job_id }) => job_id === 'job0001')).toMatchObject([
      { memory_bytes: 1000, next: 'retry' },
      { memory_bytes: 2000, next: 'retry' },
      { memory_bytes: 3000, next: 'hold' },
    ])
    await context.tables.close()
  })

  test('a batch is split until its jobs are alone', async () => {
    const fate = ({ job }: { job: string }): Fate => (job < 'job0006' ? { class: 'walltime' } : {})
    const yaml = 'batch: {jobs: 12}\nstop_when_failed: 1\npolicy: {walltime: {action: split, tries: 9}}'
    const context = await madeCampaign(grid(12), scriptedConnector(fate), yaml)
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 6, failed: 6 })
    await context.tables.view('batches')
    const sizes = await context.tables.sql.rows<{ most: number }>(
      'select max(jobs)::integer as most from batches group by plan_id order by plan_id',
    )
    expect(sizes.map(({ most }) => most)).toEqual([12, 6, 3, 2, 1])
    await context.tables.close()
  })

  test('after a failure that is to go elsewhere the node is left out, where another one works', async () => {
    const fate = ({ job, try: nth }: { job: string; try: number }): Fate =>
      job === 'job0001' && nth < 3 ? { class: 'app' } : {}
    const connector = scriptedConnector(fate, ({ task }) => `n${task}`)
    const avoided: (readonly string[] | undefined)[] = []
    const submit: typeof connector.submit = (array, ...rest) => {
      avoided.push(array.avoid)
      return connector.submit(array, ...rest)
    }
    const yaml = 'batch: {jobs: 1}\nstop_when_failed: 1\npolicy: {app: {action: elsewhere, tries: 3}}'
    const made = await madeCampaign(grid(3), connector, yaml)
    const here = connectedBy(made, async () => ({ ...connector, submit }))
    const context = { ...here, site: Object.create(here.site, { isOneNode: { value: false } }) as typeof here.site }
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 3 })
    const nodes = await context.tables.sql.rows<{ node: string }>(
      "select node from attempts where job_id = 'job0001' and class is not null order by try",
    )
    expect(avoided).toEqual([undefined, ...nodes.map(({ node }) => [node])])
    await context.tables.close()
  })

  test('what is to wait is tried again later, and the run waits for it', async () => {
    const fate = ({ job, try: nth }: { job: string; try: number }): Fate =>
      job === 'job0001' && nth < 3 ? { class: 'staging', verdict: 'lost' } : {}
    const yaml = 'policy: {staging: {wait: 0.2}}'
    const context = await madeCampaign(grid(3), scriptedConnector(fate), yaml)
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 3 })
    await context.tables.view('attempts')
    const [row] = await context.tables.sql.rows<{ first: number; second: number }>(
      `select epoch_ms(min(published_at) filter (try = 2)) - epoch_ms(min(published_at) filter (try = 1)) as first,
         epoch_ms(min(published_at) filter (try = 3)) - epoch_ms(min(published_at) filter (try = 2)) as second
       from attempts where job_id = 'job0001'`,
    )
    expect(Number(row!.first)).toBeGreaterThanOrEqual(200)
    expect(Number(row!.second)).toBeGreaterThanOrEqual(400)
    await context.tables.close()
  })

  test('--max-failures stops at so many, and --max-tries bounds the tries of all classes', async () => {
    const fate = ({ try: nth }: { try: number }): Fate => ({ class: nth === 1 ? 'memory' : 'check' })
    const yaml = 'batch: {jobs: 1}\npolicy: {check: {tries: 5}}'
    const context = await madeCampaign(grid(10), scriptedConnector(fate), yaml)
    const report = await runCampaign(context, { maxTries: 2, maxFailures: 3 })
    expect(report).toMatchObject({ stopped: 'too many failures', reason: { class: 'check', rule: 'scripted check' } })
    expect(Math.max(...(await attempts(context)).map(({ try: nth }) => nth))).toBe(2)
    await context.tables.close()
  })

  test('a task that vanishes loses only the job it was at; the rest is planned again', async () => {
    let vanished = false
    const connector = scriptedConnector(({ job }) => {
      if (job !== 'job0003' || vanished) return {}
      vanished = true
      return 'vanish'
    })
    const context = await madeCampaign(grid(12), connector, 'batch: {jobs: 12}')
    const report = await runCampaign(context)
    expect(report.counts).toMatchObject({ succeeded: 12 })
    expect((await attempts(context)).filter(({ verdict }) => verdict === 'lost')).toMatchObject([
      { job_id: 'job0003', evidence: 'absence', next: 'retry', try: 1 },
    ])
    for (const [job, count] of connector.runs) expect(count, job).toBe(job === 'job0003' ? 2 : 1)
    await context.tables.close()
  })

  test('is so many jobs from the first plan to the last, however often some of them are planned', async () => {
    let vanished = 0
    const connector = scriptedConnector(({ job, try: nth }) => {
      if (job === 'job0001' && nth < 3) return { class: 'memory' }
      return job === 'job0005' && vanished++ < 2 ? 'vanish' : {}
    })
    const jobs = grid(12).map((job) => ({ ...job, memoryBytes: 1000 }))
    const context = await madeCampaign(jobs, connector, 'batch: {jobs: 4}\nstop_when_failed: 1')
    const totals = new Set<number>()
    await runCampaign(context, { onProgress: ({ total }) => void totals.add(total) })
    expect(connector.submitted.length).toBeGreaterThan(2)
    expect([...totals]).toEqual([12])
    await context.tables.close()
  })

  test('jobs with missing inputs wait, the others run', async () => {
    const context = await madeCampaign(grid(9), scriptedConnector())
    rmSync(join(context.data, 'a0.csv'))
    rmSync(join(context.data, 'b1.csv'))
    const { missing, missingInputs } = await planCampaign(context)
    const example = { url: join(context.data, 'a0.csv'), jobId: 'job0000' }
    expect({ missing, missingInputs }).toEqual({ missing: 4, missingInputs: { inputs: 2, example } })
    writeFileSync(join(context.data, 'b1.csv'), 'back\n')
    const report = await runCampaign(context)
    expect(report.missing).toBe(2)
    expect(report.counts).toMatchObject({ succeeded: 7, pending: 2 })
    writeFileSync(join(context.data, 'a0.csv'), 'back\n')
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 9 })
    await context.tables.close()
  })

  test('results made of a file that changed are stale: the run stops and asks', async () => {
    const connector = scriptedConnector()
    const context = await madeCampaign(grid(9), connector)
    await runCampaign(context)
    writeFileSync(join(context.data, 'a0.csv'), 'changed\n')
    await expect(runCampaign(context)).rejects.toMatchObject({ code: 'RESULTS_STALE', details: { stale: 2 } })
    await expect(runCampaign(context)).rejects.toMatchObject({ code: 'RESULTS_STALE' })
    const rerun = await runCampaign(context, { stale: 'rerun' })
    expect(rerun.tally.succeeded).toBe(2)
    writeFileSync(join(context.data, 'b0.csv'), 'changed\n')
    expect((await runCampaign(context, { stale: 'keep' })).tally.succeeded).toBe(0)
    expect((await runCampaign(context)).tally.succeeded).toBe(0)
    await context.tables.close()
  })

  test('too many failures stop it with a reason', async () => {
    const context = await madeCampaign(
      grid(400),
      scriptedConnector(() => ({ class: 'app' })),
      'batch: {jobs: 1}',
    )
    const report = await runCampaign(context)
    expect(report.stopped).toBe('too many failures')
    await context.tables.close()
  })

  test('failures that are tried again stop nothing', async () => {
    const fate = ({ try: nth }: { try: number }): Fate => (nth === 1 ? { class: 'app' } : {})
    const context = await madeCampaign(grid(60), scriptedConnector(fate), 'policy: {app: {tries: 2}}')
    const report = await runCampaign(context)
    expect(report).toMatchObject({ stopped: null, counts: { succeeded: 60 } })
    await context.tables.close()
  })

  test('an array that was staged and never submitted is let go; its jobs are planned again', async () => {
    const connector = scriptedConnector()
    const context = await madeCampaign(grid(6), connector)
    const connect = () => Promise.reject(new Error('killed'))
    await expect(runCampaign(connectedBy(context, connect))).rejects.toThrow('killed')
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 6 })
    expect(connector.submitted).toMatchObject([expect.stringContaining('a000002')])
    for (const [job, count] of connector.runs) expect(count, job).toBe(1)
    await context.tables.close()
  })

  test('an array that may have been submitted keeps the manifest that its tasks may be reading', async () => {
    const connector = scriptedConnector()
    const context = await madeCampaign(grid(6), connector)
    const submit = () => Promise.reject(new Error('killed'))
    const mortal = connectedBy(context, async () => ({ ...connector, submit }))
    await expect(runCampaign(mortal)).rejects.toThrow('killed')
    const manifest = join(sitePaths(context.paths.scratch, context.campaignId).arrays, 'a000001', 'manifest')
    const { ino } = statSync(manifest)
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: 6 })
    expect(statSync(manifest).ino).toBe(ino)
    expect(connector.submitted).toMatchObject([expect.stringContaining('a000001')])
    await context.tables.close()
  })
})
