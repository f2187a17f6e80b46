import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { diskFiles, settleFiles } from '../../src/ports/files/disk.ts'
import { filesConformance, temporaryFolder } from './files.ts'

filesConformance('disk', async () => ({ files: diskFiles(), ...temporaryFolder() }))
filesConformance('disk, shared with the group', async () => ({
  files: diskFiles({ group: true }),
  ...temporaryFolder(),
}))

const mode = (path: string) => statSync(path).mode & 0o7777

it('keeps files private whatever the umask', async () => {
  const { root, close } = temporaryFolder()
  const before = process.umask(0)
  try {
    const files = diskFiles()
    await files.makeFolders(join(root, 'a/b'))
    await files.write(join(root, 'a/b/w'), 'x')
    await files.create(join(root, 'a/b/c'), 'x')
    await files.append(join(root, 'a/b/l'), 'x')
    expect([mode(join(root, 'a')), mode(join(root, 'a/b'))]).toEqual([0o700, 0o700])
    expect(['w', 'c', 'l'].map((name) => mode(join(root, 'a/b', name)))).toEqual([0o600, 0o600, 0o600])
  } finally {
    process.umask(before)
    await close()
  }
})

it('shares with the group when asked, whatever the umask', async () => {
  const { root, close } = temporaryFolder()
  const before = process.umask(0o077)
  try {
    const files = diskFiles({ group: true })
    await files.makeFolders(join(root, 'a'))
    await files.write(join(root, 'a/w'), 'x')
    await files.append(join(root, 'a/l'), 'x')
    writeFileSync(join(root, 'a/part'), 'x')
    await settleFiles([join(root, 'a/part')], { group: true })
    expect(mode(join(root, 'a'))).toBe(0o2770)
    expect(['w', 'l', 'part'].map((name) => mode(join(root, 'a', name)))).toEqual([0o660, 0o660, 0o660])
  } finally {
    process.umask(before)
    await close()
  }
})

it('follows links in listings; a link to nothing is no file', async () => {
  const { root, close } = temporaryFolder()
  writeFileSync(join(root, 'file'), 'four')
  symlinkSync('file', join(root, 'good'))
  symlinkSync('nothing', join(root, 'broken'))
  const entries = await diskFiles().list(root)
  expect(entries.map(({ name, kind, sizeBytes }) => [name, kind, sizeBytes])).toEqual([
    ['broken', 'other', 0],
    ['file', 'file', 4],
    ['good', 'file', 4],
  ])
  await close()
})

it('says NOT_WRITABLE with the path, and DISK_FULL', async () => {
  const { root, close } = temporaryFolder()
  const files = diskFiles()
  if (process.getuid?.() !== 0) {
    mkdirSync(join(root, 'ro'))
    chmodSync(join(root, 'ro'), 0o500)
    await expect(files.write(join(root, 'ro/a'), 'x')).rejects.toMatchObject({ code: 'NOT_WRITABLE' })
  }
  // The kernel's own directory refuses new files for root too.
  await expect(files.makeFolder('/proc/self/floe')).rejects.toThrow(/\/proc\/self\/floe/)
  await expect(files.append('/dev/full', 'x')).rejects.toMatchObject({ code: 'DISK_FULL' })
  await close()
})
