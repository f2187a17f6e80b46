import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { countStates, stateFacts, type Upcoming } from '../../../src/catalog/state-counts.ts'
import { openViews } from '../../../src/catalog/views.ts'
import { FAILURE_CLASSES, JOB_STATES } from '../../../src/model/verdict.ts'
import type { Tables } from '../../../src/ports/tables/tables.ts'
import { addJobs, attempt, batches, planJobs, type Small, select, smallCampaign } from './campaign.ts'

let small: Small
beforeEach(async () => {
  small = await smallCampaign()
})
afterEach(() => small.close())

/** Tables whose engine refuses to work: what is counted then was read from the log. */
const withoutSql = (tables: Tables): Tables => ({
  ...tables,
  view: () => Promise.reject(new Error('SQL was used')),
  sql: { ...tables.sql, rows: () => Promise.reject(new Error('SQL was used')) },
})

/** Counts by the view that people see. */
async function countByView(tables: Tables): Promise<Record<string, number>> {
  await openViews(tables)
  const rows = await tables.sql.rows<{ state: string; n: number }>(
    'SELECT state, count(*) AS n FROM jobs GROUP BY state',
  )
  const none = Object.fromEntries(JOB_STATES.map((state) => [state, 0]))
  return { ...none, ...Object.fromEntries(rows.map(({ state, n }) => [state, n])) }
}

const states = (counts: Record<string, unknown>) =>
  Object.fromEntries(JOB_STATES.map((state) => [state, counts[state]]))

async function publish(tables: Tables, rows: Parameters<typeof select>[1]): Promise<void> {
  await tables.sql.run(`CREATE OR REPLACE TEMP VIEW new_attempts AS ${select('attempts', rows)}`)
  await tables.commit('attempts', { operation: 'x', select: 'FROM new_attempts', facts: await stateFacts(tables) })
}

it('counts an empty campaign', async () => {
  const counts = await countStates(small.tables)
  expect(counts).toMatchObject({ jobs: 0, pending: 0, classes: {}, sites: {} })
})

it('counts by SQL, then from the facts alone, the same', async () => {
  const { tables } = small
  await addJobs(tables, 6)
  await planJobs(tables, { j1: 'ended', j2: 'ended', j3: 'submitted', j4: 'cut' })
  expect(await countStates(tables)).toMatchObject({ jobs: 6, pending: 5, queued: 1 })
  await publish(tables, [attempt('j1', 1, 'succeeded', { batch_id: 1 }), attempt('j2', 1, 'failed', { batch_id: 2 })])
  const wanted = { jobs: 6, pending: 3, held: 0, queued: 1, running: 0, succeeded: 1, failed: 1, cancelled: 0, lost: 0 }
  const more = { classes: { app: 1 }, sites: { ice: { succeeded: 1, queued: 1 }, sea: { failed: 1 } } }
  expect(await countStates(withoutSql(tables))).toEqual({ ...wanted, ...more })
  expect(await countStates(withoutSql(tables), { running: 1 })).toMatchObject({ queued: 0, running: 1 })
  expect(await countStates(withoutSql(tables), { running: 9 })).toMatchObject({ queued: 0, running: 1 })
  await tables.commit('attempts', { operation: 'no facts', select: select('attempts', [attempt('j5', 1, 'lost')]) })
  await expect(countStates(withoutSql(tables))).rejects.toThrow('SQL was used')
  expect(await countStates(tables)).toMatchObject({ pending: 2, lost: 1, classes: { app: 1, lost: 1 } })
})

it('does not believe facts after a commit of another table, nor when a commit came in between', async () => {
  const { tables } = small
  await addJobs(tables, 3)
  await publish(tables, [attempt('j1', 1, 'succeeded')])
  await addJobs(tables, 1, { job_id: 'j77', job_key: 77 })
  expect(await countStates(tables)).toMatchObject({ jobs: 4, pending: 3 })
  await tables.sql.run(
    `CREATE OR REPLACE TEMP VIEW new_attempts AS ${select('attempts', [attempt('j2', 1, 'failed')])}`,
  )
  const facts = await stateFacts(tables)
  await tables.commit('attempts', { operation: 'between', select: select('attempts', [attempt('j3', 1, 'failed')]) })
  await tables.commit('attempts', { operation: 'x', select: 'FROM new_attempts', facts })
  expect(await countStates(tables)).toMatchObject({ failed: 2, succeeded: 1, pending: 1 })
})

