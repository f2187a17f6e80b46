import { mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import { diskFiles } from '../../src/ports/files/disk.ts'
import { cachedNear } from '../../src/ports/tables/near-cached.ts'
import { openTables } from '../../src/ports/tables/tables.ts'
import { readByRules } from './delta-rules.ts'
import { temporaryFolder } from './files.ts'
import { rowsOf } from './rows.ts'
import { tablesInFolder } from './tables.ts'

tablesInFolder('delta on disk', async () => {
  const { root, close } = temporaryFolder()
  return {
    ...{ root, close, files: diskFiles(), onDisk: async (folder) => folder },
    age: async (path) => utimesSync(path, 1, 1),
    open: () => openTables({ root, cache: join(root, '.floe'), clock: systemClock }),
  }
})

tablesInFolder('delta beside the disk that DuckDB reads', async () => {
  const { root: above, close } = temporaryFolder()
  const [root, cache] = [join(above, 'there'), join(above, 'cache')]
  const files = diskFiles()
  return {
    ...{ root, close, files, onDisk: async (folder) => folder },
    age: async (path) => utimesSync(path, 1, 1),
    async open() {
      const near = await cachedNear({ files, root: join(root, 'tables'), url: 'disk', cache })
      return openTables({ root, cache, clock: systemClock, store: { files, near } })
    },
  }
})

it('keeps files private', async () => {
  const { root, close } = temporaryFolder()
  const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock })
  await tables.commit('jobs', {
    select: rowsOf('jobs', { job_id: `'a'`, job_key: '1', bucket: '3' }),
    operation: 'add',
  })
  const folder = join(root, 'tables/jobs')
  for (const path of ['', ...readdirSync(folder, { recursive: true }).map(String)]) {
    const stats = statSync(join(folder, path))
    expect([path, stats.mode & 0o777]).toEqual([path, stats.isDirectory() ? 0o700 : 0o600])
  }
  await tables.close()
  await close()
})

it.each(["it's", 'a[1]', 'a*b', 'a?', '{x,y}', 'site=frost', 'year=2020', 'a b\n', '日本 🎉', '-n', '%41', '~'])(
  'keeps tables in a campaign named %j',
  async (name) => {
    const { root: above, close } = temporaryFolder()
    const root = join(above, name)
    // A folder that the name would also mean, if it were a pattern.
    mkdirSync(join(above, name.replace(/[*?]/g, 'X').replace(/\[(.)\]/, '$1')), { recursive: true })
    const tables = await openTables({ root, cache: join(root, '.floe'), clock: systemClock })
    const select = rowsOf('jobs', { job_id: `'a'`, job_key: '1', bucket: '3', site: `'ice'` })
    await tables.commit('jobs', { select, operation: 'add' })
    await tables.view('jobs')
    expect(await tables.sql.rows('SELECT job_id, site, bucket FROM jobs')).toEqual([
      { job_id: 'a', site: 'ice', bucket: 3 },
    ])
    expect(await tables.holding(await tables.snapshot('jobs'), '(SELECT 3 AS bucket)', ['bucket'])).toHaveLength(1)
    expect((await readByRules(join(root, 'tables/jobs'))).rows).toHaveLength(1)
    const fenced = await tables.fence(async ({ view }) => {
      await view('jobs')
    })
    expect(await fenced.sql.rows('SELECT count(*) AS n FROM jobs')).toEqual([{ n: 1 }])
    await fenced.close()
    await tables.close()
    await close()
  },
)
