import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { localTransport } from '../../../connectors/transport/local.ts'
import { ScratchArrays } from '../../../src/dispatch/scratch-arrays.ts'
import { sitePaths } from '../../../src/model/campaign.ts'

test('a task is sealed where no runner writes, also when one was killed before it wrote', async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'floe seal-'))
  try {
    const paths = sitePaths(scratch, 'c')
    const records = join(paths.arrays, 'a000001/records')
    mkdirSync(records, { recursive: true })
    const file = (name: string, text: string, minutes: number) => {
      writeFileSync(join(records, name), text)
      const at = Date.now() / 1000 - minutes * 60
      utimesSync(join(records, name), at, at)
    }
    file('1.1', '', 0)
    file('2.1', '', 30)
    file('3.1', 'it runs\n', 30)
    const arrays = new ScratchArrays(localTransport(), { site: 'frost', scratch, paths, mirror: paths })
    const seals = [0, 1, 2, 3].map((task) => ({ task, attempt: 1, line: `sealed ${task}\n` }))
    expect(await arrays.seal('a000001', seals)).toEqual(new Set([1, 3]))
    const texts = [0, 1, 2, 3].map((task) => readFileSync(join(records, `${task}.1`), 'utf8'))
    expect(texts).toEqual(['sealed 0\n', '', 'sealed 2\n', 'it runs\n'])
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
})

test('an array goes over with all that was staged of it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'floe send-'))
  try {
    const [paths, mirror] = ['there', 'here'].map((name) => sitePaths(join(folder, name), 'c')) as [Paths, Paths]
    const arrays = new ScratchArrays(localTransport(), { site: 'frost', scratch: join(folder, 'there'), paths, mirror })
    mkdirSync(join(folder, 'there'))
    for (const [id, extra] of [
      ['a1', ['hdfs', 'places']],
      ['a2', []],
    ] as const) {
      await arrays.make(id)
      for (const name of ['manifest', 'index', ...extra])
        writeFileSync(join(mirror.arrays, id, name), `${name} of ${id}`)
      await arrays.send(id)
      for (const name of ['manifest', 'index', ...extra])
        expect(readFileSync(join(paths.arrays, id, name), 'utf8')).toBe(`${name} of ${id}`)
    }
    expect(['hdfs', 'places'].map((name) => existsSync(join(paths.arrays, 'a2', name)))).toEqual([false, false])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

type Paths = ReturnType<typeof sitePaths>
