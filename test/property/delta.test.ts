import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables } from '../../src/ports/tables/tables.ts'
import { readByRules } from '../conformance/delta-rules.ts'
import { temporaryFolder } from '../conformance/files.ts'
import { bundle } from './delta-bundle.ts'

let writer: string
beforeAll(async () => {
  writer = await bundle(new URL('./delta-writer.ts', import.meta.url))
})
const run = promisify(execFile)
const open = (root: string) => openTables({ root, cache: join(root, '.floe'), clock: systemClock })
const keysOf = async (root: string) => {
  const { rows } = await readByRules(join(root, 'tables/attempts'))
  return rows.map((row) => Number(row.job_key)).sort((a, b) => a - b)
}

it('loses no commit and doubles no row when processes write at once', async () => {
  const steps = fc.array(fc.constantFrom('a', 'a', 'a', 'r', 'r', 'm'), { minLength: 1, maxLength: 6 })
  const writers = fc.array(
    steps.map((list) => list.join('')),
    { minLength: 2, maxLength: 3 },
  )
  await fc.assert(
    fc.asyncProperty(writers, async (all) => {
      const { root, close } = temporaryFolder()
      try {
        const done = await Promise.all(
          all.map((list, at) => run(process.execPath, [writer, root, 'many', String(at * 1000), '12', list])),
        )
        const written = done.flatMap(({ stdout }) => (JSON.parse(stdout) as { written: number[] }).written)
        if (written.length > 0) expect(await keysOf(root)).toEqual(written.sort((a, b) => a - b))
      } finally {
        await close()
      }
    }),
    { numRuns: 4 },
  )
}, 300_000)

it('appends of many processes all arrive, also over checkpoints', async () => {
  const { root, close } = temporaryFolder()
  const names = [0, 1000, 2000]
  await Promise.all(names.map((from) => run(process.execPath, [writer, root, 'many', String(from), '70', 'a'])))
  const wanted = names.flatMap((from) => Array.from({ length: 70 }, (_, i) => from + i))
  expect(await keysOf(root)).toEqual(wanted)
  const tables = await open(root)
  await tables.view('attempts')
  expect(await tables.sql.rows('SELECT count(*) AS n, count(DISTINCT job_key) AS d FROM attempts')).toEqual([
    { n: 210, d: 210 },
  ])
  await tables.close()
  await close()
})
