import type { LoginOptions } from './login.ts'

export interface SlurmOptions {
  /** Compute nodes c1, c2, …; 3 by default. */
  readonly nodes?: number
  /** Of a node; 16 by default. */
  readonly cpus?: number
  /** slurmdbd with MariaDB; true by default. */
  readonly accounting?: boolean
  /** `wide` (the default) is for large arrays; `shipped` leaves what Slurm ships: MaxArraySize 1001, MaxJobCount 10000. */
  readonly limits?: 'wide' | 'shipped'
  /** Lines of slurm.conf, key → value; null leaves a line out. */
  readonly config?: Readonly<Record<string, string | null>>
  /** More lines of slurm.conf, such as further partitions. */
  readonly lines?: readonly string[]
  /** Size of /scratch; that of the disk by default. */
  readonly scratchMb?: number
  /** Size of /tmp of a compute node; that of the disk by default. floe takes one with 1 GiB of room. */
  readonly tmpMb?: number
  /**
   * Memory is enforced by cgroups (version 1, of the engine's own machine, in folders named after the nodes): for one cluster at a time, and
   * what uses it removes `slurm_c*` from them.
   */
  readonly cgroups?: boolean
  readonly login?: LoginOptions
}

const CGROUPS = {
  ProctrackType: 'proctrack/cgroup',
  TaskPlugin: 'task/cgroup',
  JobAcctGatherType: 'jobacct_gather/cgroup',
  SelectTypeParameters: 'CR_Core_Memory',
}
export const CGROUP_CONF = ['CgroupPlugin=cgroup/v1', 'ConstrainRAMSpace=yes', ''].join('\n')

/** 50 to 60 tiny tasks a second on two cores; the default scheduler starts 25, select/linear 3. */
const FAST = [
  'sched_interval=1,sched_min_interval=0,batch_sched_delay=0',
  'default_queue_depth=10000,sched_max_job_start=0',
].join(',')

/** slurm.conf of a cluster with partitions main (default), short (five minutes at most) and closed. */
export function slurmConf(options: SlurmOptions): string {
  const { nodes = 3, cpus = 16, accounting = true, limits = 'wide', cgroups = false, config = {}, lines = [] } = options
  const wide = limits === 'wide'
  const settings: Readonly<Record<string, string | null>> = {
    ClusterName: 'frost',
    SlurmctldHost: 'controller',
    SlurmUser: 'slurm',
    StateSaveLocation: '/var/spool/slurm/state',
    SlurmdSpoolDir: '/var/spool/slurm/d',
    SlurmctldPidFile: '/tmp/slurmctld.pid',
    MpiDefault: 'none',
    ProctrackType: 'proctrack/linuxproc',
    TaskPlugin: 'task/none',
    JobAcctGatherType: 'jobacct_gather/none',
    SlurmdParameters: 'config_overrides',
    ReturnToService: '2',
    KillWait: '2',
    SlurmdTimeout: '30',
    SchedulerType: 'sched/builtin',
    SchedulerParameters: wide ? `${FAST},max_array_tasks=1000000` : FAST,
    SelectType: 'select/cons_tres',
    SelectTypeParameters: 'CR_Core',
    MaxArraySize: wide ? '1000001' : null,
    MaxJobCount: wide ? '2000000' : null,
    AccountingStorageType: accounting ? 'accounting_storage/slurmdbd' : 'accounting_storage/none',
    AccountingStorageHost: accounting ? 'accounting' : null,
    // Without it sacct shows no comments.
    AccountingStoreFlags: accounting ? 'job_comment' : null,
    ...(cgroups ? CGROUPS : {}),
    ...config,
  }
  return [
    ...Object.entries(settings).flatMap(([key, value]) => (value === null ? [] : [`${key}=${value}`])),
    `NodeName=c[1-${nodes}] CPUs=${cpus} RealMemory=4000`,
    'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP',
    'PartitionName=short Nodes=ALL MaxTime=00:05:00 State=UP',
    'PartitionName=closed Nodes=c1 MaxTime=01:00:00 State=DOWN',
    ...lines,
    '',
  ].join('\n')
}
