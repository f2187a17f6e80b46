import { describe, expect, test } from 'vitest'
import { renderAdd } from '../../../src/cli/text/add.ts'
import { renderError } from '../../../src/cli/text/error.ts'
import { renderPlan } from '../../../src/cli/text/plan.ts'
import { renderShow } from '../../../src/cli/text/show.ts'
import { renderStatus } from '../../../src/cli/text/status.ts'
import { COLORED, PLAIN } from '../../../src/cli/text/style.ts'
import { renderTry } from '../../../src/cli/text/try.ts'
import type { JobReport, PlanReport, StatusReport } from '../../../src/floe.ts'
import { FloeError } from '../../../src/model/errors.ts'

const fact = (more: object) => ({
  ...{ try: 1, revision: 1, source: 'record' as const, says: 'signal KILL, 2.01 GB of 2.00 GB' },
  ...{ at: '2026-11-21T19:05:40.000Z', decided: true },
  ...more,
})

const attempt = (more: object) => ({
  try: 1,
  revision: 1,
  verdict: 'failed',
  class: 'memory',
  rule: 'signal KILL, 2.01 GB of 2.00 GB',
  evidence: 'record',
  next: 'retry',
  superseded: false,
  wall_sec: 208.4,
  cpu_sec: 190,
  memory_max_bytes: 2.01e9,
  started_at: '2026-11-21T19:02:11Z',
  ended_at: '2026-11-21T19:05:40Z',
  site: 'frost',
  node: 'c090',
  native_id: '8810002',
  task: 17,
  sandbox: null,
  reused_from: null,
  ...more,
})

const shown = (more: Partial<JobReport>): JobReport => ({
  job: {
    job_id: 'job773010',
    revision: 1,
    state: 'pending',
    class: 'memory',
    tries: 2,
    missing: false,
    executable: '/p/prg.sh',
    inputs: ['era5:1991/03.nc', '/p/stations.csv'],
    files: null,
    outputs: [{ path: 'mean/1.csv', optional: false }],
    source: 'jobs.yaml:48213',
  },
  inputs: [
    { url: 'era5:1991/03.nc', size_bytes: 41e6, missing: false },
    { url: '/p/stations.csv', size_bytes: null, missing: true },
    { url: '/p/prg.sh', size_bytes: 100, digest: `sha256:${'91c0'.repeat(16)}`, missing: false },
  ],
  attempts: [
    attempt({
      try: 2,
      native_id: '8812345',
      node: 'c114',
      rule: 'signal KILL, 4.02 GB of 4.00 GB',
      memory_max_bytes: 4.02e9,
    }),
    attempt({ sandbox: '/c/scratch/sandboxes/1' }),
  ],
  results: [],
  requests: [{ action: 'retry', who: 'alice@login', asked_at: '2026-11-21T19:10:00Z', why: 'more memory' }],
  batch: { batch_id: 12, jobs: 500, site: 'frost', state: 'submitted', array_id: 'a000002', task: 17 },
  live: { state: 'running', site: 'frost', array: 'a000002', task: 17, node: 'c114', ended: null },
  queue: {
    ...{ site: 'frost', native_id: '8812345', task: 17, element: 17, state: 'queued', reason: 'Resources' },
    ...{ meaning: 'it is next, when enough is free', clears: 'will clear' },
  },
  accounting: [
    { try: 2, revision: 1, word: 'OUT_OF_MEMORY', exit: null, signal: null, node: 'c114', memory_max_bytes: 4e9 },
  ],
  silent: [],
  evidence: [
    fact({ try: 3, source: 'queue', says: '8812345_17 running', at: '2026-11-21T19:20:00.000Z', decided: false }),
    fact({ try: 3, source: 'heartbeat', says: 'its task wrote to the record', decided: false }),
    fact({ try: 2, says: 'signal KILL, 4.02 GB of 4.00 GB' }),
    fact({ try: 2, source: 'accounting', says: 'OUT_OF_MEMORY', decided: false }),
    fact({}),
  ],
  ...more,
})

