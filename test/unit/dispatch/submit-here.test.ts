import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { localSite } from '../../../src/dispatch/dispatch.ts'
import { scriptedConnector } from '../../fakes/scripted-connector.ts'

test('an array whose directory was cleaned away is refused, and asked for nowhere', async () => {
  const root = mkdtempSync(join(tmpdir(), 'floe-submit-'))
  const paths = { arrays: join(root, 'arrays'), cache: join(root, 'cache') } as Parameters<typeof localSite>[0]['paths']
  const connector = scriptedConnector()
  const ground = { paths, outputs: root, roots: {}, slots: 1, runner: ['false'] }
  const site = localSite({ ...ground, connect: async () => connector })
  const directory = join(paths.arrays, 'a000001')
  expect(await site.makeArray('a000001')).toBe(true)
  rmSync(directory, { recursive: true })
  const asked = { cpus: 1, memoryBytes: null, walltimeSec: null, gpus: 0, queue: null, account: null }
  const spec = { ...asked, name: 'floe-a000001', directory, count: 1, command: ['false'] }
  await expect(site.submit(spec)).rejects.toMatchObject({
    code: 'SUBMIT_REFUSED',
    message: expect.stringContaining(`there is no directory ${directory}`),
  })
  expect(connector.submitted).toEqual([])
  expect(existsSync(directory)).toBe(false)
  rmSync(root, { recursive: true, force: true })
})
