import { describe, expect, test } from 'vitest'
import { withDecided } from '../../../src/campaign/reports.ts'
import { openGauge } from '../../../src/cli/gauge.ts'
import { bar, renderProgress, renderProgressLine, renderRun } from '../../../src/cli/text/run.ts'
import type { RunProgress, RunReport, StateCounts } from '../../../src/floe.ts'

const NONE: StateCounts = {
  pending: 0,
  held: 0,
  queued: 0,
  running: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
  lost: 0,
}

const progress = (more: Partial<RunProgress> = {}): RunProgress => ({
  site: 'frost',
  total: 1_499_988,
  done: 361_402,
  succeeded: 361_361,
  failed: 41,
  retried: 0,
  reused: 0,
  classes: { memory: 38, app: 3 },
  running: 198,
  queued: 802,
  elapsed_sec: 36_877,
  stopping: null,
  waiting: null,
  ...more,
})

const report = (more: Partial<RunReport> = {}): RunReport => ({
  ...NONE,
  jobs: 1056,
  succeeded: 1056,
  classes: {},
  decided: { succeeded: 1056, failed: 0, cancelled: 0, lost: 0, reused: 0, held: 0 },
  away: 0,
  missing: 0,
  merged_rows: 1056,
  untold: null,
  damaged: 0,
  reason: null,
  left_out: { outputs: 0, conflicts: [], unreadable: [] },
  elapsed_sec: 2.8,
  stopped: null,
  rehearsal: null,
  unused: [],
  elsewhere: [],
  paces: [],
  ...more,
})

test('calls to a scheduler stand beside the delay that they leave', () => {
  const calls = { submit: 14, status: 1, accounting: 2, orders: 1, limits: 1 }
  const paces = [
    { site: 'frost', calls, delay_median_sec: 31.4 },
    { site: 'rime', calls, delay_median_sec: null },
  ]
  expect(renderRun(report({ paces }))).toContain(
    '  frost was asked: 14 submissions, 1 look, 4 other calls; verdicts came a median 31 s after tasks ended\n',
  )
  expect(renderRun(report({ paces }))).not.toContain('rime')
})

describe('progress', () => {
  const now = new Date(2026, 10, 27, 19, 2)

  test('on a wide and a narrow screen', () => {
    expect(renderProgress(progress(), { columns: 120, now }).join('\n')).toMatchInlineSnapshot(`
      "frost  ██████▋                        24 %   361,402 of 1,499,988 jobs   9.8 jobs/s   ends ≈ Sun 29 Nov 03:18
             running 198 · queued 802 · failed 41 (memory 38, app 3)"
    `)
    const narrow = renderProgress(progress(), { columns: 60, now })
    expect(narrow.every((line) => line.length < 60)).toBe(true)
  })

  test('foretells nothing too early, and the clock when it can', () => {
    const first = (more: Partial<RunProgress>) => renderProgress(progress(more), { columns: 140, now })[0]
    expect(first({ elapsed_sec: 1 })).not.toContain('ends')
    expect(first({ done: 0 })).not.toContain('ends')
    expect(first({ done: 1_400_000, elapsed_sec: 1000 })).toContain('ends in ≈ 1 min 11 s')
    expect(first({ done: 700_000, elapsed_sec: 10_000 })).toContain('ends ≈ 22:12')
    expect(first({ reused: 361_402 })).not.toContain('ends')
  })

  test('as a plain line', () => {
    expect(renderProgressLine(progress())).toMatchInlineSnapshot(`
      "frost: 361,402 of 1,499,988 jobs after 10 h 15 min, 9.8 jobs/s, 41 failed
      "
    `)
  })

  test('bars grow by eighths', () => {
    expect([0, 1, 50, 99, 100].map((part) => bar(part, 100, 8))).toEqual([
      '        ',
      '        ',
      '████    ',
      '███████▉',
      '████████',
    ])
    expect(bar(0, 0, 3)).toBe('   ')
  })
})

