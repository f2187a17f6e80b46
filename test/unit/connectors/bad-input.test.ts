import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openCommandConnector } from '../../../connectors/command.ts'
import { type ArraySpec, ConnectorError } from '../../../connectors/connector.ts'
import { CLUSTERS } from '../../fakes/clusters.ts'
import type { FakeScheduler } from '../../fakes/scheduler/fake-scheduler.ts'
import { shellTransport } from '../../fakes/shell-transport.ts'
import { countedArray, tally, untilIdle } from '../../fakes/submissions.ts'

/** What a person sees of a refusal: its kind, what was tried and came back, and what to do. */
interface Told {
  readonly kind: ConnectorError['kind']
  readonly message: string
  readonly hint: string
}

/** Variables of a shell in which somebody else's job, or a careless profile, has left its own. */
const AROUND: Readonly<Record<string, string>> = {
  ...{ SLURM_CLUSTERS: 'other', SLURM_JOB_ID: '77', SBATCH_PARTITION: 'nosuch', SBATCH_ACCOUNT: 'nobody' },
  ...{ SQUEUE_PARTITION: 'nosuch', SQUEUE_FORMAT: '%i', PBS_O_QUEUE: 'nosuch', PBS_JOBID: '77.pbshost' },
  ...{ SGE_TASK_ID: '77', LC_ALL: 'de_DE.UTF-8', TZ: 'Asia/Tokyo', SLURM_CONF: '/etc/slurm.conf' },
  ...{ PBS_CONF_FILE: '/etc/pbs.conf', SGE_ROOT: '/opt/sge' },
}

const WRONG: Readonly<Record<string, { queue: Told; account: Told; away: Told }>> = {
  slurm: {
    queue: {
      kind: 'refused',
      message:
        'sbatch at this machine ended with exit 1: sbatch: error: invalid partition specified: nosuch · sbatch: error: Batch job submission failed: Invalid partition name specified',
      hint: 'Set `queue:` to one that is open to you: `sinfo -s`.',
    },
    account: {
      kind: 'refused',
      message:
        'sbatch at this machine ended with exit 1: sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified',
      hint: 'Set `account:` to one of yours: `sacctmgr show assoc user=$USER`.',
    },
    away: {
      kind: 'unreachable',
      message:
        'squeue ended with exit 1 and said: slurm_load_jobs error: Unable to contact slurm controller (connect failure)',
      hint: 'The controller is busy or away; floe asks again.',
    },
  },
  pbs: {
    queue: {
      kind: 'refused',
      message: 'qsub at this machine ended with exit 170: qsub: Unknown queue',
      hint: 'Set `queue:` to one that is open to you: `qstat -Q`.',
    },
    account: {
      kind: 'refused',
      message: 'qsub at this machine ended with exit 21: qsub: Invalid Account',
      hint: 'Set `account:`; where projects are billed, add `-P` and its name to `options:`.',
    },
    away: {
      kind: 'unreachable',
      message:
        'qstat ended with exit 255 and said: Connection refused · qstat: cannot connect to server pbshost (errno=15010)',
      hint: 'The server is busy or away; floe asks again.',
    },
  },
  sge: {
    queue: {
      kind: 'refused',
      message:
        'qsub at this machine ended with exit 1: Unable to run job: Job was rejected because job requests unknown queue "nosuch". · Exiting.',
      hint: 'Set `queue:` to one that is open to you: `qstat -g c`.',
    },
    account: {
      kind: 'refused',
      message:
        'qsub at this machine ended with exit 1: Unable to run job: job rejected: the project "nobody" does not exist. · Exiting.',
      hint: 'Set `account:` to a project of yours: `qconf -sprjl`.',
    },
    away: {
      kind: 'unreachable',
      message: 'qstat ended with exit 1 and said: error: commlib error: got select error (Connection refused)',
      hint: 'The qmaster is busy or away; floe asks again.',
    },
  },
}

