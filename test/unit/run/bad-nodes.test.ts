import { expect, test } from 'vitest'
import { systemClock } from '../../../src/ports/clock.ts'
import { BadNodes, type Barred } from '../../../src/run/bad-nodes.ts'

const HOUR_MS = 3_600_000

function watched({ isOneNode = false } = {}) {
  let now = 0
  const hints = { directory: 'Name a shared one.', fruitless: 'See tasks.log.' }
  const nodes = new BadNodes({ ...systemClock, ticks: () => now }, { site: 'frost', isOneNode, pauseMs: 10, hints })
  const barred = (node: string, more: Partial<Barred> = {}): Barred => ({
    ...{ node, setup: null, cause: 'runner', why: 'could not work: EACCES', generation: nodes.generation },
    ...more,
  })
  return {
    nodes,
    barred,
    fails: (node: string, more: Partial<Barred> = {}) => nodes.failed(barred(node, more)),
    pass: (ms: number) => {
      now += ms
    },
  }
}

test('tasks of arrays that were sent at once are one generation; the pause grows with each', () => {
  const { nodes, fails, pass } = watched()
  for (let task = 0; task < 1000; task++) expect(fails('c1', { generation: 0 })).toBe('again')
  expect(nodes.generation).toBe(1)
  pass(9)
  expect(nodes.isPaused).toBe(true)
  pass(1)
  expect(nodes.isPaused).toBe(false)
  fails('c1')
  pass(19)
  expect(nodes.isPaused).toBe(true)
  pass(1)
  expect(nodes.isPaused).toBe(false)
})

test('one node alone is left out as a trial, two are not, for perhaps there are no others', () => {
  const { nodes, fails } = watched()
  fails('c1')
  expect(nodes.avoided(null, { surely: false })).toEqual([])
  fails('c1', { generation: 0 })
  expect(nodes.avoided(null, { surely: false })).toEqual(['c1'])
  expect(nodes.avoided(null, { surely: true })).toEqual([])
  for (const generation of [0, 0]) fails('c2', { generation })
  expect(nodes.avoided(null, { surely: false })).toEqual([])
  expect(nodes.news).toContain('node c2 could not work: EACCES; 2 tasks; they are sent again')
})

test('where others work bad nodes are left out for an hour', () => {
  const { nodes, fails, pass } = watched()
  for (const node of ['c1', 'c2']) fails(node, { generation: 0 })
  pass(1)
  nodes.worked('c3', null)
  pass(1)
  for (const node of ['c1', 'c2']) fails(node, { generation: 0 })
  expect(nodes.avoided(null, { surely: true })).toEqual(['c1', 'c2'])
  expect(nodes.news).toContain('node c1 could not work: EACCES; 2 tasks; left out for an hour')
  pass(HOUR_MS)
  expect(nodes.avoided(null, { surely: true })).toEqual([])
  expect(nodes.news).toBeNull()
})

test('what all nodes had for a while is none of theirs', () => {
  const { nodes, fails, pass } = watched()
  for (const node of ['c1', 'c1', 'c2', 'c2', 'c3', 'c3']) fails(node, { generation: 0 })
  pass(1)
  nodes.worked('c1', null)
  expect(nodes.avoided(null, { surely: false })).toEqual([])
})

test('a node that works again is no longer left out', () => {
  const { nodes, fails, pass } = watched()
  for (const generation of [0, 0]) fails('c1', { generation })
  pass(1)
  nodes.worked('c1', null)
  expect(nodes.avoided(null, { surely: false })).toEqual([])
  expect(nodes.news).toBeNull()
})

test('a cause that shows wherever tasks go ends the run: in three generations, or on three nodes in two', () => {
  const { fails } = watched()
  expect([fails('c1'), fails('c1'), fails('c1')]).toEqual(['again', 'again', 'stop'])
  const wide = watched()
  for (const node of ['c1', 'c2', 'c3', 'c4']) expect(wide.fails(node, { generation: 0 })).toBe('again')
  expect(wide.fails('c1')).toBe('stop')
  expect(wide.nodes.errorOf(wide.barred('c1'))).toMatchObject({
    code: 'STAGE_FAILED',
    message: 'The node c1 of frost could not work: EACCES. The same at c2, c3, c4.',
  })
})

