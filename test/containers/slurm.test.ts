import { afterAll, beforeAll, expect, it } from 'vitest'
import { type SlurmSite, startSlurm } from './clusters.ts'
import { describeSite } from './engine.ts'
import { until } from './machine.ts'

/* What the tests of connectors take for granted of the Slurm in containers. */

describeSite('Slurm with accounting', () => {
  let site: SlurmSite
  let overtime = ''
  beforeAll(async () => {
    // Nodes are missed soon, jobs forgotten soon.
    site = await startSlurm({ config: { SlurmdTimeout: '8', MinJobAge: '5' } })
    // Limits are whole minutes: it ends while the other tests run.
    overtime = await alice('sbatch --parsable --time=0:01 --nodelist=c1 --wrap "sleep 600"')
  })
  afterAll(() => site?.stop())

  const alice = (script: string) => site.login.ask(`cd /scratch/alice && ${script}`, 'alice')
  /** sacct lags: at first it knows nothing of a job, then not that it is an array. */
  const ended = (id: string, rows: readonly string[], waitMs = 120_000) =>
    until(
      async () => {
        const text = await alice(`sacct -n -X -P -j ${id} -o JobID,State`)
        return text.split('\n').sort().join() === [...rows].sort().join()
      },
      { what: `sacct says ${rows.slice(0, 3)} …`, waitMs },
    )
  const indices = (count: number) => Array.from({ length: count }, (_, index) => index)

  it('runs each task of an array once, on several nodes, with a scratch that all share', async () => {
    const id = await alice(`sbatch --parsable --array=0-39 --wrap 'hostname > ran.$SLURM_ARRAY_TASK_ID'`)
    const ran = await until(
      async () => {
        const names = (await alice('cat ran.* | sort')).split('\n')
        return names.length === 40 && names
      },
      { what: '40 tasks wrote' },
    )
    expect(new Set(ran).size).toBeGreaterThan(1)
    await ended(
      id,
      indices(40).map((index) => `${id}_${index}|COMPLETED`),
    )
    expect(await site.machine('c3').ask('ls /scratch/alice | grep -c ran.')).toBe('40')
  })

  it('shows pending, running and cancelled tasks, then forgets them', async () => {
    const id = await alice('sbatch --parsable --array=0-99%2 --wrap "sleep 60"')
    const shown = await until(
      async () => {
        const rows = (await alice(`squeue -h -j ${id} -o '%i|%T'`)).split('\n').sort()
        return rows.length === 3 && rows
      },
      { what: 'two tasks run' },
    )
    expect(shown).toEqual([`${id}_0|RUNNING`, `${id}_1|RUNNING`, `${id}_[2-99%2]|PENDING`])
    await alice(`scancel ${id}`)
    await ended(
      id,
      ['[2-99%2]', 0, 1].map((index) => `${id}_${index}|CANCELLED by 2000`),
    )
    await until(async () => (await site.login.run(`squeue -h -j ${id}`, 'alice')).exit === 1, {
      what: 'squeue forgets',
      waitMs: 60_000,
    })
  })

  it('says NODE_FAIL of a node that is gone, and takes it back', async () => {
    const id = await alice('sbatch --parsable --no-requeue --nodelist=c2 --wrap "sleep 600"')
    await until(async () => (await alice(`squeue -h -j ${id} -o %T`)) === 'RUNNING', { what: 'the job runs' })
    await site.machine('c2').kill()
    await ended(id, [`${id}|NODE_FAIL`])
    await site.machine('c2').start()
    await until(async () => (await alice('sinfo -h -n c2 -p main -t idle -o %D')) === '1', { what: 'c2 is idle' })
  })

  it('goes on after its controller was killed', async () => {
    const id = await alice('sbatch --parsable --array=0-3 --wrap "sleep 3; touch after.$SLURM_ARRAY_TASK_ID"')
    await until(async () => (await alice(`squeue -h -j ${id} -t R -o %i`)).split('\n').length === 4, {
      what: 'all tasks run',
    })
    // What it did not write to its disk yet would be lost.
    await site.controller.ask('until grep -q . /var/spool/slurm/state/job_state; do sleep 0.1; done; sleep 6')
    await site.controller.kill()
    expect((await site.login.run('timeout 1 squeue', 'alice')).exit).not.toBe(0)
    await site.controller.start()
    await ended(
      id,
      indices(4).map((index) => `${id}_${index}|COMPLETED`),
    )
  })

  it('ends what exceeds its time as TIMEOUT', () => ended(overtime, [`${overtime}|TIMEOUT`], 240_000))

  it('lets alice in with her key, and only so', async () => {
    const { port, hostKey } = await site.ssh()
    expect(port).toBeGreaterThan(0)
    expect(hostKey).toMatch(/^ssh-ed25519 \S+$/)
    expect(await site.login.ask('cat /etc/ssh/ssh_host_ed25519_key.pub')).toContain(hostKey)
  })
})

describeSite('Slurm as shipped', () => {
  let site: SlurmSite
  beforeAll(async () => {
    site = await startSlurm({ nodes: 1, accounting: false, limits: 'shipped' })
  })
  afterAll(() => site?.stop())

  it('allows arrays of 1001 tasks and 10,000 jobs, and keeps no accounts', async () => {
    const config = await site.login.ask('scontrol show config', 'alice')
    expect(config).toMatch(/^MaxArraySize\s+= 1001$/m)
    expect(config).toMatch(/^MaxJobCount\s+= 10000$/m)
    expect(await site.login.run('sacct', 'alice')).toMatchObject({
      exit: 1,
      stderr: 'Slurm accounting storage is disabled\n',
    })
    expect(await site.login.run('sbatch --array=0-1001 --wrap true', 'alice')).toMatchObject({ exit: 1 })
  })
})
