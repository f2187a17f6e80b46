import { expect, test } from 'vitest'
import { listEvidence } from '../../../src/run/evidence-list.ts'

const attempt = (more: object) => ({
  ...{ try: 1, revision: 1, evidence: 'record', rule: 'exit 1', superseded: false, ended_at: 10, published_at: 20 },
  ...more,
})
const waiting = { state: 'queued', reason: 'Resources', meaning: 'it is next', clears: 'will clear' } as const
const queue = { ...waiting, site: 'frost', native_id: '88[].pbs', task: 3, element: 4 }
const accounting = [{ try: 1, revision: 1, word: 'NODE_FAIL', exit: 1, signal: 9, node: 'n1', memory_max_bytes: 2e9 }]
const running = { state: 'running', started: null, ended: null, heardAtUs: 40 } as const
const live = { ...running, site: 'frost', array: 'a1', task: 3, element: 4, tasks: 9, node: 'n1' }

test('a task that no element has taken yet waits as the array does', () => {
  const [said] = listEvidence(
    { job: {}, attempts: [], live },
    { queue: { ...queue, element: null }, accounting: [] },
    50,
  )
  expect(said!.says).toBe('88[].pbs queued, Resources: it is next (will clear)')
})

test('each fact has its source and time, the newest try first, in each the most trusted first', () => {
  const attempts = [
    attempt({ evidence: 'absence', rule: 'vanished' }),
    attempt({ revision: 2 }),
    attempt({ revision: 2, rule: 'exit 2', superseded: true, ended_at: 15 }),
  ]
  const listed = listEvidence({ job: { tries: 1, revision: 2 }, attempts, live }, { queue, accounting }, 50)
  const said = '88[4].pbs queued, Resources: it is next (will clear)'
  const word = {
    source: 'accounting',
    says: 'NODE_FAIL, exit 1, signal 9, 2.00 GB of memory',
    atUs: 50,
    decided: false,
  }
  expect(listed).toEqual([
    { try: 2, revision: 2, source: 'queue', says: said, atUs: 50, decided: false },
    { try: 2, revision: 2, source: 'heartbeat', says: 'its task wrote to the record', atUs: 40, decided: false },
    { try: 1, revision: 2, source: 'record', says: 'exit 1', atUs: 10, decided: true },
    { try: 1, revision: 2, source: 'record', says: 'exit 2', atUs: 15, decided: false },
    { try: 1, revision: 1, ...word },
    { try: 1, revision: 1, source: 'absence', says: 'vanished', atUs: 20, decided: true },
  ])
})
