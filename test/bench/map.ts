import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { affinityOrder, type Hypergraph } from '../../src/map/map.ts'
import { CATALOGS, type CatalogName, makeCatalog } from './map-catalogs.ts'

export interface MapBenchOptions {
  readonly catalogs?: readonly CatalogName[]
  readonly jobs?: number
  readonly inputs?: number
  readonly sizes?: readonly number[]
  readonly seed?: number
  /** Where mtkahypar.py lies. */
  readonly script?: string
  /** False: only our own numbers. */
  readonly baseline?: boolean
}

/** One catalog at one batch size. Bytes are multiples of the distinct inputs, the lower bound of any plan. */
export interface MapBenchRow {
  readonly catalog: CatalogName
  readonly jobsPerBatch: number
  readonly blocks: number
  readonly heaviest: number
  readonly bytes: number
  readonly seconds: number
  readonly baselineBytes: number | null
  readonly baselineSeconds: number | null
  readonly baselineImbalance: number | null
  readonly bytesRatio: number | null
  readonly secondsRatio: number | null
}

export interface MapBenchResult {
  readonly jobs: number
  readonly inputs: number
  readonly seed: number
  readonly baseline: string | null
  readonly rows: readonly MapBenchRow[]
  /** Geometric means and worst cases of the ratios; null without the baseline. */
  readonly bytesMean: number | null
  readonly bytesWorst: number | null
  readonly secondsMean: number | null
  readonly secondsWorst: number | null
}

interface Baseline {
  readonly km1: number
  readonly seconds: number
  readonly imbalance: number
  readonly version: string
}

/** The baseline holds 32-bit sums, so it weighs inputs in steps of 100 kB; the catalogs have no other sizes. */
const STEP = 100_000

/**
 * Bytes to nodes and seconds of the affinity order against Mt-KaHyPar (default preset, 2 threads, 3 %, connectivity) on the
 * same hypergraphs with the same block counts. Ours runs before and after each run of the baseline and its seconds are the
 * mean, so that a busy machine weighs on both. Seconds are of the partitioners alone. Prints a line a row.
 */
