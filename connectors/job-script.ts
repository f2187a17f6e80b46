import type { ArraySpec } from './connector.ts'
import type { Dialect } from './dialect.ts'
import { quote, quoteWords } from './quote.ts'

/** Exit of a task that found no directory: the scratch of the site is not shared with its node, or was purged. */
export const NO_DIRECTORY = 72
/** Exit of a task that could not say that it is there: the scratch is full or cannot be written. */
export const NO_OWNER = 73

/** Room in /tmp for it to take the directories of jobs, kB. */
const TMP_ROOM_KB = 2 ** 20

/** Variables that change what a shell or Node runs at its start. */
const DANGEROUS = 'NODE_OPTIONS NODE_PATH BASH_ENV ENV CDPATH'

/**
 * What a scheduler runs for each task. The first task of a submission to start links its id and nonce to `owner`; tasks of any other
 * submission of the array leave with exit 0, so that two submissions of one array run each task once. A requeue under the same id goes on.
 * Then becomes the runner. Costs on a shared disk: one file an array, one small read a task.
 */
export function jobScript(array: ArraySpec, dialect: Pick<Dialect, 'task'>, nonce: string): string {
  const command = [...array.command, '--task']
  const terms = ['--cpus', String(array.cpus)]
  if (array.walltimeSec !== null) terms.push('--walltime', String(array.walltimeSec))
  return [
    '#!/bin/sh',
    `cd ${quote(array.directory)} || exit ${NO_DIRECTORY}`,
    // The scheduler discards what a task prints; the runner says little, and all of it matters.
    `true >>tasks.log || exit ${NO_OWNER}`,
    'exec >>tasks.log 2>&1 </dev/null',
    `floe_id=${dialect.task.id}`,
    `floe_index=${dialect.task.index}`,
    `floe_claim="$floe_id ${nonce}"`,
    'if ! [ -s owner ]; then',
    `  floe_aside=.owner.${nonce}.$floe_index.$$`,
    '  printf \'%s\\n\' "$floe_claim" >"$floe_aside"',
    '  sync "$floe_aside" 2>/dev/null',
    // A full disk may cut the line; one that is linked must be whole, or all tasks would leave for ever.
    '  floe_owner=',
    '  IFS= read -r floe_owner <"$floe_aside"',
    '  [ "$floe_owner" = "$floe_claim" ] && ln "$floe_aside" owner 2>/dev/null',
    '  rm -f "$floe_aside"',
    'fi',
    'floe_owner=',
    'IFS= read -r floe_owner <owner',
    `[ -n "$floe_owner" ] || exit ${NO_OWNER}`,
    '[ "$floe_owner" = "$floe_claim" ] || exit 0',
    `unset ${DANGEROUS}`,
    // Directories of jobs on the shared disk cost it some operations a job; every node has a /tmp, be it small.
    'floe_room=0',
    `[ -n "\${FLOE_TMPDIR:-}\${TMPDIR:-}" ] || [ ! -w /tmp ] || floe_room=$(df -Pk /tmp 2>/dev/null | awk 'NR == 2 { printf "%.0f", $4 }')`,
    `[ "\${floe_room:-0}" -lt ${TMP_ROOM_KB} ] || { FLOE_TMPDIR=/tmp; export FLOE_TMPDIR; }`,
    'FLOE_NATIVE_ID=$floe_id',
    `FLOE_NONCE=${nonce}`,
    'export FLOE_NATIVE_ID FLOE_NONCE',
    `exec ${quoteWords(command)} "$floe_index" ${quoteWords(terms)}`,
    '',
  ].join('\n')
}
