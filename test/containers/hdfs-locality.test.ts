import { afterAll, beforeAll, it } from 'vitest'
import { startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { dataNodesOn, type HdfsSite, startHdfs } from './hdfs.ts'
import type { Machine } from './machine.ts'
import type { Site } from './site.ts'

describeSite('tasks beside their data', { timeout: 600_000 }, () => {
  let hdfs: HdfsSite
  let slurm: Site
  let dataNodes: readonly Machine[]
  beforeAll(async () => {
    ;[hdfs, slurm] = await Promise.all([
      startHdfs({ dataNodes: 0 }),
      startSlurm({ nodes: 6, cpus: 2, accounting: false }),
    ])
    const names = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6']
    dataNodes = await dataNodesOn(slurm, names, hdfs)
  })
  afterAll(async () => {
    await slurm?.stop()
    await hdfs?.stop()
  })
  it('starts', async () => {
    await hdfs.nameNode.ask(`mkdir -p /tmp/in && cd /tmp/in && for at in 1 2 3 4; do head -c 2000000 /dev/urandom >"$at"; done
      /start.sh fs -mkdir -p /data && /start.sh fs -put /tmp/in/* /data/`)
    console.log(await hdfs.ask('GET', '/data/1', 'op=GETFILEBLOCKLOCATIONS'))
    console.log(await hdfs.nameNode.ask(`/start.sh admin -printTopology`))
    console.log(await hdfs.ask('GET', '/data/1', 'op=LISTSTATUS'))
    console.log(await slurm.login.ask('sinfo -N'), dataNodes.length)
  })
})
