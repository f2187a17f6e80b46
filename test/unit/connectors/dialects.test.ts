import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import type { ArraySpec } from '../../../connectors/connector.ts'
import type { Argv, Dialect } from '../../../connectors/dialect.ts'
import { pbs } from '../../../connectors/pbs/pbs.ts'
import { qsubQueues } from '../../../connectors/scheduler-text.ts'
import { SGE_WORDS, sge } from '../../../connectors/sge/sge.ts'
import { wishesOf } from '../../../connectors/slurm/rights.ts'
import { slurm } from '../../../connectors/slurm/slurm.ts'
import type { Output } from '../../../connectors/transport/transport.ts'

const NAME = 'floe-0123abcd-a000001'

const plain: ArraySpec = {
  name: NAME,
  directory: '/scratch/alice/floe/arrays/a1',
  count: 12,
  command: ['node', 'runner.js'],
  cpus: 1,
  memoryBytes: null,
  walltimeSec: null,
  gpus: 0,
  queue: null,
  account: null,
}
const large: ArraySpec = {
  ...plain,
  cpus: 4,
  memoryBytes: 3 * 2 ** 30 + 1,
  walltimeSec: 3601,
  gpus: 2,
  queue: 'batch',
  account: 'ice',
  options: ['--constraint=avx2'],
}

const line = (argv: Argv): string => argv.join(' ')
const withPe = sge({ ...SGE_WORDS, parallelEnvironment: 'smp' })
const DIALECTS = { slurm: slurm(), pbs, sge: withPe }

describe('submit', () => {
  test('asks Slurm for one array and nothing that was not asked for', () => {
    expect(line(slurm().submit(plain))).toBe(
      `sbatch --parsable --job-name=${NAME} --array=0-11 --chdir=/ --output=/dev/null --error=/dev/null --export=NONE ` +
        '--requeue --nodes=1 --ntasks=1 --cpus-per-task=1',
    )
    expect(line(slurm().submit(large))).toMatch(
      / --cpus-per-task=4 --mem=3073M --time=61 --gres=gpu:2 --partition=batch --account=ice --constraint=avx2$/,
    )
  })

  test('leaves nodes out where that can be said', () => {
    const avoid = { ...plain, avoid: ['c3', 'c7.frost.example'] }
    expect(slurm().submit(avoid)).toContain('--exclude=c3,c7.frost.example')
    expect(line(withPe.submit(avoid))).toContain(' -l hostname=!(c3|c3.*|c7|c7.*)')
    expect(pbs.submit(avoid)).toEqual(pbs.submit(plain))
    expect(slurm().avoid!('7', ['c3', 'c7'], [])).toEqual(['scontrol', 'update', 'JobId=7', 'ExcNodeList=c3,c7'])
    expect(slurm().avoid!('7', [], ['--mem=0'])).toContain('ExcNodeList=')
  })

  test.each([[['--exclude=b1,b2']], [['--exclude', 'b1,b2']], [['-x', 'b1,b2']], [['-xb1,b2']]])(
    'keeps out the nodes that the site leaves out by itself: %j',
    (options) => {
      expect(
        slurm()
          .submit({ ...plain, options, avoid: ['c3'] })
          .at(-1),
      ).toBe('--exclude=b1,b2,c3')
      expect(slurm().avoid!('7', ['c3'], options)).toContain('ExcNodeList=b1,b2,c3')
      expect(slurm().avoid!('7', [], options)).toContain('ExcNodeList=b1,b2')
    },
  )

  test('asks for nothing of nodes where none is bad', () => {
    expect(line(slurm().submit({ ...plain, avoid: [] }))).toBe(line(slurm().submit(plain)))
  })

  test('asks PBS for one array, and for one task as a plain job', () => {
    expect(line(pbs.submit(plain))).toBe(
      `qsub -N ${NAME} -J 0-11 -S /bin/sh -j oe -o localhost:/dev/null -m n -l select=1:ncpus=1`,
    )
    expect(pbs.facts.arrayOfOne).toBe(true)
    expect(line(pbs.submit({ ...plain, count: 1 }))).not.toContain('-J')
    expect(line(pbs.submit(large))).toMatch(
      / -l select=1:ncpus=4:mem=3073mb:ngpus=2 -l walltime=01:00:01 -q batch -A ice --constraint=avx2$/,
    )
  })

  test('asks Grid Engine with memory for each slot and tasks from 1', () => {
    expect(line(withPe.submit(plain))).toBe(
      `qsub -terse -N ${NAME} -t 1-12 -S /bin/sh -wd / -j y -o /dev/null -r y -m n`,
    )
    expect(line(withPe.submit(large))).toMatch(
      / -pe smp 4 -l h_vmem=1153M -l h_rt=3601 -l gpu=2 -q batch -P ice --constraint=avx2$/,
    )
    expect(line(sge({ ...SGE_WORDS, memory: 'mem_free' }).submit({ ...large, cpus: 1 }))).toContain('-l mem_free=3073M')
  })

  test('says that Grid Engine needs the name of a parallel environment', () => {
    expect(() => sge().submit(large)).toThrow(
      expect.objectContaining({ kind: 'refused', hint: expect.stringContaining('`pe:`') }),
    )
  })
})

