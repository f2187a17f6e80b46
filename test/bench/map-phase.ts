import { join } from 'node:path'
import type { Ground } from './ground.ts'
import { benchMap } from './map.ts'

/** Bytes to the nodes and seconds of the partitioner, against Mt-KaHyPar on the same hypergraphs. */
export async function benchMapPhase(ground: Ground): Promise<void> {
  const small = ground.shrink > 1
  const { rows, baseline, bytesMean } = benchMap(
    {
      script: join(ground.root, 'test', 'bench', 'mtkahypar.py'),
      ...(small && { jobs: 2000, inputs: 100, sizes: [200], catalogs: ['zipf'] as const }),
    },
    ground.tell,
  )
  const work = `bytes to nodes, ${new Set(rows.map(({ catalog }) => catalog)).size} catalogs`
  if (baseline === null || bytesMean === null) {
    const why = 'Mt-KaHyPar is absent: pip install mtkahypar, and name that Python in FLOE_PYTHON'
    ground.print({ work, why })
    return
  }
  for (const row of rows) {
    ground.print({
      work: `bytes to nodes, ${row.catalog}, ${row.jobsPerBatch} a batch`,
      unit: '×',
      ours: [row.bytes],
      baseline: [row.baselineBytes!],
      baselineName: baseline,
      must: { of: 'ratio', most: 1.08 },
      note: `${row.seconds.toFixed(2)} s against ${row.baselineSeconds!.toFixed(2)} s`,
    })
  }
  const logs = (of: (row: (typeof rows)[number]) => number) => rows.map((row) => Math.log(of(row)))
  const mean = (values: readonly number[]) => Math.exp(values.reduce((sum, value) => sum + value, 0) / values.length)
  ground.print({
    work: `${work}, geometric mean`,
    unit: '×',
    ours: [mean(logs(({ bytes }) => bytes))],
    baseline: [mean(logs(({ baselineBytes }) => baselineBytes!))],
    baselineName: baseline,
    must: { of: 'ratio', most: 0.98 },
  })
  ground.print({
    work: `seconds of the map phase, ${rows.length} partitions, geometric mean`,
    unit: 's',
    ours: [mean(logs(({ seconds }) => seconds))],
    baseline: [mean(logs(({ baselineSeconds }) => baselineSeconds!))],
    baselineName: baseline,
    must: { of: 'ratio', most: 0.5 },
  })
}
