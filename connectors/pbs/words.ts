import type { TaskReport } from '../connector.ts'
import type { Refusal, TaskEnding, Waiting } from '../dialect.ts'
import { firstRule } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'

/* The words of OpenPBS and PBS Pro: states of qstat, Exit_status, comments of the scheduler, and what qsub and qdel say. */

export const STATES: Readonly<Record<string, TaskReport['state']>> = {
  Q: 'queued',
  W: 'queued',
  T: 'queued',
  // Of an array whose first task has started: its own state, never a task's.
  B: 'queued',
  // Moved to another server, which goes by the same id.
  M: 'queued',
  H: 'held',
  R: 'running',
  S: 'running',
  U: 'running',
  E: 'running',
  F: 'ended',
  X: 'ended',
}

/** Negative Exit_status: what PBS itself did (job.h: JOB_EXEC_…). */
export const CAUSES: Readonly<Record<string, TaskEnding['cause']>> = {
  '-1': 'launch',
  '-2': 'launch',
  '-3': 'launch',
  '-4': 'node',
  '-5': 'node',
  '-6': 'node',
  '-7': 'node',
  '-10': 'launch',
  '-11': 'preempted',
  '-12': 'preempted',
  '-13': 'launch',
  '-14': 'preempted',
  '-15': 'preempted',
  '-16': 'launch',
  '-17': 'launch',
  '-18': 'preempted',
  '-19': 'cancelled',
  '-20': 'node',
  '-21': 'launch',
  '-22': 'launch',
  '-23': 'launch',
  '-24': 'failed',
  '-25': 'failed',
  '-26': 'memory',
  '-27': 'memory',
  '-28': 'walltime',
  '-29': 'walltime',
  '-30': 'node',
}

const WAITING: readonly (readonly [RegExp, Waiting['clears'], string])[] = [
  [
    /^Can Never Run/,
    'never',
    'no node of this queue has what it asks for: fewer cpus, less memory, or another `queue:`',
  ],
  [
    /too many failed attempts|failed to start/,
    'needs you',
    'PBS could not start it on its nodes, and holds it: the site has to look there, and then `qrls` it',
  ],
  [
    /^Sent to /,
    'will clear',
    'it was sent to its node, which has not taken it yet; if that lasts, the server has lost it: `qdel -W force` it',
  ],
  [/^Hold_Types = [nu]*[os]/, 'needs you', 'the site holds it: ask there'],
  [/^Job held|^Hold_Types|Holds? /, 'needs you', 'it is held: `qrls` lets it go, unless the site holds it'],
  [/zero shares/, 'needs you', 'your project has no share of this machine'],
  [/Specified .* does not exist/, 'never', 'it asks for something that this site does not have'],
  [/Queue not started|not an execution queue/, 'will clear', 'the site has stopped the queue for now'],
  [/running subjobs limit/, 'will clear', 'as many tasks of this array run as may at once'],
  [/limit|would exceed/i, 'will clear', 'you or your group have as much running as is allowed at once'],
  [
    /[Dd]edicated|primetime/,
    'will clear',
    'the machine is kept for others for a while; a shorter walltime may fit before it',
  ],
  [/reservation|top job|strict/, 'will clear', 'others are before it'],
  [/Insufficient amount|Not enough|resources on nodes|Nodes? |preempt/, 'will clear', 'it starts when enough is free'],
]

export function waiting(reason: string): Waiting {
  const [, clears, sentence] = firstRule(WAITING, reason) ?? []
  return { sentence: sentence ?? `PBS says "${reason}"`, clears: clears ?? 'will clear' }
}

const REFUSALS: readonly (readonly [RegExp, Refusal['answer'], string])[] = [
  [
    /illegal -J value|cannot submit non-rerunable/,
    'never',
    'This PBS does not know arrays as floe sends them: is it Torque?',
  ],
  [/invalid option|usage:/, 'needs you', 'This is not a PBS that floe knows, or `options:` has a mistake.'],
  [
    /cannot connect|Couldn't connect|Connection (refused|timed out|reset)|Unknown Host|No free connections|Server shutting down|connection table full|Checkpoint busy|Batch protocol error|could not connect to MOM|Expired credential|End of File/i,
    'again',
    'The server is busy or away; floe asks again.',
  ],
  [
    /Array job exceeds/,
    'needs you',
    'The array is larger than the server or the queue allows (max_array_size): run `floe doctor` again, or set another `queue:`.',
  ],
  [
    /Maximum number of jobs|would exceed|Resource temporarily unavailable/,
    'wait',
    'The site takes no more tasks of yours for now; floe waits for some to end. Set `limits: {queued: N}` to stay below it.',
  ],
  [
    /violates queue and\/or server resource limits|exceeds allowable/,
    'needs you',
    'It asks for more than the queue gives (`qstat -Qf`): less walltime, fewer cpus, or another `queue:`.',
  ],
  [
    /Unknown queue|Queue is not enabled|Access to queue|No default queue|rejected by all possible destinations/,
    'needs you',
    'Set `queue:` to one that is open to you: `qstat -Q`.',
  ],
  [/Invalid Account/, 'needs you', 'Set `account:`; where projects are billed, add `-P` and its name to `options:`.'],
  [
    /Unknown resource|Illegal attribute or resource value|invalid in "select"/,
    'needs you',
    'The site has no such resource (GPUs are asked for as ngpus): correct `options:`, or ask for none.',
  ],
  [
    /Job name is too long|illegal -N value/,
    'never',
    'This PBS takes only short names of jobs, under which floe cannot find its arrays again.',
  ],
  [
    /Unauthorized Request|Bad UID|Bad GID|not allowed/,
    'needs you',
    'The site does not let you submit there: ask the site, or set another `queue:`.',
  ],
  [/hook/i, 'needs you', "A rule of the site refused it; the words above are the site's."],
  [
    /command not found|: not found|No such file or directory/,
    'needs you',
    'PBS is not on the PATH of a plain `sh` there, or this is not a PBS site: check `connector:`.',
  ],
]

export function refusal({ stdout, stderr }: Output): Refusal {
  const [, answer, hint] = firstRule(REFUSALS, `${stderr}\n${stdout}`) ?? []
  return {
    answer: answer ?? 'needs you',
    hint: hint ?? 'These are words that floe does not know; PBS refused, and nothing was changed.',
  }
}