export function benchMap(options: MapBenchOptions = {}, print: (line: string) => void = console.log): MapBenchResult {
  const { jobs = 100_000, inputs = 2000, seed = 1, sizes = [200, 1000, 5000] } = options
  const catalogs = options.catalogs ?? (Object.keys(CATALOGS) as CatalogName[])
  const folder = mkdtempSync(join(tmpdir(), 'floe-bench-'))
  const rows: MapBenchRow[] = []
  let version: string | null = null
  let baselineOn = options.baseline ?? true
  print('catalog   a batch  bytes x bound  seconds  Mt-KaHyPar bytes  seconds  ratio bytes  seconds')
  try {
    for (const catalog of catalogs) {
      const graph = makeCatalog(catalog, jobs, inputs, seed)
      const file = join(folder, `${catalog}.bin`)
      if (baselineOn) writeGraph(file, graph)
      for (const jobsPerBatch of sizes) {
        const before = measure(graph, jobsPerBatch)
        const baseline = baselineOn ? runBaseline(file, Math.ceil(jobs / jobsPerBatch), options.script, print) : null
        if (baseline === null) baselineOn = false
        else version = baseline.version
        const after = baseline === null ? before : measure(graph, jobsPerBatch)
        const row = toRow(
          catalog,
          jobsPerBatch,
          graph,
          { ...before, seconds: (before.seconds + after.seconds) / 2 },
          baseline,
        )
        rows.push(row)
        print(toLine(row))
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const result = { jobs, inputs, seed, baseline: version && `mtkahypar ${version}`, rows, ...summary(rows) }
  if (version !== null) {
    print(`geometric mean: bytes ${result.bytesMean?.toFixed(3)}, seconds ${result.secondsMean?.toFixed(3)}`)
    print(`worst: bytes ${result.bytesWorst?.toFixed(3)}, seconds ${result.secondsWorst?.toFixed(3)}`)
  }
  return result
}

interface Measured {
  readonly blocks: number
  readonly heaviest: number
  readonly bytes: number
  readonly seconds: number
}

function measure(graph: Hypergraph, jobsPerBatch: number): Measured {
  const started = performance.now()
  const { cuts, bytesToNodes: bytes } = affinityOrder(graph, { capacity: jobsPerBatch })
  const seconds = (performance.now() - started) / 1000
  let heaviest = 0
  cuts.forEach((end, block) => {
    heaviest = Math.max(heaviest, end - (cuts[block - 1] ?? 0))
  })
  return { blocks: cuts.length, heaviest, bytes, seconds }
}

function writeGraph(file: string, graph: Hypergraph): void {
  const { jobs, inputs, offsets, pins, inputBytes } = graph
  const words = new Uint32Array(3 + offsets.length + pins.length + inputs)
  words.set([jobs, inputs, pins.length])
  words.set(offsets, 3)
  words.set(pins, 3 + offsets.length)
  words.set(
    inputBytes.map((bytes) => bytes / STEP),
    3 + offsets.length + pins.length,
  )
  writeFileSync(file, words)
}

function runBaseline(
  file: string,
  blocks: number,
  script: string | undefined,
  print: (line: string) => void,
): Baseline | null {
  const python = process.env.FLOE_PYTHON ?? 'python3'
  const path = script ?? join('test', 'bench', 'mtkahypar.py')
  const { status, stdout, stderr, error } = spawnSync(python, [path, file, `${blocks}`, '0.03', '2', '1'], {
    encoding: 'utf8',
  })
  if (status === 0) return JSON.parse(stdout) as Baseline
  const said = error?.message ?? stderr.trim().split('\n').at(-1) ?? ''
  print(
    `No baseline: ${python} ${path}: ${said}. Install it with \`pip install mtkahypar\` and name that Python in FLOE_PYTHON.`,
  )
  return null
}

function toRow(
  catalog: CatalogName,
  jobsPerBatch: number,
  graph: Hypergraph,
  ours: Measured,
  baseline: Baseline | null,
): MapBenchRow {
  let bound = 0
  for (const input of new Set(graph.pins)) bound += graph.inputBytes[input] as number
  const baselineBytes = baseline && (baseline.km1 * STEP + bound) / bound
  return {
    catalog,
    jobsPerBatch,
    ...ours,
    bytes: ours.bytes / bound,
    baselineBytes,
    baselineSeconds: baseline?.seconds ?? null,
    baselineImbalance: baseline?.imbalance ?? null,
    bytesRatio: baselineBytes && ours.bytes / bound / baselineBytes,
    secondsRatio: baseline && ours.seconds / baseline.seconds,
  }
}

function toLine(row: MapBenchRow): string {
  const number = (value: number | null, digits: number, width: number): string =>
    (value === null ? '-' : value.toFixed(digits)).padStart(width)
  return [
    row.catalog.padEnd(9),
    number(row.jobsPerBatch, 0, 7),
    number(row.bytes, 3, 14),
    number(row.seconds, 2, 8),
    number(row.baselineBytes, 3, 17),
    number(row.baselineSeconds, 2, 8),
    number(row.bytesRatio, 3, 12),
    number(row.secondsRatio, 3, 8),
  ].join(' ')
}

function summary(rows: readonly MapBenchRow[]): Omit<MapBenchResult, 'jobs' | 'inputs' | 'seed' | 'baseline' | 'rows'> {
  const bytes = rows.flatMap((row) => row.bytesRatio ?? [])
  const seconds = rows.flatMap((row) => row.secondsRatio ?? [])
  if (bytes.length === 0) return { bytesMean: null, bytesWorst: null, secondsMean: null, secondsWorst: null }
  const mean = (values: readonly number[]): number =>
    Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
  return {
    bytesMean: mean(bytes),
    bytesWorst: Math.max(...bytes),
    secondsMean: mean(seconds),
    secondsWorst: Math.max(...seconds),
  }
}
