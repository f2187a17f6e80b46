import { mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { asideOf, ownUnique, sweepAsides } from '../../../../src/ports/files/aside.ts'
import { diskFiles } from '../../../../src/ports/files/disk.ts'

test('what dead writers left aside is swept, and nothing else', async () => {
  const root = mkdtempSync(join(tmpdir(), 'floe-aside-'))
  mkdirSync(join(root, 'tables/jobs'), { recursive: true })
  const put = (path: string, unique: string) => {
    const aside = asideOf(join(root, path), unique)
    writeFileSync(aside, '12345')
    return aside
  }
  const [dead, foreign] = [`-${2 ** 22}-`, /^[0-9a-f]{8}/]
  put('campaign.json', ownUnique().replace(/-\d+-/, dead))
  put(`tables/jobs/${'ü'.repeat(80)}.parquet`, ownUnique().replace(/-\d+-/, dead))
  const old = put('tables/jobs/old.parquet', ownUnique().replace(foreign, '00000000'))
  utimesSync(old, new Date(0), new Date(0))
  put('tables/jobs/new.parquet', ownUnique().replace(foreign, '00000000'))
  put('tables/jobs/living.parquet', ownUnique())
  put('tables/jobs/other.parquet', '7.8.9')
  writeFileSync(join(root, 'tables/jobs/part.parquet'), '')

  expect(await sweepAsides(diskFiles(), root, Date.now())).toEqual({ files: 3, bytes: 15 })
  const left = readdirSync(root, { recursive: true }).map((name) => String(name).replace(/\.[^.]*\.tmp$/, ''))
  expect(left.sort()).toEqual(
    [
      'tables',
      'tables/jobs',
      'tables/jobs/.living.parquet',
      'tables/jobs/.new.parquet',
      'tables/jobs/.other.parquet.7.8',
      'tables/jobs/part.parquet',
    ].sort(),
  )
})
