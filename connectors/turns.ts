import { quote } from './quote.ts'
import type { Output } from './transport/transport.ts'

/**
 * Questions to a scheduler take turns: one at a time, and with a pause after each, whoever of a user asks, from whatever machine. A file at the site
 * says from when on the next may be asked.
 */
export interface Turns {
  /** Directory at the site, on a disk that its login nodes share. */
  readonly folder: string
  /** From one question to the next, seconds, at least. */
  readonly everySec: number
}

/** How long a question waits for one that is under way. */
const WAIT_SEC = 20
/** A question that took n seconds is followed by a pause of so many times n, as in src/model/pace.ts. */
const REST = 20
const REST_MAX_SEC = 300
const REST_KILLED_SEC = 60

/**
 * Lines of sh around those of a question of this kind. When it is too early they say `later N` behind the mark, and ask nothing. On a disk that cannot
 * be written, or has no locks, they ask.
 */
export function inTurn(lines: readonly string[], kind: string, { folder, everySec }: Turns, mark: string): string[] {
  return [
    `floe_turn=${quote(`${folder}/asked.${kind}`)}`,
    'floe_next=',
    'floe_now=$(date +%s)',
    // Of a special builtin, as : and exec are, a redirection that fails ends the shell.
    'if { true >>"$floe_turn"; } 2>/dev/null; then',
    'exec 8>>"$floe_turn"',
    `flock -w ${WAIT_SEC} 8 2>/dev/null`,
    `[ $? != 1 ] || { printf '%s\\n' '${mark} : later ${WAIT_SEC}'; return 0; }`,
    'floe_now=$(date +%s)',
    'IFS= read -r floe_next <"$floe_turn"',
    'case $floe_next in *[!0-9]*) floe_next= ;; esac',
    'floe_wait=$((${floe_next:-0} - floe_now))',
    // Written by a clock that was wrong, it would hold for ever.
    `[ "$floe_wait" -le 0 ] || [ "$floe_wait" -gt ${2 * REST_MAX_SEC} ] || { printf '%s\\n' "${mark} : later $floe_wait"; return 0; }`,
    'else floe_turn=',
    'fi',
    // A question that is killed for its length leaves this behind.
    `[ -z "$floe_turn" ] || printf '%s\\n' "$((floe_now + ${Math.max(REST_KILLED_SEC, Math.floor(everySec))}))" >"$floe_turn"`,
    // What a command leaves running must not hold the lock.
    '{',
    ...lines,
    '} 8>&-',
    'if [ -n "$floe_turn" ]; then',
    `floe_rest=$((($(date +%s) - floe_now) * ${REST}))`,
    `[ "$floe_rest" -le ${REST_MAX_SEC} ] || floe_rest=${REST_MAX_SEC}`,
    `[ "$floe_rest" -ge ${Math.floor(everySec)} ] || floe_rest=${Math.floor(everySec)}`,
    `printf '%s\\n' "$((floe_now + floe_rest))" >"$floe_turn" 2>/dev/null`,
    'fi',
    ':',
  ]
}

/** Seconds until it may be asked; undefined: it was. */
export function laterIn({ stdout }: Output, mark: string): number | undefined {
  const [, seconds] = new RegExp(`^${mark} : later (\\d+)$`, 'm').exec(stdout) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}
