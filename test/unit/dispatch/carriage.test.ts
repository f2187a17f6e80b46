import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { localTransport } from '../../../connectors/transport/local.ts'
import { Carriage } from '../../../src/dispatch/carriage.ts'
import { translated } from '../../../src/dispatch/dispatch.ts'

function placed(): { path: string; carriage: Carriage } {
  const path = mkdtempSync(join(tmpdir(), 'floe-carriage-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(join(path, 'disk/folder'), { recursive: true })
  writeFileSync(join(path, 'disk/a.txt'), 'a\n')
  const place = { scratch: path, site: 'frost', there: join(path, 'cache'), here: join(path, 'mirror'), roots: {} }
  return { path, carriage: new Carriage(localTransport(), place) }
}

test.each([
  ['a file by content', 'disk/a.txt', `sha256:${'0'.repeat(64)}`, null],
  ['a file by its time', 'disk/a.txt', 'declared', 1],
  ['a folder', 'disk/folder/', 'declared', null],
])('%s that is gone with its disk is said, with what to do', async (_, name, digest, mtimeUs) => {
  const { path, carriage } = placed()
  const file = join(path, name)
  carriage.place({ path: file, digest, mtimeUs })
  rmSync(join(path, 'disk'), { recursive: true })
  await expect(translated('carry array a000001', () => carriage.send())).rejects.toMatchObject({
    name: 'FloeError',
    message: `Could not carry array a000001: cannot read ${file} on this machine: it is not there any more`,
    hint: expect.stringContaining('Is its disk mounted?'),
  })
})

test('a scratch that is not there is not made: its file system is away', async () => {
  const { path } = placed()
  const scratch = join(path, 'away')
  const place = { scratch, site: 'frost', there: join(scratch, 'floe/cache'), here: null, roots: {} }
  const carriage = new Carriage(localTransport(), place)
  carriage.place({ path: join(path, 'disk/a.txt'), digest: `sha256:${'0'.repeat(64)}` })
  await expect(carriage.send()).rejects.toMatchObject({
    kind: 'unreachable',
    message: expect.stringContaining(`there is no directory ${scratch}`),
  })
  expect(existsSync(scratch)).toBe(false)
})
