import type { TaskReport } from '../connector.ts'
import type { Refusal, TaskEnding, Waiting } from '../dialect.ts'
import { firstRule, unknownState } from '../scheduler-text.ts'
import type { Output } from '../transport/transport.ts'

/*
 * The words of Grid Engine. A state is several letters at once, e.g. `hRqw`: d deleted, E error, S T s suspended, h hold, R restarted, q w
 * queued and waiting, r running, t starting, x exiting. Ended tasks are not in qstat at all.
 */

const LETTERS = /^[dESThRqrstwx]+$/

export function stateOf(word: string): Pick<TaskReport, 'state' | 'reason'> {
  if (!LETTERS.test(word)) throw unknownState(word, 'Grid Engine', 'LETTERS in connectors/sge/words.ts')
  if (word.includes('E')) return { state: 'held', reason: word }
  if (/[rtsSTx]/.test(word)) return { state: 'running', reason: null }
  return word.includes('h') ? { state: 'held', reason: word } : { state: 'queued', reason: null }
}

/** `failed` of qacct: what the system could not do. What is not listed went wrong before the script began. */
export const FAILED: Readonly<Record<string, TaskEnding['cause']>> = {
  // pestop, epilog and the rest of the way home: the script itself was done.
  '12': 'failed',
  '13': 'failed',
  '14': 'failed',
  '15': 'failed',
  '16': 'failed',
  '17': 'node',
  '18': 'node',
  '19': 'node',
  '20': 'node',
  '21': 'node',
  '22': 'node',
  '24': 'preempted',
  '25': 'preempted',
  '30': 'failed',
  '100': 'failed',
}

const WAITING: readonly (readonly [RegExp, Waiting['clears'], string])[] = [
  [/E\w*$|error state/, 'needs you', 'it could not be started: `qstat -j` says why, `qmod -cj` tries again'],
  [/^[dRT]*h\w*$|hold state/, 'needs you', 'it is held: `qrls` lets it go, unless the site holds it'],
  [
    /requested? .* does not exist|ckpt object not found|no matching pe found|not in pe list|no access to pe/,
    'needs you',
    'the queue does not have this parallel environment: correct `pe:`',
  ],
  [
    /permission|correct project|no project|excluded project|assigned project/,
    'needs you',
    'you or your project may not use this queue: set `account:` or `queue:`',
  ],
  [/hard queue list/, 'will clear', 'it waits for the queue that was asked for'],
  [
    /resource quota|limit .* in rule|user limitations|max_aj_instances/,
    'will clear',
    'you have as much running as is allowed at once',
  ],
  [/runtime .* too long|calendar/, 'will clear', 'the queue closes soon; a shorter walltime may fit before that'],
  [
    /only offers|because it has "?0"? slots|full|overloaded|alarm|suspended|disabled|temporarily not available|not available for parallel|clean ?up/,
    'will clear',
    'it starts when enough is free',
  ],
  [
    /cannot run (at host|in queue|globally)|no host can satisfy|requirements can(not| not) be sati/,
    'will clear',
    'no node that is up has what it asks for now; if none ever has, ask for less',
  ],
]

export function waiting(reason: string): Waiting {
  const [, clears, sentence] = firstRule(WAITING, reason) ?? []
  return { sentence: sentence ?? `Grid Engine says "${reason}"`, clears: clears ?? 'will clear' }
}

const REFUSALS: readonly (readonly [RegExp, Refusal['answer'], string])[] = [
  [
    /commlib error|(unable|can't|cannot|failed) to (contact|connect|send message to|receive message from)|got (send|select|read|receive) (error|timeout)|qmaster is not alive|temporarily rejected|can't connect to service/i,
    'again',
    'The qmaster is busy or away; floe asks again.',
  ],
  [
    /jobs are allowed per (user|cluster)/,
    'wait',
    'The site takes no more jobs for now; floe waits for some to end. Set `limits: {queued: N}` to stay below it.',
  ],
  [
    /more than \d+ tasks/,
    'needs you',
    'The array is larger than the site allows (max_aj_tasks): run `floe doctor` again.',
  ],
  [
    /parallel environment .* does not exist|not in pe list/,
    'needs you',
    'Set `pe:` to one that there is: `qconf -spl`.',
  ],
  [/project|account/i, 'needs you', 'Set `account:` to a project of yours: `qconf -sprjl`.'],
  [
    /unknown queue|queue .* does not exist|no suitable queues|not requestable/i,
    'needs you',
    'Set `queue:` to one that is open to you: `qstat -g c`.',
  ],
  [
    /unknown resource|Complex attribute/i,
    'needs you',
    'The site has another name for it (`qconf -sc`): correct `memory:`, `gpu:` or `options:`.',
  ],
  [
    /no submit host|not allowed to submit|minimum (user|group) id|no access|denied/i,
    'needs you',
    'The site does not let you submit from there: ask the site, or use another login host.',
  ],
  [
    /[Uu]nknown option|invalid option/,
    'needs you',
    'This is not a Grid Engine that floe knows, or `options:` has a mistake.',
  ],
  [/rejected/, 'needs you', "A rule of the site refused it; the words above are the site's."],
  [
    /command not found|: not found|No such file or directory/,
    'needs you',
    'Grid Engine is not on the PATH of a plain `sh` there, or this is not such a site: check `connector:`.',
  ],
]

export function refusal({ stdout, stderr }: Output): Refusal {
  const [, answer, hint] = firstRule(REFUSALS, `${stderr}\n${stdout}`) ?? []
  return {
    answer: answer ?? 'needs you',
    hint: hint ?? 'These are words that floe does not know; Grid Engine refused, and nothing was changed.',
  }
}
