import { afterEach, beforeEach, expect, it } from 'vitest'
import { openViews } from '../../../src/catalog/views.ts'
import type { Value } from '../../../src/ports/tables/tables.ts'
import { addJobs, attempt, planJobs, type Small, select, smallCampaign } from './campaign.ts'

let small: Small
beforeEach(async () => {
  small = await smallCampaign()
})
afterEach(() => small.close())

type Given = Readonly<Record<string, Value>>
interface Case {
  readonly attempts?: readonly Given[]
  readonly requests?: readonly Given[]
  /** State of the job's batch. */
  readonly batch?: string
  readonly live?: boolean
}

let seq = 0
const asks = (action: string, after = 0, more: Given = {}): Given => {
  seq += 1
  return { action, after_try: after, seq, ...more }
}
const ended = (nth: number, verdict: string, more: Given = {}) => attempt('', nth, verdict, more)
const retry = { next: 'retry' }

/** What happened to a job, and its state, class and tries. */
const CASES: readonly (readonly [string, Case, readonly [string, string | null, number]])[] = [
  ['nothing', {}, ['pending', null, 0]],
  ['succeeded', { attempts: [ended(1, 'succeeded')] }, ['succeeded', null, 1]],
  ['failed', { attempts: [ended(1, 'failed')] }, ['failed', 'app', 1]],
  ['failed, to be retried', { attempts: [ended(1, 'failed', retry)] }, ['pending', 'app', 1]],
  ['failed, held by the policy', { attempts: [ended(1, 'failed', { next: 'hold' })] }, ['held', 'app', 1]],
  ['lost', { attempts: [ended(1, 'lost')] }, ['lost', 'lost', 1]],
  ['cancelled', { attempts: [ended(1, 'cancelled')] }, ['cancelled', 'cancelled', 1]],
  ['retried and succeeded', { attempts: [ended(1, 'failed', retry), ended(2, 'succeeded')] }, ['succeeded', null, 2]],
  [
    'twice retried, then given up',
    { attempts: [1, 2, 3].map((n) => ended(n, 'failed', n < 3 ? retry : {})) },
    ['failed', 'app', 3],
  ],
  [
    'a superseded failure',
    { attempts: [ended(1, 'succeeded'), ended(1, 'failed', { superseded: true })] },
    ['succeeded', null, 1],
  ],
  [
    'a superseded success',
    { attempts: [ended(1, 'failed'), ended(1, 'succeeded', { superseded: true })] },
    ['failed', 'app', 1],
  ],
  ['another revision succeeded', { attempts: [ended(1, 'succeeded', { revision: 0 })] }, ['pending', null, 0]],
  ['cut', { batch: 'cut' }, ['pending', null, 0]],
  ['staged', { batch: 'staged' }, ['queued', null, 0]],
  ['submitted', { batch: 'submitted' }, ['queued', null, 0]],
  ['started', { batch: 'submitted', live: true }, ['running', null, 0]],
  ['started, by an old record', { batch: 'ended', live: true }, ['pending', null, 0]],
  ['its batch ended without it', { batch: 'ended' }, ['pending', null, 0]],
  [
    'succeeded in a batch that goes on',
    { batch: 'submitted', attempts: [ended(1, 'succeeded', { batch_id: 1 })] },
    ['succeeded', null, 1],
  ],
  [
    'failed in a batch that goes on',
    { batch: 'submitted', attempts: [ended(1, 'failed', { batch_id: 1, ...retry })] },
    ['pending', 'app', 1],
  ],
  [
    'again in a batch',
    { batch: 'submitted', attempts: [ended(1, 'failed', { batch_id: 77, ...retry })] },
    ['queued', 'app', 1],
  ],
  ['held', { requests: [asks('hold')] }, ['held', null, 0]],
  ['held and released', { requests: [asks('hold'), asks('release')] }, ['pending', null, 0]],
  ['released and held', { requests: [asks('release'), asks('hold')] }, ['held', null, 0]],
  ['held while queued', { batch: 'submitted', requests: [asks('hold')] }, ['queued', null, 0]],
  ['held after it failed', { attempts: [ended(1, 'failed')], requests: [asks('hold', 1)] }, ['failed', 'app', 1]],
  [
    'held after it succeeded',
    { attempts: [ended(1, 'succeeded')], requests: [asks('hold', 1)] },
    ['succeeded', null, 1],
  ],
  ['held before its retry', { attempts: [ended(1, 'failed', retry)], requests: [asks('hold')] }, ['held', 'app', 1]],
  [
    'held by the policy, released',
    { attempts: [ended(1, 'failed', { next: 'hold' })], requests: [asks('release', 1)] },
    ['pending', 'app', 1],
  ],
  [
    'released, later held by the policy',
    { attempts: [ended(1, 'failed', { next: 'hold' })], requests: [asks('release')] },
    ['held', 'app', 1],
  ],
  ['cancelled before it ran', { requests: [asks('cancel')] }, ['cancelled', 'cancelled', 0]],
  ['cancelled, a hold before', { requests: [asks('hold'), asks('cancel')] }, ['cancelled', 'cancelled', 0]],
  ['cancelled, then retried', { requests: [asks('cancel'), asks('retry')] }, ['pending', null, 0]],
  ['cancelled while queued', { batch: 'submitted', requests: [asks('cancel', 1)] }, ['queued', null, 0]],
  [
    'cancelled, succeeded all the same',
    { attempts: [ended(1, 'succeeded')], requests: [asks('cancel', 1)] },
    ['succeeded', null, 1],
  ],
  [
    'cancelled, failed before it was heard',
    { attempts: [ended(1, 'failed', retry)], requests: [asks('cancel', 1)] },
    ['cancelled', 'cancelled', 1],
  ],
  [
    'cancelled long ago, tried since',
    { attempts: [ended(1, 'failed', retry), ended(2, 'failed')], requests: [asks('cancel', 1)] },
    ['failed', 'app', 2],
  ],
  ['retry asked', { attempts: [ended(1, 'failed')], requests: [asks('retry', 1)] }, ['pending', null, 1]],
  [
    'retry asked of a success',
    { attempts: [ended(1, 'succeeded')], requests: [asks('retry', 1)] },
    ['pending', null, 1],
  ],
  [
    'retry asked and failed again',
    { attempts: [ended(1, 'failed'), ended(2, 'failed')], requests: [asks('retry', 1)] },
    ['failed', 'app', 2],
  ],
  [
    'retry asked and succeeded',
    { attempts: [ended(1, 'failed'), ended(2, 'succeeded')], requests: [asks('retry', 1)] },
    ['succeeded', null, 2],
  ],
  [
    'retry asked, then held',
    { attempts: [ended(1, 'failed')], requests: [asks('retry', 1), asks('hold', 1)] },
    ['held', null, 1],
  ],
  [
    'held, then retry asked',
    { attempts: [ended(1, 'failed')], requests: [asks('hold', 1), asks('retry', 1)] },
    ['pending', null, 1],
  ],
  [
    'retry asked of another revision',
    { attempts: [ended(1, 'failed')], requests: [asks('retry', 1, { revision: 0 })] },
    ['failed', 'app', 1],
  ],
  ['hold asked of another revision', { requests: [asks('hold', 0, { revision: 0 })] }, ['held', null, 0]],
]

