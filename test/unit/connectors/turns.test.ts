import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openCommandConnector } from '../../../connectors/command.ts'
import { TooEarly } from '../../../connectors/connector.ts'
import { scriptOf } from '../../../connectors/replies.ts'
import { inTurn, laterIn } from '../../../connectors/turns.ts'
import { clusterOf } from '../../fakes/clusters.ts'
import { shellTransport } from '../../fakes/shell-transport.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'floe turns-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = () => join(folder, 'asked.status')
const nothing = { clears: [], keeps: [], setup: [], login: false }
/** Seconds until it may be asked; `asked`. */
async function ask(line = ':', { everySec = 30, at = folder } = {}): Promise<number | 'asked'> {
  const lines = inTurn([line, 'echo it was asked'], 'status', { folder: at, everySec }, 'mark')
  const output = await shellTransport({ bin: '/none' }).run(scriptOf(lines, nothing))
  expect(output).toMatchObject({ exit: 0, stderr: '' })
  const later = laterIn(output, 'mark')
  expect(output.stdout.includes('it was asked')).toBe(later === undefined)
  return later ?? 'asked'
}
const inSeconds = () => Math.floor(Date.now() / 1000)

test('who comes too early hears when to ask', async () => {
  expect(await ask()).toBe('asked')
  const later = await ask()
  expect(later).toBeGreaterThan(0)
  expect(later).toBeLessThanOrEqual(30)
  writeFileSync(file(), `${inSeconds()}\n`)
  expect(await ask()).toBe('asked')
})

test('a question that took long is followed by a long pause', async () => {
  expect(await ask('sleep 1.1', { everySec: 0 })).toBe('asked')
  expect(Number(readFileSync(file(), 'utf8')) - inSeconds()).toBeGreaterThan(10)
})

test('two questions are never under way at once', async () => {
  const log = join(folder, 'log')
  const line = `echo begin >>'${log}'; sleep 0.2; echo end >>'${log}'`
  const answers = await Promise.all([1, 2, 3, 4].map(() => ask(line, { everySec: 0 })))
  const asked = answers.filter((answer) => answer === 'asked').length
  expect(asked).toBeGreaterThan(0)
  expect(readFileSync(log, 'utf8')).toBe('begin\nend\n'.repeat(asked))
})

test('what stands in the file holds nobody up for ever', async () => {
  for (const odd of ['', 'x', '99999999999', `${inSeconds() + 86_400}`, '-1', '1 2']) {
    writeFileSync(file(), `${odd}\n`)
    expect(await ask(), odd).toBe('asked')
  }
})

test('where no file can be written it is asked', async () => {
  expect(await ask(':', { at: join(folder, 'none') })).toBe('asked')
  expect(existsSync(join(folder, 'none'))).toBe(false)
  mkdirSync(file())
  expect(await ask()).toBe('asked')
})

test('what a command leaves running does not hold the turn', async () => {
  expect(await ask('sleep 30 >/dev/null 2>&1 &', { everySec: 0 })).toBe('asked')
  expect(await ask(':', { everySec: 0 })).toBe('asked')
})

test('a connector says so; a person, and accounting, do not wait', async () => {
  const { dialect } = clusterOf('slurm')
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  for (const name of ['squeue', 'sacct']) writeFileSync(join(bin, name), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  const open = () =>
    openCommandConnector({ dialect, transport: shellTransport({ bin }), turns: { folder, everySec: 60 } })
  const [one, other] = [open(), open()]
  const inTurn = { inTurn: true }
  expect(await one.status(new Map([['7', 3]]), inTurn)).toEqual([])
  const early = await other.status(new Map([['8', 3]]), inTurn).catch((error: unknown) => error)
  expect(early).toBeInstanceOf(TooEarly)
  expect((early as TooEarly).laterMs).toBeGreaterThan(0)
  // A person does not wait.
  expect(await other.status(new Map([['8', 3]]))).toEqual([])
  expect((early as TooEarly).kind).toBe('unreachable')
  expect(await other.endings(['8'])).toEqual([])
})
