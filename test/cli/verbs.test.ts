import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Place, withSums } from './place.ts'

/* One campaign, from job files to results; the tests are in its order. */

const place = new Place()
const floe = (...args: string[]) => place.floe('-C', 'winds', ...args)
const json = <T = Record<string, unknown>>(...args: string[]) => place.json<T>('-C', 'winds', ...args)

beforeAll(async () => {
  withSums(place)
  place.jobs('wrong.ndjson', [
    { id: 'w1', data: { input: ['data/1.txt'], ouput: ['w1.csv'] }, executable: './sum.sh' },
    { id: 'w2', data: { input: ['data/1.txt'], output: ['w2.csv'] } },
  ])
  await place.floe('init', 'winds')
})
afterAll(() => place.close())

describe('add', () => {
  test('says what was added, and that again changes nothing', async () => {
    expect(await floe('add', 'jobs.ndjson')).toMatchInlineSnapshot(`
      "jobs.ndjson: 8 jobs read in N s
        added 8"
    `)
    expect(await json('add', 'jobs.ndjson')).toMatchObject({
      added: 0,
      unchanged: 8,
      replaced: 0,
      rejected: 0,
      rejects_file: null,
      rejects: [],
      files: [{ path: 'jobs.ndjson', jobs: 8 }],
    })
  })

  test('shows what was rejected, and ends with 3', async () => {
    expect(await floe('add', 'wrong.ndjson')).toMatchInlineSnapshot(`
      "wrong.ndjson: 2 jobs read in N s
        added 0 · rejected 2 → winds/rejects.ndjson

      rejected:
        wrong.ndjson:1  w1  unknown key \`ouput\` in \`data\`  did you mean \`output\`?
        wrong.ndjson:2  w2  no executable                  add \`executable:\` with a path or URL
      exit 3"
    `)
    expect(readFileSync(place.path('winds/rejects.ndjson'), 'utf8').trim().split('\n')).toHaveLength(2)
  })

  test('refuses a file that is not there', async () => {
    const { stderr, status } = await place.run(['-C', 'winds', 'add', 'nowhere.ndjson'])
    expect(stderr).toContain('nowhere.ndjson')
    expect(status).toBe(2)
  })
})

describe('plan and run', () => {
  test('plan shows costs', async () => {
    expect(await floe('plan', '--jobs-per-batch', '2')).toMatchInlineSnapshot(`
      "8 jobs → 4 batches of ~2 → 1 array

                      files  bytes
        at best           4   20 B  each input once
        to the nodes      4   20 B  1.0 × best; catalog order would read 40 B
        ungrouped         8   40 B  each job on its own"
    `)
    expect(await json('plan', '--jobs-per-batch', '2')).toMatchObject({
      jobs: 8,
      batches: 4,
      tasks: 4,
      site: 'local',
      jobs_per_batch: 2,
      files: 4,
      bytes_to_site: 0,
      missing: 0,
    })
  })

  test('run ends with 3 when a job failed, and says which verbs tell more', async () => {
    expect(await floe('run')).toMatchInlineSnapshot(`
      "8 jobs decided in N s.
        succeeded  7  88 %
        failed     1  13 %  app 1
        7 rows more in the merged table: floe results
        floe jobs --state failed lists what failed, floe show JOB says why
      exit 3"
    `)
    expect(await floe('run')).toMatchInlineSnapshot(`
      "Nothing to do.
        succeeded  7  88 %
        failed     1  13 %  app 1
        floe jobs --state failed lists what failed, floe show JOB says why
      exit 3"
    `)
  })

  test('run --json is the report and nothing else', async () => {
    const { stdout, stderr, status } = await place.run(['-C', 'winds', 'run', '--json'])
    expect({ stderr, status }).toEqual({ stderr: '', status: 3 })
    expect(JSON.parse(stdout)).toMatchObject({
      jobs: 8,
      succeeded: 7,
      failed: 1,
      decided: { succeeded: 0, failed: 0, cancelled: 0, lost: 0, reused: 0 },
      classes: { app: 1 },
      missing: 0,
      stopped: null,
    })
  })
})

