/** How a job ended. Never mixed with the states of a task. */
export const VERDICTS = ['succeeded', 'failed', 'cancelled', 'lost'] as const
export type Verdict = (typeof VERDICTS)[number]

/** Why a job did not succeed; the same for all schedulers. A policy decides by class. */
export const FAILURE_CLASSES = [
  'app', // exit other than 0, or a declared output that is not there
  'check', // exit 0, then `check` failed
  'memory', // over its memory
  'walltime', // over its walltime
  'node', // the node died or was taken away, or a disk was full
  'staging', // an input could not be linked or copied to the node
  'input', // an input was absent or differed from what was planned
  'launch', // the program could not be started
  'preempted',
  'purged', // scratch was cleaned under the task
  'cancelled', // on request
  'lost', // no evidence at all before the deadline
] as const
export type FailureClass = (typeof FAILURE_CLASSES)[number]

/** Classes that say nothing about the job itself: they do not use up its tries. */
export const INFRASTRUCTURE_CLASSES: readonly FailureClass[] = ['node', 'staging', 'preempted', 'purged', 'lost']

/** What `status` counts and `--state` selects. */
export const JOB_STATES = ['pending', 'held', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'lost'] as const
export type JobState = (typeof JOB_STATES)[number]

/** What a scheduler says of a task; `ended` is never "succeeded". */
export const TASK_STATES = ['queued', 'held', 'running', 'ended'] as const
export type TaskState = (typeof TASK_STATES)[number]
