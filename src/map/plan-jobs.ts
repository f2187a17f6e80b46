import type { Json } from '../model/json.ts'
import type { Clock } from '../ports/clock.ts'
import type { Row, Tables } from '../ports/tables/tables.ts'
import { affinityOrder } from './affinity-order.ts'
import { type BatchLimits, type CutBatch, cutBatches } from './cut-batches.ts'
import { fill } from './fill.ts'
import { foretellReads, type Holdings, type Reads, sumOfReads } from './holdings.ts'
import { groupByHome, homesOf } from './homes.ts'
import { bytesToNodes, type Hypergraph } from './hypergraph.ts'
import { readHoldings } from './read-holdings.ts'

export interface PlanOptions {
  readonly site: string
  /** Most jobs of a batch. */
  readonly jobsPerBatch: number
  /** Wanted seconds of a batch, where seconds are known. */
  readonly batchSeconds: number
  /** Most bytes of distinct inputs of a batch; null: no limit. */
  readonly bytesMax: number | null
  /** SQL condition on `url`: an input lies in an HDFS whose data nodes run the jobs; undefined: the site has none. */
  readonly at?: string | undefined
  readonly clock: Clock
  readonly guard?: () => Promise<void>
  /** Facts for the commit of batches, from a SELECT of all of them. */
  readonly facts?: (batches: string) => Promise<Readonly<Record<string, Json>>>
  readonly signal?: AbortSignal
}

/** What a plan costs, before a byte moves. */
export interface PlanCosts {
  readonly jobs: number
  readonly batches: number
  readonly jobsPerBatch: number
  /** Distinct inputs. */
  readonly files: number
  readonly bytesLowerBound: number
  readonly bytesToNodes: number
  readonly filesToNodes: number
  /** In the order of the catalog, batches of the same size. */
  readonly bytesCatalogOrder: number
  /** Each job on its own. */
  readonly bytesNaive: number
  readonly filesNaive: number
  /** Predicted seconds of all jobs; null: not known. */
  readonly seconds: number | null
  /** Of the bytes to the nodes, those of an HDFS whose data nodes run the jobs; undefined: the site has none. */
  readonly reads: Reads | undefined
}

/** Jobs of one priority and resource class: rows `from` to `to` of temporary table `plan_jobs`. */
interface ClassRange {
  readonly resourceClass: string
  readonly from: number
  readonly to: number
}

interface Costs {
  batches: number
  bytesToNodes: number
  filesToNodes: number
  bytesCatalogOrder: number
  reads: Reads
}

/** How much the work of a block may be above the mean. */
const IMBALANCE = 0.03

/**
 * Plans the jobs of the temporary table `runnable` (job_id, job_key, revision, priority, seconds, resource_class): writes the affinity
 * order to `plan` and the ranges of it to `batches`, state `cut`. The same jobs give the same plan whatever the order of their rows:
 * they are numbered by (priority, resource class, name). With `at`, jobs of one class whose inputs lie at one node are batched together, by
 * what table `files` knows of nodes. Memory: some 30 bytes a job and input.
 */
export async function planJobs(tables: Tables, options: PlanOptions): Promise<PlanCosts> {
  const { sql } = tables
  await tables.view('files')
  await tables.view('jobs', undefined, 'jobs_rows')
  const plan = await tables.view('plan', undefined, 'plan_positions')
  const batches = await tables.view('batches')
  const [next] = await sql.rows<{ plan_id: number; batch_id: number }>(
    `select (select coalesce(max(plan_id), 0) + 1 from plan_positions)::double as plan_id,
       (select coalesce(max(batch_id), 0) + 1 from batches)::double as batch_id`,
  )
  await numberRows(tables, options.at)
  const graph = await readGraph(tables)
  const holdings = options.at === undefined ? undefined : await readHoldings(tables)
  const classes = await sql.rows<{ resource_class: string; from: number; to: number }>(
    'select resource_class, min(n)::double as "from", max(n)::double + 1 as "to" from plan_jobs group by priority, resource_class order by 2',
  )
  const order = new Uint32Array(graph.jobs)
  const rows: Row[] = []
  const costs: Costs = {
    batches: 0,
    bytesToNodes: 0,
    filesToNodes: 0,
    bytesCatalogOrder: 0,
    reads: { local: 0, rack: 0, remote: 0 },
  }
  for (const { resource_class: resourceClass, from, to } of classes) {
    planClass(graph, { resourceClass, from, to }, { options, order, rows, costs, holdings })
  }
  await writePlan(
    tables,
    { order, rows, next: next!, planVersion: plan.version, batchesVersion: batches.version },
    options,
  )
  const seconds = graph.jobWeight === undefined ? null : graph.jobWeight.reduce((sum, weight) => sum + weight, 0)
  let bytesNaive = 0
  for (const input of graph.pins) bytesNaive += graph.inputBytes[input]!
  return {
    jobs: graph.jobs,
    batches: costs.batches,
    jobsPerBatch: options.jobsPerBatch,
    files: graph.inputs,
    bytesLowerBound: graph.inputBytes.reduce((sum, bytes) => sum + bytes, 0),
    bytesToNodes: costs.bytesToNodes,
    filesToNodes: costs.filesToNodes,
    bytesCatalogOrder: costs.bytesCatalogOrder,
    bytesNaive,
    filesNaive: graph.pins.length,
    seconds,
    reads: holdings && costs.reads,
  }
}

