import type { TaskReport } from '../connector.ts'
import type { Refusal, TaskEnding, Waiting } from '../dialect.ts'
import { firstRule } from '../scheduler-text.ts'

/*
 * Slurm's words. States: "Job state codes" of its manual; a flag stands in place of the base state while it is set. PREEMPTED and NODE_FAIL
 * are final where they stand alone: of a task that is about to be queued again squeue says COMPLETING, then PENDING.
 */

export const STATES: Readonly<Record<string, TaskReport['state']>> = {
  PENDING: 'queued',
  REQUEUED: 'queued',
  REQUEUE_FED: 'queued',
  EXPEDITING: 'queued',
  RESV_DEL_HOLD: 'held',
  REQUEUE_HOLD: 'held',
  SPECIAL_EXIT: 'held',
  CONFIGURING: 'running',
  POWER_UP_NODE: 'running',
  RUNNING: 'running',
  RESIZING: 'running',
  SIGNALING: 'running',
  SUSPENDED: 'running',
  STOPPED: 'running',
  COMPLETING: 'running',
  STAGE_OUT: 'running',
  UPDATE_DB: 'running',
  // The same task runs on another cluster of the federation.
  REVOKED: 'running',
  COMPLETED: 'ended',
  FAILED: 'ended',
  OUT_OF_MEMORY: 'ended',
  TIMEOUT: 'ended',
  DEADLINE: 'ended',
  NODE_FAIL: 'ended',
  BOOT_FAIL: 'ended',
  LAUNCH_FAILED: 'ended',
  RECONFIG_FAIL: 'ended',
  PREEMPTED: 'ended',
  CANCELLED: 'ended',
}

export const CAUSES: Readonly<Record<string, TaskEnding['cause']>> = {
  COMPLETED: 'succeeded',
  FAILED: 'failed',
  OUT_OF_MEMORY: 'memory',
  TIMEOUT: 'walltime',
  DEADLINE: 'walltime',
  NODE_FAIL: 'node',
  BOOT_FAIL: 'launch',
  LAUNCH_FAILED: 'launch',
  RECONFIG_FAIL: 'launch',
  PREEMPTED: 'preempted',
  CANCELLED: 'cancelled',
}

const WAITING: readonly (readonly [RegExp, Waiting['clears'], string])[] = [
  [/^JobHeldUser/, 'needs you', 'it was held by hand: `scontrol release` lets it go'],
  [/^JobHeldAdmin/, 'needs you', 'the site holds it: ask the site'],
  [/user env retrieval failed/, 'needs you', 'a compute node could not read your login environment, so Slurm holds it'],
  [/held|^JobHoldMaxRequeue/i, 'needs you', 'Slurm could not start it and holds it: `scontrol release` tries again'],
  [/^(InvalidAccount|AccountNotAllowed|AssociationUnknown)/, 'needs you', 'the queue does not take this `account:`'],
  [/^(InvalidQOS|QOSNotAllowed)/, 'needs you', 'the QOS may not be used here: ask for another in `options:`'],
  [/^(ReservationDeleted|ReservationInvalid)/, 'needs you', 'its reservation is gone'],
  [/^DependencyNeverSatisfied/, 'never', 'what it waits for has failed'],
  [
    /^(PartitionTimeLimit|AssociationTimeLimit|QOSTimeLimit)|MaxWallDurationPerJob/,
    'never',
    'its walltime is longer than the queue or the account allows',
  ],
  [
    /^(PartitionNodeLimit|PartitionConfig)/,
    'never',
    'it asks for more than the queue may give: another `queue:`, or less',
  ],
  [
    /^(BadConstraints|MaxMemPerLimit)/,
    'never',
    'no node has what it asks for: fewer cpus, less memory, or another `queue:`',
  ],
  [
    /^(AssocMax|QOSMax)\w*Per(Job|Node)|^QOSMin|MinutesPerJob/,
    'never',
    'it asks for more, or less, than one task of this account may have',
  ],
  [/^DeadLine/, 'never', 'its deadline cannot be met'],
  [/RunMin(ute)?s/, 'will clear', 'running tasks of your group have booked all the time that may be booked at once'],
  [
    /Grp\w*Minutes|^QOSUsageThreshold|^AssocGrpWallLimit|^QOSGrpWallLimit/,
    'needs you',
    'the time that was granted to the account is used up: another `account:`, or ask for more',
  ],
  [/^JobArrayTaskLimit/, 'will clear', 'as many tasks of this array run as may at once'],
  [
    /^(QOS|Assoc|Association|Max)\w*(PerUser|PerAccount|JobsLimit|JobLimit|Limit)/,
    'will clear',
    'you or your group have as much running as is allowed at once',
  ],
  [/^(AssocGrp|QOSGrp)/, 'will clear', 'your group has as much running as is allowed at once'],
  [/^(Priority|None$|SchedDefer|Cleaning|Prolog|FedJobLock|JobArray)/, 'will clear', 'others are before it'],
  [/^Resources|MaxPoweredUpNodes|MpiPortsBusy|NvidiaImex/, 'will clear', 'it is next, when enough is free'],
  [/^(PartitionDown|PartitionInactive)/, 'will clear', 'the site has closed the queue for now'],
  [
    /^(ReqNodeNotAvail|NodeDown|Nodes required for job)/,
    'will clear',
    'nodes are down or kept for maintenance; a shorter walltime may fit before it',
  ],
  [
    /^(Dependency|BeginTime|Licenses|Reservation|BurstBuffer)/,
    'will clear',
    'it waits for something that was asked for',
  ],
]

