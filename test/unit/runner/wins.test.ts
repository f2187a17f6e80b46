import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { takeJob } from '../../../jobs/runner/wins.ts'
import { fakeArray, fakeJob } from '../../fakes/array.ts'
import { script, useRunner } from '../../fakes/task.ts'

const runner = useRunner()
const out = [{ path: 'out', optional: false }]
const env = { FLOE_GRACE_SEC: '1' }

/** A task with these jobs in `a1`, and its copy in `a2`: what it says names who it is. */
function pair(jobs: Readonly<Record<string, (who: 'task' | 'copy') => string>>, seenMs = 0) {
  const made = (who: 'task' | 'copy') =>
    Object.entries(jobs).map(([job, text]) =>
      fakeJob(job, { ...script(text(who)), outputs: out.map(({ optional }) => ({ path: `${job}.out`, optional })) }),
    )
  const task = fakeArray(runner.scratch, [made('task')])
  const original = { array: task, task: 0, seen_ms: seenMs }
  return { task, copy: fakeArray(runner.scratch, [made('copy')], { array: 'a2', copy_of: original }) }
}

const until = (what: () => boolean) => vi.waitUntil(what, { timeout: 20_000 })
const holds = (path: string) => `until test -e ${path}; do sleep 0.05; done`
const published = (job: string) => readFileSync(join(runner.scratch, 'outputs', `${job}.out`), 'utf8').trim()
const verdicts = (directory: string) => [...runner.read(directory).ended.keys()].sort()

test('of a task and its copy the first one decides a job; the other publishes and records nothing of it', async () => {
  const gate = join(runner.scratch, 'gate')
  const slow = (who: string) => (who === 'task' ? `${holds(gate)}; echo task > slow.out` : 'echo copy > slow.out')
  const { task, copy } = pair({
    first: (who) => `echo ${who} > first.out`,
    slow,
    last: (who) => `echo ${who} > last.out`,
  })
  const begun = await runner.start(task, { env })
  await until(() => verdicts(task).includes('first'))
  const other = await runner.start(copy, { env })
  expect(await other.exit).toBe(0)
  expect(verdicts(copy)).toEqual(['last', 'slow'])
  writeFileSync(gate, '')
  expect(await begun.exit).toBe(0)
  expect(verdicts(task)).toEqual(['first'])
  expect([published('first'), published('slow'), published('last')]).toEqual(['task', 'copy', 'copy'])
  expect(runner.read(task).seal).toBe('done')
})

test('a copy decides nothing before the task can see it, and nothing that the task decided until then', async () => {
  const gate = join(runner.scratch, 'gate')
  const slow = (who: string) => (who === 'task' ? `${holds(gate)}; echo task > slow.out` : 'echo copy > slow.out')
  const { task, copy } = pair({ slow }, 3000)
  const begun = await runner.start(task, { env })
  await until(() => runner.read(task).lines.some(({ event }) => event === 'job started'))
  const other = await runner.start(copy, { env })
  await until(() => runner.read(copy).lines.length > 0)
  expect(verdicts(copy)).toEqual([])
  writeFileSync(gate, '')
  expect(await begun.exit).toBe(0)
  expect(await other.exit).toBe(0)
  expect([verdicts(task), verdicts(copy)]).toEqual([['slow'], []])
  expect(published('slow')).toBe('task')
})

test('a job that one took and did not come to record is decided by neither: it is planned anew', async () => {
  const { task, copy } = pair({ one: (who) => `echo ${who} > one.out; ${who === 'copy' ? 'sleep 30' : 'true'}` })
  const other = await runner.start(copy, { env })
  await until(() => existsSync(join(task, 'copied.0')))
  expect(takeJob({ directory: task, name: 'a2.0' }, { job: 'one', revision: 1 })).toBe(true)
  other.child.kill('SIGKILL')
  await other.exit
  const begun = await runner.start(task, { env })
  expect(await begun.exit).toBe(0)
  expect([verdicts(task), verdicts(copy)]).toEqual([[], []])
  expect(existsSync(join(runner.scratch, 'outputs', 'one.out'))).toBe(false)
})

test('told to end while it waits to be seen, a copy gives back what it ran', async () => {
  const { copy, task } = pair({ one: (who) => `echo ${who} > one.out` }, 60_000)
  const other = await runner.start(copy, { env })
  await until(() => existsSync(join(task, 'copied.0')))
  await new Promise((resolve) => setTimeout(resolve, 500))
  other.child.kill('SIGTERM')
  expect(await other.exit).toBe(0)
  expect(runner.read(copy).seal).toBe('drained')
  expect(verdicts(copy)).toEqual([])
})

test('where the array of the task was purged its copy decides nothing', async () => {
  const { copy, task } = pair({ one: (who) => `sleep 1; echo ${who} > one.out` })
  const other = await runner.start(copy, { env })
  await until(() => existsSync(join(task, 'copied.0')))
  rmSync(task, { recursive: true })
  expect(await other.exit).toBe(1)
  expect(existsSync(join(runner.scratch, 'outputs', 'one.out'))).toBe(false)
  expect(runner.read(copy).seal).toBe('failed')
})