/** As command.ts takes the id out of what a submit printed, banners and all. */
function idIn(dialect: Dialect, printed: string): string {
  const { stdout } = spawnSync('sed', ['-nE', `s/${dialect.idPattern}/\\1/p`], { input: printed, encoding: 'utf8' })
  return stdout.trim()
}

function evaluated(expression: string, environment: Record<string, string>): string {
  const { stdout } = spawnSync('sh', ['-c', `printf %s "${expression}"`], { env: environment, encoding: 'utf8' })
  return stdout
}

describe('the id of an array', () => {
  const banner = 'Welcome to frost, 2 users\n*** 12 nodes are down ***\nYour quota: 93%\n'

  test.each([
    ['slurm', slurm(), '1001\n', '1001'],
    ['slurm, several clusters', slurm(), '1001;frost\n', '1001'],
    ['pbs', pbs, '3[].pbshost\n', '3[].pbshost'],
    ['pbs, a plain job', pbs, '10.pbs-host.example.org\n', '10.pbs-host.example.org'],
    ['sge', withPe, '1.1-12:1\n', '1'],
  ])('is found among banners: %s', (_, dialect, printed, id) => {
    expect(idIn(dialect, `${banner}${printed}`)).toBe(id)
    expect(idIn(dialect, banner)).toBe('')
  })

  test('and the index are known to a task', () => {
    const of = ({ task }: Dialect, environment: Record<string, string>): readonly string[] => [
      evaluated(task.id, environment),
      evaluated(task.index, environment),
    ]
    expect(of(slurm(), { SLURM_ARRAY_JOB_ID: '1001', SLURM_ARRAY_TASK_ID: '7', SLURM_JOB_ID: '1008' })).toEqual([
      '1001',
      '7',
    ])
    expect(of(pbs, { PBS_JOBID: '3[7].pbshost', PBS_ARRAY_ID: '3[].pbshost', PBS_ARRAY_INDEX: '7' })).toEqual([
      '3[].pbshost',
      '7',
    ])
    expect(of(pbs, { PBS_JOBID: '10.pbshost' })).toEqual(['10.pbshost', '0'])
    expect(of(withPe, { JOB_ID: '1', SGE_TASK_ID: '8' })).toEqual(['1', '7'])
  })
})

describe('status', () => {
  test('asks Slurm for one id as for two, for one unknown id alone is an error', () => {
    expect(line(slurm().status(['7']))).toContain('-j 7,7 ')
    expect(line(slurm().status(['7', '8']))).toContain('-j 7,8 ')
  })

  test('asks PBS for text, of which all versions print each id', () => {
    expect(line(pbs.status(['3[].a', '4.a']))).toBe('qstat -t -f 3[].a 4.a')
  })

  test('of PBS is no answer where one of the ids is left out', () => {
    const stdout = 'Job Id: 4.a\n    job_state = R\n\n'
    const asked = new Map([
      ['4.a', 1],
      ['3[].a', 2],
    ])
    const answer = (stderr: string) => pbs.parseStatus({ exit: stderr === '' ? 0 : 153, stdout, stderr }, asked)
    expect(answer('qstat: Unknown Job Id 3[].a.example.org\n')).toHaveLength(1)
    for (const stderr of ['', 'qstat: Unknown Job Id 33[].a\n'])
      expect(() => answer(stderr)).toThrow(
        expect.objectContaining({ kind: 'unreadable', message: expect.stringContaining('3[].a') }),
      )
  })
})

