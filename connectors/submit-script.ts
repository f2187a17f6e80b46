import type { ArraySpec } from './connector.ts'
import type { Argv, Dialect } from './dialect.ts'
import { jobScript } from './job-script.ts'
import { quote, quoteWords } from './quote.ts'
import { asking, closing, opening } from './replies.ts'

/*
 * One look at the submission of an array and one step further, on the site, under a lock. Files in the array's directory:
 *   lock           flock on it; the submit command inherits the descriptor, so that a free lock means that no submit command is alive
 *   lock.d/NONCE   the lock where flock is missing or does not work
 *   tried          nonce of the last submission, written and synced before the scheduler is asked
 *   script         what was submitted
 *   answer, answer.err, answer.exit    what the submit command said; the last with the nonce, written when it had ended
 *   id             the scheduler's id, by link, first wins
 *   tasks.log      what runners print beside their records
 *   owner          "id nonce" of the submission whose task was first to start: the truth, whatever `id` says
 * A shell that is killed between any two lines leaves a state that the next look can go on from.
 */

export interface Step {
  readonly array: ArraySpec
  readonly nonce: string
  readonly mark: string
  /** Nonce of the submission about which queue and accounting were asked already; '' for none. */
  readonly asked: string
  /** Id that they know by the array's name, to be published. */
  readonly adopt: string
  /** Do not believe `id`. */
  readonly verify: boolean
}

/** Where the looks for a lock give up, and when a lock directory without sign of life is nobody's. */
const LOCK_LOOKS_MAX = 50

/** What a script says of itself, one word and what belongs to it. */
export type Said =
  | { readonly word: 'gone' | 'unwritable' | 'busy' | 'missing' }
  | { readonly word: 'owner' | 'id'; readonly id: string }
  /** An earlier submission may have reached the scheduler; the answer (exit '' when none was noted) and the searches by name follow. */
  | { readonly word: 'tried'; readonly nonce: string; readonly exit: string; readonly id: string }
  | { readonly word: 'sent'; readonly exit: string; readonly id: string }

export function parseSaid(line: string | undefined): Said | undefined {
  const [word, first = '', second = '', third = ''] = line?.split(' ') ?? []
  switch (word) {
    case 'gone':
    case 'unwritable':
    case 'busy':
    case 'missing':
      return { word }
    case 'owner':
    case 'id':
      return { word, id: first }
    case 'tried':
      return { word, nonce: first, exit: second === '-' ? '' : second, id: third }
    case 'sent':
      return { word, exit: first, id: second }
    default:
      return undefined
  }
}

/** The commands whose outputs follow `tried` and `sent`, in their order: the answer of the submission, then the searches. */
export const answering = (dialect: Dialect, array: ArraySpec): readonly Argv[] => [dialect.submit(array)]
export const searching = (dialect: Dialect, array: ArraySpec): readonly Argv[] => [
  ...answering(dialect, array),
  ...dialect.find(array.name),
]

/** Lines of the script; commented in `Step` and above. Each line is one statement: it may be cut before and after any of them. */
export function submitLines(step: Step, dialect: Dialect): string[] {
  const { array, nonce } = step
  return [
    `floe_say() { printf '%s\\n' "${step.mark} : $*"; }`,
    `floe_nonce=${quote(nonce)}`,
    `floe_asked=${quote(step.asked)}`,
    `floe_adopt=${quote(step.adopt)}`,
    `floe_verify=${step.verify ? 1 : ''}`,
    `cd ${quote(array.directory)} 2>/dev/null || { floe_say gone; return; }`,
    // Not `:`, whose redirection ends a POSIX shell when it fails.
    'true 2>/dev/null >>lock || { floe_say unwritable; return; }',
    ...lockLines(Math.ceil(dialect.facts.submitMs / 60_000) + 1),
    ...lookLines(step, dialect),
    ...sendLines(step, dialect),
  ]
}

