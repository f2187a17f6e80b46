import { expect, test } from 'vitest'
import { jobKey, jobKeySql } from '../../../src/model/job-key.ts'
import { systemClock } from '../../../src/ports/clock.ts'
import { openTables } from '../../../src/ports/tables/tables.ts'

test('the key of a job is the same in SQL and at hand', async () => {
  const tables = await openTables({ root: '/nowhere', cache: '/tmp', clock: systemClock })
  const names = ['a', 'job773010', "it's 日本 🎉\n", '', ...Array.from({ length: 50 }, (_, n) => `n${n}`)]
  const rows = await tables.sql.rows<{ key: number | bigint }>(
    `select ${jobKeySql('name')} as key from (select unnest($1) as name, unnest(range(len($1))) as nth) order by nth`,
    [names],
  )
  expect(rows.map(({ key }) => BigInt(key))).toEqual(names.map(jobKey))
  await tables.close()
})