/** Temporary tables `plan_jobs` (n, …) and `plan_pins` (n, input), `plan_inputs` (input, bytes): names become numbers in an order of their own. */
async function numberRows({ sql }: Tables, at: string | undefined): Promise<void> {
  await sql.run(`create or replace temp table plan_jobs as
    select (row_number() over (order by priority desc, resource_class, job_id) - 1)::integer as n, job_id, job_key, revision, seconds, priority, resource_class
    from runnable`)
  await sql.run(`create or replace temp table plan_urls as
    select p.n, unnest(j.inputs) as url from plan_jobs p join jobs_rows j using (job_key, revision)`)
  await sql.run(`create or replace temp table plan_inputs as
    select (row_number() over (order by url) - 1)::integer as input, url, coalesce(f.size_bytes, 0)::double as bytes${
      at === undefined
        ? ''
        : `,
      ${at} as there, case when ${at} then f.nodes end as nodes`
    }
    from (select distinct url from plan_urls) left join files f using (url)`)
  await sql.run(`create or replace temp table plan_pins as
    select distinct u.n, i.input from plan_urls u join plan_inputs i using (url)`)
  await sql.run('drop table plan_urls')
}

async function readGraph({ sql }: Tables): Promise<Hypergraph> {
  const [size] = await sql.rows<{ jobs: number; inputs: number; pins: number; timed: number; usual: number | null }>(
    `select (select count(*) from plan_jobs)::double as jobs, (select count(*) from plan_inputs)::double as inputs,
       (select count(*) from plan_pins)::double as pins, (select count(seconds) from plan_jobs)::double as timed,
       (select avg(seconds) from plan_jobs) as usual`,
  )
  const { jobs, inputs, pins: pinCount, timed, usual } = size!
  const inputBytes = new Float64Array(inputs)
  await fill(sql.columns('select bytes from plan_inputs order by input'), [inputBytes])
  const pins = new Uint32Array(pinCount)
  const jobOfPin = new Uint32Array(pinCount)
  await fill(sql.columns('select n, input from plan_pins order by n, input'), [jobOfPin, pins])
  const offsets = new Uint32Array(jobs + 1)
  for (const job of jobOfPin) offsets[job + 1]!++
  for (let job = 0; job < jobs; job++) offsets[job + 1]! += offsets[job]!
  if (timed === 0) return { jobs, inputs, offsets, pins, inputBytes, jobWeight: undefined }
  const jobWeight = new Float64Array(jobs)
  await fill(sql.columns(`select coalesce(seconds, ${usual})::double as s from plan_jobs order by n`), [jobWeight])
  return { jobs, inputs, offsets, pins, inputBytes, jobWeight }
}

interface ClassPlace {
  readonly options: PlanOptions
  readonly order: Uint32Array
  readonly rows: Row[]
  readonly costs: Costs
  readonly holdings: Holdings | undefined
}

