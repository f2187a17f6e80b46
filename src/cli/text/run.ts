import type { RunProgress, RunReport } from '../../floe.ts'
import { formatCount, formatCounted, formatRate, formatSeconds, formatShare } from '../../model/format.ts'
import { list, renderCounts } from './status.ts'
import { visible } from './table.ts'
import { near, shellWord } from './words.ts'

const BAR = 28
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** `█████▌      `: a share as a bar of `width` columns. */
export function bar(part: number, whole: number, width = BAR): string {
  const eighths = whole === 0 ? 0 : Math.floor((Math.min(part, whole) / whole) * width * 8)
  return `${'█'.repeat(eighths >> 3)}${EIGHTHS[eighths & 7]}`.padEnd(width)
}

/** Two lines of a running run. `end` is when it will be over, in the words of a clock; null while nobody can say. */
export function renderProgress(progress: RunProgress, { columns, now }: { columns: number; now: Date }): string[] {
  const { site, total, done, elapsed_sec, running, queued, failed, reused, retried } = progress
  const share = formatShare(done, total).padStart(6)
  const first = [
    `${site}  ${bar(done, total, columns < 100 ? 14 : BAR)} ${share}`,
    `${formatCount(done)} of ${formatCounted(total, 'job')}`,
    formatRate(done - reused, elapsed_sec),
    endOf(progress, now),
  ]
  const second = [
    `running ${formatCount(running)}`,
    `queued ${formatCount(queued)}`,
    failed > 0 ? `failed ${formatCount(failed)}${listed(progress.classes)}` : '',
    retried > 0 ? `tried again ${formatCount(retried)}` : '',
    reused > 0 ? `answered from earlier results ${formatCount(reused)}` : '',
    progress.stopping === null ? '' : `stopping: ${progress.stopping}`,
    progress.waiting === null || progress.stopping !== null ? '' : progress.waiting,
  ]
  const indent = ' '.repeat(site.length + 2)
  return [first.filter(Boolean).join('   '), indent + second.filter(Boolean).join(' · ')].map((line) =>
    line.slice(0, columns - 1),
  )
}

const listed = (classes: Readonly<Record<string, number>>): string => {
  const text = list(classes)
  return text === '' ? '' : ` (${text})`
}

/** Seconds of work that have to be seen before an end is foretold. */
const FORETELL_AFTER_SEC = 3

function endOf({ total, done, reused, elapsed_sec }: RunProgress, now: Date): string {
  const made = done - reused
  if (elapsed_sec < FORETELL_AFTER_SEC || made === 0 || done >= total) return ''
  const left = ((total - done) / made) * elapsed_sec
  if (left < 3600) return `ends in ≈ ${formatSeconds(left)}`
  const end = new Date(now.getTime() + left * 1000)
  const clock = end.toTimeString().slice(0, 5)
  if (left < 20 * 3600) return `ends ≈ ${clock}`
  return `ends ≈ ${end.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' }).replace(',', '')} ${clock}`
}

/** One line now and then, where nothing can be drawn over. */
export const renderProgressLine = (progress: RunProgress): string => {
  const { site, done, total, elapsed_sec, failed, reused, waiting } = progress
  const fault = failed > 0 ? `, ${formatCount(failed)} failed` : ''
  return `${site}: ${formatCount(done)} of ${formatCounted(total, 'job')} after ${formatSeconds(elapsed_sec)}, ${formatRate(done - reused, elapsed_sec)}${fault}${waiting === null ? '' : `; ${waiting}`}\n`
}

/** The last words of a run. */
export function renderRun(report: RunReport): string {
  const { decided } = report
  const total = decided.succeeded + decided.failed + decided.cancelled + decided.lost
  const told = [
    summary(report, total),
    counts(report),
    missing(report),
    held(report),
    unused(report),
    elsewhere(report),
    away(report),
    merged(report),
    damaged(report),
    paces(report),
    untold(report),
  ]
  if (report.rehearsal !== null) return [...told, rehearsed(report.rehearsal)].join('')
  return [...told, leftOut(report), next(report)].join('')
}

/** What a person who stopped it may do next; `site` as they named it. */
export function renderStopped({ rehearsal }: RunReport, sites: readonly string[] = []): string {
  if (rehearsal === null)
    return 'Stopped looking; what runs goes on working. `floe run` again takes up from here, from this machine or another.\n'
  const inside = `floe -C ${shellWord(near(rehearsal))}`
  const run = ['run', ...sites.map((site) => `--site ${site}`)].join(' ')
  return `The rehearsal stopped; this campaign is as it was. \`${inside} status\` shows it, \`${inside} ${run}\` goes on with it, \`floe ${run}\` begins anew.\n`
}

