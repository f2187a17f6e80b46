import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Files } from '../../src/ports/files/files.ts'

/** What each implementation of Files keeps. `root` is an empty folder for one test. */
export function filesConformance(
  name: string,
  open: () => Promise<{ files: Files; root: string; close(): Promise<void> }>,
  { racers = 20, many = 100 } = {},
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

    it('takes names as long as a file system does: 255 bytes', async () => {
      for (const name of ['x'.repeat(255), '日'.repeat(85), '🎉'.repeat(63)]) {
        await files.write(at(name), name)
        expect(await files.create(at(name), 'again')).toBe(false)
        expect(await text(name)).toBe(name)
      }
      expect(await files.names(place.root)).toHaveLength(3)
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
      const made = await Promise.all(Array.from({ length: racers }, (_, i) => files.create(at('once'), `writer ${i}`)))
      expect(made.filter(Boolean)).toHaveLength(1)
      expect(await text('once')).toBe(`writer ${made.indexOf(true)}`)
      expect(await files.create(at('once'), 'late')).toBe(false)
      expect(await files.names(place.root)).toEqual(['once'])
    })

    it('makes a folder for one of many, in one that is there', async () => {
      await expect(files.makeFolder(at('no/deeper'))).rejects.toThrow('no/deeper')
      expect(await files.names(place.root)).toEqual([])
      const made = await Promise.all(Array.from({ length: racers }, () => files.makeFolder(at('array'))))
      expect(made.filter(Boolean)).toHaveLength(1)
      await files.makeFolders(at('x/y/z'))
      await files.makeFolders(at('x/y/z'))
      expect((await files.entry(at('x/y/z')))?.kind).toBe('folder')
    })

    it('appends', async () => {
      await files.append(at('log'), 'a\n')
      await files.append(at('log'), 'b\n')
      await files.append(at('log'), '')
      expect(await text('log')).toBe('a\nb\n')
      expect(await files.names(place.root)).toEqual(['log'])
    })

    it('lists with sizes and times, sorted', async () => {
      await files.makeFolder(at('folder'))
      await Promise.all(Array.from({ length: many }, (_, i) => files.write(at(`folder/f${i}`), 'x'.repeat(i))))
      await files.makeFolder(at('folder/below'))
      const entries = await files.list(at('folder'))
      expect(entries.map(({ name }) => name)).toEqual(await files.names(at('folder')))
      expect(entries.find(({ name }) => name === 'f7')).toMatchObject({ kind: 'file', sizeBytes: 7 })
      expect(entries.find(({ name }) => name === 'below')?.kind).toBe('folder')
      const one = await files.entry(at('folder/f7'))
      expect(entries.find(({ name }) => name === 'f7')).toEqual(one)
      expect(one!.mtime).toBeGreaterThan(1e15)
    })

    it('publishes files of this machine, only what is absent, for one of many', async () => {
      const here = temporaryFolder()
      const local = (name: string) => join(here.root, name)
      const bytes = randomBytes(20_000_000)
      writeFileSync(local('large'), bytes)
      writeFileSync(local('empty'), '')
      expect(await files.publish(local('large'), at('large'))).toBe(true)
      expect(await files.publish(local('empty'), at('large'))).toBe(false)
      expect(await files.publish(local('empty'), at('empty'))).toBe(true)
      expect((await files.read(at('large')))!.equals(bytes)).toBe(true)
      const range = { offset: 9_000_000, length: 10_000 }
      expect((await files.readRange(at('large'), range))!.equals(bytes.subarray(9_000_000, 9_010_000))).toBe(true)
      const made = await Promise.all(
        Array.from({ length: Math.min(8, racers) }, () => files.publish(local('large'), at('once'))),
      )
      expect(made.filter(Boolean)).toHaveLength(1)
      await expect(files.publish(local('no'), at('no'))).rejects.toThrow(local('no'))
      expect(await files.names(place.root)).toEqual(['empty', 'large', 'once'])
      expect(await files.fetch(at('large'), local('back'))).toBe(true)
      expect(readFileSync(local('back')).equals(bytes)).toBe(true)
      expect(await files.fetch(at('empty'), local('back empty'))).toBe(true)
      expect(readFileSync(local('back empty'))).toHaveLength(0)
      await expect(files.fetch(at('empty'), local('back'))).rejects.toThrow(local('back'))
      expect(await files.fetch(at('no'), local('none'))).toBe(false)
      expect(readdirSync(here.root).sort()).toEqual(['back', 'back empty', 'empty', 'large'])
      await here.close()
    })

    it('tells contents apart, and what room there is', async () => {
      for (const [name, content] of [
        ['a', 'one'],
        ['b', 'one'],
        ['c', 'two'],
        ['d', ''],
      ] as const)
        await files.write(at(name), content)
      const [a, b, c, d] = await Promise.all(['a', 'b', 'c', 'd'].map((name) => files.digest(at(name))))
      expect(a).toEqual(b)
      expect(new Set([a, c, d].map((one) => one!.digest)).size).toBe(3)
      expect(await files.digest(at('no'))).toBeUndefined()
      for (const free of Object.values(await files.room(place.root))) expect(free ?? 1).toBeGreaterThan(0)
    })

    it('renames, removes', async () => {
      await files.write(at('a'), 'content')
      await files.write(at('b'), 'old')
      await files.rename(at('a'), at('b'))
      expect([await text('a'), await text('b')]).toEqual([undefined, 'content'])
      await expect(files.rename(at('a'), at('b'))).rejects.toThrow('/b')
      const before = await files.entry(at('b'))
      expect(before!.id).toBeGreaterThan(0)
      await files.rename(at('b'), at('c'))
      expect((await files.entry(at('c')))!.id).toBe(before!.id)
      expect(await files.names(place.root)).toEqual(['c'])
      await files.makeFolders(at('tree/deep'))
      await files.rename(at('tree'), at('moved'))
      expect(await files.names(place.root)).toEqual(['c', 'moved'])
      await files.rename(at('moved'), at('tree'))
      await files.write(at('tree/deep/f'), 'x')
      await files.remove(at('tree'))
      expect(await files.entry(at('tree'))).toBeUndefined()
    })

    it('keeps strange names', async () => {
      const names = [
        'a b',
        ' a',
        "it's",
        'a[1]*?',
        '-rf',
        '$(x)',
        'é\n',
        '日本',
        '"',
        'a%b',
        'a%41',
        '%',
        'a+b',
        'a;b=c',
        'a&b',
        'a#b',
        'a\\b',
        '🎉',
        '~',
      ]
      const keep = async (name: string) => {
        await files.write(at(name), name)
        expect(await text(name)).toBe(name)
        await files.append(at(name), '!')
        await files.makeFolders(at(`in ${name}`))
        await files.rename(at(name), at(`in ${name}/${name}`))
        expect(await text(`in ${name}/${name}`)).toBe(`${name}!`)
      }
      await Promise.all(names.map(keep))
      expect(await files.names(place.root)).toEqual(names.map((name) => `in ${name}`).sort())
    })
  })
}

export function temporaryFolder(): { root: string; close(): Promise<void> } {
  const root = mkdtempSync(join(tmpdir(), 'floe-test-'))
  return { root, close: async () => rmSync(root, { recursive: true, force: true }) }
}