/** Leaves the function when another submission is under way. */
const lockLines = (staleMinutes: number): string[] => [
  'exec 9>>lock',
  'floe_looks=0',
  'floe_lock=',
  'while [ -z "$floe_lock" ]; do',
  'flock -n 9 2>/dev/null',
  // 1: another has it. Anything else: no flock here (127), or none on this file system.
  'case $? in 0) floe_lock=flock ;; 1) ;; *) floe_lock=none ;; esac',
  'floe_looks=$((floe_looks + 1))',
  `[ "$floe_looks" -lt ${LOCK_LOOKS_MAX} ] || [ -n "$floe_lock" ] || { floe_say busy; return; }`,
  '[ -n "$floe_lock" ] || sleep 0.2 || sleep 1',
  'done',
  'while [ "$floe_lock" = none ]; do',
  // An empty one may be removed by anybody at any time, and made by another between our mkdir and our file: it is ours when our file is
  // alone in it. Of two that come together at least one sees both.
  'mkdir lock.d 2>/dev/null && true 2>/dev/null >"lock.d/$floe_nonce" && set -- lock.d/* && [ "$#" = 1 ] && floe_lock=mkdir && break',
  'rm -f "lock.d/$floe_nonce"',
  'rmdir lock.d 2>/dev/null',
  // Older than a submit command can live.
  `find lock.d -type f -mmin +${staleMinutes} -exec rm -f {} + 2>/dev/null`,
  'floe_looks=$((floe_looks + 1))',
  `[ "$floe_looks" -lt ${LOCK_LOOKS_MAX} ] || { floe_say busy; return; }`,
  'sleep 0.2 || sleep 1',
  'done',
  `[ "$floe_lock" = flock ] || trap 'rm -f "lock.d/$floe_nonce"; rmdir lock.d 2>/dev/null' EXIT`,
]

const lookLines = ({ mark, array }: Step, dialect: Dialect): string[] => [
  'floe_owner=',
  'floe_id=',
  'floe_tried=',
  '[ -s owner ] && IFS= read -r floe_owner <owner',
  '[ -s id ] && IFS= read -r floe_id <id',
  '[ -s tried ] && IFS= read -r floe_tried <tried',
  // Somebody took it away; an id says as well that something was sent.
  '[ -z "$floe_id" ] || floe_tried=${floe_tried:-unknown}',
  'floe_publish() {',
  'printf \'%s\\n\' "$1" >".id.$floe_nonce" || return 1',
  'if [ -n "$2" ]; then mv -f ".id.$floe_nonce" id; else ln ".id.$floe_nonce" id 2>/dev/null; fi',
  'rm -f ".id.$floe_nonce"',
  'IFS= read -r floe_id <id',
  '}',
  'if [ -n "$floe_owner" ]; then',
  '[ "${floe_owner% *}" = "$floe_id" ] || floe_publish "${floe_owner% *}" over',
  'floe_say owner "${floe_owner% *}"',
  'return',
  'fi',
  'if [ -n "$floe_id" ] && [ -z "$floe_verify" ]; then',
  'floe_say id "$floe_id"',
  'return',
  'fi',
  'if [ -n "$floe_tried" ] && [ "$floe_tried" != "$floe_asked" ]; then',
  'floe_exit=-',
  'floe_of=',
  '[ -s answer.exit ] && read -r floe_of floe_exit <answer.exit',
  '[ "$floe_of" = "$floe_tried" ] || floe_exit=-',
  'floe_say tried "$floe_tried" "$floe_exit" "$floe_id"',
  ...answerLines(mark),
  ...asking(searching(dialect, array), mark).slice(SHOWN_LINES),
  'return',
  'fi',
  'if [ -n "$floe_adopt" ]; then',
  'floe_publish "$floe_adopt" over',
  'floe_say id "$floe_id"',
  'return',
  'fi',
]

/** Shows the answer of the last submission as the first output. */
const answerLines = (mark: string): string[] => [
  ...opening(mark, 0),
  'cat answer 2>/dev/null',
  'cat answer.err >&2 2>/dev/null',
  '[ "$floe_exit" != - ] || floe_exit=255',
  ...closing(mark, 0, '$floe_exit'),
]
/** Lines that `asking` makes of one command. */
const SHOWN_LINES = 5

const sendLines = ({ array, mark, nonce }: Step, dialect: Dialect): string[] => {
  const words = dialect.submit(array)
  return [
    `command -v ${quote(words[0])} >/dev/null 2>&1 || { floe_say missing; return; }`,
    '[ -z "$floe_id" ] || mv -f id "id.lost.$floe_nonce"',
    `printf '%s' ${quote(jobScript(array, dialect, nonce))} >script || { floe_say unwritable; return; }`,
    'printf \'%s\\n\' "$floe_nonce" >".tried.$floe_nonce" || { floe_say unwritable; return; }',
    // An older sync takes no names.
    'sync ".tried.$floe_nonce" 2>/dev/null || sync',
    'mv -f ".tried.$floe_nonce" tried || { floe_say unwritable; return; }',
    'sync . 2>/dev/null || sync',
    `${quoteWords(words)} <script >answer 2>answer.err 9>&9`,
    'floe_exit=$?',
    'printf \'%s\\n\' "$floe_nonce $floe_exit" >answer.exit',
    'floe_id=',
    `[ "$floe_exit" != 0 ] || floe_id=$(sed -nE ${quote(`s/${dialect.idPattern}/\\1/p`)} answer | tail -n 1)`,
    '[ -z "$floe_id" ] || floe_publish "$floe_id"',
    'floe_say sent "$floe_exit" "$floe_id"',
    ...answerLines(mark),
  ]
}
