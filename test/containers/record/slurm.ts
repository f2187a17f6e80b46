import { join } from 'node:path'
import { type SlurmSite, startSlurm } from '../clusters.ts'
import { until } from '../machine.ts'
import { Recorder } from './recorder.ts'
import { recordEnd, recordEnds } from './slurm-ends.ts'
import { recordRefusals, recordShippedRefusals } from './slurm-refusals.ts'
import { recordStates } from './slurm-states.ts'

const FOLDER = join(import.meta.dirname, '../golden/slurm/real')

/** A cluster, who writes down what it prints, and short ways to ask it. */
export interface SlurmGround {
  readonly site: SlurmSite
  readonly recorder: Recorder
  root(script: string): Promise<string>
  alice(script: string): Promise<string>
  /** Submits as alice; answers the id. */
  sbatch(options: string, script?: string): Promise<string>
  untilState(id: string, state: string): Promise<unknown>
}

/** As a person would ask for the states of arrays: the second id keeps an unknown one from being an error. */
export const squeue = (id: string, format = '%F|%K|%T|%r|.'): string =>
  `env SLURM_BITSTR_LEN=0 squeue --me -a -h -t all -j ${id},${id} -o '${format}'`
export const SACCT_COLUMNS = 'JobID,State,ExitCode,NodeList,Start,End,MaxRSS'
export const sacct = (id: string, columns = SACCT_COLUMNS, more = ''): string =>
  `env SLURM_BITSTR_LEN=0 sacct -n -p${more} -S now-30days -j ${id} --format=${columns}`

function groundOf(site: SlurmSite, folder: string): SlurmGround {
  const alice = (script: string) => site.login.ask(`cd /scratch/alice; ${script}`, 'alice')
  return {
    site,
    recorder: new Recorder(folder, site.login),
    root: (script) => site.login.ask(script),
    alice,
    sbatch: (options, script = 'sleep 600') => alice(`sbatch --parsable -o /dev/null ${options} --wrap '${script}'`),
    untilState: (id, state) =>
      until(async () => (await alice(`squeue -h -t all -j ${id} -o %T`)).split('\n').includes(state), {
        what: `${id} is ${state}`,
        waitMs: 150_000,
      }),
  }
}

const PARTS = { settings: recordSettings, refusals: recordRefusals, states: recordStates, ends: recordEnds }

/** With accounts, limits that are enforced, preemption and a prolog that can be made to fail. */
export async function recordSlurm(parts: readonly string[]): Promise<void> {
  const site = await startSlurm({
    config: {
      AccountingStorageEnforce: 'associations,limits,qos',
      JobAcctGatherType: 'jobacct_gather/linux',
      JobAcctGatherFrequency: '1',
      SlurmdTimeout: '10',
      PreemptType: 'preempt/partition_prio',
      PreemptMode: 'CANCEL',
      Prolog: '/scratch/prolog',
      Licenses: 'matlab:1',
    },
    lines: [
      'PartitionName=low Nodes=c3 PriorityTier=1 PreemptMode=CANCEL MaxTime=INFINITE State=UP',
      'PartitionName=again Nodes=c3 PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE State=UP',
      'PartitionName=high Nodes=c3 PriorityTier=10 MaxTime=INFINITE State=UP',
      'PartitionName=staff Nodes=c3 AllowAccounts=polar MaxTime=INFINITE State=UP',
    ],
  })
  try {
    const ground = groundOf(site, FOLDER)
    await ground.root("printf '#!/bin/sh\\nexit 0\\n' > /scratch/prolog; chmod 755 /scratch/prolog")
    for (const [part, record] of Object.entries(PARTS)) {
      if (parts.length === 0 || parts.includes(part)) await record(ground)
    }
  } finally {
    await site.stop()
  }
}