describe('the end of a run', () => {
  test.each([
    ['all well', report()],
    [
      'nothing to do',
      report({ decided: { succeeded: 0, failed: 0, cancelled: 0, lost: 0, reused: 0, held: 0 }, merged_rows: 0 }),
    ],
    [
      'failures and missing inputs',
      report({
        succeeded: 1000,
        failed: 12,
        pending: 44,
        missing: 44,
        classes: { app: 9, memory: 3 },
        decided: { succeeded: 1000, failed: 12, cancelled: 0, lost: 0, reused: 300, held: 0 },
      }),
    ],
    [
      'too many failures',
      report({
        succeeded: 10,
        failed: 12,
        pending: 1034,
        classes: { launch: 12 },
        decided: { succeeded: 10, failed: 12, cancelled: 0, lost: 0, reused: 0, held: 0 },
        stopped: 'too many failures',
        reason: { class: 'launch', rule: 'cdo is not there', jobs: 11, example: 'j 7', log: ['sh: cdo: not found'] },
        merged_rows: null,
      }),
    ],
    [
      'all lack an input',
      report({
        succeeded: 0,
        pending: 1056,
        missing: 1056,
        merged_rows: null,
        decided: { succeeded: 0, failed: 0, cancelled: 0, lost: 0, reused: 0, held: 0 },
      }),
    ],
  ])('%s', (_, given) => {
    expect(renderRun(given)).toMatchSnapshot()
  })
})

describe('a gauge', () => {
  const terminalOf = (isScreen: boolean, quiet = false) => {
    const written: string[] = []
    const note = (text: string) => {
      if (!quiet && text) written.push(text)
    }
    const asking = { is: false }
    return { written, asking, terminal: { isScreen, quiet, note, isAsking: () => asking.is } as never }
  }

  test('draws over itself on a screen, not too often, and leaves nothing', () => {
    const { written, terminal } = terminalOf(true)
    let now = 0
    const gauge = openGauge(terminal, () => now)
    gauge.show(() => ['one', 'two'])
    gauge.show(() => ['not drawn'])
    now = 1000
    gauge.show(() => ['three'])
    gauge.clear()
    gauge.clear()
    expect(written).toEqual(['one\ntwo\n', '\u001b[2A\u001b[Jthree\n', '\u001b[1A\u001b[J'])
  })

  test('draws nothing over a question to the person', () => {
    const { written, asking, terminal } = terminalOf(true)
    const gauge = openGauge(terminal, () => 1000)
    asking.is = true
    gauge.show(() => ['not drawn'])
    asking.is = false
    gauge.show(() => ['drawn'])
    expect(written).toEqual(['drawn\n'])
  })

  test('says a line now and then elsewhere, and nothing when quiet', () => {
    for (const quiet of [false, true]) {
      const { written, terminal } = terminalOf(false, quiet)
      let now = 0
      const gauge = openGauge(terminal, () => now)
      for (; now <= 70_000; now += 1000) {
        gauge.show(
          () => ['drawn'],
          () => `at ${now}\n`,
        )
      }
      gauge.clear()
      expect(written).toEqual(quiet ? [] : ['at 30000\n', 'at 60000\n'])
    }
  })
})

test('verdicts that only records have yet leave queued and running', () => {
  const counts = { ...NONE, jobs: 10, queued: 4, running: 2, succeeded: 4 }
  const decided = { succeeded: 3, failed: 2, cancelled: 0, lost: 0 }
  expect(withDecided(counts, decided)).toEqual({ ...counts, queued: 0, running: 1, succeeded: 7, failed: 2 })
  expect(withDecided(counts, { ...decided, lost: 100 })).toMatchObject({ queued: 0, running: 0, lost: 1 })
})

test('names what is not in the merged table', () => {
  const conflicts = [{ output: 'b.csv', column: 'v', found: 'VARCHAR', wanted: 'BIGINT' }]
  const text = renderRun(report({ left_out: { outputs: 2, conflicts, unreadable: [] } }))
  expect(text).toContain(
    '2 outputs not in the merged table, e.g. b.csv: column v is VARCHAR where the table has BIGINT',
  )
})

test('outputs that lie at a site are said to be there', () => {
  expect(renderRun(report({ away: 1056 }))).toContain('  1,056 outputs at the site: floe fetch brings them home\n')
  expect(renderRun(report())).not.toContain('fetch')
})

test('a run says which site was left out, and why', () => {
  const unused = [{ site: 'rime', why: 'rime does not answer.' }]
  expect(renderRun(report({ unused }))).toContain('\n  The others did the work of rime: rime does not answer.\n')
})