describe('looking', () => {
  test('status', async () => {
    expect(await floe('status')).toMatchInlineSnapshot(`
      "winds: 8 jobs, 88 % succeeded
        succeeded  7  88 %
        failed     1  13 %  app 1"
    `)
    expect(await json('status')).toEqual({
      jobs: 8,
      pending: 0,
      held: 0,
      queued: 0,
      running: 0,
      succeeded: 7,
      failed: 1,
      cancelled: 0,
      lost: 0,
      classes: { app: 1 },
      sites: { local: { succeeded: 7, failed: 1 } },
      runner: null,
      at_work: null,
    })
  })

  test('jobs: a table, CSV with all columns, JSON a line', async () => {
    expect(await floe('jobs', '--where', "labels['kind'] = 'b' and priority = 0")).toMatchInlineSnapshot(`
      "job_id  state      class  tries  source
      b1      succeeded             1  jobs.ndjson:2
      b2      succeeded             1  jobs.ndjson:4
      b3      succeeded             1  jobs.ndjson:6
      b4      failed     app        1  jobs.ndjson:8"
    `)
    expect(await floe('jobs', '--state', 'lost,held')).toMatchInlineSnapshot(`
      "job_id  state  class  tries  source
      ! No job fits."
    `)
    const csv = await floe('jobs', '--csv', '--limit', '1')
    expect(csv.split('\n')[0]).toMatch(/^job_id,job_key,revision,.*,state,class,tries,missing$/)
    expect(csv.split('\n')[1]).toContain('{input:1};{output:1};ok')
    const { stdout } = await place.run(['-C', 'winds', 'jobs', '--json'])
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(rows.map(({ job_id }) => job_id)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'b3', 'b4'])
    expect(rows[7]).toMatchObject({ state: 'failed', class: 'app', tries: 1, labels: { kind: 'b', n: '4' } })
    expect(rows[7].added_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/)
  })

  test('jobs: a wrong condition is answered in the words of SQL', async () => {
    const { stderr, status } = await place.run(['-C', 'winds', 'jobs', '--where', 'nope = 1'])
    expect(stderr).toContain('"nope" not found')
    expect(status).toBe(2)
  })

  test('show tells the rule that decided', async () => {
    expect(await floe('show', 'b4')).toMatchInlineSnapshot(`
      "b4   failed, class app, after 1 try
        inputs     DIR/data/4.txt (5 B)
        program    DIR/sum.sh  sha256:DIGEST…
        outputs    b/4.csv
        batch      …
        from       jobs.ndjson:8
        try 1      local on HOST   TIME
          record     exit 1  ← decided: failed, class app; then give up
          took       N s
          sandbox    winds/scratch/floe/campaigns/UUID/arrays/a000001/sandboxes/…
        logs       floe logs b4"
    `)
    expect(await json('show', 'b4')).toMatchObject({
      job: { job_id: 'b4', state: 'failed', class: 'app' },
      attempts: [{ try: 1, verdict: 'failed', class: 'app', rule: 'exit 1', evidence: 'record', next: 'give up' }],
      live: null,
    })
    expect(await floe('show', 'c4')).toMatchInlineSnapshot(`
      "! floe: This campaign has no job c4.
      !   do        Did you mean a4? \`floe jobs\` lists them.
      exit 4"
    `)
  })

  test('the sandbox that show names is there', async () => {
    const { attempts } = await json<{ attempts: { sandbox: string }[] }>('show', 'b4')
    expect(existsSync(attempts[0]!.sandbox)).toBe(true)
  })

  test('logs', async () => {
    expect(await floe('logs', 'b4')).toBe('job b4')
    expect(await json('logs', 'b4')).toEqual({ stream: 'stdout', text: 'job b4\n' })
    expect(await floe('logs', 'b4', '--try', '7')).toMatch(/exit 4$/)
  })
})

