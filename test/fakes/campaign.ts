import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connector } from '../../connectors/connector.ts'
import { compileConfig } from '../../src/config/config.ts'
import { localSite } from '../../src/dispatch/dispatch.ts'
import { type CampaignPaths, campaignPaths, sitePaths } from '../../src/model/campaign.ts'
import { jobKeySql } from '../../src/model/job-key.ts'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { diskLeases, type RunContext } from '../../src/run/run.ts'
import { openStores } from '../../src/stores.ts'

export interface MadeJob {
  readonly id: string
  readonly inputs?: readonly string[]
  readonly outputs?: readonly string[]
  readonly executable?: string
  readonly memoryBytes?: number
}

/** A campaign in a temporary folder whose jobs are put straight into the tables; inputs are small files below `data/`. */
export async function madeCampaign(
  jobs: readonly MadeJob[],
  connector: Connector,
  yaml = '',
): Promise<RunContext & { data: string }> {
  const root = mkdtempSync(join(tmpdir(), 'floe-campaign-'))
  const paths = campaignPaths(root)
  const data = join(root, 'data')
  mkdirSync(data)
  for (const name of new Set(jobs.flatMap(({ inputs = [] }) => inputs)))
    if (!name.includes(':')) writeFileSync(join(data, name), `${name}\n`)
  const tables = await openTables({ root, cache: paths.cache, clock: systemClock })
  await putJobs(tables, data, jobs)
  return { data, ...runContext(root, tables, connector, yaml) }
}

export function runContext(root: string, tables: Tables, connector: Connector, yaml = ''): RunContext {
  const config = compileConfig(yaml, { path: 'floe.yaml', directory: root })
  const paths = campaignPaths(root)
  const site = siteOf(paths, async () => connector)
  return {
    paths,
    leases: diskLeases(root, systemClock),
    campaignId: CAMPAIGN,
    tables,
    clock: systemClock,
    user: 'tester@host',
    settings: {
      jobsPerBatch: config.batch.jobs,
      batchSeconds: config.batch.seconds,
      batchBytesMax: config.batch.bytes,
      scouts: config.scouts,
      policy: config.policy,
      stopWhenFailed: config.stopWhenFailed,
      reuse: config.reuse,
      digest: config.digest,
      sandboxesMax: config.sandboxesMax,
      roots: config.roots,
      outputsUrl: config.outputsUrl,
    },
    openBus: async () => undefined,
    openOther: (other) => openTables({ root: other, cache: paths.cache, clock: systemClock }),
    site,
    openSite: async () => site,
    stores: openStores({}),
    runner: ['false'],
  }
}

export const CAMPAIGN = '00000000-0000-4000-8000-000000000000'

const siteOf = (paths: CampaignPaths, connect: () => Promise<Connector>) =>
  localSite({
    ...{ paths: sitePaths(paths.scratch, CAMPAIGN), outputs: paths.outputs, roots: {}, slots: 2, connect },
    runner: ['false'],
  })

/** The same campaign, run at another site too. */
export const beside = (
  context: RunContext,
  connector: Connector,
  fields: Partial<RunContext['site']> = {},
): RunContext => ({
  ...context,
  beside: [{ ...siteOf(context.paths, async () => connector), name: 'rime', ...fields }],
})

/** The same campaign, at a site that is connected in another way. */
export const connectedBy = (context: RunContext, connect: () => Promise<Connector>): RunContext => ({
  ...context,
  site: siteOf(context.paths, connect),
})

/** `root:name` is one of a root. */
const urlOf =
  (data: string) =>
  (name: string): string =>
    name.includes(':') ? name : join(data, name)

export async function putJobs(tables: Tables, data: string, jobs: readonly MadeJob[]): Promise<void> {
  const text = (value: string) => `'${value.replaceAll("'", "''")}'`
  const list = (values: readonly string[]) => `[${values.map(text).join(', ')}]::varchar[]`
  const rows = jobs.map(({ id, inputs = [], outputs = [], executable = '/bin/true', memoryBytes }) => {
    const memory = memoryBytes === undefined ? 'null' : memoryBytes
    return `(${text(id)}, ${text(executable)}, ${list(inputs.map(urlOf(data)))}, ${list(inputs)}, ${list(outputs)}, ${memory})`
  })
  await tables.commit('jobs', {
    operation: 'test',
    select: `select id as job_id, ${jobKeySql('id')} as job_key, 1 as revision, substr(sha256(id), 1, 32) as spec_digest, executable, null as arguments,
      inputs, input_names, list_transform(outputs, lambda o: {'path': o, 'optional': false}) as outputs, null as files, null as file_names,
      null as environment, null as setup, null as container, null as stdin, null as stdout, null as "check",
      {'cpus': 1, 'memory_bytes': memory, 'walltime_sec': null, 'gpus': 0, 'nodes': 1} as resources, null as labels, 0 as priority,
      null as site, null as parent, null as after, true as cache, 'files' as publish, sha256(id)[:32] as input_hash, 1 as bucket,
      false as withdrawn, now() as added_at, 'test' as source
      from (values ${rows.join(', ')}) t(id, executable, inputs, input_names, outputs, memory)`,
  })
  const urls = [...new Set(jobs.flatMap(({ inputs = [] }) => inputs))].map((name) => `(${text(urlOf(data)(name))})`)
  if (urls.length === 0) return
  await tables.commit('files', {
    operation: 'test',
    select: `select url, 'input' as kind, null as size_bytes, null as mtime, null as digest, null as digest_kind, null as missing,
      null as sites, null as hosts, null as seen_at, null as nodes, null as nodes_at from (values ${urls.join(', ')}) t(url)`,
  })
}

/** Jobs that share inputs. */
export const grid = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    id: `job${String(i).padStart(4, '0')}`,
    inputs: [`a${i % 7}.csv`, `b${i % 3}.csv`],
    outputs: [`out/${i}.csv`],
  }))

export const attempts = async ({ tables }: RunContext) => {
  await tables.view('attempts')
  return tables.sql.rows<{
    job_id: string
    try: number
    verdict: string
    class: string | null
    next: string
    superseded: boolean
    evidence: string
    memory_bytes: number | null
  }>(
    'select job_id, try, verdict, class, next, superseded, evidence, memory_bytes::double as memory_bytes from attempts order by job_id, try',
  )
}
