import { join } from 'node:path'
import { systemClock } from '../../src/ports/clock.ts'
import { hdfsFiles } from '../../src/ports/files/hdfs.ts'
import { WebHdfs } from '../../src/ports/files/webhdfs.ts'
import { parseHdfsUrl } from '../../src/ports/files/webhdfs-url.ts'
import { cachedNear } from '../../src/ports/tables/near-cached.ts'
import { openTables, type Tables } from '../../src/ports/tables/tables.ts'
import { rowsOf } from '../conformance/rows.ts'

/** A campaign in HDFS, and a machine that keeps its cache in a directory of its own. */
export interface MachineWish {
  readonly url: string
  readonly hosts: Readonly<Record<string, string>>
  /** Of the campaign, in HDFS. */
  readonly root: string
  /** On this machine. */
  readonly cache: string
}

/** The tables of that campaign, as that machine sees them. */
export async function tablesAt({ url, hosts, root, cache }: MachineWish): Promise<Tables> {
  const files = hdfsFiles(new WebHdfs(parseHdfsUrl(`${url}/`), { user: 'alice', hosts, idleMs: 20_000 }))
  const near = await cachedNear({ files, url, root: join(root, 'tables'), cache })
  return openTables({ root, cache, clock: systemClock, threads: 1, store: { files, near } })
}

/** A row of `attempts`, as SQL. */
export const attemptOf = (key: number): string =>
  rowsOf('attempts', { job_id: `'job${key}'`, job_key: String(key), try: '1' })
