import { describe, expect, test } from 'vitest'
import { Coverage, cellNamed, nameOf } from './faults.ts'
import { lived, underFaults } from './whole.ts'

/*
 * Whole campaigns from a seed, with time that is virtual and faults of the whole menu; what has to hold is looked at after each commit and at
 * the end. Tables are in memory, for some seeds on disk. One of them again: FLOE_SIM_SEED=17 npx vitest run test/sim, with FLOE_SIM_WISH when a
 * fault was wished for. More of them: FLOE_SIM_SEEDS=5000. The coordinator killed before and after each step of twenty campaigns, and not of
 * one: FLOE_SIM_KILLS=all.
 */

const SEEDS = Number(process.env.FLOE_SIM_SEEDS ?? 150)
/** Seeds that are tried for a fault that is wished for. */
const WISHES = 5
const ONLY = process.env.FLOE_SIM_SEED
const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)]
const coverage = new Coverage()

describe('campaigns under the fault menu', () => {
  test.each(seeds)('seed %i', async (seed) => {
    const { results } = await underFaults(seed, coverage, cellNamed(process.env.FLOE_SIM_WISH ?? ''))
    expect(results.length).toBeGreaterThan(0)
  })

  test.runIf(ONLY === undefined)('each fault met each state that it can meet', { timeout: 1_200_000 }, async () => {
    for (let seed = 1; seed <= WISHES; seed++)
      for (const cell of coverage.empty) if (coverage.empty.includes(cell)) await underFaults(seed, coverage, cell)
    console.log(coverage.table)
    expect(coverage.empty.map(nameOf)).toEqual([])
  })
})

describe('campaigns whose tasks are chosen by those that start', () => {
  test.each(seeds.slice(0, 25))('under the fault menu, seed %i', async (seed) => {
    const jobs = 8 + (seed % 7)
    const { results } = await lived({ seed, jobs, faults: true, late: true, coverage }, `FLOE_SIM_SEED=${seed}`)
    expect(results.length).toBe(jobs)
  })
})

describe('campaigns over two sites', () => {
  const overTwo = async (seed: number) => {
    const trial = { seed, jobs: 14, faults: true, often: 0.4, sites: 2, coverage } as const
    const { results } = await lived(trial, `FLOE_SIM_SEED=${seed}`)
    expect(results).toHaveLength(14)
  }

  test.each(seeds.slice(0, 6))('under the fault menu, seed %i', overTwo)

  test.runIf(ONLY === undefined)(
    'what waits too long moved in each way in which it can',
    { timeout: 1_200_000 },
    async () => {
      for (let seed = 7; seed <= 40 && coverage.neverMoved.length > 0; seed++) await overTwo(seed)
      console.log(coverage.moves)
      expect(coverage.neverMoved).toEqual([])
    },
  )

  test.runIf(ONLY === undefined)(
    'end with the same tables when the coordinator is killed again and again',
    async () => {
      const kill = { at: (life: number) => 2 * life + 1, when: 'after' } as const
      const ending = await lived({ seed: 1, jobs: 7, faults: false, sites: 2, kill, coverage }, '')
      for (const [job, times] of ending.begun) expect(times, `${job} was begun`).toBe(1)
    },
  )
})

describe('campaigns of which some jobs go first', () => {
  test.each(seeds.slice(0, 8))('under the fault menu, seed %i', async (seed) => {
    const jobs = 9 + (seed % 9)
    const trial = {
      seed,
      jobs,
      faults: true,
      scouts: true,
      coverage,
      ...(seed % 4 === 3 && { sites: 2 as const }),
    } as const
    const { results } = await lived(trial, `FLOE_SIM_SEED=${seed}`)
    expect(results).toHaveLength(jobs)
  })

  test.runIf(ONLY === undefined)('end the same when the coordinator is killed again and again', async () => {
    const kill = { at: (life: number) => 2 * life + 1, when: 'after' } as const
    const ending = await lived({ seed: 1, jobs: 9, faults: false, scouts: true, kill, coverage }, '')
    for (const [job, times] of ending.begun) expect(times, `${job} was begun`).toBe(1)
  })
})

/** What a killed coordinator is tried on: campaigns that nothing else befalls. */
const quietOf = (seed: number) => ({ seed, jobs: 2 + (seed % 4), faults: false, coverage })
const QUIET = process.env.FLOE_SIM_KILLS === 'all' ? 20 : 1

describe.runIf(ONLY === undefined)('a coordinator that is killed', { timeout: 3_600_000 }, () => {
  test.each(['before', 'after'] as const)(
    'one step later in each life, %s its effect, ends with the same tables, on disk',
    async (when) => {
      const quiet = { seed: 1, jobs: 7, faults: false, onDisk: true, coverage }
      const ending = await lived({ ...quiet, kill: { at: (life) => life + 1, when } }, '')
      expect(ending.steps.length).toBeGreaterThan(5)
      for (const [job, times] of ending.begun) expect(times, `${job} was begun`).toBe(1)
    },
  )

  test.each(Array.from({ length: QUIET }, (_, i) => i + 1))(
    'at each step of campaign %i ends with the same tables',
    async (seed) => {
      const quiet = { ...quietOf(seed), onDisk: seed === 2 }
      const { steps } = await lived(quiet, 'FLOE_SIM_KILLS=all')
      for (let step = 1; step <= steps[0]!; step++)
        for (const when of ['before', 'after'] as const) {
          const kill = { at: (life: number) => (life === 0 ? step : undefined), when }
          const ending = await lived({ ...quiet, kill }, 'FLOE_SIM_KILLS=all')
          expect(ending.steps.length).toBe(2)
        }
    },
  )
})
