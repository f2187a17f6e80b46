import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/ports/clock.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { cachedNear } from '../../src/ports/tables/near-cached.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { rowsOf } from '../conformance/rows.ts'
import { type HdfsSite, startHdfs } from '../containers/hdfs.ts'
import { sweep } from '../containers/owner.ts'
import { count, emptyFolder, type Ground, jobsFor } from './ground.ts'
import { benchLocality } from './hdfs-locality.ts'
import { measure } from './measure.ts'

/* A gigabyte to and from a real HDFS beside curl, and a publication into it beside one on disk and the copying of it. Needs an engine for containers. */

export async function benchHdfs(ground: Ground): Promise<void> {
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  await sweep()
  ground.tell('starting an HDFS')
  const site = await startHdfs({ dataNodes: 3 })
  try {
    await benchFiles(ground, site)
    await benchPublication(ground, site)
  } finally {
    await site.stop()
  }
  await benchLocality(ground)
}

async function benchFiles(ground: Ground, site: HdfsSite): Promise<void> {
  const bytes = Math.round(1e9 / ground.shrink)
  const [source, target] = ['source', 'target'].map((name) => join(ground.scratch, name)) as [string, string]
  await measure({ argv: ['/bin/sh', '-c', `head -c ${bytes} /dev/urandom > '${source}'`] })
  const files = hdfsFiles(site.client())
  const times = { write: [] as number[], curlWrite: [] as number[], read: [] as number[], curlRead: [] as number[] }
  for (let turn = 0; turn < ground.turns; turn++) {
    ground.tell(`turn ${turn + 1}: ${bytes} bytes to and from HDFS`)
    const [ours, theirs] = [`/bench/ours${turn}`, `/bench/curl${turn}`]
    await files.makeFolders('/bench')
    times.write.push(await timed(() => files.publish(source, ours)))
    times.curlWrite.push(
      (await curl(site, `${theirs}?op=CREATE`, ['-H', 'Expect: 100-continue', '-T', source])).wallSec,
    )
    times.read.push(await timed(() => files.fetch(ours, target)))
    if (statSync(target).size !== bytes) throw new Error(`read ${statSync(target).size} of ${bytes} bytes`)
    rmSync(target)
    times.curlRead.push((await curl(site, `${theirs}?op=OPEN`, ['-o', target])).wallSec)
    if (statSync(target).size !== bytes) throw new Error(`curl read ${statSync(target).size} of ${bytes} bytes`)
    for (const path of [ours, theirs]) await files.remove(path)
  }
  const line = { unit: 's', baselineName: 'curl' } as const
  ground.print({
    ...{ ...line, work: '1 GB into HDFS', ours: times.write, baseline: times.curlWrite },
    must: { of: 'ratio', most: 1.11 },
  })
  ground.print({
    ...{ ...line, work: '1 GB from HDFS', ours: times.read, baseline: times.curlRead },
    must: { of: 'ratio', most: 2 },
  })
}

async function benchPublication(ground: Ground, site: HdfsSite): Promise<void> {
  const rows = jobsFor(ground, 1_500_000)
  const select = rowsOf(
    'results',
    {
      ...{ job_id: "'job' || i", job_key: 'i', revision: '1', output: "'mean/' || i || '.csv'" },
      ...{ job_digest: 'sha256(i::varchar)', digest: "'sha256:' || sha256((-i)::varchar)", size_bytes: 'i % 10000' },
      ...{ url: "'/scratch/floe/outputs/mean/' || i || '.csv'", published_at: 'now()' },
    },
    `FROM range(${rows}) t(i)`,
  )
  const times = { there: [] as number[], here: [] as number[] }
  const files = hdfsFiles(site.client())
  for (let turn = 0; turn < ground.turns; turn++) {
    ground.tell(`turn ${turn + 1}: ${count(rows)} rows`)
    const cache = emptyFolder(join(ground.scratch, 'cache'))
    const disk = emptyFolder(join(ground.scratch, 'disk'))
    const root = `/bench/published${turn}`
    await files.makeFolders(root)
    const near = await cachedNear({ files, url: site.url, root: `${root}/tables`, cache })
    const publish = (tables: Tables) => timed(() => tables.commit('results', { select, operation: 'bench' }))
    const there = await openTables({ root, cache, clock: systemClock, store: { files, near } })
    times.there.push(await publish(there))
    await there.close()
    const here = await openTables({ root: disk, cache: join(disk, 'cache'), clock: systemClock })
    const onDisk = await publish(here)
    await here.close()
    const packed = join(ground.scratch, 'packed')
    // What curl needs for as many bytes.
    await measure({ argv: ['/bin/sh', '-c', `find '${disk}/tables' -name '*.parquet' -exec cat {} + > '${packed}'`] })
    const copy = await curl(site, `${root}.copy?op=CREATE`, ['-H', 'Expect: 100-continue', '-T', packed])
    times.here.push(onDisk + copy.wallSec)
    for (const path of [root, `${root}.copy`]) await files.remove(path)
  }
  ground.print({
    ...{ work: `${count(rows)} results published into HDFS`, unit: 's', ours: times.there, baseline: times.here },
    ...{ baselineName: 'to disk, and curl copying as many bytes', must: { of: 'ratio', most: 1.5 } },
  })
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await act()
  return (performance.now() - started) / 1000
}

/** All hosts of the cluster are on this machine's loopback, under their own ports. */
function curl(site: HdfsSite, operation: string, options: readonly string[]) {
  const { host } = new URL(site.url)
  const url = `http://${host}/webhdfs/v1${operation}&user.name=root`
  return measure({ argv: ['curl', '-sSfL', '--connect-to', '::127.0.0.1:', ...options, url] })
}
