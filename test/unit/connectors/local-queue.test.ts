import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Queue } from '../../../connectors/local/queue.ts'
import { countedArray } from '../../fakes/submissions.ts'

const DAY_MS = 86_400_000

function ran() {
  const root = mkdtempSync(join(tmpdir(), 'floe-queue-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const queue = new Queue(join(root, 'site'))
  const array = countedArray(root, 'one', 2)
  const spec = { ...array, submittedAt: 1, environment: { TOKEN: 'secret' }, script: 'true' }
  const id = queue.add(spec)
  for (const task of [0, 1]) {
    writeFileSync(queue.claimPath(id, task), `${task + 7} frost1 (0123456789ab)\n`)
    queue.append(id, { task, event: 'ended', reason: `exit ${task}` })
  }
  const folder = (state: 'queue' | 'ended') => join(root, 'site', state, id)
  return { queue, array, spec, id, folder }
}

test('of an array that ended stays what its tasks said and that its name has run, not the environment', () => {
  const { queue, spec, id, folder } = ran()
  expect(statSync(join(folder('queue'), 'spec.json')).mode & 0o777).toBe(0o600)
  queue.end(id)
  expect(readdirSync(folder('ended')).sort()).toEqual(['spec.json', 'tasks'])
  expect(readFileSync(join(folder('ended'), 'spec.json'), 'utf8')).not.toContain('secret')
  expect(statSync(join(folder('ended'), 'spec.json')).mode & 0o777).toBe(0o600)
  expect(queue.report(id).map(({ state, reason }) => [state, reason])).toEqual([
    ['ended', 'exit 0'],
    ['ended', 'exit 1'],
  ])
  expect(queue.add(spec)).toBe(id)
  expect(queue.queued()).toEqual([])
})

test('what a scheduler that was killed left of it is done by the next one', () => {
  const { queue, id, folder } = ran()
  queue.end(id)
  const whole = ran()
  mkdirSync(whole.folder('ended'))
  for (const name of readdirSync(whole.folder('queue')))
    writeFileSync(join(whole.folder('ended'), name), readFileSync(join(whole.folder('queue'), name)))
  rmSync(whole.folder('queue'), { recursive: true })
  whole.queue.tidy(Date.now())
  expect(readdirSync(whole.folder('ended'))).toEqual(readdirSync(folder('ended')))
  expect(readFileSync(join(whole.folder('ended'), 'spec.json'), 'utf8')).not.toContain('secret')
})

test('an array is forgotten a day after it ended, when its directory has gone', () => {
  const { queue, array, id, folder } = ran()
  queue.end(id)
  queue.tidy(Date.now() + 2 * DAY_MS)
  expect(queue.hasEnded(id)).toBe(true)
  rmSync(array.directory, { recursive: true })
  queue.tidy(Date.now())
  expect(queue.hasEnded(id)).toBe(true)
  queue.tidy(Date.now() + 2 * DAY_MS)
  expect(existsSync(folder('ended'))).toBe(false)
  expect(queue.report(id)).toEqual([])
})