it('knows the state of a job from what happened to it', async () => {
  const { tables } = small
  await addJobs(tables, CASES.length)
  const rows = (pick: (one: Case) => readonly Given[]) =>
    CASES.flatMap(([, one], at) =>
      pick(one).map(
        (row): Given => ({ ...row, job_id: `j${at + 1}`, ...(row.batch_id === 1 && { batch_id: at + 1 }) }),
      ),
    )
  const placed = CASES.flatMap(([, { batch }], at) => (batch ? [[`j${at + 1}`, batch] as const] : []))
  await planJobs(tables, Object.fromEntries(placed))
  await tables.commit('attempts', {
    operation: 'x',
    select: select(
      'attempts',
      rows((one) => one.attempts ?? []),
    ),
  })
  await tables.commit('requests', {
    operation: 'x',
    select: select(
      'requests',
      rows((one) => one.requests ?? []),
    ),
  })
  await openViews(tables)
  const live = CASES.flatMap(([, one], at) => (one.live ? [at + 1] : []))
  await tables.sql.run(`INSERT INTO live_jobs SELECT unnest([${live.join(', ')}]), 1`)
  const found = await tables.sql.rows<{ state: string; class: string | null; tries: number }>(
    'SELECT state, class, tries FROM jobs ORDER BY job_key',
  )
  const told = CASES.map(([name], at) => [name, found[at]!.state, found[at]!.class, found[at]!.tries])
  expect(told).toEqual(CASES.map(([name, , wanted]) => [name, ...wanted]))
})

it('leaves out withdrawn jobs and says which miss a file', async () => {
  const { tables } = small
  await addJobs(tables, 3)
  await tables.commit('jobs', {
    operation: 'x',
    select: select('jobs', [{ job_id: 'j9', withdrawn: true, bucket: 0 }]),
  })
  const files = select('files', [
    { url: 'in2', missing: true },
    { url: 'in3', missing: false },
  ])
  await tables.commit('files', { operation: 'x', select: files })
  await openViews(tables)
  expect(await tables.sql.rows('SELECT job_id, missing FROM jobs ORDER BY job_id')).toEqual([
    { job_id: 'j1', missing: false },
    { job_id: 'j2', missing: true },
    { job_id: 'j3', missing: false },
  ])
})

it('shows the batch of each planned job, of the newest plan', async () => {
  const { tables } = small
  await addJobs(tables, 3)
  await planJobs(tables, { j1: 'ended', j2: 'dropped', j3: 'cut' })
  const again = select('plan', [{ plan_id: 2, position: 0, job_id: 'j1' }])
  await tables.commit('plan', { operation: 'x', select: again })
  const batch = { batch_id: 8, plan_id: 2, position_from: 0, position_to: 1, state: 'staged' }
  await tables.commit('batches', { operation: 'x', select: select('batches', [batch]) })
  await openViews(tables)
  const rows = await tables.sql.rows('SELECT job_id, batch_id FROM plan ORDER BY job_id')
  expect(rows).toEqual([
    { job_id: 'j1', batch_id: 8 },
    { job_id: 'j2', batch_id: null },
    { job_id: 'j3', batch_id: 3 },
  ])
})