describe('show', () => {
  test('a job that was tried twice and runs again', () => {
    expect(inUtc(() => renderShow(shown({}), '/c'))).toMatchInlineSnapshot(`
      "job773010   running, class memory, after 2 tries
        inputs     era5:1991/03.nc (41.0 MB), /p/stations.csv (missing)
        program    /p/prg.sh  sha256:91c091c091c0…
        outputs    mean/1.csv
        asked      retry by alice@login, 2026-11-21 19:10:00 (more memory)
        batch      12, 500 jobs on frost, submitted, task 17 of array a000002
        from       jobs.yaml:48213
        now        running in task 17 of array a000002 at frost on c114
          queue      8812345_17 running  (2026-11-21 19:20:00)
          heartbeat  its task wrote to the record  (2026-11-21 19:05:40)
        try 2      frost 8812345_17 on c114   2026-11-21 19:02:11–19:05:40
          record     signal KILL, 4.02 GB of 4.00 GB  ← decided: failed, class memory; then retry
          accounting OUT_OF_MEMORY  (2026-11-21 19:05:40)
          took       3 min 28 s, 3 min 10 s of CPU, 4.02 GB of memory
        try 1      frost 8810002_17 on c090   2026-11-21 19:02:11–19:05:40
          record     signal KILL, 2.01 GB of 2.00 GB  ← decided: failed, class memory; then retry
          took       3 min 28 s, 3 min 10 s of CPU, 2.01 GB of memory
          sandbox    frost:/c/scratch/sandboxes/1
        logs       floe logs job773010
      "
    `)
  })

  test('a job answered by an earlier result, with a name that needs care', () => {
    const { job } = shown({})
    const text = inUtc(() =>
      renderShow(
        shown({
          job: { ...job, job_id: "-x 'y'\n", state: 'succeeded', class: null, tries: 1 },
          attempts: [
            attempt({
              verdict: 'succeeded',
              class: null,
              evidence: 'reuse',
              next: 'done',
              rule: 'equal request',
              reused_from: '/c/earlier job1',
              wall_sec: null,
              cpu_sec: null,
              memory_max_bytes: null,
            }),
          ],
          evidence: [fact({ source: 'reuse', says: 'equal request' })],
          results: [{ output: 'mean/1.csv', revision: 1, size_bytes: 3210, pack: '3.1.tar' }],
          requests: [],
          batch: null,
          live: null,
        }),
        '/c',
      ),
    )
    expect(text).toMatchInlineSnapshot(`
      "-x 'y'\\n   succeeded, after 1 try, answered by an earlier result
        inputs     era5:1991/03.nc (41.0 MB), /p/stations.csv (missing)
        program    /p/prg.sh  sha256:91c091c091c0…
        outputs    mean/1.csv (3.21 kB) in 3.1.tar
        from       jobs.yaml:48213
        try 1      frost 8810002_17 on c090   2026-11-21 19:02:11–19:05:40
          reuse      equal request  ← decided: succeeded
          from       /c/earlier job1
      "
    `)
  })

  test('each try says what it made, and which of that is published', () => {
    const { job } = shown({})
    const digest = (n: number) => `sha256:${n}`
    const made = (revision: number, nth: number, outputs: object[], more = {}) =>
      attempt({
        ...{ revision, try: nth, verdict: 'succeeded', class: null, next: 'done', rule: 'exit 0' },
        outputs,
        ...more,
      })
    const output = (path: string, n: number, published: boolean) => ({
      path,
      size_bytes: n,
      digest: digest(n),
      published,
    })
    const text = renderShow(
      shown({
        job: { ...job, revision: 2, state: 'succeeded', class: null, tries: 2 },
        attempts: [
          made(2, 2, [output('a.csv', 20, true), output('b.csv', 7, true)], { job_digest: 'd2' }),
          made(2, 1, [output('a.csv', 10, false), output('b.csv', 7, true)], { job_digest: 'd2' }),
          made(1, 1, [output('a.csv', 5, true)], { job_digest: 'd1' }),
        ],
        results: [
          { output: 'a.csv', size_bytes: 20, revision: 2, job_digest: 'd2' },
          { output: 'b.csv', size_bytes: 7, revision: 2, job_digest: 'd2' },
          { output: 'a.csv', size_bytes: 5, revision: 1, job_digest: 'd1' },
        ],
        live: null,
      }),
    )
    const lines = text.split('\n').filter((line) => /^ +(outputs|try \d)/.test(line))
    expect(lines.map((line) => line.replace(/(try \d).*?(of revision.*)?$/, '$1 $2').trim())).toEqual([
      'outputs    a.csv (20 B), b.csv (7 B)',
      'try 2',
      'outputs    a.csv (20 B), b.csv (7 B)  ← published',
      'try 1',
      'outputs    b.csv (7 B)  ← published; a.csv (10 B), replaced since',
      'try 1 of revision 1',
      'outputs    a.csv (5 B), not published',
    ])
  })

  test('many inputs are counted', () => {
    const { job } = shown({})
    const inputs = Array.from({ length: 3000 }, (_, n) => `/d/${n}.nc`)
    expect(renderShow(shown({ job: { ...job, inputs } }))).toContain('/d/7.nc, and 2,992 more')
  })
})

