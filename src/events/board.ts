import type { StatusEvent } from '../model/event.ts'
import { VERDICTS, type Verdict } from '../model/verdict.ts'

/** What events told of the work of one campaign at one site. Counts are of attempts: a job that is tried again counts twice. */
export interface BoardRow {
  readonly campaign: string
  readonly site: string
  readonly tasks: number
  readonly running: number
  readonly verdicts: Readonly<Record<Verdict, number>>
  /** Of the last event, by the clock of its node. */
  readonly last: string
}

export interface BoardFailure {
  readonly job: string
  readonly campaign: string
  readonly rule: string
  readonly at: string
}

/** What a board needs of an event. */
export interface BoardEvent extends Pick<StatusEvent, 'source' | 'id' | 'line' | 'time'> {
  readonly data:
    | { readonly event: 'task started' }
    | { readonly event: 'task ended' }
    | { readonly event: 'job started'; readonly job: string }
    | { readonly event: 'job ended'; readonly job: string; readonly verdict: Verdict; readonly rule: string }
}

const FAILURES_SHOWN = 5

interface Row {
  readonly campaign: string
  readonly site: string
  readonly verdicts: Record<Verdict, number>
  /** `<array>/<task>.<attempt>` of tasks that have not ended -> jobs that run. */
  readonly running: Map<string, Set<string>>
  last: string
}

/** The state that events mean, whatever comes doubled. Memory: one number for each attempt of a task. */
export class Board {
  readonly #rows = new Map<string, Row>()
  readonly #lines = new Map<string, number>()
  #failures: BoardFailure[] = []
  repeats = 0

  /** False: it was heard before. */
  heed(event: BoardEvent): boolean {
    const { source, id, line, time, data } = event
    const file = id.slice(0, id.lastIndexOf('/'))
    const name = `${source} ${file}`
    if (line <= (this.#lines.get(name) ?? 0)) {
      this.repeats++
      return false
    }
    this.#lines.set(name, line)
    const row = this.#row(source)
    if (time > row.last) row.last = time
    if (data.event === 'task started') row.running.set(file, new Set())
    else if (data.event === 'task ended') row.running.delete(file)
    else if (data.event === 'job started') this.#running(row, file).add(data.job)
    else {
      this.#running(row, file).delete(data.job)
      row.verdicts[data.verdict]++
      if (data.verdict !== 'succeeded') this.#fail({ job: data.job, campaign: row.campaign, rule: data.rule, at: time })
    }
    return true
  }

  get rows(): BoardRow[] {
    return [...this.#rows.values()].map(({ running, verdicts, ...row }) => ({
      ...row,
      verdicts: { ...verdicts },
      tasks: running.size,
      running: [...running.values()].reduce((sum, jobs) => sum + jobs.size, 0),
    }))
  }

  /** The newest first. */
  get failures(): readonly BoardFailure[] {
    return this.#failures
  }

  #row(source: string): Row {
    const known = this.#rows.get(source)
    if (known) return known
    const [, campaign = '', site = ''] = /^\/campaigns\/([^/]*)\/sites\/(.*)$/.exec(source) ?? []
    const verdicts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, 0])) as Record<Verdict, number>
    const row = { campaign, site, verdicts, running: new Map(), last: '' }
    this.#rows.set(source, row)
    return row
  }

  /** Its first line may have been told before this board was there. */
  #running(row: Row, file: string): Set<string> {
    const jobs = row.running.get(file) ?? new Set()
    row.running.set(file, jobs)
    return jobs
  }

  #fail(failure: BoardFailure): void {
    this.#failures = [failure, ...this.#failures].slice(0, FAILURES_SHOWN)
  }
}
