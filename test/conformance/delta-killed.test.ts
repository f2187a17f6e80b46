import { execFile, spawnSync } from 'node:child_process'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables } from '../../src/ports/tables/tables.ts'
import { bundle } from '../property/delta-bundle.ts'
import { readByRules } from './delta-rules.ts'
import { temporaryFolder } from './files.ts'
import { rowsOf } from './rows.ts'

let writer: string
beforeAll(async () => {
  writer = await bundle(new URL('../property/delta-writer.ts', import.meta.url))
})
const run = promisify(execFile)
const attempts = (from: number, to: number) =>
  rowsOf('attempts', { job_id: `'job' || i`, job_key: 'i', try: '1' }, `FROM range(${from}, ${to}) r(i)`)
const open = (root: string) => openTables({ root, cache: join(root, '.floe'), clock: systemClock })
const keysOf = async (root: string) => {
  const { rows } = await readByRules(join(root, 'tables/attempts'))
  return rows.map((row) => Number(row.job_key)).sort((a, b) => a - b)
}

it('is whole in the old or the new version wherever a writer is killed', async () => {
  const made = temporaryFolder()
  const before = await open(made.root)
  // The commit that is killed is the 100th: it makes a checkpoint too.
  for (let i = 0; i < 99; i++)
    await before.commit('attempts', { operation: 'x', ...(i < 3 && { select: attempts(i, i + 1) }) })
  await before.close()
  const outcomes = new Set<string>()
  for (let step = 0; step < 100; step++) {
    const { root, close } = temporaryFolder()
    cpSync(made.root, root, { recursive: true })
    const { signal } = spawnSync(process.execPath, [writer, root, 'killed', String(step)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const keys = await keysOf(root)
    expect([
      [0, 1, 2],
      [0, 1, 2, 1000],
    ]).toContainEqual(keys)
    outcomes.add(`${signal === 'SIGKILL' ? 'killed' : 'done'} ${keys.length}`)
    await again(root)
    await close()
    if (signal === null) break
  }
  expect([...outcomes].sort()).toEqual(['done 4', 'killed 3', 'killed 4'])
  await made.close()
}, 300_000)

/** The same commit once more, as after any crash, and upkeep: then its row is there, once, and nothing else is left. */
async function again(root: string): Promise<void> {
  const tables = await open(root)
  const { parts } = await tables.view('attempts')
  const select = `SELECT * FROM attempts UNION ALL BY NAME ${attempts(1000, 1001)}`
  await tables.commit('attempts', { select, remove: parts, operation: 'r', txn: { appId: 'killed', version: 1 } })
  await tables.view('attempts')
  await new Promise((done) => setTimeout(done, 5))
  await tables.maintain('attempts', { keepSec: 0 })
  expect(await keysOf(root)).toEqual([0, 1, 2, 1000])
  const left = readdirSync(join(root, 'tables/attempts'), { recursive: true }).map(String)
  expect(left.filter((name) => name.endsWith('.parquet') && name.includes('part-'))).toHaveLength(1)
  expect(left.filter((name) => /(^|\/)\./.test(name))).toEqual([])
  await tables.close()
}

it('is whole in the old version when killed while parts are written', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 50, max: 900 }), async (afterMs) => {
      const { root, close } = temporaryFolder()
      const before = await open(root)
      await before.commit('attempts', { operation: 'x', select: attempts(0, 3) })
      await before.close()
      const child = run(process.execPath, [writer, root, 'big', '400000'])
      const timer = setTimeout(() => child.child.kill('SIGKILL'), afterMs)
      await child.catch(() => undefined)
      clearTimeout(timer)
      const tables = await open(root)
      await tables.view('attempts')
      const [row] = await tables.sql.rows<{ n: number }>('SELECT count(*) AS n FROM attempts')
      expect([3, 400_003]).toContain(row!.n)
      await tables.close()
      await close()
    }),
    { numRuns: 6 },
  )
})