export function waiting(reason: string): Waiting {
  const [, clears, sentence] = firstRule(WAITING, reason.replace(/^\(/, '')) ?? []
  return { sentence: sentence ?? `Slurm says "${reason}"`, clears: clears ?? 'will clear' }
}

const REFUSALS: readonly (readonly [RegExp, Refusal['answer'], string])[] = [
  [
    /QOSMaxWall|AssocMaxWall|Requested time limit is invalid|Time limit specification required/,
    'needs you',
    'The walltime is longer than allowed: set a shorter one, or another `queue:`.',
  ],
  [
    /(QOS|Assoc)Max(Cpu|Node|GRES|Mem|TRES)\w*Per(Job|Node)|QOSMin/,
    'needs you',
    'One task may not have that much: ask for less, or set another `queue:` or `account:`.',
  ],
  [
    /MaxSubmit|GrpSubmit|MaxJobCount|Resource temporarily unavailable|violates accounting\/QOS policy/,
    'wait',
    'The site takes no more tasks of yours for now; floe waits for some to end. Set `limits: {queued: N}` to stay below it.',
  ],
  [
    /Socket timed out|Unable to contact slurm controller|Unable to establish control machine address|temporarily unable to accept job|Rate limit exceeded|standby mode|Connection (refused|reset|timed out)|Communication \w+ failure|Message \w+ failure|Unable to connect to database|Zero Bytes|[Mm]unge|credential|can not be altered now|slurm_persist_conn/,
    'again',
    'The controller is busy or away; floe asks again.',
  ],
  [/accounting storage is disabled/i, 'never', 'The site keeps no accounts; floe does without.'],
  [
    /Invalid account|Invalid or unknown association|account or account\/partition/,
    'needs you',
    'Set `account:` to one of yours: `sacctmgr show assoc user=$USER`.',
  ],
  [
    /Invalid partition|No partition specified|not permitted to use this partition|Required partition not available|Partition in DOWN/,
    'needs you',
    'Set `queue:` to one that is open to you: `sinfo -s`.',
  ],
  [
    /Invalid qos|Invalid wckey|Invalid feature|reservation|Invalid license/i,
    'needs you',
    'Correct the `options:` of the site.',
  ],
  [/Invalid generic resource|GRES/, 'needs you', 'This `queue:` has no such GPUs.'],
  [
    /Invalid job array specification/,
    'needs you',
    'The array is larger than the site allows (MaxArraySize): run `floe doctor` again.',
  ],
  [
    /node configuration is not available|More processors requested|Memory required by task|CPU count specification|Node count specification/,
    'never',
    'No node of this `queue:` has so many cpus, so much memory or such GPUs.',
  ],
  [
    /Access\/permission denied|Invalid user id|submissions disabled/,
    'needs you',
    'The site does not let you submit there: ask the site, or set another `queue:` or `account:`.',
  ],
  [
    /command not found|: not found|No such file or directory/,
    'needs you',
    'Slurm is not on the PATH of a plain `sh` there, or this is not a Slurm site: check `connector:`.',
  ],
]

export function refusal(text: string): Refusal {
  const [, answer, hint] = firstRule(REFUSALS, text) ?? []
  return {
    answer: answer ?? 'needs you',
    hint: hint ?? 'These are words that floe does not know; Slurm refused, and nothing was changed.',
  }
}
