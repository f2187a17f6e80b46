/** What one line of the table compares. `ours[i]` and `baseline[i]` were measured one right after the other. */
export interface Figure {
  readonly work: string
  readonly unit: 's' | 'bytes' | 'jobs/s' | 'rows' | '×'
  readonly ours: readonly number[]
  /** Empty: there is nothing to compare with. */
  readonly baseline: readonly number[]
  readonly baselineName: string | null
  readonly must: Must
  readonly note?: string
}

/** A bound on the ratio ours / baseline, or on our own value; without one the figure is only told. */
export interface Must {
  readonly of: 'ratio' | 'value'
  readonly most?: number
  readonly least?: number
}

/** A figure that could not be measured, and why. */
export interface Unmeasured {
  readonly work: string
  readonly why: string
}

export type Line = Figure | Unmeasured

export interface Judged {
  readonly ours: number
  readonly baseline: number | null
  readonly ratio: number | null
  readonly reached: boolean
}

/** Medians; the ratio is the median of the ratios of the turns. */
export function judge({ ours, baseline, must }: Figure): Judged {
  const ratio = baseline.length > 0 ? median(ours.map((value, turn) => value / baseline[turn]!)) : null
  const told = must.of === 'ratio' ? ratio : median(ours)
  const reached = told !== null && told <= (must.most ?? Infinity) && told >= (must.least ?? -Infinity)
  return { ours: median(ours), baseline: baseline.length > 0 ? median(baseline) : null, ratio, reached }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const WIDTHS = [12, 12, 8, 13, 0]

export const HEADER = row('work', ['ours', 'baseline', 'ratio', 'must reach', 'reached?'], '')

/** A line of the table. */
export function render(line: Line): string {
  if ('why' in line) return row(line.work, ['–', '–', '–', '–', 'not measured'], line.why)
  const { ours, baseline, ratio, reached } = judge(line)
  const told = baseline === null ? '–' : show(baseline, line.unit)
  const note = [line.baselineName && `against ${line.baselineName}`, line.note].filter(Boolean).join('; ')
  const cells = [show(ours, line.unit), told, ratio?.toFixed(2) ?? '–', bound(line), reached ? 'yes' : 'NO']
  return row(line.work, cells, note)
}

/** A line of the JSON. */
export function toJson(line: Line): Record<string, unknown> {
  if ('why' in line) return { work: line.work, reached: null, why: line.why }
  const { ours, baseline, ratio, reached } = judge(line)
  return {
    work: line.work,
    unit: line.unit,
    ours,
    baseline,
    baseline_name: line.baselineName,
    ratio,
    must: line.must,
    reached,
    note: line.note ?? null,
    samples: { ours: line.ours, baseline: line.baseline },
  }
}

function row(work: string, cells: readonly string[], note: string): string {
  const padded = cells.map((cell, at) => cell.padStart(WIDTHS[at]!)).join('  ')
  return `${work.padEnd(58)}${padded}${note === '' ? '' : `  ${note}`}`
}

function bound({ must, unit }: Figure): string {
  if (must.most === undefined && must.least === undefined) return '–'
  const [sign, value] = must.most === undefined ? ['≥', must.least!] : ['≤', must.most]
  return `${sign} ${must.of === 'ratio' ? `${value} ×` : show(value, unit)}`
}

function show(value: number, unit: Figure['unit']): string {
  if (unit === 'bytes') return value < 1e6 ? `${value.toFixed(0)} B` : `${(value / 1e6).toFixed(0)} MB`
  if (unit === 's') return `${value.toFixed(value < 10 ? 2 : 1)} s`
  return `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`
}