/** Order and batches of one resource class; its part of `order` is filled, its batches are added to `rows`. */
function planClass(graph: Hypergraph, range: ClassRange, { options, order, rows, costs, holdings }: ClassPlace): void {
  const { from, to, resourceClass } = range
  const part = subgraph(graph, from, to)
  const { jobs_max: jobsMax = Number.POSITIVE_INFINITY } = JSON.parse(resourceClass) as { jobs_max?: number }
  const jobsPerBatch = Math.min(options.jobsPerBatch, jobsMax)
  const mean = part.jobWeight === undefined ? 1 : part.jobWeight.reduce((sum, weight) => sum + weight, 0) / part.jobs
  const capacity =
    part.jobWeight === undefined ? jobsPerBatch : Math.max(mean, Math.min(options.batchSeconds, jobsPerBatch * mean))
  // The blocks are of about equal work: a limit of their mean would cut those that are a little over it.
  const limits = {
    secondsMax: capacity * (1 + IMBALANCE),
    ...(options.bytesMax !== null && { diskBytesMax: options.bytesMax }),
    ...(jobsMax < Number.POSITIVE_INFINITY && { jobsMax }),
  }
  const cut = (groups: readonly (Uint32Array | undefined)[]): Arranged => arrange(part, groups, { capacity, limits })
  const { order: partOrder, batches, reads } = holdings ? nearest(part, holdings, capacity, cut) : cut([undefined])
  for (const batch of batches) {
    costs.bytesToNodes += batch.inputBytes
    rows.push({
      position_from: from + batch.from,
      position_to: from + batch.to,
      jobs: batch.to - batch.from,
      input_bytes: batch.inputBytes,
      seconds: part.jobWeight === undefined ? null : batch.seconds,
      resource_class: resourceClass,
    })
  }
  for (let i = 0; i < part.jobs; i++) order[from + i] = from + partOrder[i]!
  const ends = Uint32Array.from(batches, ({ to: end }) => end)
  const catalogOrder = Uint32Array.from({ length: part.jobs }, (_, i) => i)
  costs.batches += batches.length
  costs.bytesCatalogOrder += bytesToNodes(part, catalogOrder, ends)
  costs.filesToNodes += filesToNodes(part, partOrder, ends)
  if (reads) costs.reads = sumOfReads(costs.reads, reads)
}

/** An order of jobs, cut into batches. */
interface Arranged {
  readonly order: Uint32Array
  readonly batches: readonly CutBatch[]
  readonly reads?: Reads
}

/** Orders and cuts each group on its own; undefined: all jobs. */
function arrange(
  part: Hypergraph,
  groups: readonly (Uint32Array | undefined)[],
  { capacity, limits }: { capacity: number; limits: BatchLimits },
): Arranged {
  const order = new Uint32Array(part.jobs)
  const batches: CutBatch[] = []
  let at = 0
  for (const jobs of groups) {
    const group = jobs === undefined ? part : subgraphOf(part, jobs)
    const planned = affinityOrder(group, { capacity, imbalance: IMBALANCE })
    const cut = cutBatches({ graph: group, order: planned.order, cuts: planned.cuts }, limits)
    for (let i = 0; i < group.jobs; i++)
      order[at + i] = jobs === undefined ? planned.order[i]! : jobs[planned.order[i]!]!
    for (const batch of cut.batches) batches.push({ ...batch, from: at + batch.from, to: at + batch.to })
    at += group.jobs
  }
  return { order, batches }
}

/** By homes, unless more would pass the network: jobs that share inputs of many nodes are better kept together. */
function nearest(
  part: Hypergraph,
  holdings: Holdings,
  capacity: number,
  cut: (groups: readonly (Uint32Array | undefined)[]) => Arranged,
): Arranged {
  const byHome = () => groupByHome(part, { homes: homesOf(part, holdings), holdings, capacity })
  const found = (holdings.nodes.length === 0 ? [[undefined]] : [byHome(), [undefined]]).map((some) => {
    const { order, batches } = cut(some)
    const cuts = Uint32Array.from(batches, ({ to }) => to)
    return { order, batches, reads: foretellReads(part, { order, cuts }, holdings) }
  })
  const [byHomes, plain = byHomes] = found as [Required<Arranged>, Required<Arranged>?]
  return movedBy(byHomes.reads) <= movedBy(plain.reads) ? byHomes : plain
}

const movedBy = ({ rack, remote }: Reads): number => rack + remote

/** Inputs that batches read, each counted once a batch. */
function filesToNodes(graph: Hypergraph, order: Uint32Array, cuts: Uint32Array): number {
  return bytesToNodes({ ...graph, inputBytes: new Float64Array(graph.inputs).fill(1) }, order, cuts)
}

