import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  foretellReads,
  groupByHome,
  type Holdings,
  type Hypergraph,
  homesOf,
  NO_HOME,
  planJobs,
} from '../../../src/map/map.ts'
import { jobKeySql } from '../../../src/model/job-key.ts'
import { nodePlace, rackOf } from '../../../src/model/places.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables } from '../../../src/ports/tables/tables.ts'

const NODES = Array.from({ length: 9 }, (_, at) => nodePlace(`/r${Math.floor(at / 3)}`, `dn${at}`))

/** An input: its bytes, and the nodes that hold a replica of all of it; none: it lies elsewhere. */
interface Input {
  readonly bytes: number
  readonly at: readonly number[]
}

const input: fc.Arbitrary<Input> = fc.record({
  bytes: fc.integer({ min: 1, max: 1000 }),
  at: fc.uniqueArray(fc.nat({ max: NODES.length - 1 }), { maxLength: 3 }).map((at) => at.sort((a, b) => a - b)),
})
const catalog = fc.array(input, { minLength: 1, maxLength: 30 }).chain((inputs) =>
  fc.record({
    inputs: fc.constant(inputs),
    jobs: fc.array(fc.uniqueArray(fc.nat({ max: inputs.length - 1 }), { maxLength: 4 }), {
      minLength: 1,
      maxLength: 60,
    }),
  }),
)

function offsetsOf(lengths: readonly number[]): Uint32Array {
  const offsets = new Uint32Array(lengths.length + 1)
  for (const [at, length] of lengths.entries()) offsets[at + 1] = offsets[at]! + length
  return offsets
}

function made(
  inputs: readonly Input[],
  jobs: readonly (readonly number[])[],
): { graph: Hypergraph; holdings: Holdings } {
  const held = inputs.flatMap(({ bytes, at }) => at.map((node) => ({ node, bytes })))
  return {
    graph: {
      ...{ jobs: jobs.length, inputs: inputs.length, offsets: offsetsOf(jobs.map(({ length }) => length)) },
      pins: Uint32Array.from(jobs.flat()),
      inputBytes: Float64Array.from(inputs, ({ bytes }) => bytes),
      jobWeight: undefined,
    },
    holdings: {
      nodes: NODES,
      offsets: offsetsOf(inputs.map(({ at }) => at.length)),
      holders: Uint32Array.from(held, ({ node }) => node),
      bytes: Float64Array.from(held, ({ bytes }) => bytes),
      readBytes: Float64Array.from(inputs, ({ bytes, at }) => (at.length > 0 ? bytes : 0)),
    },
  }
}

