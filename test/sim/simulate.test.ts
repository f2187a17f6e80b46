import { describe, expect, test } from 'vitest'
import { type Cell, Coverage, cellNamed, nameOf } from './faults.ts'
import { type Ending, type Trial, World } from './world.ts'

/*
 * Whole campaigns from a seed, with time that is virtual and faults of the whole menu; what has to hold is looked at after each commit and at
 * the end. One of them again: FLOE_SIM_SEED=17 npx vitest run test/sim, with FLOE_SIM_WISH when a fault was wished for. More of them:
 * FLOE_SIM_SEEDS=1000. The coordinator killed at each step of a campaign, and not at some: FLOE_SIM_KILLS=all.
 */

const SEEDS = Number(process.env.FLOE_SIM_SEEDS ?? 5)
/** Seeds that are tried for a fault that is wished for. */
const WISHES = 5
const ONLY = process.env.FLOE_SIM_SEED
const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)]
const coverage = new Coverage()

async function lived(trial: Omit<Trial, 'coverage'>): Promise<Ending> {
  try {
    return await new World({ ...trial, coverage }).run()
  } catch (cause) {
    const wish = trial.wish ? ` FLOE_SIM_WISH='${nameOf(trial.wish)}'` : ''
    const again = trial.faults ? `FLOE_SIM_SEED=${trial.seed}${wish}` : 'FLOE_SIM_KILLS=all'
    throw new Error(`seed ${trial.seed}: ${(cause as Error).message}\nonce more: ${again} npx vitest run test/sim`, {
      cause,
    })
  }
}

const jobName = (job: number): string => `job${String(job).padStart(2, '0')}`
const published = (jobs: number): string[] =>
  Array.from({ length: jobs }, (_, job) => `${jobName(job)} out/${job}.nc sha256:${jobName(job)}`).sort()

/** All jobs succeeded and are published once; only those of tasks that went wrong may have begun more than once. */
function expectWhole({ states, results, begun, hit }: Ending, jobs: number): void {
  expect(states).toMatchObject({ succeeded: jobs })
  expect(results).toEqual(published(jobs))
  for (const [job, times] of begun) if (!hit.has(job)) expect(times, `${job} was begun`).toBe(1)
}

async function underFaults(seed: number, wish?: Cell): Promise<void> {
  const jobs = wish ? 20 : seed % 50 === 49 ? 50 : 4 + ((seed * 7) % 10)
  expectWhole(await lived({ seed, jobs, faults: true, wish }), jobs)
}

describe('campaigns under the fault menu', () => {
  test.each(seeds)('seed %i', (seed) => underFaults(seed, cellNamed(process.env.FLOE_SIM_WISH ?? '')))

  // A minute of CPU, beside others.
  test.runIf(ONLY === undefined)('each fault met each state that it can meet', { timeout: 1_200_000 }, async () => {
    for (let seed = 1; seed <= WISHES; seed++)
      for (const cell of coverage.empty) if (coverage.empty.includes(cell)) await underFaults(seed, cell)
    console.log(coverage.table)
    expect(coverage.empty.map(nameOf)).toEqual([])
  })
})

describe('campaigns over two sites', () => {
  test.each(seeds.slice(0, 3))('under the fault menu, seed %i', async (seed) => {
    expectWhole(await lived({ seed, jobs: 14, faults: true, sites: 2 }), 14)
  })

  test.runIf(ONLY === undefined)(
    'end with the same tables when the coordinator is killed again and again',
    async () => {
      const kill = { at: (life: number) => 2 * life + 1, when: 'after' } as const
      const ending = await lived({ seed: 1, jobs: 7, faults: false, sites: 2, kill })
      expectWhole(ending, 7)
      for (const [job, times] of ending.begun) expect(times, `${job} was begun`).toBe(1)
    },
  )
})

describe.runIf(ONLY === undefined)('a coordinator that is killed', () => {
  const [seed, jobs] = [1, 7]
  const quiet = { seed, jobs, faults: false }

  test.each(['before', 'after'] as const)(
    'one step later in each life, %s its effect, ends with the same tables',
    async (when) => {
      const ending = await lived({ ...quiet, kill: { at: (life) => life + 1, when } })
      expect(ending.steps.length).toBeGreaterThan(5)
      expectWhole(ending, jobs)
      for (const [job, times] of ending.begun) expect(times, `${job} was begun`).toBe(1)
    },
  )

  test.runIf(process.env.FLOE_SIM_KILLS === 'all')('at each step of a campaign ends with the same tables', async () => {
    const { steps } = await lived(quiet)
    for (let step = 1; step <= steps[0]!; step++)
      for (const when of ['before', 'after'] as const) {
        const ending = await lived({ ...quiet, kill: { at: (life) => (life === 0 ? step : undefined), when } })
        expectWhole(ending, jobs)
      }
  })
})
