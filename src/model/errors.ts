import type { Json } from './json.ts'

/** Facts of one error code: the exit status and HTTP status it leads to, whether trying again may help, and what to do by default. */
interface CodeFacts {
  readonly exit: number
  readonly http: number
  readonly retryable: boolean
  readonly hint: string
}

const code = (exit: number, http: number, hint: string, retryable = false): CodeFacts => ({
  exit,
  http,
  retryable,
  hint,
})

/** The only list of error codes. docs/errors.md says the same; a test compares them both ways. */
export const CODES = {
  USAGE: code(2, 400, 'See `floe --help`.'),
  CONFIG_INVALID: code(2, 400, 'Correct the setting named above in floe.yaml or sites.yaml.'),
  JOB_FILE_INVALID: code(2, 400, 'Correct the file at the line named above and add it again.'),
  SQL_INVALID: code(2, 400, 'Correct the SQL; `floe query "describe jobs"` shows the columns.'),
  NOT_SUPPORTED: code(2, 501, 'Take this key out of the job for now.'),
  SITE_UNKNOWN: code(2, 404, '`floe sites` lists what ~/.config/floe/sites.yaml names; `local` is this machine.'),
  EXECUTABLE_INVALID: code(2, 400, 'Name a program that exists and may be run, or correct PATH.'),
  RESULTS_STALE: code(2, 409, '`floe run --rerun` runs them again; `floe run --keep` keeps the results as they are.'),
  CAMPAIGN_COPIED: code(
    2,
    409,
    '`floe init --fork` makes this a campaign of its own; `floe init --adopt` says that it was moved.',
  ),
  CAMPAIGN_EXISTS: code(2, 409, 'Choose another directory, or use the campaign that is there.'),
  JOBS_FAILED: code(3, 200, '`floe jobs --state failed` lists them; `floe show JOB` says why.'),
  ROWS_REJECTED: code(3, 200, 'Correct the rows in rejects.ndjson and add the file again; the good rows are kept.'),
  INPUTS_MISSING: code(3, 200, '`floe jobs --where missing` lists the jobs; put the files in place and run again.'),
  NOTHING_SELECTED: code(4, 404, '`floe jobs` shows what is there.'),
  CAMPAIGN_MISSING: code(10, 404, '`floe init DIR` makes a campaign; `-C DIR` names one.'),
  RUN_LOCKED: code(11, 409, 'Wait for the other run to end, or stop it there.', true),
  SITE_UNREACHABLE: code(12, 502, 'Check the connection to the site and run again; nothing is lost.', true),
  SITE_FULL: code(12, 503, 'Wait until tasks have ended and run again; nothing is lost.', true),
  BUS_UNREACHABLE: code(
    12,
    502,
    'Check `kafka:` in sites.yaml and the brokers; events wait in the record files.',
    true,
  ),
  BUS_REFUSED: code(2, 502, 'Correct `kafka:` in sites.yaml, or ask who keeps the brokers for the right.'),
  SUBMIT_REFUSED: code(
    2,
    502,
    'Read the answer of the scheduler above; correct the site or the resources of the jobs.',
  ),
  SUBMIT_UNREADABLE: code(1, 502, 'The answer of the scheduler is quoted above; floe does not know its form.'),
  STATE_UNKNOWN: code(1, 502, 'Extend the state table of the dialect named above.'),
  STAGE_FAILED: code(1, 500, 'See the cause above; staging goes on where it stopped when you run again.', true),
  RECORD_BROKEN: code(1, 500, 'The record file named above is damaged before its end; its good lines are used.'),
  TABLE_DAMAGED: code(1, 500, 'Restore the file named above from a backup; nothing was changed.'),
  TABLE_CONFLICT: code(1, 409, 'Another process changed the table; run the command again.', true),
  DISK_FULL: code(1, 507, 'Free some space and run again; what was published before is whole.', true),
  NOT_WRITABLE: code(1, 403, 'Make the directory named above writable for you.'),
  INTERRUPTED: code(130, 499, 'Everything is saved; run again to go on.', true),
  FILE_BUSY: code(1, 409, 'Wait until the one who writes the file has ended, and run again.', true),
  HDFS_UNREACHABLE: code(12, 502, 'Check the address, its port and the cluster, and run again; nothing is lost.', true),
  HDFS_LOGIN: code(2, 401, 'Get a new delegation token, or name the user that the cluster knows.'),
  HDFS_REFUSED: code(1, 502, 'Read the answer of HDFS above.'),
  BUG: code(1, 500, 'This is a bug in floe. Please report it with the lines above.'),
} as const satisfies Record<string, CodeFacts>

export type Code = keyof typeof CODES

/**
 * The one error class of floe: what was tried and what came back in the message, what to do in the hint.
 * The expected failure of a job is data, never a FloeError.
 */
export class FloeError extends Error {
  readonly code: Code
  readonly hint: string
  readonly details: Json

  constructor(code: Code, message: string, options: { hint?: string; details?: Json; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'FloeError'
    this.code = code
    this.hint = options.hint ?? CODES[code].hint
    this.details = options.details ?? {}
  }

  get exit(): number {
    return CODES[this.code].exit
  }
}

/** Stops at a broken invariant. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new FloeError('BUG', message)
}