describe('cancel', () => {
  test.each([
    ['slurm', slurm(), '1001', 'scancel 1001', ['scancel 1001_[0-2,7]']],
    // Of more than two parts of one array in a command, qdel forgets some.
    ['pbs', pbs, '3[].pbshost', 'qdel 3[].pbshost', ['qdel 3[0-2].pbshost', 'qdel 3[7].pbshost']],
    ['pbs, a plain job', pbs, '10.pbshost', 'qdel 10.pbshost', ['qdel 10.pbshost']],
    ['sge', withPe, '1', 'qdel 1', ['qdel 1.1-3 1.8-8']],
  ])('names tasks as the scheduler does: %s', (_, dialect, id, all, some) => {
    expect(dialect.cancel(id).map(line)).toEqual([all])
    expect(dialect.cancel(id, [7, 0, 2, 1, 1]).map(line)).toEqual(some)
    expect(dialect.cancel(id, [])).toEqual([])
  })

  test.each([
    ['slurm', slurm(), '1001'],
    ['sge', withPe, '1'],
  ])('splits what would be too long a command: %s', (_, dialect, id) => {
    const commands = dialect.cancel(
      id,
      Array.from({ length: 1000 }, (_, at) => at * 2),
    )
    expect(commands).toHaveLength(5)
    expect(Math.max(...commands.map((argv) => line(argv).length))).toBeLessThan(10_000)
  })
})

describe('waiting', () => {
  test.each([
    ['slurm', 'Priority', 'will clear'],
    ['slurm', 'Resources', 'will clear'],
    ['slurm', 'JobArrayTaskLimit', 'will clear'],
    ['slurm', 'QOSMaxJobsPerUserLimit', 'will clear'],
    ['slurm', 'QOSMaxCpuPerUserLimit', 'will clear'],
    ['slurm', 'AssocGrpCpuLimit', 'will clear'],
    ['slurm', 'AssocGrpCPURunMinutesLimit', 'will clear'],
    ['slurm', 'ReqNodeNotAvail, UnavailableNodes:c[1-3]', 'will clear'],
    ['slurm', 'AssocGrpCPUMinutesLimit', 'needs you'],
    ['slurm', 'JobHeldUser', 'needs you'],
    ['slurm', 'JobHeldAdmin', 'needs you'],
    ['slurm', 'launch failed requeued held', 'needs you'],
    ['slurm', 'InvalidAccount', 'needs you'],
    ['slurm', 'PartitionTimeLimit', 'never'],
    ['slurm', 'AssocMaxWallDurationPerJobLimit', 'never'],
    ['slurm', 'QOSMaxCpuPerJobLimit', 'never'],
    ['slurm', 'QOSMaxGRESMinutesPerJob', 'never'],
    ['slurm', 'BadConstraints', 'never'],
    ['pbs', 'Not Running: Not enough free nodes available', 'will clear'],
    ['pbs', 'Not Running: Insufficient amount of resource: ncpus (R: 2 A: 1 T: 2)', 'will clear'],
    ['pbs', 'Not Running: Number of concurrent running subjobs limit reached', 'will clear'],
    ['pbs', 'Not Running: Queue not started.', 'will clear'],
    ['pbs', 'Not Running: User has reached server running job limit.', 'will clear'],
    ['pbs', 'Job held by alice on Sat Nov 21 00:10:15 2026', 'needs you'],
    ['pbs', 'Hold_Types = u', 'needs you'],
    ['pbs', 'Hold_Types = us', 'needs you'],
    ['pbs', 'job held, too many failed attempts to run', 'needs you'],
    ['pbs', 'Job Array Held, too many failed attempts to run subjob 3[0].login', 'needs you'],
    ['pbs', 'Sent to c1/0', 'will clear'],
    ['pbs', 'Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 2 T: 2)', 'never'],
    ['sge', 'hqw', 'needs you'],
    ['sge', 'hRqw', 'needs you'],
    ['sge', 'Eqw', 'needs you'],
    ['sge', 'queue instance "all.q@c1" dropped because it is full', 'will clear'],
    ['sge', 'cannot run in PE "smp" because it only offers 0 slots', 'will clear'],
    ['sge', 'cannot run in queue "a" because PE "smp" is not in pe list', 'needs you'],
  ] as const)('%s: %s %s', (name, reason, clears) => {
    const said = DIALECTS[name].waiting(reason)
    expect(said.clears, reason).toBe(clears)
    expect(said.sentence, reason).not.toContain('says "')
  })

  test('quotes a reason that is in no table', () => {
    for (const dialect of Object.values(DIALECTS)) {
      expect(dialect.waiting('Moonphase')).toEqual({
        sentence: expect.stringContaining('"Moonphase"'),
        clears: 'will clear',
      })
    }
  })
})

