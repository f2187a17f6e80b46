import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ArraySpec, Connector } from '../../../connectors/connector.ts'
import type { ManifestJob } from '../../../src/model/manifest.ts'
import { planCampaign, type RunContext, type RunOptions, runCampaign } from '../../../src/run/run.ts'
import { decideScouts, type Kind } from '../../../src/run/scouts.ts'
import { beside, connectedBy, grid, madeCampaign } from '../../fakes/campaign.ts'
import { type Fate, scriptedConnector } from '../../fakes/scripted-connector.ts'

describe('whether some jobs of a kind go first', () => {
  const settings = { jobs: 8, from: 1000, waitSec: 600 }
  const none: Kind = { fresh: 5000, measured: 0, tried: 0, underWay: 0, waitedSec: 0, hasBegun: false }
  const decide = (kind: Partial<Kind>) => decideScouts({ ...none, ...kind }, settings)

  test('they do where nothing is known of many', () => {
    expect(decide({})).toBe('send')
    expect(decide({ fresh: 999 })).toBe('go')
    expect(decideScouts({ ...none, fresh: 8 }, { ...settings, from: 1 })).toBe('go')
  })

  test('the others wait until most of them succeeded, or all ended, or for long', () => {
    expect(decide({ underWay: 8 })).toBe('hold')
    expect(decide({ underWay: 8, fresh: 992 })).toBe('hold')
    expect(decide({ underWay: 3, tried: 5, measured: 5 })).toBe('hold')
    expect(decide({ underWay: 2, tried: 6, measured: 6 })).toBe('go')
    expect(decide({ tried: 8 })).toBe('go')
    expect(decide({ underWay: 8, waitedSec: 601 })).toBe('go')
  })

  test('they wait longer for those that run, as the rest will take long too', () => {
    expect(decide({ underWay: 8, waitedSec: 601, hasBegun: true })).toBe('hold')
    expect(decide({ underWay: 8, waitedSec: 4201, hasBegun: true })).toBe('go')
  })
})

const YAML = 'batch: {seconds: 60}\nscouts: {jobs: 4, from: 20}\nstop_when_failed: 1'
const JOBS = 40

const madeScouted = async (fate: (job: ManifestJob) => Fate, yaml = YAML) => {
  const connector = scriptedConnector(fate)
  const jobs = grid(JOBS).map((job, at) => ({ ...job, inputs: [`in${at}`] }))
  const context = await madeCampaign(jobs, connector, yaml)
  // The names of large and small ones are mixed.
  for (let at = 0; at < JOBS; at++) writeFileSync(join(context.data, `in${at}`), 'x'.repeat(100 + ((at * 7) % JOBS)))
  return { connector, context }
}

const lasting = (wall_sec: number) => (): Fate => ({ wall_sec })

interface Sent {
  readonly array: string
  readonly jobs: number
  readonly seconds: number | null
  readonly terms: { jobs_max?: number; task_sec?: number; memory_bytes: number | null }
}

async function sentBatches({ tables }: RunContext): Promise<Sent[]> {
  await tables.view('batches')
  const rows = await tables.sql.rows<Omit<Sent, 'terms'> & { terms: string }>(
    `select array_id as "array", jobs::integer as jobs, seconds, resource_class as terms from batches order by array_id, task`,
  )
  return rows.map((row) => ({ ...row, terms: JSON.parse(row.terms) as Sent['terms'] }))
}

const ofArray = (batches: readonly Sent[], array: string) => batches.filter((one) => one.array === array)

