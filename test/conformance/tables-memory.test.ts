import { expect, it } from 'vitest'
import { systemClock } from '../../src/ports/clock.ts'
import { memoryTables } from '../../src/ports/tables/memory.ts'
import { rowsOf } from './rows.ts'
import { tablesConformance } from './tables.ts'

tablesConformance('in memory', async () => {
  const store = memoryTables({ clock: systemClock })
  return {
    open: async () => store.open(),
    parts: (table) => store.parts(table as Parameters<typeof store.parts>[0]),
    close: () => store.close(),
  }
})

it('keeps what an open view reads, and lets go of the rest', async () => {
  const store = memoryTables({ clock: systemClock })
  const tables = store.open()
  const row = (key: number) => ({ select: rowsOf('attempts', { job_key: String(key) }), operation: 'x' })
  await tables.commit('attempts', row(1))
  const { parts } = await tables.view('attempts')
  await tables.commit('attempts', { ...row(2), remove: parts })
  expect(await tables.maintain('attempts', { keepSec: -1 })).toMatchObject({ deleted: 0 })
  expect(await tables.sql.rows('SELECT job_key FROM attempts')).toEqual([{ job_key: 1 }])
  await tables.view('attempts')
  expect(await tables.maintain('attempts', { keepSec: 3600 })).toMatchObject({ deleted: 0 })
  expect(await tables.maintain('attempts', { keepSec: -1 })).toMatchObject({ deleted: 1 })
  expect(await store.parts('attempts')).toHaveLength(1)
  await tables.close()
  await store.close()
})

it('shows what a session wrote to the next one, and nothing of another store', async () => {
  const [store, other] = [memoryTables({ clock: systemClock }), memoryTables({ clock: systemClock })]
  const first = store.open()
  await first.commit('files', { select: rowsOf('files', { url: "'a'" }), operation: 'x' })
  await first.close()
  const [next, strange] = [store.open(), other.open()]
  await next.view('files')
  expect(await next.sql.rows('SELECT url FROM files')).toEqual([{ url: 'a' }])
  expect((await strange.view('files')).version).toBe(-1)
  for (const tables of [next, strange]) await tables.close()
  for (const one of [store, other]) await one.close()
})
