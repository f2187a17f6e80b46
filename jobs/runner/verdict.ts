import { constants } from 'node:os'
import type { FailureClass, Verdict } from '../../src/model/verdict.ts'
import type { Report } from './shell.ts'

export interface Judged {
  readonly verdict: Verdict
  readonly class: FailureClass | null
  readonly rule: string
  readonly exit: number | null
  readonly signal: string | null
}

/** What the runner did to a job, and why. */
export interface Killed {
  readonly class: FailureClass
  readonly rule: string
}

/** What shells write to standard error when a signal ended a program, as strsignal(3) has it. Of INT and PIPE they say nothing. */
const SAID: Readonly<Record<string, string>> = {
  HUP: 'Hangup',
  QUIT: 'Quit',
  ILL: 'Illegal instruction',
  TRAP: 'Trace',
  ABRT: 'Abort',
  BUS: 'Bus error',
  FPE: 'Floating point exception',
  KILL: 'Killed',
  USR1: 'User defined signal 1',
  SEGV: 'Segmentation fault',
  USR2: 'User defined signal 2',
  ALRM: 'Alarm clock',
  TERM: 'Terminated',
  XCPU: 'CPU time limit exceeded',
  XFSZ: 'File size limit exceeded',
  SYS: 'Bad system call',
  INT: '',
  PIPE: '',
}

const NAMES = new Map(Object.keys(SAID).map((name) => [constants.signals[`SIG${name}` as NodeJS.Signals], name]))

/** The signal that ended a job. `exit 137` of a program's own and a kill look alike to a shell, but of a kill the last line of stderr tells. */
export function signalOf(exit: number | null, said: string): string | null {
  const name = exit !== null && exit > 128 ? NAMES.get(exit - 128) : undefined
  const words = name === undefined ? undefined : SAID[name]
  return words !== undefined && said.slice(said.trimEnd().lastIndexOf('\n') + 1).includes(words) ? name! : null
}

export const failed = (failure: FailureClass, rule: string): Judged => ({
  verdict: failure === 'cancelled' ? 'cancelled' : 'failed',
  class: failure,
  rule,
  exit: null,
  signal: null,
})

export interface Evidence {
  readonly report: Report
  /** The end of its standard error. */
  readonly said: string
  readonly killed: Killed | undefined
  /** Asked only when the exit may mean that the program never started. */
  readonly launchProblem: () => string | undefined
  /** Asked only when something else than the runner killed the job. */
  readonly kernelKilled: () => boolean
}

/** The verdict on how a job's processes ended; `undefined`: well, so its outputs decide. */
export function judge({ report, said, killed, launchProblem, kernelKilled }: Evidence): Judged | undefined {
  const signal = signalOf(report.exit, said) ?? signalOf(report.exit, report.said.split('\n', 1)[0]!)
  const exit = signal === null ? report.exit : null
  if (killed) return { ...failed(killed.class, killed.rule), exit, signal }
  if (report.exit === 0) {
    if (report.check === null || report.check === 0) return undefined
    return { ...failed('check', `check ended with exit ${report.check}`), exit }
  }
  if (signal === 'KILL' && kernelKilled())
    return { ...failed('memory', 'signal KILL by the kernel, which ran out of memory'), exit, signal }
  if (signal !== null) return { ...failed('app', `signal ${signal}`), exit, signal }
  // 2 is what a shell ends with when it takes a program of another machine for a script.
  const problem = exit === 126 || exit === 127 || exit === 2 ? launchProblem() : undefined
  return { ...failed(problem === undefined ? 'app' : 'launch', problem ?? `exit ${exit}`), exit, signal }
}

export const succeeded: Judged = { verdict: 'succeeded', class: null, rule: 'exit 0', exit: 0, signal: null }

export function bytesText(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}