describe('a campaign of jobs of which nothing is known', () => {
  test('sends a few first, spread over the sizes of inputs, and cuts the others by what these took', async () => {
    const { context, connector } = await madeScouted(lasting(20))
    const waiting: (string | null)[] = []
    const report = await runCampaign(context, { onProgress: (progress) => waiting.push(progress.waiting) })
    expect(report.counts).toMatchObject({ succeeded: JOBS })
    expect([...connector.runs.values()].every((count) => count === 1)).toBe(true)
    const sent = await sentBatches(context)
    expect(ofArray(sent, 'a000001').map(({ jobs, seconds }) => [jobs, seconds])).toEqual(Array(4).fill([1, null]))
    const rest = sent.filter(({ array }) => array !== 'a000001')
    expect(rest.map(({ jobs, seconds }) => [jobs, seconds])).toEqual(Array(12).fill([3, 60]))
    const sizes = await context.tables.sql.rows<{ part: number }>(
      `select ((f.size_bytes - 100) * 4 // ${JOBS})::integer as part from attempts a join jobs_rows j using (job_key, revision)
       join files f on f.url = j.inputs[1] where a.array_id = 'a000001' order by 1`,
    )
    expect(sizes.map(({ part }) => part)).toEqual([0, 1, 2, 3])
    expect(waiting.filter((words) => words !== null)).toContain('36 jobs wait for what the first of their kind take')
    await context.tables.close()
  })

  test('goes on where it was stopped, and sends no more scouts', async () => {
    const { context } = await madeScouted(lasting(20))
    const once: RunOptions = { once: true }
    const first = await runCampaign(context, once)
    expect(first).toMatchObject({ stopped: 'once', counts: { succeeded: 4, pending: 36 } })
    expect((await runCampaign(context)).counts).toMatchObject({ succeeded: JOBS })
    expect((await sentBatches(context)).filter(({ terms }) => terms.jobs_max !== undefined)).toHaveLength(4)
    await context.tables.close()
  })

  test('sends the others as it can when the scouts tell nothing', async () => {
    const { context } = await madeScouted(() => ({ class: 'app' }))
    expect((await runCampaign(context)).counts).toMatchObject({ failed: JOBS })
    const sent = await sentBatches(context)
    expect(sent.filter(({ terms }) => terms.jobs_max !== undefined)).toHaveLength(4)
    await context.tables.close()
  })

  test('waits for scouts that are tried again with more', async () => {
    const fate = ({ try: nth }: ManifestJob): Fate => (nth === 1 ? { class: 'walltime' } : { wall_sec: 30 })
    const { context } = await madeScouted(fate)
    await runCampaign(context)
    const arrays = await context.tables.sql.rows<{ array: string; jobs: number; least: number; most: number }>(
      'select array_id as "array", count(*)::integer as jobs, min(try)::integer as least, max(try)::integer as most from attempts group by all order by 1',
    )
    expect(arrays.slice(0, 2)).toMatchObject([
      { jobs: 4, least: 1, most: 1 },
      { jobs: 4, least: 2, most: 2 },
    ])
    await context.tables.close()
  })

  test('sends the others when the scouts have waited in the queue for long', async () => {
    const { context, connector } = await madeScouted(lasting(20), YAML.replace('from: 20', 'from: 20, wait: 1s'))
    let scouts: ArraySpec | undefined
    const hasBegun = () => connector.submitted.length > 0
    const full: Connector = {
      ...connector,
      submit: async (array, ...rest) => {
        scouts ??= array
        if (array === scouts) return array.name
        await connector.submit(scouts, ...rest)
        return connector.submit(array, ...rest)
      },
      status: async (arrays, ...rest) =>
        hasBegun()
          ? connector.status(arrays, ...rest)
          : [0, 1, 2, 3].map((index) => ({ id: scouts!.name, index, state: 'queued', reason: null })),
    }
    const made = connectedBy(context, async () => full)
    // As a cluster, that takes more while tasks wait.
    const limits = async () => ({ ...(await made.site.limits()), planBelow: 100, refillBelow: 100 })
    const cluster = { ...made, site: { ...made.site, limits } }
    expect((await runCampaign(cluster)).counts).toMatchObject({ succeeded: JOBS })
    await context.tables.close()
  })

  test('is small: all go at once', async () => {
    const { context } = await madeScouted(lasting(20), YAML.replace('from: 20', 'from: 41'))
    await runCampaign(context)
    expect(
      (await sentBatches(context)).every(({ terms, seconds }) => terms.jobs_max === undefined && seconds === null),
    ).toBe(true)
    await context.tables.close()
  })

  test('is cut by hand: all go at once, unless scouts are wished', async () => {
    for (const [wishes, first] of [
      [{ jobsPerBatch: 5 }, 0],
      [{ jobsPerBatch: 5, scouts: 2 }, 2],
      [{ scouts: 0 }, 0],
    ] as const) {
      const { context } = await madeScouted(lasting(20))
      await runCampaign(context, wishes)
      const sent = await sentBatches(context)
      expect(sent.filter(({ terms }) => terms.jobs_max !== undefined)).toHaveLength(first)
      await context.tables.close()
    }
  })

  test('is planned with the scouts said, and that plan is not what is run', async () => {
    const { context } = await madeScouted(lasting(20))
    expect(await planCampaign(context)).toMatchObject({ jobs: JOBS, scouts: { jobs: 4, rest: 36 } })
    expect(await sentBatches(context)).toEqual([])
    expect(await planCampaign(context, { jobsPerBatch: 10 })).toMatchObject({ jobs: JOBS, batches: 4, scouts: null })
    await runCampaign(context)
    expect((await sentBatches(context)).map(({ jobs }) => jobs)).toEqual([10, 10, 10, 10])
    expect(await planCampaign(context)).toMatchObject({ jobs: 0 })
    await context.tables.close()
  })

  test('is shared by two sites', async () => {
    const { context } = await madeScouted(lasting(20))
    const both = beside(context, scriptedConnector(lasting(20)))
    expect(await planCampaign(both)).toMatchObject({ jobs: JOBS, scouts: { jobs: 4, rest: 36 } })
    expect((await runCampaign(both)).counts).toMatchObject({ succeeded: JOBS })
    const sent = await sentBatches(context)
    expect(sent.filter(({ seconds }) => seconds === null).reduce((sum, { jobs }) => sum + jobs, 0)).toBe(4)
    await context.tables.close()
  })
})

