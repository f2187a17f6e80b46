import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import { openTables } from '../../src/ports/tables/tables.ts'
import { readByRules } from './delta-rules.ts'
import { temporaryFolder } from './files.ts'
import { rowsOf } from './rows.ts'
import { tablesConformance } from './tables.ts'

tablesConformance('delta on disk', async () => {
  const { root, close } = temporaryFolder()
  return { root, close, open: () => openTables({ root, cache: join(root, '.floe'), clock: systemClock }) }
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
