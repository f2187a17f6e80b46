import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventAsyncApi, eventJsonSchema, statusEventSchema } from '../../../src/events/event-schema.ts'
import { arraysIn, Board, type EventNews, followEvents, hasNews, Relay } from '../../../src/events/events.ts'
import { glanceAtEvent, readEvent } from '../../../src/events/to-event.ts'
import { EVENT_TYPES, type StatusEvent } from '../../../src/model/event.ts'
import { encodeRecord, type JobEnded, type RecordLine } from '../../../src/model/record.ts'
import type { Bus } from '../../../src/ports/bus/bus.ts'
import { memoryBus, memoryLog } from '../../../src/ports/bus/memory.ts'

const CAMPAIGN = 'c0ffee00-0000-4000-8000-000000000000'
let scratch: string
const array = (id = 'a000001') => join(scratch, 'floe/campaigns', CAMPAIGN, 'arrays', id)
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'floe-relay-'))
  mkdirSync(join(array(), 'records'), { recursive: true })
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const started = (task: number, attempt = 1): RecordLine => ({
  ...{ v: 1, at: 1_700_000_000_000_123, event: 'task started', campaign: CAMPAIGN, array: 'a000001', task, attempt },
  ...{ batch: 40 + task, node: 'c1', native_id: '7_1', pid: 5, slots: 2 },
})
const ended = (job: string, rest: Partial<JobEnded> = {}): RecordLine => ({
  ...{ v: 1, at: 1_700_000_001_000_000, event: 'job ended', job, revision: 1, job_digest: 'd', try: 1, slot: 0 },
  ...{ started_at: 1_700_000_000_500_000, verdict: 'succeeded', class: null, rule: 'exit 0', exit: 0, signal: null },
  ...{ wall_sec: 0.5, cpu_sec: 0.4, memory_max_bytes: null, stdout: null, stderr: null, outputs: [], checked: false },
  ...{ sandbox: null, ...rest },
})
const sealed: RecordLine = {
  v: 1,
  at: 1_700_000_002_000_000,
  event: 'task ended',
  reason: 'done',
  message: null,
  jobs: 1,
}
const write = (name: string, ...lines: readonly RecordLine[]) =>
  appendFileSync(join(array(), 'records', name), lines.map(encodeRecord).join(''))

function told(log: ReturnType<typeof memoryLog>): StatusEvent[] {
  return log.messages.map(({ value }) => readEvent(value!.toString()) as StatusEvent)
}
const ids = (log: ReturnType<typeof memoryLog>) => told(log).map(({ id }) => id)

test('a record line becomes an event of CloudEvents, keyed by its batch', async () => {
  const log = memoryLog()
  write('3.1', started(3), ended('j "1"\n❄'))
  expect(await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))).toEqual({ sent: 2, damaged: 0 })
  expect(log.messages.map(({ key }) => key)).toEqual([`${CAMPAIGN}/43`, `${CAMPAIGN}/43`])
  expect(JSON.parse(log.messages[1]!.value!.toString())).toEqual({
    specversion: '1.0',
    id: 'a000001/3.1/2',
    source: `/campaigns/${CAMPAIGN}/sites/frost`,
    type: 'org.floe.job.ended',
    subject: 'j "1"\n❄',
    time: '2023-11-14T22:13:21.000000Z',
    datacontenttype: 'application/json',
    partitionkey: `${CAMPAIGN}/43`,
    ...{ batch: 43, attempt: 1, line: 2 },
    data: ended('j "1"\n❄'),
  })
  expect(told(log)[0]).toMatchObject({ time: '2023-11-14T22:13:20.000123Z', subject: 'a000001/3' })
})

test('what is told is what the published schema says', async () => {
  const log = memoryLog()
  const stream = { file: 'logs/0.1', offset: 0 }
  write(
    '0.1',
    started(0),
    {
      ...{ v: 1, at: 1, event: 'job started', job: 'j', revision: 1, slot: 0, started_at: 1 },
      stdout: stream,
      stderr: stream,
    },
    ended('j', {
      ...{ verdict: 'failed', class: 'memory', exit: null, signal: 'KILL', stdout: { ...stream, bytes: 3, total: 3 } },
      outputs: [{ path: 'a.csv', size_bytes: 3, digest: 'sha256:00' }],
    }),
    sealed,
  )
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  for (const event of told(log)) expect(statusEventSchema.parse(event)).toEqual(event)
  expect(told(log).map(({ type }) => type)).toEqual(Object.values(EVENT_TYPES))
  expect(statusEventSchema.safeParse({ ...told(log)[1], type: 'org.floe.job.ended' }).success).toBe(false)
})

