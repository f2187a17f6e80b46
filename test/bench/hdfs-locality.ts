import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { type HdfsSite, servedBy, startHdfs } from '../containers/hdfs.ts'
import { floe, freshCampaign, type Ground, jobsFor } from './ground.ts'
import { measure } from './measure.ts'

/* Files on six data nodes, two replicas each, two jobs a file: what a plan reads on the nodes, and what data nodes are asked for when it is run. */

const FILE_BYTES = 1_000_000
const PER_FILE = 2
const PER_BATCH = 5

interface Plan {
  readonly bytes_to_nodes: number
  readonly bytes_local: number
}

export async function benchLocality(ground: Ground): Promise<void> {
  ground.tell('starting an HDFS of six data nodes')
  const site = await startHdfs()
  try {
    const urls = await putFiles(site, jobsFor(ground, 120))
    describeTo(join(ground.scratch, 'config'), site, join(ground.scratch, 'frost'))
    const figures = { local: [] as number[], chance: [] as number[], fetched: [] as number[], planned: [] as number[] }
    for (let turn = 0; turn < ground.turns; turn++) {
      const campaign = await freshCampaign(ground, `locality${turn}`)
      const jobs = urls.flatMap((url, at) =>
        Array.from({ length: PER_FILE }, (_, nth) => ({
          ...{ id: `j${at}-${nth}`, executable: 'true', arguments: [] },
          data: { input: [url] },
        })),
      )
      const file = join(ground.scratch, `locality${turn}.ndjson`)
      writeFileSync(file, jobs.map((job) => `${JSON.stringify(job)}\n`).join(''))
      const call = async (...line: string[]) => (await measure({ argv: floe(ground, campaign, line) })).stdout
      await call('add', file)
      ground.tell(`turn ${turn + 1}: ${jobs.length} jobs planned and run`)
      const plan = JSON.parse(
        await call('plan', '--site', 'frost', '--jobs-per-batch', String(PER_BATCH), '--json'),
      ) as Plan
      figures.local.push(plan.bytes_local)
      // On any of the nodes, a third of all lies: two replicas on six.
      figures.chance.push((plan.bytes_to_nodes * 2) / site.dataNodes.length)
      const before = await servedBy(site)
      await call('run', '--site', 'frost')
      figures.fetched.push((await servedBy(site)) - before)
      figures.planned.push(plan.bytes_to_nodes)
    }
    ground.print({
      ...{ work: 'bytes on the nodes of their batches, by the plan', unit: 'bytes' },
      ...{ ours: figures.local, baseline: figures.chance, baselineName: 'batches placed at random' },
      must: { of: 'ratio', least: 2.5 },
    })
    ground.print({
      ...{ work: 'bytes that data nodes served', unit: 'bytes', ours: figures.fetched, baseline: figures.planned },
      ...{ baselineName: 'what the plan foretold', must: { of: 'ratio', most: 1.1 } },
    })
  } finally {
    await site.stop()
  }
}

async function putFiles(site: HdfsSite, count: number): Promise<string[]> {
  const files = hdfsFiles(site.client())
  await files.makeFolders('/bench')
  const paths = Array.from({ length: count }, (_, at) => `/bench/${at}.bin`)
  for (const path of paths) await files.write(path, randomBytes(FILE_BYTES))
  return paths.map((path) => `${site.url}${path}`)
}

function describeTo(config: string, site: HdfsSite, scratch: string): void {
  mkdirSync(join(config, 'floe'), { recursive: true })
  mkdirSync(scratch, { recursive: true })
  const text = `sites:
  frost: {connector: local, scratch: ${scratch}, interval: 1s, slots: 2, data_nodes_of: [namenode]}
hdfs:
  namenode: {user: root, hosts: ${JSON.stringify(site.hosts)}}
`
  writeFileSync(join(config, 'floe', 'sites.yaml'), text, { mode: 0o600 })
  process.env.XDG_CONFIG_HOME = config
}