const count = (values: Iterable<number>): Map<number, number> => {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

describe('homes', () => {
  test('hold something of their jobs, and none is home to much more than the mean', () => {
    fc.assert(
      fc.property(catalog, ({ inputs, jobs }) => {
        const { graph, holdings } = made(inputs, jobs)
        const homes = homesOf(graph, holdings)
        const holders = new Set(inputs.flatMap(({ at }) => at)).size
        const limit = Math.max((jobs.length / Math.max(1, holders)) * 1.1, jobs.length / Math.max(1, holders) + 1)
        for (const [node, load] of count(homes)) if (node !== NO_HOME) expect(load).toBeLessThanOrEqual(limit)
        for (const [job, home] of homes.entries()) {
          const holds = jobs[job]!.some((one) => inputs[one]!.at.includes(home))
          expect(holds).toBe(home !== NO_HOME)
        }
      }),
    )
  })

  test.each([1, 2, 3, 4, 5])('are even where each job has one input with two replicas at random (%i)', (seed) => {
    let state = seed
    const next = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647
      return state % below
    }
    const inputs = Array.from({ length: 180 }, () => {
      const first = next(NODES.length)
      return { bytes: 10, at: [first, (first + 1 + next(NODES.length - 1)) % NODES.length].sort((a, b) => a - b) }
    })
    const { graph, holdings } = made(
      inputs,
      inputs.map((_, i) => [i]),
    )
    const homes = homesOf(graph, holdings)
    for (const [job, home] of homes.entries()) expect(inputs[job]!.at).toContain(home)
    const loads = [...count(homes).values()]
    expect([loads.length, Math.min(...loads) >= 19, Math.max(...loads) <= 21]).toEqual([9, true, true])
  })

  test('are the same for jobs that read one input, as far as there is room', () => {
    const inputs = [0, 1, 2, 3].map((node) => ({ bytes: 10, at: [node, node + 1] }))
    const jobs = Array.from({ length: 40 }, (_, job) => [job % 4])
    const { graph, holdings } = made(inputs, jobs)
    const homes = [...homesOf(graph, holdings)]
    const perInput = inputs.map((_, one) => new Set(homes.filter((_, job) => job % 4 === one)).size)
    // Four inputs over five nodes: the share of a node is 8 of 40 jobs, so two jobs of each find no room at its first home.
    expect(Math.max(...perInput)).toBeLessThanOrEqual(3)
    expect(homes.filter((home, job) => home === homes[job % 4]).length).toBeGreaterThanOrEqual(32)
  })

  test('make groups of a batch or more each, but for the last, and a group of a rack keeps to it', () => {
    fc.assert(
      fc.property(catalog, fc.integer({ min: 1, max: 20 }), ({ inputs, jobs }, capacity) => {
        const { graph, holdings } = made(inputs, jobs)
        const homes = homesOf(graph, holdings)
        const groups = groupByHome(graph, { homes, holdings, capacity })
        expect(groups.flatMap((group) => [...group]).sort((a, b) => a - b)).toEqual(jobs.map((_, job) => job))
        let last = false
        for (const group of groups) {
          expect(last).toBe(false)
          const of = new Set([...group].map((job) => homes[job]!))
          const racks = new Set([...of].map((home) => (home === NO_HOME ? 'none' : rackOf(NODES[home]!))))
          last = racks.size > 1 || racks.has('none') || group.length < capacity
        }
        // Who has enough jobs for a batch has a group of its own.
        for (const [home, load] of count(homes)) {
          if (home === NO_HOME || load < capacity) continue
          expect(groups.filter((group) => group.some((job) => homes[job] === home)).length).toBe(1)
          const own = groups.find((group) => homes[group[0]!] === home)!
          expect([...own].every((job) => homes[job] === home)).toBe(true)
        }
      }),
    )
  })
})

test('reads of batches add up to what they read of HDFS, and are the best of any node', () => {
  fc.assert(
    fc.property(catalog, fc.integer({ min: 1, max: 10 }), ({ inputs, jobs }, size) => {
      const { graph, holdings } = made(inputs, jobs)
      const order = Uint32Array.from(jobs, (_, job) => job)
      const cuts = jobs.map((_, job) => job + 1).filter((end) => end % size === 0 || end === jobs.length)
      const { local, rack, remote } = foretellReads(graph, { order, cuts }, holdings)
      let [all, best] = [0, 0]
      for (const [at, end] of cuts.entries()) {
        const read = [...new Set(jobs.slice(at === 0 ? 0 : cuts[at - 1]!, end).flat())].map((one) => inputs[one]!)
        const there = (node: number) =>
          read.filter(({ at: nodes }) => nodes.includes(node)).reduce((sum, { bytes }) => sum + bytes, 0)
        all += read.filter(({ at: nodes }) => nodes.length > 0).reduce((sum, { bytes }) => sum + bytes, 0)
        best += Math.max(...NODES.map((_, node) => there(node)))
      }
      expect([local + rack + remote, local]).toEqual([all, best])
      expect(Math.min(rack, remote)).toBeGreaterThanOrEqual(0)
    }),
  )
})

const URLS = Array.from({ length: 60 }, (_, at) => `webhdfs://nn:9870/in/${String(at).padStart(3, '0')}`)