function inUtc(act: () => string): string {
  const before = process.env.TZ
  process.env.TZ = 'UTC'
  try {
    return act()
  } finally {
    if (before === undefined) delete process.env.TZ
    else process.env.TZ = before
  }
}

test('status with two sites and a run going on', () => {
  const status: StatusReport = {
    jobs: 1_499_988,
    pending: 1_137_586,
    held: 0,
    queued: 802,
    running: 198,
    succeeded: 361_361,
    failed: 41,
    cancelled: 0,
    lost: 0,
    classes: { app: 3, memory: 38 },
    sites: { frost: { succeeded: 361_000, failed: 41 }, local: { succeeded: 361 } },
    runner: { host: 'login1', pid: 4711 },
    at_work: {
      ...{ site: 'frost', tasks_running: 198, tasks_queued: 802, tasks_max: 1000, tasks_others: 0, next_look_sec: 40 },
      waiting: 'your group has as much running as is allowed at once',
    },
  }
  expect(renderStatus(status, { name: 'winds' })).toMatchInlineSnapshot(`
    "winds: 1,499,988 jobs, 24 % succeeded
      pending    1,137,586     76 %
      queued           802  < 0.1 %
      running          198  < 0.1 %
      succeeded    361,361     24 %
      failed            41  < 0.1 %  memory 38, app 3
      at frost  succeeded 361,000, failed 41
      at local  succeeded 361
      frost: running 198 tasks · queued 802 (limit 1,000) · next look in 40 s
      waiting: your group has as much running as is allowed at once
      A run is going on: process 4711 on login1.
    "
  `)
  const rime = {
    site: 'rime',
    tasks_running: 0,
    tasks_queued: 3,
    tasks_max: null,
    tasks_others: 0,
    waiting: 'its queue is closed',
    next_look_sec: 9,
  }
  expect(renderStatus({ ...status, at_work: { ...status.at_work!, beside: [rime] } }, { name: 'winds' })).toContain(
    `next look in 40 s
  waiting: your group has as much running as is allowed at once
  rime: running 0 tasks · queued 3 · next look in 9.0 s
  waiting: its queue is closed
  A run is going on`,
  )
})

describe('plan', () => {
  const plan: PlanReport = {
    jobs: 1_499_988,
    batches: 3012,
    tasks: 3012,
    arrays: 4,
    site: 'frost',
    jobs_per_batch: 500,
    files: 30_412,
    files_to_nodes: 98_200,
    files_naive: 2_999_976,
    bytes_to_site: 0,
    bytes_to_nodes: 4.71e12,
    bytes_lower_bound: 1.42e12,
    bytes_catalog_order: 41e12,
    bytes_naive: 141e12,
    seconds: 7_409_520,
    scouts: null,
    missing: 5,
    missing_inputs: 2,
    missing_example: { url: 'era5:1991/13.nc', job_id: 'job773002' },
  }
  test('of many jobs', () => {
    expect(renderPlan(plan)).toMatchInlineSnapshot(`
      "1,499,988 jobs → 3,012 batches of ~498 (≈ 41 min each) → 4 arrays

                          files    bytes
        at best          30,412  1.42 TB  each input once
        to the nodes     98,200  4.71 TB  3.3 × best; catalog order would read 41.0 TB
        ungrouped     2,999,976   141 TB  each job on its own

        frost: about 85 d 18 h of work

        missing: 2 inputs (floe jobs --where "missing"), e.g. era5:1991/13.nc of job773002
      "
    `)
  })
  test('for two sites says what each would take', () => {
    const shares = [
      { site: 'frost', jobs: 1_000_000, batches: 2010, arrays: 3, seconds: 4_938_000 },
      { site: 'rime', jobs: 499_988, batches: 1002, arrays: 1, seconds: null },
    ]
    expect(renderPlan({ ...plan, site: 'frost + rime', shares, missing_example: null })).toMatch(
      /\n\n {2}frost: 1,000,000 jobs, 2,010 batches, 3 arrays, about 57 d \d+ h of work\n {2}rime: 499,988 jobs, 1,002 batches, 1 array\n$/,
    )
  })
  test('of one job without inputs', () => {
    const one = { jobs: 1, batches: 1, arrays: 1, tasks: 1, files: 0, files_to_nodes: 0, files_naive: 0 }
    const bytes = { bytes_to_nodes: 0, bytes_lower_bound: 0, bytes_catalog_order: 0, bytes_naive: 0 }
    expect(renderPlan({ ...plan, ...one, ...bytes, seconds: null, missing_example: null })).toMatchInlineSnapshot(`
      "1 job → 1 batch → 1 array

                      files  bytes
        at best           0    0 B  each input once
        to the nodes      0    0 B
        ungrouped         0    0 B  each job on its own
      "
    `)
  })
  test('of which some go first', () => {
    const told = (jobs: number, rest: number) =>
      renderPlan({ ...plan, scouts: { jobs, rest }, missing_example: null })
        .split('\n')
        .at(-2)
    expect([told(8, 1_499_980), told(1, 1), told(0, 5000)]).toMatchInlineSnapshot(`
      [
        "  8 jobs go first, each alone, as nothing is known of 1,499,980 jobs like them: the batches above are cut anew after what they take",
        "  1 job goes first, each alone, as nothing is known of 1 job like it: the batches above are cut anew after what they take",
        "  5,000 jobs like them wait for those under way: the batches above are cut anew after what they take",
      ]
    `)
  })

  test('of none', () => {
    expect(renderPlan({ ...plan, jobs: 0, missing_inputs: 1 })).toMatchInlineSnapshot(`
      "Nothing waits for a plan.

        missing: 1 input (floe jobs --where "missing"), e.g. era5:1991/13.nc of job773002
      "
    `)
  })
})

