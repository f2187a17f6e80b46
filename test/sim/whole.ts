import { type Cell, type Coverage, nameOf } from './faults.ts'
import { type Ending, type Trial, World } from './world.ts'

export const jobName = (job: number): string => `job${String(job).padStart(2, '0')}`

const published = (jobs: number): string[] =>
  Array.from({ length: jobs }, (_, job) => `${jobName(job)} out/${job}.nc sha256:${jobName(job)}`).sort()

/** What is wrong with the end of a campaign: all jobs succeeded and are published once; only those of tasks that went wrong may have begun more than once. */
function wrongIn({ states, results, begun, hit }: Ending, jobs: number): string | undefined {
  if (states.succeeded !== jobs) return `of ${jobs} jobs not all succeeded: ${JSON.stringify(states)}`
  const missing = published(jobs).filter((row) => !results.includes(row))
  if (missing.length > 0 || results.length !== jobs)
    return `${results.length} results of ${jobs} jobs, without ${missing.join(', ') || 'any missing'}`
  const twice = [...begun].filter(([job, times]) => times > 1 && !hit.has(job))
  return twice.length === 0 ? undefined : `begun more than once without need: ${twice.map(([job]) => job).join(', ')}`
}

/** Lives a campaign to its end; throws what was wrong, with the words by which it is lived once more. */
export async function lived(trial: Trial, again: string): Promise<Ending> {
  try {
    const ending = await new World(trial).run()
    const wrong = wrongIn(ending, trial.jobs)
    if (wrong !== undefined) throw new Error(wrong)
    return ending
  } catch (cause) {
    const command = `${again} npx vitest run test/sim/simulate.test.ts`
    throw new Error(`seed ${trial.seed}: ${(cause as Error).message}\nonce more: ${command}`, { cause })
  }
}

/** Most are small and meet a fault now and then, since what is found there is understood soon; some are large, and some meet many. */
export function underFaults(seed: number, coverage: Coverage, wish?: Cell): Promise<Ending> {
  const jobs = wish ? 20 : seed % 50 === 49 ? 50 : seed % 10 === 9 ? 13 : 2 + (seed % 4)
  const often = seed % 5 === 4 ? 1 : 0.4
  const again = `FLOE_SIM_SEED=${seed}${wish ? ` FLOE_SIM_WISH='${nameOf(wish)}'` : ''}`
  return lived({ seed, jobs, faults: true, wish, often, onDisk: seed % 60 === 1, coverage }, again)
}
