import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { ended } from '../place.ts'
import { openScene, until } from './scene.ts'

/* Two campaigns of one user at one site, which allows the user a few tasks. */

test('two campaigns together have no more tasks than one may have, and both end', async () => {
  const { place, fake, settle } = await openScene('slurm', { slots: 2 })
  const env = { XDG_CONFIG_HOME: place.path('config') }
  const run = (at: string, ...words: string[]) => place.run(['-C', place.path(at), ...words], { env })
  const start = (at: string, ...words: string[]) => {
    const child = place.start(['-C', place.path(at), ...words], { env })
    onTestFinished(() => void child.kill('SIGKILL'))
    return ended(child)
  }
  settle({ limits: { queued: 6 }, task: { cpus: 1 } })
  let most = 0
  const add = fake.add.bind(fake)
  fake.add = (fields) => {
    const job = add(fields)
    most = Math.max(most, fake.queued)
    return job
  }
  place.program(
    'work.sh',
    `echo "$FLOE_JOB" >>'${place.path('ran')}.'"\${FLOE_JOB%%[0-9]*}"\nsleep 0.3\necho "$1" >"$FLOE_OUTPUT_1"`,
  )
  const jobs = (letter: string) =>
    Array.from({ length: 10 }, (_, at) => ({
      ...{ id: `${letter}${at}`, executable: './work.sh', arguments: [String(at)] },
      data: { output: [`o/${at}.txt`] },
    }))
  place.jobs('c.ndjson', jobs('c')).jobs('d.ndjson', jobs('d'))
  await place.run(['init', 'd'], { env })
  for (const at of ['c', 'd']) await run(at, 'add', place.path(`${at}.ndjson`))
  const runs = ['c', 'd'].map((at) => start(at, 'run', '--site', 'frost', '--jobs-per-batch', '1'))
  const said = await until('one is held back', async () => {
    for (const at of ['c', 'd']) {
      const { stdout } = await run(at, 'status')
      if (stdout.includes('another campaign')) return stdout
    }
    return undefined
  })
  expect(said).toMatch(/waiting: \d of 6 submitted allowed, \d of them by another campaign\n/)
  for (const end of runs) expect(await end).toMatchObject({ status: 0, stdout: expect.stringContaining('10 jobs') })
  expect(most).toBeLessThanOrEqual(6)
  expect(most).toBeGreaterThan(3)
  for (const at of ['c', 'd']) {
    const ran = readFileSync(place.path(`ran.${at}`), 'utf8')
      .trim()
      .split('\n')
    expect([ran.length, new Set(ran).size]).toEqual([10, 10])
  }
})
