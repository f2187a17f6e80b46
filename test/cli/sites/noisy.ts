import { describe, expect, test } from 'vitest'
import { began, onceEach, open, openScene, type Scene, type SceneOptions, until, withWaits } from './scene.ts'

/* A scheduler that fails and chatters, and what may stand around it: for each kind of scheduler in a file of its own, side by side. */

export async function scened(
  scheduler: string,
  jobs: { jobs: number; waits?: boolean },
  options: SceneOptions = {},
): Promise<Scene> {
  const scene = await openScene(scheduler, options)
  withWaits(scene.place, jobs)
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  return scene
}

/** Tests of one scheduler. */
export function noisyScheduler(scheduler: string): void {
  describe(`a noisy ${scheduler}`, () => {
    const status = scheduler === 'slurm' ? 'squeue' : 'qstat'

    test('a status command that fails, is cut, or says nothing ends no task', async () => {
      const { place, fake, start, json } = await scened(scheduler, { jobs: 3 })
      const run = start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
      await until('all began', () => Object.keys(began(place)).length === 3)
      const { noise, calls } = fake
      const asked = (times: number) => {
        const before = calls.filter(({ command }) => command === status).length
        return until('it was asked', () => calls.filter(({ command }) => command === status).length >= before + times)
      }
      noise.failing.set(status, { times: 3, reply: fake.down })
      await asked(3)
      noise.half.add(status)
      await asked(4)
      noise.half.clear()
      noise.empty.add(status)
      // Longer than the grace for a record that is on its way.
      await asked(9)
      noise.empty.clear()
      open(place)
      expect((await run.end).stderr).not.toContain('floe:')
      expect(await json('status')).toMatchObject({ succeeded: 3 })
      expect(began(place)).toEqual(onceEach(3))
      expect(fake.jobs).toHaveLength(1)
    })

    test('banners, and a number without a word, are no obstacle', async () => {
      const { place, fake, json } = await scened(scheduler, { jobs: 2, waits: false })
      fake.noise.banner = 'Welcome to frost! Maintenance 12345 on Monday\n'
      fake.noise.bareNumber = scheduler === 'slurm'
      expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
      expect(began(place)).toEqual(onceEach(2))
      expect(fake.jobs).toHaveLength(1)
    })

    test('a submission without an answer is looked for, not repeated', async () => {
      const { place, fake, json } = await scened(scheduler, { jobs: 2, waits: false })
      fake.noise.noNumber = true
      expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
      expect(began(place)).toEqual(onceEach(2))
      expect(fake.jobs).toHaveLength(1)
    })

    test('variables of a scheduler around floe, and a locale, change nothing', async () => {
      const { place, fake, run } = await scened(scheduler, { jobs: 2, waits: false })
      const env = {
        ...{ SBATCH_PARTITION: 'fast', SBATCH_ACCOUNT: 'fire', SLURM_CLUSTERS: 'other', SQUEUE_PARTITION: 'fast' },
        ...{ SQUEUE_FORMAT: '%i', SLURM_JOB_ID: '7', SLURM_ARRAY_TASK_ID: '7', SLURM_ARRAY_JOB_ID: '7' },
        ...{ PBS_O_QUEUE: 'fast', PBS_JOBID: '7', PBS_ARRAY_INDEX: '7', PBS_ARRAY_ID: '7[]', QSTAT_FORMAT: 'x' },
        ...{ LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8', LC_NUMERIC: 'de_DE.UTF-8', POSIXLY_CORRECT: '1' },
      }
      const { stderr, stdout } = await run(['run', '--site', 'frost', '--json'], { env })
      expect(stderr).toBe('')
      expect(JSON.parse(stdout)).toMatchObject({ succeeded: 2 })
      expect(began(place)).toEqual(onceEach(2))
      expect(fake.jobs).toHaveLength(1)
    })

    test('a scratch that compute nodes do not see is said', async () => {
      const { place, fake, run } = await scened(scheduler, { jobs: 2, waits: false })
      fake.noise.unseen = place.path('scratch')
      const { status, stderr } = await run(['run', '--site', 'frost'])
      expect(status).toBe(1)
      expect(place.masked(stderr)).toMatch(
        /^floe: The node \S+ of frost does not see DIR\/scratch\/floe\/campaigns\/UUID\/arrays\.\n {2}do +Name a directory that login and compute nodes share as `scratch:` of frost in sites\.yaml\.\n$/m,
      )
      expect(began(place)).toEqual({})
    })
  })
}
