import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Site } from '../../../src/dispatch/dispatch.ts'
import { FloeError } from '../../../src/model/errors.ts'
import { seenByAny } from '../../../src/run/see-files.ts'

type Seer = Pick<Site, 'elsewhere'>

/** A site that has these files below `/gpfs/`. */
const sees = (files: Readonly<Record<string, number>>): Seer => ({
  elsewhere: {
    has: (path) => path.startsWith('/gpfs/'),
    see: async (paths) => paths.map((path) => (files[path] ? { sizeBytes: files[path], mtimeUs: 1 } : undefined)),
    digests: async (paths) => paths.map((path) => (files[path] ? `sha256:${files[path]}` : undefined)),
    isBare: async () => Object.keys(files).length === 0,
  },
})

const unreachable = async (): Promise<never> => {
  throw new FloeError('SITE_UNREACHABLE', 'no answer')
}
const away: Seer = {
  elsewhere: { has: (path) => path.startsWith('/gpfs/'), see: unreachable, digests: unreachable, isBare: unreachable },
}
const here: Seer = { elsewhere: undefined }

describe('files of several sites', () => {
  const PATHS = ['/gpfs/a', '/gpfs/b', '/gpfs/c']

  test('are there when one of them has it', async () => {
    const both = seenByAny([sees({ '/gpfs/a': 1 }), sees({ '/gpfs/a': 9, '/gpfs/b': 2 })])!
    expect(await both.see(PATHS)).toMatchObject([{ sizeBytes: 1 }, { sizeBytes: 2 }, undefined])
    expect(await both.digests(PATHS)).toEqual(['sha256:1', 'sha256:2', undefined])
  })

  test('are looked for at the others when one does not answer', async () => {
    const both = seenByAny([away, sees({ '/gpfs/b': 2 })])!
    expect(await both.see(PATHS)).toEqual(['unknown', { sizeBytes: 2, mtimeUs: 1 }, 'unknown'])
    expect(await seenByAny([here, away])!.see(['/gpfs/a'])).toEqual(['unknown'])
    await expect(seenByAny([away])!.see(['/gpfs/a'])).rejects.toMatchObject({ code: 'SITE_UNREACHABLE' })
  })

  test('are bare below a root when no site that answers has some', async () => {
    expect(await seenByAny([sees({}), sees({ '/gpfs/a': 1 })])!.isBare('/gpfs')).toBe(false)
    expect(await seenByAny([sees({}), sees({})])!.isBare('/gpfs')).toBe(true)
  })

  test('are looked at here where this machine is one of the sites and has them', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'floe-see-')), 'a')
    const all = { elsewhere: { ...sees({}).elsewhere!, has: () => true } }
    expect(seenByAny([here, all])!.has(path)).toBe(true)
    writeFileSync(path, '')
    expect(seenByAny([here, all])!.has(path)).toBe(false)
    expect(seenByAny([sees({}), all])!.has(path)).toBe(true)
    expect(seenByAny([here])).toBeUndefined()
  })
})