describe.each(CLUSTERS)('with $name', (cluster) => {
  let directory: string
  let fake: FakeScheduler
  let array: ArraySpec

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'floe-bad-'))
    fake = await cluster.fake({ directory: join(directory, 'site') }).start()
    array = countedArray(directory, 'asked')
  })
  afterEach(async () => {
    await fake.close()
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  })

  const connect = (env: Readonly<Record<string, string>> = {}, bin = fake.bin) =>
    openCommandConnector({ dialect: cluster.dialect, transport: shellTransport({ bin, env }), looksMs: [30] })

  async function told(call: Promise<unknown>): Promise<Told> {
    const error = await call.then(
      (value) => {
        throw new Error(`no error, but ${JSON.stringify(value)}`)
      },
      (cause: unknown) => cause,
    )
    expect(error).toBeInstanceOf(ConnectorError)
    const { kind, message, hint } = error as ConnectorError
    return { kind, message, hint }
  }

  const [submits, queues] = [0, 1].map((at) => cluster.fake({ directory: '/nowhere' }).commands[at]!) as [
    string,
    string,
  ]

  it("a wrong queue is refused in the scheduler's words", async () => {
    expect(await told(connect().submit({ ...array, queue: 'nosuch' }))).toEqual(WRONG[cluster.name]!.queue)
    // Corrected, it is submitted.
    await connect().submit(array)
    await untilIdle(fake)
    expect(tally(fake, [array])).toEqual({ lost: [], doubled: [], resent: [] })
  })

  it("a wrong account is refused in the scheduler's words", async () => {
    expect(await told(connect().submit({ ...array, account: 'nobody' }))).toEqual(WRONG[cluster.name]!.account)
  })

  it.each(['a banner around the number', 'a number alone', 'no number at all'])('%s is survived', async (what) => {
    if (what.startsWith('a banner')) fake.noise.banner = '*** Maintenance on day 12 of month 5 ***\nWelcome!\n'
    if (what.startsWith('a number')) fake.noise.bareNumber = true
    if (what.startsWith('no')) fake.noise.noNumber = true
    fake.noise.holds.add(array.name)
    const connector = connect()
    // A banner of every command spoils the question for what was sent, not the submission.
    const id = await connector.submit(array)
    fake.noise.banner = ''
    expect((await connector.status(new Map([[id, 2]]))).map(({ state }) => state)).toEqual(['queued', 'queued'])
    expect(fake.jobs.length).toBe(1)
  })

  it('an answer without a number, of a queue that shows nothing, is quoted and not repeated', async () => {
    Object.assign(fake.noise, { noNumber: true, instant: true, forgets: true, accounts: false })
    expect(await told(connect().submit(array))).toEqual({
      kind: 'unreadable',
      message: `no id was found in what ${submits} printed at this machine: Your job is on its way!`,
      hint: `The whole answer is in the files ${array.directory}/answer and answer.err; nothing is submitted again before the array was looked for by its name.`,
    })
    expect(readFileSync(join(array.directory, 'answer'), 'utf8')).toBe('Your job is on its way!\n')
    expect(fake.jobs.length).toBe(1)
  })

  it('a scheduler that is away is asked again, and nothing is concluded', async () => {
    fake.noise.holds.add(array.name)
    const connector = connect()
    const id = await connector.submit(array)
    await fake.stop()
    expect(await told(connector.status(new Map([[id, 2]])))).toEqual(WRONG[cluster.name]!.away)
    const second = countedArray(directory, 'away')
    expect(await told(connector.submit(second))).toMatchObject({ kind: 'unreachable' })
    await fake.start()
    await connector.submit(second)
    await connector.submit(second)
    expect(fake.jobs.map(({ name }) => name)).toEqual(['asked', 'away'])
  })

  it.each(['half', 'empty'] as const)('a reply that is %s ends no task', async (what) => {
    fake.noise.holds.add(array.name)
    const connector = connect()
    const id = await connector.submit(array)
    fake.noise[what].add(queues)
    const found = await connector.status(new Map([[id, 2]])).catch((error: ConnectorError) => error.kind)
    expect(['unreadable', []]).toContainEqual(found)
  })

  it('a state that nobody has heard of is named', async () => {
    fake.noise.holds.add(array.name)
    const connector = connect()
    const id = await connector.submit(array)
    fake.noise.stateWord = 'ZZ9'
    const error = await told(connector.status(new Map([[id, 2]])))
    expect(error).toMatchObject({ kind: 'unknown state', message: expect.stringContaining('"ZZ9"') })
    expect(error.hint).toMatch(/connectors\/\w+\/words\.ts/)
  })

  it('variables, locale and time zone around floe do not reach the scheduler', async () => {
    const connector = connect(AROUND)
    fake.noise.holds.add(array.name)
    const id = await connector.submit(array)
    expect((await connector.status(new Map([[id, 2]]))).map(({ state }) => state)).toEqual(['queued', 'queued'])
    await connector.endings([id])
    await connector.cancel(id)
    const seen = new Set(fake.calls.flatMap(({ env }) => Object.entries(env).map((pair) => pair.join('='))))
    const kept = Object.entries(AROUND).filter(
      ([name]) => cluster.dialect.keeps.includes(name) && fake.heeds.some((start) => name.startsWith(start)),
    )
    const bitstring = cluster.name === 'slurm' ? ['SLURM_BITSTR_LEN=0'] : []
    expect([...seen].sort()).toEqual(['LC_ALL=C', 'TZ=UTC', ...bitstring, ...kept.map((pair) => pair.join('='))].sort())
  })

  it('a scheduler that is nowhere on PATH is asked for by name', async () => {
    const home = join(directory, 'home')
    mkdirSync(home)
    const connector = connect({ HOME: home }, '/nowhere')
    const missing = {
      kind: 'refused',
      hint: 'Give the site a line of `setup:` that puts it on PATH, e.g. `module load slurm`, or correct `connector:`.',
    }
    expect(await told(connector.submit(array))).toEqual({
      ...missing,
      message: `${submits} was not found at this machine, by a login shell neither`,
    })
    expect(
      await told(
        connector.status(
          new Map([
            ['1001', 2],
            ['1001.pbshost', 2],
          ]),
        ),
      ),
    ).toEqual({
      ...missing,
      message: `${queues} was not found at this machine, by a login shell neither`,
    })
  })

  it('a login shell that knows where it is, and talks, is enough', async () => {
    const home = join(directory, 'home')
    mkdirSync(home)
    writeFileSync(join(home, '.bash_profile'), `echo 1234; echo careful >&2\nPATH=${fake.bin}:$PATH\n`)
    const connector = connect({ HOME: home }, '/nowhere')
    // None of those that are asked at once takes the need of a login shell for a second failure.
    const [id] = await Promise.all([connector.submit(array), connector.siteLimits(), connector.siteLimits()])
    await untilIdle(fake)
    expect(await connector.submit(array)).toBe(id)
    for (const { state } of await connector.status(new Map([[id, 2]]))) expect(state).toBe('ended')
    expect(tally(fake, [array])).toEqual({ lost: [], doubled: [], resent: [] })
  })

  it('a login shell is also enough to find what another process had sent', async () => {
    const home = join(directory, 'home')
    mkdirSync(home)
    writeFileSync(join(home, '.bash_profile'), `PATH=${fake.bin}:$PATH\n`)
    fake.noise.holds.add(array.name)
    const id = await connect().submit(array)
    rmSync(join(array.directory, 'id'))
    expect(await connect({ HOME: home }, '/nowhere').submit(array)).toBe(id)
    expect(fake.jobs).toHaveLength(1)
  })

  it('a directory that is not there, or takes no files, is named', async () => {
    const gone = { ...array, directory: join(directory, 'no such') }
    expect(await told(connect().submit(gone))).toEqual({
      kind: 'refused',
      message: `there is no directory ${gone.directory} at this machine`,
      hint: 'The scratch of the site was purged, or is another one; the array has to be staged again.',
    })
    mkdirSync(join(array.directory, 'lock'))
    expect(await told(connect().submit(array))).toEqual({
      kind: 'refused',
      message: `could not write into ${array.directory} at this machine`,
      hint: 'Check permissions, quota and space there. Nothing was submitted.',
    })
    expect(fake.jobs).toEqual([])
  })

  it('a node that does not see the scratch fails its tasks, in words that accounting keeps', async () => {
    fake.noise.holds.add(array.name)
    const connector = connect()
    const id = await connector.submit(array)
    rmSync(array.directory, { recursive: true })
    fake.noise.holds.clear()
    fake.pump()
    await untilIdle(fake)
    const endings = await connector.endings([id])
    expect(endings.map(({ index, cause, exit }) => [index, cause, exit])).toEqual([
      [0, 'failed', 72],
      [1, 'failed', 72],
    ])
  })
})