describe('what was measured is asked for', () => {
  const GB = 2 ** 30
  const atCluster = (context: RunContext, taskSec: number): RunContext => ({
    ...context,
    site: { ...context.site, taskSec, calls: { submit: 0, status: 0, accounting: 0, cancel: 0 } as never },
  })
  const asked = async (fate: Fate, yaml = YAML) => {
    const { context } = await madeScouted(() => fate, yaml)
    await runCampaign(atCluster(context, 3600))
    const terms = (await sentBatches(context)).map((batch) => batch.terms)
    await context.tables.close()
    return terms.at(-1)
  }

  test('with a margin, in powers of two, and no less than would be saved', async () => {
    expect(await asked({ wall_sec: 20, memory_max_bytes: 3 * GB })).toMatchObject({
      memory_bytes: 8 * GB,
      task_sec: 1024,
    })
    expect(await asked({ wall_sec: 700, memory_max_bytes: 1000 })).toMatchObject({ memory_bytes: GB, task_sec: 2048 })
    // More than the site's settings say only where it was seen to be needed.
    expect(await asked({ wall_sec: 2500, memory_max_bytes: null })).toMatchObject({
      memory_bytes: null,
      task_sec: 3600,
    })
    expect(await asked({ wall_sec: 3000 })).toMatchObject({ memory_bytes: null, task_sec: 8192 })
  })

  test('where jobs name nothing, the policy tries again with more, and it is not switched off', async () => {
    const much = { wall_sec: 20, memory_max_bytes: 3 * GB }
    const policy = 'policy: {memory: {action: give up}, walltime: {action: give up}}'
    for (const yaml of [`${YAML}\n${policy}`, YAML.replace('jobs: 4', 'jobs: 0')]) {
      const terms = await asked(much, yaml)
      expect([terms?.memory_bytes, terms?.task_sec]).toEqual([null, undefined])
    }
  })
})