/** Jobs `from` to `to` with the same inputs and their numbers. */
function subgraph(graph: Hypergraph, from: number, to: number): Hypergraph {
  if (from === 0 && to === graph.jobs) return graph
  const first = graph.offsets[from]!
  return {
    jobs: to - from,
    inputs: graph.inputs,
    offsets: graph.offsets.slice(from, to + 1).map((offset) => offset - first),
    pins: graph.pins.subarray(first, graph.offsets[to]!),
    inputBytes: graph.inputBytes,
    jobWeight: graph.jobWeight?.subarray(from, to),
  }
}

/** Some jobs, in rising order, with their inputs alone, which are numbered anew in the same order. */
function subgraphOf(graph: Hypergraph, jobs: Uint32Array): Hypergraph {
  const offsets = new Uint32Array(jobs.length + 1)
  for (const [i, job] of jobs.entries()) offsets[i + 1] = offsets[i]! + graph.offsets[job + 1]! - graph.offsets[job]!
  const pins = new Uint32Array(offsets[jobs.length]!)
  for (const [i, job] of jobs.entries())
    pins.set(graph.pins.subarray(graph.offsets[job]!, graph.offsets[job + 1]!), offsets[i]!)
  const used = Uint32Array.from(new Set(pins)).sort()
  const numbers = new Map<number, number>()
  for (const [number, input] of used.entries()) numbers.set(input, number)
  const { jobWeight } = graph
  return {
    jobs: jobs.length,
    inputs: used.length,
    offsets,
    pins: pins.map((input) => numbers.get(input)!),
    inputBytes: Float64Array.from(used, (input) => graph.inputBytes[input]!),
    jobWeight: jobWeight && Float64Array.from(jobs, (job) => jobWeight[job]!),
  }
}

interface Written {
  readonly order: Uint32Array
  readonly rows: readonly Row[]
  readonly next: { readonly plan_id: number; readonly batch_id: number }
  readonly planVersion: number
  readonly batchesVersion: number
}

/** Plan first, then batches: a plan without batches says nothing to anybody. */
async function writePlan(
  tables: Tables,
  { order, rows, next, planVersion, batchesVersion }: Written,
  options: PlanOptions,
): Promise<void> {
  const { sql } = tables
  const guard = options.guard && { guard: options.guard }
  await sql.load(
    'plan_order',
    [
      { name: 'position', type: 'BIGINT' },
      { name: 'n', type: 'INTEGER' },
    ],
    orderRows(order),
  )
  await tables.commit('plan', {
    operation: `plan ${order.length} jobs`,
    expect: planVersion,
    ...guard,
    select: `select ${next.plan_id}::bigint as plan_id, o.position, j.job_id, j.job_key, j.revision from plan_order o join plan_jobs j using (n)`,
  })
  await sql.load(
    'plan_batches',
    [
      { name: 'position_from', type: 'BIGINT' },
      { name: 'position_to', type: 'BIGINT' },
      { name: 'jobs', type: 'BIGINT' },
      { name: 'input_bytes', type: 'BIGINT' },
      { name: 'seconds', type: 'DOUBLE' },
      { name: 'resource_class', type: 'VARCHAR' },
    ],
    [rows],
  )
  const select = `select ${next.batch_id}::bigint + row_number() over (order by position_from) - 1 as batch_id, ${next.plan_id}::bigint as plan_id,
      position_from, position_to, jobs, input_bytes, seconds, '${options.site.replaceAll("'", "''")}' as site, resource_class,
      null::varchar as array_id, null::integer as task, 'cut' as state, null::varchar as native_id,
      make_timestamptz(${Math.round(options.clock.now() * 1000)}) as updated_at from plan_batches`
  await tables.commit('batches', {
    operation: `cut ${rows.length} batches`,
    expect: batchesVersion,
    ...guard,
    ...(options.facts && { facts: await options.facts(`select * from batches union all by name ${select}`) }),
    select,
  })
  for (const table of ['plan_order', 'plan_batches', 'plan_jobs', 'plan_pins', 'plan_inputs'])
    await sql.run(`drop table ${table}`)
}

function* orderRows(order: Uint32Array): Generator<Row[]> {
  for (let from = 0; from < order.length; from += 20_000) {
    yield Array.from(order.subarray(from, from + 20_000), (n, i) => ({ position: from + i, n }))
  }
}