// `npx vitest run test/unit/events -u` writes these files.
test.each([
  ['status-event.schema.json', eventJsonSchema],
  ['status-events.asyncapi.json', eventAsyncApi],
])('data/schemas/%s', async (name, text) => {
  await expect(text()).toMatchFileSnapshot(join(import.meta.dirname, '../../../data/schemas', name))
})

test('only what is new is told, by another relay too, and a line that is being written waits', async () => {
  const log = memoryLog()
  const relay = new Relay(memoryBus(log), 'frost')
  write('0.1', started(0))
  const line = encodeRecord(ended('j'))
  appendFileSync(join(array(), 'records/0.1'), line.slice(0, 50))
  await relay.round(arraysIn(scratch))
  expect(ids(log)).toEqual(['a000001/0.1/1'])
  appendFileSync(join(array(), 'records/0.1'), line.slice(50))
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  expect(ids(log)).toEqual(['a000001/0.1/1', 'a000001/0.1/2'])
  write('0.2', started(0, 2))
  write('0.1', sealed)
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  expect(ids(log).slice(2)).toEqual(['a000001/0.1/3', 'a000001/0.2/1'])
  // The marks alone are beside the records.
  expect(readdirSync(array()).sort()).toEqual(['records', 'told'])
})

test('what the bus did not take is told again, in order', async () => {
  const log = memoryLog()
  const inner = memoryBus(log)
  let failing = true
  const bus: Bus = {
    ...inner,
    send: async (messages) => (failing ? Promise.reject(new Error('away')) : inner.send(messages)),
  }
  const relay = new Relay(bus, 'frost')
  write('0.1', started(0), ended('a'))
  await expect(relay.round(arraysIn(scratch))).rejects.toThrow('away')
  write('0.1', ended('b'), sealed)
  failing = false
  expect(await relay.round(arraysIn(scratch))).toEqual({ sent: 4, damaged: 0 })
  expect(ids(log)).toEqual([1, 2, 3, 4].map((at) => `a000001/0.1/${at}`))
})

test('more than is told in one go comes in order, and damaged lines are counted', async () => {
  const log = memoryLog()
  const jobs = Array.from({ length: 30_000 }, (_, at) => ended(`job ${at}`))
  write('0.1', started(0), ...jobs.slice(0, 15_000))
  appendFileSync(join(array(), 'records/0.1'), 'nonsense\n')
  write('0.1', ...jobs.slice(15_000))
  expect(await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))).toEqual({ sent: 30_001, damaged: 1 })
  expect(
    told(log)
      .slice(1)
      .map(({ subject }) => subject),
  ).toEqual(jobs.map((_, at) => `job ${at}`))
  expect(told(log).at(-1)!.line).toBe(30_002)
})

test('marks that are damaged make everything be told once more, and an array that went is no error', async () => {
  const log = memoryLog()
  write('0.1', started(0))
  const arrays = arraysIn(scratch)
  await new Relay(memoryBus(log), 'frost').round(arrays)
  writeFileSync(join(array(), 'told'), '{')
  await new Relay(memoryBus(log), 'frost').round(arrays)
  expect(ids(log)).toEqual(['a000001/0.1/1', 'a000001/0.1/1'])
  rmSync(array(), { recursive: true })
  expect(await new Relay(memoryBus(log), 'frost').round(arrays)).toEqual({ sent: 0, damaged: 0 })
})

async function follow(log: ReturnType<typeof memoryLog>, campaign?: string): Promise<EventNews> {
  const stop = new AbortController()
  const wish = {
    group: 'g',
    from: 'earliest',
    signal: stop.signal,
    ...(campaign !== undefined && { campaign }),
  } as const
  const following = followEvents(memoryBus(log), wish)
  const { value } = await following.next()
  stop.abort()
  await following.next()
  return value as EventNews
}