test('bad nodes beside good ones never end a run; all of them do, though they worked before', () => {
  const { nodes, fails, pass } = watched()
  for (let round = 0; round < 20; round++) {
    expect(fails('c1')).toBe('again')
    pass(1)
    nodes.worked('c2', null)
    pass(1)
  }
  expect([fails('c2'), fails('c2'), fails('c2')]).toEqual(['again', 'again', 'stop'])
})

test('a setup is the fault of its jobs where jobs without it work', () => {
  const { nodes, fails, pass } = watched()
  const odd = { cause: 'setup', setup: 'module load nothing' } as const
  expect(fails('c1', odd)).toBe('again')
  pass(1)
  nodes.worked('c1', null)
  expect([fails('c1', odd), fails('c1', odd)]).toEqual(['again', 'theirs'])
  expect(nodes.avoided(null, { surely: false })).toEqual([])
})

test('where the scheduler has no other node, what there is has to do', () => {
  const { nodes, fails } = watched()
  for (const generation of [0, 0]) fails('c1', { generation })
  nodes.noneElse()
  expect(nodes.avoided(null, { surely: false })).toEqual([])
  expect(nodes.news).toContain('they are sent again')
})

test('one machine has no other to go to', () => {
  const { nodes, fails, barred } = watched({ isOneNode: true })
  expect(fails('here')).toBe('theirs')
  expect(fails('here', { why: 'could not work: ENOSPC: no space left on device' })).toBe('stop')
  const away = { cause: 'scratch', why: 'cannot write to /scratch' } as const
  expect([fails('here', away), fails('here', away)]).toEqual(['again', 'again'])
  expect(nodes.avoided(null, { surely: false })).toEqual([])
  expect(fails('here', away)).toBe('stop')
  const unmounted = { cause: 'root', why: 'could not work: the root /era5 is not there, or is empty' } as const
  expect(fails('here', unmounted)).toBe('stop')
  expect(nodes.errorOf(barred('here', unmounted)).code).toBe('INPUTS_MISSING')
  const full = nodes.errorOf(barred('here', { why: 'could not work: ENOSPC' }))
  expect(full).toMatchObject({ code: 'DISK_FULL', message: 'frost could not work: ENOSPC.' })
})

test('the next run knows what this one has seen, and how long ago', () => {
  const { nodes, fails, pass } = watched()
  fails('c1')
  pass(1)
  nodes.worked('c2', null)
  pass(1)
  fails('c1', { generation: 0 })
  const next = watched()
  next.nodes.recall(JSON.parse(JSON.stringify(nodes.memory)), 5)
  expect(next.nodes.avoided(null, { surely: true })).toEqual(['c1'])
  expect([next.nodes.generation, next.nodes.isPaused, next.nodes.news]).toEqual([1, true, nodes.news])
  next.pass(5)
  expect(next.nodes.isPaused).toBe(false)
  next.pass(HOUR_MS)
  expect(next.nodes.avoided(null, { surely: true })).toEqual([])
})

test('that a job began on a node says nothing of its full disk; that one ended well does', () => {
  const { nodes, fails } = watched()
  const full = { why: "could not work: the node's disk is full: 0 B left of 4.2 MB at /tmp" }
  for (const round of [0, 1]) {
    expect(fails('c1', full), String(round)).toBe('again')
    nodes.worked('c1', null, { hasEnded: false })
  }
  expect(fails('c1', full)).toBe('stop')
  nodes.forget()
  for (const round of [0, 1, 2, 3]) {
    expect(fails('c1', full), String(round)).toBe('again')
    nodes.worked('c1', null)
  }
  // Of anything else that is enough.
  for (const round of [0, 1, 2, 3]) {
    expect(fails('c1', { why: 'could not work: EACCES' }), String(round)).toBe('again')
    nodes.worked('c1', null, { hasEnded: false })
  }
})