const rehearsed = (directory: string): string =>
  `Simulated: nothing was run, and this campaign is as it was. What would have become of it: floe -C ${shellWord(near(directory))} status\n`

function summary(report: RunReport, total: number): string {
  const { decided, stopped, elapsed_sec } = report
  if (stopped === 'too many failures') {
    return `Stopped: ${formatCount(decided.failed)} of ${formatCounted(total, 'job')} failed, more than \`stop_when_failed\` in floe.yaml, or --max-failures, allows.\n${reason(report)}`
  }
  if (total === 0 && stopped === null) return report.pending > 0 ? 'Nothing can be run now.\n' : 'Nothing to do.\n'
  const reused = decided.reused > 0 ? `, ${formatCount(decided.reused)} answered from earlier results` : ''
  return `${formatCounted(total, 'job')} decided in ${formatSeconds(elapsed_sec)}${reused}.\n`
}

function reason({ reason: commonest }: RunReport): string {
  if (commonest === null) return ''
  const { class: failure, rule, jobs, example, log } = commonest
  return [
    `  Most of them, ${formatCount(jobs)}: ${failure}, such as ${visible(example)}: ${visible(rule)}\n`,
    ...log.map((line) => `    | ${visible(line)}\n`),
    `  floe logs ${shellWord(example)} shows all that it wrote; when the cause is mended: floe retry --state failed, floe run\n`,
  ].join('')
}

const counts = (report: RunReport): string => (report.jobs === 0 ? '' : renderCounts(report, report.classes))

const missing = ({ missing }: RunReport): string =>
  missing === 0
    ? ''
    : `  ${missing === 1 ? '1 job lacks an input' : `${formatCount(missing)} jobs lack an input`}: floe jobs --where missing\n`

/** By the policy, not by a person. */
const held = ({ decided }: RunReport): string =>
  decided.held === 0
    ? ''
    : `  ${decided.held === 1 ? '1 job is held' : `${formatCount(decided.held)} jobs are held`} after a failure: floe jobs --state held lists them, floe retry --state held tries again\n`

const unused = ({ unused, stopped }: RunReport): string =>
  unused
    .map(({ site, why }) => {
      const what =
        stopped === null ? `The others did the work of ${visible(site)}` : `${visible(site)} did not do its work`
      return `  ${what}: ${visible(why)}\n`
    })
    .join('')

const elsewhere = ({ elsewhere }: RunReport): string =>
  elsewhere
    .map(
      ({ site, tasks, jobs }) =>
        `  ${site} goes on with ${formatCounted(jobs, 'job')} in ${formatCounted(tasks, 'task')}: floe run --site ${site} takes them up\n`,
    )
    .join('')

const away = ({ away, rehearsal }: RunReport): string =>
  away === 0 || rehearsal !== null
    ? ''
    : `  ${formatCounted(away, 'output')} at the site: floe fetch brings them home\n`

const damaged = ({ damaged }: RunReport): string =>
  damaged === 0
    ? ''
    : `  ${formatCounted(damaged, 'record line')} could not be read, as after a crash or on a bad disk; jobs without another verdict run again\n`

/** What the run asked of schedulers beside how soon it knew what became of tasks. */
const paces = ({ paces }: RunReport): string =>
  paces
    .flatMap(({ site, calls, delay_median_sec: delay }) => {
      if (delay === null) return []
      const others = calls.accounting + calls.orders + calls.limits
      const made = `${formatCounted(calls.submit, 'submission')}, ${formatCounted(calls.status, 'look')}`
      const more = others === 0 ? '' : `, ${formatCounted(others, 'other call')}`
      return `  ${site} was asked: ${made}${more}; verdicts came a median ${formatSeconds(delay)} after tasks ended\n`
    })
    .join('')

const untold = ({ untold }: RunReport): string =>
  untold === null ? '' : `  Status events wait in the record files; the next run tells them, or floe relay. ${untold}\n`

const merged = ({ merged_rows }: RunReport): string =>
  merged_rows === null || merged_rows === 0
    ? ''
    : `  ${formatCounted(merged_rows, 'row')} more in the merged table: floe results\n`

/** An example says more than a count: the first output and why. */
const leftOut = ({ left_out: { outputs, conflicts, unreadable } }: RunReport): string => {
  if (outputs === 0) return ''
  const [conflict] = conflicts
  const why = conflict
    ? `${conflict.output}: column ${conflict.column} is ${conflict.found} where the table has ${conflict.wanted}`
    : `${unreadable[0]?.output}: ${unreadable[0]?.reason}`
  return `  ${formatCounted(outputs, 'output')} not in the merged table, e.g. ${why}\n`
}

const next = ({ failed, lost }: RunReport): string =>
  failed + lost === 0 ? '' : '  floe jobs --state failed lists what failed, floe show JOB says why\n'