async function recordSettings({ recorder, root, sbatch, untilState }: SlurmGround): Promise<void> {
  const few = await sbatch('--array=0-3%2', 'test $SLURM_ARRAY_TASK_ID != 0 || exit 7; sleep 600')
  await untilState(few, 'FAILED')
  await recorder.record('other-json', {
    about: ['--json takes no notice of -j in this version, and the numbers of a state are of its own.'],
    commands: [`squeue --json -j ${few}_2`],
  })
  await root('scancel -u alice')
  await recorder.record('limits-accounts', {
    about: ['Slurm with accounts, limits of QOS, and wide limits of the cluster.'],
    commands: [
      'scontrol show config',
      "sinfo -h -e -o '%P|%a|%l|%c|%m|.'",
      `sh -c 'exec sacctmgr -nP show assoc where user="$(id -un)" format=Account,Partition,QOS,DefaultQOS,MaxSubmit,MaxJobs'`,
      'sacctmgr -nP show qos format=Name,MaxSubmitPU,MaxSubmitPA,MaxJobsPU,MaxWall',
    ],
  })
  await recorder.record('other-settings', {
    about: ['Settings in other forms.'],
    commands: [
      'scontrol show partition',
      'scontrol -o show partition',
      'scontrol show node c1',
      'scontrol ping',
      'sinfo',
      'sinfo -s',
      'sinfo --version',
      'sinfo -N -l',
      'sacctmgr show assoc tree format=cluster,account,user,qos',
      'sacctmgr -P show assoc where user=alice',
      'sacctmgr -P show qos',
      'sacctmgr -P show cluster format=Cluster,QOS',
      'sacctmgr -nP show user alice format=User,DefaultAccount,Admin',
    ],
  })
}

/** Tasks that the scheduler itself kills for their memory. */
export async function recordSlurmMemory(): Promise<void> {
  const site = await startSlurm({ nodes: 1, cgroups: true, config: { JobAcctGatherFrequency: '1' } })
  try {
    const ground = groundOf(site, FOLDER)
    const id = await ground.sbatch('--array=0-2 --mem=50M', MEMORY)
    await recordEnd(ground, {
      ...{ name: 'memory', id, count: 3, until: /_2\|COMPLETED/ },
      about:
        'cgroups enforce 50 MB. 0 becomes a program that takes 300 MB, 1 starts one and then leaves with 0, 2 takes little.',
    })
  } finally {
    await site.machine('c1').kill()
    await site.login.ask("find /sys/fs/cgroup -depth -type d -path '*/slurm_c1*' -exec rmdir {} +")
    await site.stop()
  }
}

const MEMORY = [
  'take() { exec perl -e "\\$x = q(a) x $1; sleep 3"; };',
  'case $SLURM_ARRAY_TASK_ID in 0) take 300000000;; 1) (take 300000000); exit 0;; 2) take 1000000;; esac',
].join(' ')

/** A cluster whose table of jobs is nearly full: sbatch tries again for two minutes. */
export async function recordSlurmCrowded(): Promise<void> {
  const site = await startSlurm({ nodes: 1, accounting: false, config: { MaxJobCount: '20', MaxArraySize: null } })
  try {
    const { recorder, sbatch } = groundOf(site, join(FOLDER, 'shipped'))
    await sbatch('--array=0-14%2')
    await recorder.record('refusal-crowded', {
      about: ['MaxJobCount is 20, 15 jobs are there; the array has 10 tasks.'],
      commands: ['sbatch --parsable --array=0-9 --wrap true'],
    })
  } finally {
    await site.stop()
  }
}

/** As shipped: small limits, no accounts; jobs that ended are forgotten soon. */
export async function recordSlurmAsShipped(): Promise<void> {
  const site = await startSlurm({
    nodes: 1,
    accounting: false,
    limits: 'shipped',
    config: { MinJobAge: '2', EnforcePartLimits: 'ALL' },
  })
  try {
    const ground = groundOf(site, join(FOLDER, 'shipped'))
    await ground.recorder.record('limits-shipped', {
      about: ['Slurm with the limits that it ships, no accounts, EnforcePartLimits=ALL.'],
      commands: [
        'scontrol show config',
        "sinfo -h -e -o '%P|%a|%l|%c|%m|.'",
        `sh -c 'exec sacctmgr -nP show assoc where user="$(id -un)" format=Account,Partition,QOS,DefaultQOS,MaxSubmit,MaxJobs'`,
        'sacctmgr -nP show qos format=Name,MaxSubmitPU,MaxSubmitPA,MaxJobsPU,MaxWall',
      ],
    })
    await recordShippedRefusals(ground)
  } finally {
    await site.stop()
  }
}
