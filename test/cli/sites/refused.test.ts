import { expect, test } from 'vitest'
import { openScene, withWaits } from './scene.ts'

const refusedBy = async (scheduler: string, site: string) => {
  const scene = await openScene(scheduler, { site })
  withWaits(scene.place, { jobs: 2, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  const { status, stderr, stdout } = await scene.run(['run', '--site', 'frost'])
  const text = scene.place.masked(stderr).replace(/floe-[0-9a-f]{8}-a/, 'floe-ID-a')
  return { ...scene, status, stdout, text }
}

test('a wrong account is said in the words of the scheduler, with those that there are', async () => {
  const { status, text, fake, site, json, rows } = await refusedBy('slurm', '    account: fire\n')
  expect(status).toBe(2)
  expect(text).toMatchInlineSnapshot(`
    "floe: frost refused the array: Invalid account or account/partition combination specified
      tried     sbatch --parsable --job-name=floe-ID-a000001 --array=0-1 --chdir=/ --output=/dev/null --error=/dev/null --export=NONE --requeue --nodes=1 --ntasks=1 --cpus-per-task=1 --time=60 --account=fire on this machine
      answered  exit 1
                sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified
      do        Set \`account:\` of frost in sites.yaml to one of yours: \`sacctmgr show assoc user=$USER\`. Yours: ice.
    "
  `)
  expect(fake.jobs).toHaveLength(0)
  expect((await rows('select array_id, state from batches')).split('\n')[1]).toBe('a000001,ended')
  expect(await json('status')).toMatchObject({ pending: 2, queued: 0 })
  site('    account: ice\n')
  expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
})

test('a wrong queue too', async () => {
  const { status, text, site, json } = await refusedBy('slurm', '    queue: fast\n')
  expect(status).toBe(2)
  expect(text).toMatchInlineSnapshot(`
    "floe: frost refused the array: Invalid partition name specified
      tried     sbatch --parsable --job-name=floe-ID-a000001 --array=0-1 --chdir=/ --output=/dev/null --error=/dev/null --export=NONE --requeue --nodes=1 --ntasks=1 --cpus-per-task=1 --time=60 --partition=fast on this machine
      answered  exit 1
                sbatch: error: invalid partition specified: fast
                sbatch: error: Batch job submission failed: Invalid partition name specified
      do        Set \`queue:\` of frost in sites.yaml to one that is open to you: \`sinfo -s\`. Queues: main.
    "
  `)
  site('    queue: main\n')
  expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
})

test('and those of PBS', async () => {
  const queue = await refusedBy('pbs', '    queue: fast\n')
  expect(queue.text).toMatchInlineSnapshot(`
    "floe: frost refused the array: Unknown queue
      tried     qsub -N floe-ID-a000001 -J 0-1 -S /bin/sh -j oe -o localhost:/dev/null -m n -l 'select=1:ncpus=1' -l 'walltime=01:00:00' -q fast on this machine
      answered  exit 170
                qsub: Unknown queue
      do        Set \`queue:\` of frost in sites.yaml to one that is open to you: \`qstat -Q\`. Queues: workq.
    "
  `)
  const account = await refusedBy('pbs', '    account: fire\n')
  expect(account.status).toBe(2)
  expect(account.text).toMatchInlineSnapshot(`
    "floe: frost refused the array: Invalid Account
      tried     qsub -N floe-ID-a000001 -J 0-1 -S /bin/sh -j oe -o localhost:/dev/null -m n -l 'select=1:ncpus=1' -l 'walltime=01:00:00' -A fire on this machine
      answered  exit 21
                qsub: Invalid Account
      do        Set \`account:\` of frost in sites.yaml; where projects are billed, add \`-P\` and its name to \`options:\`.
    "
  `)
})

test('--json has code, hint, what was tried and answered', async () => {
  const scene = await openScene('slurm', { site: '    account: fire\n' })
  withWaits(scene.place, { jobs: 1, waits: false })
  await scene.run(['add', scene.place.path('jobs.ndjson')])
  const { stderr, stdout, status } = await scene.run(['run', '--site', 'frost', '--json'])
  expect({ stdout, status }).toEqual({ stdout: '', status: 2 })
  expect(JSON.parse(stderr)).toMatchObject({
    code: 'SUBMIT_REFUSED',
    message: expect.stringContaining('frost refused the array: Invalid account'),
    hint: expect.stringContaining('ice'),
    details: { tried: expect.stringContaining('sbatch --parsable'), answered: expect.stringContaining('exit 1') },
  })
})
