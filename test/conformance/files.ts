import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Files } from '../../src/ports/files/files.ts'

/** What each implementation of Files keeps. `root` makes an empty folder for one test. */
export function filesConformance(
  name: string,
  open: () => Promise<{ files: Files; root: string; close(): Promise<void> }>,
): void {
  describe(`files: ${name}`, () => {
    let place: Awaited<ReturnType<typeof open>>
    let files: Files
    const at = (path: string) => `${place.root}/${path}`
    const text = async (path: string) => (await files.read(at(path)))?.toString('utf8')
    beforeEach(async () => {
      place = await open()
      files = place.files
    })
    afterEach(() => place.close())

    it('answers for what is absent', async () => {
      expect(await files.read(at('no'))).toBeUndefined()
      expect(await files.readRange(at('no'), { offset: 0, length: 3 })).toBeUndefined()
      expect(await files.entry(at('no'))).toBeUndefined()
      expect(await files.list(at('no'))).toEqual([])
      expect(await files.names(at('no/deeper'))).toEqual([])
      await expect(files.remove(at('no'))).resolves.toBeUndefined()
    })

    it('writes whole files and replaces them', async () => {
      await files.write(at('a'), 'one')
      await files.write(at('a'), Buffer.from('two, longer'))
      expect(await text('a')).toBe('two, longer')
      await files.write(at('empty'), '')
      expect(await text('empty')).toBe('')
      expect(await files.names(place.root)).toEqual(['a', 'empty'])
    })

    it('reads ranges, shorter at the end', async () => {
      await files.write(at('a'), '0123456789')
      const range = async (offset: number, length: number) =>
        (await files.readRange(at('a'), { offset, length }))?.toString('utf8')
      expect(await range(0, 4)).toBe('0123')
      expect(await range(8, 4)).toBe('89')
      expect(await range(20, 4)).toBe('')
    })

    it('creates only what is absent, for one of many', async () => {
      const made = await Promise.all(Array.from({ length: 20 }, (_, i) => files.create(at('once'), `writer ${i}`)))
      expect(made.filter(Boolean)).toHaveLength(1)
      expect(await text('once')).toBe(`writer ${made.indexOf(true)}`)
      expect(await files.create(at('once'), 'late')).toBe(false)
      expect(await files.names(place.root)).toEqual(['once'])
    })

    it('makes a folder for one of many', async () => {
      const made = await Promise.all(Array.from({ length: 20 }, () => files.makeFolder(at('array'))))
      expect(made.filter(Boolean)).toHaveLength(1)
      await files.makeFolders(at('x/y/z'))
      await files.makeFolders(at('x/y/z'))
      expect((await files.entry(at('x/y/z')))?.kind).toBe('folder')
    })

    it('appends', async () => {
      await files.append(at('log'), 'a\n')
      await files.append(at('log'), 'b\n')
      expect(await text('log')).toBe('a\nb\n')
    })

    it('lists with sizes and times, sorted', async () => {
      await files.makeFolder(at('folder'))
      for (let i = 0; i < 100; i++) await files.write(at(`folder/f${i}`), 'x'.repeat(i))
      await files.makeFolder(at('folder/below'))
      const entries = await files.list(at('folder'))
      expect(entries.map(({ name }) => name)).toEqual(await files.names(at('folder')))
      expect(entries.find(({ name }) => name === 'f42')).toMatchObject({ kind: 'file', sizeBytes: 42 })
      expect(entries.find(({ name }) => name === 'below')?.kind).toBe('folder')
      const one = await files.entry(at('folder/f42'))
      expect(entries.find(({ name }) => name === 'f42')).toEqual(one)
      expect(one!.mtime).toBeGreaterThan(1e15)
    })

    it('links, renames, removes', async () => {
      await files.write(at('a'), 'content')
      expect(await files.link(at('a'), at('b'))).toBe(true)
      expect(await files.link(at('a'), at('b'))).toBe(false)
      await files.rename(at('a'), at('c'))
      expect([await text('a'), await text('b'), await text('c')]).toEqual([undefined, 'content', 'content'])
      await files.makeFolders(at('tree/deep'))
      await files.write(at('tree/deep/f'), 'x')
      await files.remove(at('tree'))
      expect(await files.entry(at('tree'))).toBeUndefined()
    })

    it('keeps strange names', async () => {
      for (const name of ['a b', "it's", 'a[1]*?', '-rf', '$(x)', 'é\n', '日本', '"']) {
        await files.write(at(name), name)
        expect(await text(name)).toBe(name)
      }
      expect(await files.names(place.root)).toHaveLength(8)
    })

    it('settles files that others wrote', async () => {
      await files.write(at('part'), 'x')
      await expect(files.settle([at('part')])).resolves.toBeUndefined()
      await expect(files.settle([])).resolves.toBeUndefined()
    })
  })
}

export function temporaryFolder(): { root: string; close(): Promise<void> } {
  const root = mkdtempSync(join(tmpdir(), 'floe-test-'))
  return { root, close: async () => rmSync(root, { recursive: true, force: true }) }
}