/** Plans 120 jobs, of one input of 60 each, or also of the next one; each has two replicas. Rows of all tables in an order by `seed`. */
async function plan(seed: number, at: string | undefined, next = false) {
  const root = mkdtempSync(join(tmpdir(), 'floe-homes-'))
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock })
  try {
    const mixed = `order by hash(${seed}, u.n)`
    await tables.commit('files', {
      operation: 'test',
      select: `select url, 'input' as kind, 1000 as size_bytes, now() as mtime, null as digest, null as digest_kind, false as missing,
        null as sites, null as hosts, now() as seen_at,
        map_from_entries([(nodes[1 + n % 6], 1000), (nodes[1 + (n + 1 + (n // 6) % 5) % 6], 1000)]) as nodes, now() as nodes_at
        from (select ${JSON.stringify(URLS).replaceAll('"', "'")} as urls, ${JSON.stringify(NODES.slice(0, 6)).replaceAll('"', "'")} as nodes),
        (select unnest(range(60)) as n) u, lateral (select urls[n + 1] as url) ${mixed}`,
    })
    await tables.commit('jobs', {
      operation: 'test',
      select: `select 'j' || lpad(n::varchar, 3, '0') as job_id, ${jobKeySql("'j' || lpad(n::varchar, 3, '0')")} as job_key, 1 as revision,
        n % 3 as bucket, [urls[1 + n // 2]${next ? ', urls[1 + (n // 2 + 1) % 60]' : ''}] as inputs, ${NULLS}
        from (select ${JSON.stringify(URLS).replaceAll('"', "'")} as urls), (select unnest(range(120)) as n) u ${mixed}`,
    })
    await tables.view('jobs', undefined, 'jobs_rows')
    await tables.sql.run(`create or replace temp table runnable as select job_id, job_key, revision, 0 as priority, null::double as seconds,
      '{}' as resource_class from jobs_rows u ${mixed.replace('u.n', 'job_id')}`)
    const { bytesToNodes, batches, reads } = await planJobs(tables, {
      ...{ site: 's', jobsPerBatch: 10, batchSeconds: 600, bytesMax: null, clock: systemClock, at },
    })
    await tables.view('plan')
    await tables.view('batches')
    const positions = await tables.sql.rows('select position::integer as position, job_id from plan order by position')
    const cuts = await tables.sql.rows<{ end: number }>('select position_to::integer as "end" from batches order by 1')
    return { bytesToNodes, batches, reads, positions, cuts }
  } finally {
    await tables.close()
  }
}

const NULLS = [
  ...['spec_digest', 'executable', 'arguments', 'input_names', 'outputs', 'files', 'file_names', 'environment'],
  ...['setup', 'container', 'stdin', 'stdout', '"check"', 'resources', 'labels', 'priority', 'site', 'parent'],
  ...['after', 'cache', 'publish', 'input_hash', 'withdrawn', 'added_at', 'source'],
]
  .map((name) => `null as ${name}`)
  .join(', ')

const AT = "starts_with(url, 'webhdfs://nn:9870/')"

test('a plan by homes is the same whatever the order of rows, and reads all on the nodes', async () => {
  const [one, other] = [await plan(1, AT), await plan(2, AT)]
  expect(other).toEqual(one)
  expect(one.reads).toEqual({ local: one.bytesToNodes, rack: 0, remote: 0 })
  expect(one.bytesToNodes).toBe(60_000)
  expect((await plan(1, undefined)).reads).toBeUndefined()
})

test('jobs that share inputs of many nodes stay together', async () => {
  const chain = await plan(1, AT, true)
  expect(chain.reads!.local + chain.reads!.rack + chain.reads!.remote).toBe(chain.bytesToNodes)
  expect(chain.bytesToNodes).toBe((await plan(1, undefined, true)).bytesToNodes)
})