test('a reader drops repeats, passes over what is no event, and says how many', async () => {
  const log = memoryLog()
  write('0.1', started(0), ended('a'), ended('b', { verdict: 'failed', class: 'app', rule: 'exit 3' }))
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  rmSync(join(array(), 'told'))
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  const newer = { ...told(log)[1]!, data: { ...told(log)[1]!.data, v: 2 } }
  const foreign = ['{', 'null', '[]', '"x"', '{}', JSON.stringify({ specversion: '1.0', type: 'org.floe.job.ended' })]
  for (const value of [JSON.stringify(newer), JSON.stringify({ ...newer, type: 'org.floe.job.frozen' }), ...foreign])
    log.messages.push({ key: `${CAMPAIGN}/1`, value: Buffer.from(value) })
  log.messages.push({ key: `${CAMPAIGN}/1`, value: null })
  const { events, board, skipped } = await follow(log)
  expect(events.map(({ event }) => event.id)).toEqual(['a000001/0.1/1', 'a000001/0.1/2', 'a000001/0.1/3'])
  expect(skipped).toEqual({ newer: 2, foreign: 7 })
  expect(board.repeats).toBe(3)
  expect(board.rows).toEqual([
    {
      ...{ campaign: CAMPAIGN, site: 'frost', tasks: 1, running: 0, last: '2023-11-14T22:13:21.000000Z' },
      verdicts: { succeeded: 1, failed: 1, cancelled: 0, lost: 0 },
    },
  ])
  expect(board.failures.map(({ job, rule }) => [job, rule])).toEqual([['b', 'exit 3']])
  expect((await follow(log, 'another')).events).toEqual([])
})

test('a glance at an event sees what reading it does, or nothing', async () => {
  const log = memoryLog()
  const names = ['j "1"\n❄', 'a","verdict":"succeeded","b', 'x\\"', '', '}}']
  write('3.1', started(3), ...names.map((name) => ended(name)))
  write(
    '3.2',
    started(3, 2),
    ended('f","verdict":"succeeded",', { verdict: 'failed', class: 'app', rule: ',"verdict":"succeeded",' }),
  )
  await new Relay(memoryBus(log), 'frost').round(arraysIn(scratch))
  const glances = log.messages.map(({ value }) => glanceAtEvent(value!.toString()))
  expect(glances.map((glance) => glance !== undefined)).toEqual([false, ...names.map(() => true), false, false])
  for (const [at, glance] of glances.entries()) if (glance) expect(told(log)[at]).toMatchObject({ ...glance, data: {} })
  expect(glances.flatMap((glance) => (glance?.data.event === 'job ended' ? glance.data.job : []))).toEqual(names)
  const [, whole] = log.messages.map(({ value }) => value!.toString())
  for (let cut = 0; cut < whole!.length; cut++) expect(glanceAtEvent(whole!.slice(0, cut))).toBeUndefined()
})

test('a board knows what runs, also when it came late', () => {
  const board = new Board()
  const event = (line: number, data: RecordLine): StatusEvent =>
    ({ id: `a/0.1/${line}`, source: '/campaigns/c/sites/frost', line, time: `t${line}`, data }) as StatusEvent
  const began = { v: 1, at: 1, event: 'job started', job: 'x' } as RecordLine
  expect(board.heed(event(5, began))).toBe(true)
  expect(board.rows[0]).toMatchObject({ tasks: 1, running: 1 })
  expect(board.heed(event(4, began))).toBe(false)
  expect(board.heed(event(6, ended('x')))).toBe(true)
  expect(board.rows[0]).toMatchObject({ tasks: 1, running: 0 })
  expect(board.heed(event(7, sealed))).toBe(true)
  expect(board.rows[0]).toMatchObject({ tasks: 0, running: 0, last: 't7' })
})

test('an array has news until all its whole lines are told', async () => {
  expect(hasNews(array())).toBe(false)
  write('3.1', started(3), ended('j'))
  expect(hasNews(array())).toBe(true)
  const relay = new Relay(memoryBus(memoryLog()), 'frost')
  await relay.round(arraysIn(scratch))
  expect(hasNews(array())).toBe(false)
  // A line that its writer did not end will never be told.
  appendFileSync(join(array(), 'records/3.1'), '{"v":1')
  expect(hasNews(array())).toBe(false)
  write('4.1', started(4))
  expect(hasNews(array())).toBe(true)
})

test('the last round tells also what came to an array that had no news for long', async () => {
  const log = memoryLog()
  const relay = new Relay(memoryBus(log), 'frost')
  write('3.1', started(3))
  for (let round = 0; round < 20; round++) await relay.round(arraysIn(scratch))
  write('3.1', ended('j'))
  expect((await relay.round(arraysIn(scratch))).sent).toBe(0)
  expect((await relay.round(arraysIn(scratch), { isLast: true })).sent).toBe(1)
})