it('still believes facts after parts were joined', async () => {
  const { tables } = small
  await addJobs(tables, 12)
  for (let i = 1; i <= 11; i++) await publish(tables, [attempt(`j${i}`, 1, 'succeeded')])
  expect((await tables.maintain('attempts')).compacted).toBe(11)
  expect(await countStates(withoutSql(tables))).toMatchObject({ succeeded: 11, pending: 1 })
})

const JOBS = 8
const job = fc.integer({ min: 1, max: JOBS }).map((key) => `j${key}`)
const BATCH_STATES = ['cut', 'staged', 'submitted', 'ended', 'dropped']
const step = fc.oneof(
  fc.record({
    kind: fc.constant('attempts' as const),
    rows: fc.array(
      fc.record({
        job,
        try: fc.integer({ min: 1, max: 3 }),
        verdict: fc.constantFrom('succeeded', 'failed', 'cancelled', 'lost'),
        next: fc.constantFrom('retry', 'hold', 'give up'),
        class: fc.constantFrom(...FAILURE_CLASSES),
        superseded: fc.boolean(),
        batch: fc.option(fc.integer({ min: 1, max: JOBS })),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  }),
  fc.record({
    kind: fc.constant('requests' as const),
    action: fc.constantFrom('hold', 'release', 'cancel', 'retry'),
    jobs: fc.uniqueArray(job, { minLength: 1, maxLength: 4 }),
    after: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({
    kind: fc.constant('batches' as const),
    states: fc.array(fc.constantFrom(...BATCH_STATES), { minLength: JOBS, maxLength: JOBS }),
  }),
  fc.record({ kind: fc.constant('withdrawn' as const), job }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function take(tables: Tables, one: Step, seq: number): Promise<void> {
  const commit = async (
    table: 'attempts' | 'requests' | 'batches' | 'jobs',
    made: { next: Upcoming; rows: string; all?: boolean },
  ) => {
    const { parts } = await tables.snapshot(table)
    const facts = await stateFacts(tables, made.next)
    await tables.commit(table, { operation: 'x', select: made.rows, facts, ...(made.all && { remove: parts }) })
  }
  if (one.kind === 'attempts') {
    const rows = select(
      'attempts',
      one.rows.map((row) => ({
        ...attempt(row.job, row.try, row.verdict, { superseded: row.superseded, batch_id: row.batch }),
        ...(row.verdict === 'succeeded' ? {} : { next: row.next, class: row.class }),
      })),
    )
    await commit('attempts', { next: { attempts: rows }, rows })
  } else if (one.kind === 'requests') {
    const rows = select(
      'requests',
      one.jobs.map((name) => ({ job_id: name, action: one.action, after_try: one.after, seq })),
    )
    await commit('requests', { next: { requests: rows }, rows })
  } else if (one.kind === 'batches') {
    const rows = batches(Object.fromEntries(one.states.map((state, at) => [`j${at + 1}`, state])))
    await commit('batches', { next: { batches: rows }, rows, all: true })
  } else {
    await tables.view('jobs', undefined, 'before')
    const rows = `SELECT * REPLACE (withdrawn OR job_id = '${one.job}' AS withdrawn) FROM before`
    await commit('jobs', {
      next: { withdrawn: `SELECT job_key FROM before WHERE job_id = '${one.job}'` },
      rows,
      all: true,
    })
  }
}

it('facts of a commit say what counting anew says, after any history', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const one = await smallCampaign()
      try {
        await addJobs(one.tables, JOBS)
        await planJobs(one.tables, Object.fromEntries(Array.from({ length: JOBS }, (_, i) => [`j${i + 1}`, 'cut'])))
        for (const [at, taken] of steps.entries()) {
          await take(one.tables, taken, at + 1)
          const known = await countStates(withoutSql(one.tables))
          expect(states(known)).toEqual(await countByView(one.tables))
          await one.tables.commit('requests', { operation: 'spoil', facts: {} })
        }
      } finally {
        await one.close()
      }
    }),
    { numRuns: 25 },
  )
})