test('variables that would leak are cleared, and those that say where the scheduler is are kept', () => {
  const isCleared = ({ clears, keeps }: Dialect, name: string): boolean =>
    clears.some((begin) => name.startsWith(begin)) && !keeps.includes(name)
  const leaks = [
    'SLURM_JOB_ID',
    'SLURM_BITSTR_LEN',
    'SLURM_TIME_FORMAT',
    'SBATCH_PARTITION',
    'SQUEUE_FORMAT',
    'SACCT_FORMAT',
  ]
  for (const name of leaks) expect(isCleared(slurm(), name), name).toBe(true)
  for (const name of ['PBS_DPREFIX', 'PBS_JOBID', 'PBS_ARRAY_INDEX']) expect(isCleared(pbs, name), name).toBe(true)
  expect(isCleared(withPe, 'SGE_TASK_ID')).toBe(true)
  expect(isCleared(slurm(), 'SLURM_CONF')).toBe(false)
  expect(isCleared(pbs, 'PBS_CONF_FILE')).toBe(false)
  expect(isCleared(withPe, 'SGE_ROOT')).toBe(false)
})

describe('limits of Slurm by what is asked for', () => {
  const output = (stdout: string): Output => ({ exit: 0, stdout, stderr: '' })
  const outputs = [
    output('AccountingStorageType = accounting_storage/slurmdbd\nClusterName = frost\nMaxJobCount = 100000\n'),
    output('main*|up|infinite|16|4000|.\nfat|up|infinite|64|9000|.\n'),
    output(
      'ice||normal,long|normal|5000|||frost\nsnow||normal|normal|200|||frost\nice|fat|normal|normal|9|||frost\n' +
        'sea|main|normal|normal|40|||frost\nsea|fat|normal|normal|8000|||frost\n' +
        'fog||long,normal||900|||frost\nmist||long,short||900|||frost\n',
    ),
    output('normal|||||\nlong|30||||\nshort|50||||\nlow|3||||\n'),
    output(''),
    output('PartitionName=main QoS=N/A\nPartitionName=fat QoS=N/A\nPartitionName=few QoS=low\n'),
  ]
  const site = { account: null, queue: null, options: [] }
  test.each([
    [{}, 5000],
    [{ account: 'snow' }, 200],
    [{ account: 'ice' }, 5000],
    [{ account: 'nobody' }, 50_000],
    [{ options: ['--qos=long'] }, 30],
    [{ options: ['--qos', 'long'] }, 30],
    [{ options: ['--exclusive', '-q', 'long', '-x', 'c1'] }, 30],
    [{ options: ['-qlong'] }, 30],
    [{ options: ['--qos=normal', '--qos=long'] }, 30],
    [{ options: ['--quiet', '--comment=-qos'] }, 5000],
    // Slurm takes one of several.
    [{ options: ['--qos=short,long'] }, 30],
    [{ account: 'fog' }, 900],
    [{ account: 'mist' }, 30],
    [{ account: 'ice', options: ['-A', 'snow'] }, 200],
    [{ options: ['--account=snow'] }, 200],
    // Only the association of the partition that is used counts, the default one where none is named.
    [{ account: 'sea' }, 40],
    [{ account: 'sea', queue: 'fat' }, 8000],
    [{ account: 'sea', options: ['-pfat'] }, 8000],
    [{ account: 'sea', options: ['--partition=fat,main'] }, 40],
    [{ queue: 'fat', account: 'ice' }, 9],
    [{ account: 'ice', options: ['--partition', 'few'] }, 3],
    // sbatch takes the beginning of a long option, as long as it is no other's.
    [{ account: 'sea', options: ['--part=fat'] }, 8000],
    [{ account: 'ice', options: ['--partiti', 'few'] }, 3],
    [{ options: ['--acco', 'snow'] }, 200],
    [{ options: ['--partition-of-mine=few'] }, 5000],
  ])('%j', (wishes, queuedMax) => {
    const dialect = slurm(wishesOf({ ...site, ...wishes }))
    expect(dialect.parseLimits(outputs)).toMatchObject({ queuedMax })
  })
})

test('queues that words for qsub name', () => {
  expect(qsubQueues(['-l', 'x=1'])).toEqual([])
  expect(qsubQueues(['-q', 'a', '-m', 'n', '-q', 'main.q@@nodes,short.q@c1'])).toEqual(['main.q', 'short.q'])
  expect(qsubQueues(['-q', 'batch@server', '-q'])).toEqual(['batch'])
})
