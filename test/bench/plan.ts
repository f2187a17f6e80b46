import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { quotePath } from '../../src/ports/tables/tables.ts'
import { count, floe, freshCampaign, type Ground, interleave, jobsFor, peaks, seconds, withTables } from './ground.ts'
import { measure } from './measure.ts'

const BATCH = 1000
/** Jobs for each distinct input, as in the shapes of the map benchmark. */
const JOBS_AN_INPUT = 50

/** The whole `floe plan`: 1.5 million jobs as NDJSON in two shapes, 15 million as Parquet. */
export async function benchPlan(ground: Ground): Promise<void> {
  const jobs = jobsFor(ground, 1_500_000)
  const inputs = Math.max(100, Math.round(jobs / JOBS_AN_INPUT))
  makeInputs(ground, inputs)
  const million = { jobs, inputs, format: 'json' as const, turns: ground.turns }
  await planned(ground, { ...million, shape: 'Zipf pairs', most: 20, mostBytes: 2e9 })
  await planned(ground, { ...million, shape: 'windows of 12', most: 20, mostBytes: 2e9 })
  await planned(ground, { ...million, jobs: jobs * 10, format: 'parquet', turns: 1, shape: 'Zipf pairs', most: 300 })
  rmSync(join(ground.scratch, 'plan'), { recursive: true, force: true })
}

interface Planned {
  readonly shape: 'Zipf pairs' | 'windows of 12'
  readonly jobs: number
  readonly inputs: number
  readonly format: 'json' | 'parquet'
  readonly turns: number
  readonly most: number
  readonly mostBytes?: number
}

async function planned(ground: Ground, wanted: Planned): Promise<void> {
  const { shape, jobs, format, turns, most, mostBytes } = wanted
  const work = `plan ${count(jobs)} jobs, ${shape}, ${BATCH.toLocaleString('en')} a batch`
  const campaign = await freshCampaign(ground, 'planned')
  const file = join(ground.scratch, 'plan', `jobs.${format === 'json' ? 'ndjson' : format}`)
  try {
    ground.tell(`adding ${count(jobs)} jobs, ${shape}`)
    await writeJobFile(campaign, file, wanted)
    const added = await measure({ argv: floe(ground, campaign, ['add', file, '--json']) })
    const line = ['plan', '--jobs-per-batch', `${BATCH}`, '--json']
    const { ours } = await interleave(turns, {
      ours: {
        call: () => ({ argv: floe(ground, campaign, line) }),
        check({ stdout }) {
          const told = JSON.parse(stdout) as { jobs: number; missing: number }
          if (told.jobs !== jobs)
            throw new Error(`${told.jobs} of ${jobs} jobs were planned, ${told.missing} inputs are missing`)
        },
      },
    })
    const alone = { baseline: [], baselineName: null }
    const note = `add took ${added.wallSec.toFixed(1)} s, ${(added.peakBytes / 1e6).toFixed(0)} MB`
    ground.print({ work, unit: 's', ours: seconds(ours), ...alone, must: { of: 'value', most }, note })
    const memory = { work: `${work}: peak memory`, unit: 'bytes' as const, ours: peaks(ours), ...alone }
    ground.print({ ...memory, must: { of: 'value', most: mostBytes ?? 24e9 } })
  } catch (error) {
    ground.print({ work, why: (error as Error).message })
  }
  rmSync(file, { force: true })
  rmSync(campaign, { recursive: true, force: true })
}

/** Files of 1 to 51 MB without blocks on disk: planning reads sizes only. */
function makeInputs(ground: Ground, inputs: number): void {
  const folder = join(ground.scratch, 'plan')
  for (let input = 0; input < inputs; input++) {
    const inside = join(folder, `${input % 100}`)
    if (input < 100) mkdirSync(inside, { recursive: true })
    const file = openSync(join(inside, `${input}.nc`), 'w')
    ftruncateSync(file, 1_000_000 + ((input * 7919) % 500) * 100_000)
    closeSync(file)
  }
}

function writeJobFile(campaign: string, file: string, { shape, jobs, inputs, format }: Planned): Promise<void> {
  const name = (input: string) => `(((${input}) % 100)::VARCHAR || '/' || (${input})::VARCHAR || '.nc')`
  const random = (salt: number) => `((hash(i * 8 + ${salt}) >> 11) / 9007199254740992.0)`
  // Zipf 1.05 by the inverse of its distribution; ranks are spread over the numbers.
  const zipf = (salt: number) =>
    `((floor(pow(1 + ${random(salt)} * (pow(${inputs + 1}, -0.05) - 1), -20)) - 1)::BIGINT * 7919 % ${inputs})`
  const list =
    shape === 'Zipf pairs'
      ? `[${name('a')}, ${name('CASE WHEN b = a THEN (a + 1) % ' + inputs + ' ELSE b END')}]`
      : `list_transform(range(a, a + 12), k -> ${name('k')})`
  const first = shape === 'Zipf pairs' ? zipf(1) : `floor(${random(1)} * ${inputs - 11})::BIGINT`
  const from = `(SELECT i, ${first} AS a, ${zipf(2)} AS b FROM range(${jobs}) r(i))`
  const columns = `'job' || i AS id, ${list} AS input, ['mean/' || i || '.csv'] AS output, '/usr/bin/true' AS executable`
  return withTables(campaign, ({ sql }) =>
    sql.run(`COPY (SELECT ${columns} FROM ${from}) TO ${quotePath(file)} (FORMAT ${format})`),
  )
}
