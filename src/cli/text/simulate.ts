import type { RealRun, SimulatedRun, SimulationReport } from '../../floe.ts'
import { formatBytes, formatCount, formatCounted, formatSeconds } from '../../model/format.ts'
import { renderTable, visible } from './table.ts'

const HEIGHTS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

export function renderSimulation(report: SimulationReport, { now }: { now: Date }): string {
  const [first] = report.runs
  if (first!.jobs === 0 || (first!.tries === 0 && first!.stopped === null))
    return `Nothing waits to be simulated. \`floe simulate --against\` takes all jobs from the start.\n`
  const pictures = report.runs.map((run) => picture(run, report.runs.length > 1))
  return [...title(report, now), ...pictures, '\n', compared(report), '\n', assumptions(report)].join('')
}

function title({ site, runs }: SimulationReport, now: Date): string[] {
  return runs.map((run) => {
    const name = runs.length > 1 ? `${nameOf(run)}: ` : ''
    const end = new Date(now.getTime() + run.elapsed_sec * 1000)
    const day = end.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' }).replace(',', '')
    const when = `${formatSeconds(run.elapsed_sec)}, until ${day} ${end.toTimeString().slice(0, 5)}`
    if (run.stopped === 'too many failures')
      return `${name}On ${site} it would stop after ${formatSeconds(run.elapsed_sec)}: too many jobs fail (${run.reason ?? 'for many reasons'}).\n`
    if (run.stopped !== null)
      return `${name}Interrupted; this is how far it came in ${formatSeconds(run.elapsed_sec)}.\n`
    return `${name}On ${site} ${formatCounted(decided(run), 'job')} would take ${when}.\n`
  })
}

const decided = ({ succeeded, failed, lost, cancelled }: SimulatedRun) => succeeded + failed + lost + cancelled
const nameOf = ({ policy }: Pick<SimulatedRun, 'policy'>): string => (policy === null ? 'floe.yaml' : visible(policy))

/** Tasks and verdicts over time. */
function picture(run: SimulatedRun, isNamed: boolean): string {
  const { timeline, elapsed_sec } = run
  const most = Math.max(...timeline.flatMap(({ running, waiting }) => [running, waiting]), 1)
  const last = timeline.at(-1)?.done ?? 0
  const row = (name: string, values: readonly number[], top: number, note: string) =>
    `  ${name.padEnd(8)} ${values.map((value) => HEIGHTS[Math.ceil((8 * Math.min(value, top)) / Math.max(top, 1))]).join('')}  ${note}\n`
  const peak = (values: readonly number[]) => formatCounted(Math.ceil(Math.max(...values, 0)), 'task')
  const [running, waiting] = [timeline.map((at) => at.running), timeline.map((at) => at.waiting)]
  const end = formatSeconds(elapsed_sec)
  return [
    isNamed ? `\n  ${nameOf(run)}\n` : '\n',
    row('running', running, most, `up to ${peak(running)}`),
    row('waiting', waiting, most, `up to ${peak(waiting)}`),
    row(
      'decided',
      timeline.map(({ done }) => done),
      last,
      formatCounted(last, 'job'),
    ),
    `           0${end.padStart(timeline.length - 1)}\n`,
  ].join('')
}

type Line = readonly [string, (run: SimulatedRun) => string, (real: RealRun) => string]

const LINES: readonly Line[] = [
  ['takes', (run) => formatSeconds(run.elapsed_sec), (real) => formatSeconds(real.elapsed_sec)],
  ['succeeded', (run) => formatCount(run.succeeded), (real) => formatCount(real.succeeded)],
  ['failed or lost', (run) => formatCount(run.failed + run.lost), (real) => formatCount(real.jobs - real.succeeded)],
  ['tries', (run) => formatCount(run.tries), (real) => formatCount(real.tries)],
  ['core hours', (run) => hours(run.core_hours), (real) => hours(real.core_hours)],
  ['of these lost', (run) => hours(run.lost_core_hours), () => ''],
  ['arrays, tasks', (run) => `${formatCount(run.arrays)}, ${formatCount(run.tasks)}`, () => ''],
  ['to the nodes', (run) => formatBytes(run.bytes_to_nodes), () => ''],
  ['calls', (run) => calls(run), () => ''],
  ['verdict after', (run) => delay(run.delay_sec), (real) => delay(real.delay_sec)],
]

function compared({ runs, really }: SimulationReport): string {
  const columns = [
    { title: '', max: 20 },
    ...runs.map((run) => ({ title: runs.length > 1 ? nameOf(run) : really ? 'simulated' : '', max: 100 })),
    ...(really ? [{ title: 'really', max: 30 }] : []),
  ]
  const rows = LINES.map(([name, of, ofReal]) => [name, ...runs.map(of), ...(really ? [ofReal(really)] : [])])
  return renderTable(columns, rows, { indent: '  ', titles: columns.length > 2 })
}

const hours = (value: number): string =>
  value >= 99.5 ? formatCount(Math.round(value)) : value >= 0.1 || value === 0 ? value.toFixed(1) : '< 0.1'
const delay = (sec: number | null): string => (sec === null ? '' : `${formatSeconds(sec)} (median)`)

function calls({ calls: { submit, status, accounting, cancel, unanswered } }: SimulatedRun): string {
  const named = [
    ['submit', submit],
    ['status', status],
    ['accounting', accounting],
    ['cancel', cancel],
    ['unanswered', unanswered],
  ] as const
  return named.flatMap(([name, count]) => (count === 0 ? [] : [`${name} ${formatCount(count)}`])).join(' · ')
}

function assumptions({ site, assumed, really, runs }: SimulationReport): string {
  const { cores, job_sec, job_sec_from, wait_sec, wait_sec_from, interval_sec, failures, trouble, seed } = assumed
  const said = [
    `${formatCounted(cores, 'core')} at a time`,
    `a job ${formatSeconds(job_sec)} (${job_sec_from})`,
    `half of the arrays wait ${formatSeconds(wait_sec)} or longer (${wait_sec_from})`,
    `a look every ${formatSeconds(interval_sec)}`,
    ...(failures > 0 ? [`${Number((100 * failures).toPrecision(3))} % of the jobs fail`] : []),
    ...(trouble === 'none' ? [] : [`${trouble} trouble`]),
    `seed ${seed}`,
  ]
  const profile =
    site === 'local' || assumed.profile_of !== null
      ? ''
      : `  limits of ${site} are not known: \`floe doctor ${site}\` finds them\n`
  const missing = runs[0]!.missing > 0 ? `  ${formatCounted(runs[0]!.missing, 'job')} without an input left out\n` : ''
  const nothing = really === null ? '' : '  really: from the first job to the last, pauses included\n'
  return `  assumed: ${said.join(', ')}\n${profile}${missing}${nothing}  nothing was run\n`
}