describe('query and results', () => {
  test('query: a table, CSV, JSON a line', async () => {
    expect(await floe('query', 'select state, count(*) as n from jobs group by 1 order by 1')).toMatchInlineSnapshot(`
      "state      n
      failed     1
      succeeded  7"
    `)
    expect(await floe('query', '--csv', `select 'a"b' as x, null as y, [1, 2] as z, 'c,d' as "v w"`)).toBe(
      'x,y,z,v w\n"a""b",,"[1,2]","c,d"',
    )
    expect(
      await json(
        'query',
        "select 9007199254740993 as big, timestamptz '2026-01-02 03:04:05.6+00' as at, 'nan'::double as n",
      ),
    ).toEqual({ big: '9007199254740993', at: '2026-01-02T03:04:05.600000Z', n: null })
    expect(await floe('query', 'select label from (select 1) t(label) where false')).toBe('label')
  })

  test('query is read-only', async () => {
    expect(await floe('query', 'drop table jobs')).toMatch(/^! floe: [\s\S]*SELECT[\s\S]*exit 2$/)
    expect(await floe('query', "copy jobs to '/tmp/x.csv'")).toMatch(/exit 2$/)
  })

  test('query draws nothing that moves the cursor', async () => {
    expect(await floe('query', "select chr(27) || '[2J' || chr(10) || 'ok' as x")).toBe('x\n\\u001b[2J\\nok')
  })

  test('results: to standard output and to files by suffix', async () => {
    expect((await floe('results')).split('\n').slice(0, 2)).toEqual([
      'job_id,kind,n,sum,output,job_digest',
      expect.stringMatching(/^a1,a,1,11,a\/1\.csv,[0-9a-f]{64}$/),
    ])
    expect(await floe('results', '-o', 'sums.parquet')).toMatchInlineSnapshot(`"sums.parquet: 7 rows, 6 columns"`)
    expect(readFileSync(place.path('sums.parquet')).subarray(0, 4).toString()).toBe('PAR1')
    expect(await json('results', '-o', 'sums.csv')).toMatchObject({ format: 'csv', rows: 7 })
    expect(await floe('results', '-o', 'sums.xyz')).toMatch(/exit 2$/)
    const { stdout } = await place.run(['-C', 'winds', 'results', '--json'])
    expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ job_id: 'a1', sum: 11 })
  })
})

describe('requests', () => {
  test('retry, hold, release, cancel, remove', async () => {
    expect(await floe('retry', '--state', 'failed', '--why', 'the disk was full')).toMatchInlineSnapshot(
      `"1 job will be run again; \`floe run\` does it."`,
    )
    expect(await floe('hold', '--where', "labels['n'] = '4'")).toMatchInlineSnapshot(`
      "1 job held; \`floe release\` lets them go.
        left as they are: 1 succeeded"
    `)
    expect(await json('release', '--all')).toMatchObject({ action: 'release', jobs: 1, skipped: { succeeded: 7 } })
    expect(await floe('cancel', 'b4')).toMatchInlineSnapshot(`"1 job cancelled; those that run are being stopped."`)
    expect(await floe('show', 'b4')).toContain('(the disk was full)')
    expect(await floe('remove', 'b4', 'b3')).toMatchInlineSnapshot(`"2 jobs removed from the catalog."`)
    expect(await json('status')).toMatchObject({ jobs: 6, succeeded: 6 })
  })

  test('that select nothing end with 4', async () => {
    expect(await floe('cancel', '--state', 'running')).toMatch(
      /^! floe: [\s\S]*pending, held, queued, running[\s\S]*exit 4$/,
    )
    expect(await floe('hold', 'nobody')).toMatch(/^! floe: .*nobody[\s\S]*`floe jobs`[\s\S]*exit 4$/)
  })
})

test('clean says what it freed', async () => {
  expect(await floe('clean', '--all')).toMatch(/^Freed \d/)
  expect(await json('clean')).toMatchObject({ arrays: 0, parts: 0 })
  expect(await floe('logs', 'a1')).toMatch(/exit 4$/)
})