test('add shows the first rejects of many', () => {
  const reject = {
    file: 'jobs.yaml',
    job: 'job\u001b[2J',
    value: null,
    reason: 'no executable',
    hint: 'add `executable:` with a path or URL',
  }
  const rejects = [48213, 90122, 91007, 91008].map((line) => ({ ...reject, line }))
  const text = renderAdd({
    added: 1_499_988,
    unchanged: 1,
    replaced: 2,
    rejected: 12,
    files: [{ path: 'jobs.yaml', jobs: 1_500_000, elapsed_sec: 18 }],
    rejects_file: '/nowhere/rejects.ndjson',
    rejects,
  })
  expect(text).toMatchInlineSnapshot(`
    "jobs.yaml: 1,500,000 jobs read in 18 s
      added 1,499,988 · unchanged 1 · replaced 2 · rejected 12 → /nowhere/rejects.ndjson

    rejected, first 3 of 12:
      jobs.yaml:48213  job\\u001b[2J  no executable  add \`executable:\` with a path or URL
      jobs.yaml:90122  job\\u001b[2J  no executable  add \`executable:\` with a path or URL
      jobs.yaml:91007  job\\u001b[2J  no executable  add \`executable:\` with a path or URL
    "
  `)
})

test('try says where the sandbox is', () => {
  const ended = {
    verdict: 'failed',
    rule: 'output mean/1.csv is not there',
    wall_sec: 0.4,
    memory_max_bytes: 12e6,
    outputs: [{ path: 'log.txt', size_bytes: 12, digest: null }],
  }
  const report = {
    job_id: 'job1',
    ended: ended as never,
    sandbox: '/c/scratch/try/job1/sandbox',
    outputs: '/c/scratch/try/job1/outputs',
  }
  expect(renderTry(report)).toMatchInlineSnapshot(`
    "job1 failed after 0.4 s, 12.0 MB of memory: output mean/1.csv is not there
      sandbox  /c/scratch/try/job1/sandbox
      output   /c/scratch/try/job1/outputs/log.txt (12 B)
    "
  `)
})

test('an error has three parts, and colours only where they are wanted', () => {
  const error = new FloeError('SUBMIT_REFUSED', 'frost refused the array: Invalid account', {
    details: { tried: 'sbatch --parsable on alice@login', answered: 'exit 1\nInvalid account' },
    hint: 'set `account:` for frost',
  })
  expect(renderError(error, PLAIN)).toMatchInlineSnapshot(`
    "floe: frost refused the array: Invalid account
      tried     sbatch --parsable on alice@login
      answered  exit 1
                Invalid account
      do        set \`account:\` for frost
    "
  `)
  expect(renderError(error, COLORED)).toContain('\u001b[31mfloe:\u001b[39m frost')
})

test('times by a clock that is off are corrected, and shown as such', () => {
  const told = (clock_off_sec: number) =>
    renderShow(shown({ attempts: [attempt({ clock_off_sec })] } as unknown as Partial<JobReport>))
  const right = told(0)
  const [span] = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d–\d\d:\d\d:\d\d/.exec(right)!
  expect(right).not.toContain('corrected')
  const hour = Date.parse('2026-11-21T18:02:11Z')
  expect(told(3600)).toContain(`${new Date(hour).toLocaleTimeString('sv-SE')}–`)
  expect(told(3600)).toContain('(corrected: the clock of frost is ≈ 1 h ahead)')
  expect(told(3600)).not.toContain(span)
  expect(told(-90)).toContain('(corrected: the clock of frost is ≈ 1 min 30 s behind)')
})
