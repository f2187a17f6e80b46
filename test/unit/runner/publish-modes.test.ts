import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fakeJob } from '../../fakes/array.ts'
import { script, useRunner } from '../../fakes/task.ts'

const LONG = `${'long name '.repeat(14)}é🧊.txt`

describe('publish', () => {
  const runner = useRunner()
  const jobs = [
    fakeJob('a', {
      ...script('echo a1; printf "a2\\n" > b/2.txt'),
      stdout: '1.txt',
      outputs: outputs('1.txt', 'b/2.txt'),
    }),
    fakeJob('bad', { ...script('echo bad > bad.txt; exit 1'), outputs: outputs('bad.txt') }),
    fakeJob('empty', { ...script(': > empty.txt'), outputs: outputs('empty.txt') }),
    fakeJob('long', { ...script('echo long > "$FLOE_OUTPUT_1"'), outputs: outputs(LONG) }),
    fakeJob('large', { ...script('head -c 9000000 /dev/urandom > large.bin'), outputs: outputs('large.bin') }),
    fakeJob('tree', { ...script('mkdir d; echo d > d/f'), outputs: outputs('d/') }),
  ]
  function outputs(...paths: string[]) {
    return paths.map((path) => ({ path, optional: false }))
  }
  const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

  it('files: each under its name, digest and size as they are', async () => {
    const ran = await runner.run(jobs)
    for (const name of ['a', 'empty', 'long', 'large']) {
      for (const { path, size_bytes, digest } of ran.ended.get(name)!.outputs) {
        const bytes = readFileSync(join(ran.outputs, path))
        expect({ size_bytes, digest }).toEqual({ size_bytes: bytes.length, digest: digestOf(bytes) })
      }
    }
    expect(existsSync(join(ran.outputs, 'bad.txt'))).toBe(false)
    expect(readdirSync(ran.outputs).filter((name) => name.startsWith('.floe'))).toEqual([])
  })

  it('pack: one tar that tar reads, contents at their offsets', async () => {
    const ran = await runner.run(jobs, { publish: 'pack' })
    const tar = join(ran.outputs, '.packs/a1-0.1.tar')
    const bytes = readFileSync(tar)
    const names: string[] = []
    for (const { outputs: written } of ran.ended.values()) {
      for (const { path, pack, offset, size_bytes, digest } of written) {
        if (pack === undefined) continue
        names.push(path)
        expect(pack).toBe('.packs/a1-0.1.tar')
        expect(digestOf(bytes.subarray(offset!, offset! + size_bytes))).toBe(digest)
      }
    }
    const to = join(runner.scratch, 'unpacked')
    mkdirSync(to)
    execFileSync('tar', ['-xf', tar, '-C', to])
    expect(names).toEqual(['1.txt', 'b/2.txt', 'empty.txt', LONG, 'large.bin'])
    expect(readFileSync(join(to, 'b/2.txt'), 'utf8')).toBe('a2\n')
    expect(readFileSync(join(to, LONG), 'utf8')).toBe('long\n')
    expect(readFileSync(join(to, 'large.bin')).length).toBe(9_000_000)
    expect(readdirSync(ran.outputs).sort()).toEqual(['.packs', 'd'])
  })

  it('table: contents in the array, no file published', async () => {
    const ran = await runner.run(jobs.slice(0, 4), { publish: 'table' })
    const bytes = readFileSync(join(ran.directory, 'tables/0.1'))
    const contents = [...ran.ended.values()].flatMap(({ outputs: written }) =>
      written.map(({ table, offset, size_bytes, digest }) => {
        expect(table).toBe('tables/0.1')
        const content = bytes.subarray(offset!, offset! + size_bytes)
        expect(digestOf(content)).toBe(digest)
        return content.toString()
      }),
    )
    expect(contents).toEqual(['a1\n', 'a2\n', '', 'long\n'])
    expect(readdirSync(ran.outputs)).toEqual([])
  })

  it('copies across file systems, whole or not at all', async () => {
    if (!existsSync('/dev/shm')) return
    const sandboxes = `/dev/shm/floe-test-${process.pid}`
    mkdirSync(sandboxes)
    try {
      const ran = await runner.run(jobs, { sandboxes })
      expect(readFileSync(join(ran.outputs, 'b/2.txt'), 'utf8')).toBe('a2\n')
      expect(readFileSync(join(ran.outputs, 'd/f'), 'utf8')).toBe('d\n')
      const large = ran.ended.get('large')!.outputs[0]!
      expect(digestOf(readFileSync(join(ran.outputs, 'large.bin')))).toBe(large.digest)
      expect(readFileSync(join(ran.directory, ran.ended.get('bad')!.sandbox!, 'bad.txt'), 'utf8')).toBe('bad\n')
      expect(readdirSync(ran.outputs).filter((name) => name.startsWith('.floe'))).toEqual([])
      expect(readdirSync(sandboxes)).toEqual([])
    } finally {
      execFileSync('rm', ['-rf', sandboxes])
    }
  })

  it('stops without a verdict when the disk is full', async () => {
    const { mountedSmall, unmount } = smallDisk(runner.scratch)
    if (mountedSmall === undefined) return
    try {
      const ran = await runner.run([jobs[4]!, jobs[0]!], { outputs: mountedSmall })
      expect(ran.seal).toBe('failed')
      expect(ran.ended.get('large')).toBeUndefined()
      expect(ran.lines.at(-1)).toMatchObject({ message: expect.stringContaining('ENOSPC') })
      expect(readdirSync(mountedSmall)).not.toContain('large.bin')
      expect(readdirSync(mountedSmall).filter((name) => name.startsWith('.floe'))).toEqual([])
    } finally {
      unmount()
    }
  })
})

/** A file system of 1 MB, where tests may mount one. */
function smallDisk(scratch: string): { mountedSmall: string | undefined; unmount: () => void } {
  const path = join(scratch, 'small')
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' })
    return { mountedSmall: path, unmount: () => execFileSync('umount', [path]) }
  } catch {
    return { mountedSmall: undefined, unmount: () => {} }
  }
}
