import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CLUSTERS } from '../../fakes/clusters.ts'
import { withSums } from '../place.ts'
import { openScene } from './scene.ts'

describe.each(CLUSTERS.map(({ name }) => name))('a campaign at a site of %s', (scheduler) => {
  test('gives the rows that this machine gives', async () => {
    const { place, run } = await openScene(scheduler)
    withSums(place)
    await run(['add', place.path('jobs.ndjson')])
    const told = await run(['run', '--site', 'frost', '--json'])
    expect(told.stderr).toBe('')
    expect(JSON.parse(told.stdout)).toMatchObject({ succeeded: 7, failed: 1, merged_rows: 7 })
    await place.run(['init', 'here'])
    await place.run(['-C', 'here', 'add', 'jobs.ndjson'])
    await place.run(['-C', 'here', 'run'])
    for (const sql of [
      'from merged order by job_id',
      'select job_id, revision, job_digest, verdict, class, rule, exit_code, try from attempts order by job_id',
      'select job_id, job_digest, output, size_bytes, digest, "check" from results order by all',
    ]) {
      const there = await run(['query', sql, '--csv'])
      expect(there.stderr).toBe('')
      expect(there.stdout.split('\n').length).toBeGreaterThan(7)
      expect(there.stdout).toBe((await place.run(['-C', 'here', 'query', sql, '--csv'])).stdout)
    }
    expect(readdirSync(place.path('scratch/floe/cache')).length).toBeGreaterThan(4)
    const again = await run(['run', '--site', 'frost', '--json'])
    expect(JSON.parse(again.stdout)).toMatchObject({ succeeded: 7, decided: { succeeded: 0 } })
  })
})
