import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Place } from '../place.ts'
import { began, close, open, openScene, type Scene, until, withWaits } from './scene.ts'

const campaignOf = ({ place }: Scene): string => {
  const campaigns = place.path('scratch/floe/campaigns')
  return `${campaigns}/${readdirSync(campaigns)[0]}`
}
const here = (place: Place, name: string): string | undefined => {
  const path = place.path(`c/outputs/${name}`)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

describe('fetch', () => {
  async function ran() {
    const scene = await openScene('slurm')
    const { place } = scene
    place.program('file.sh', 'echo "file of $FLOE_JOB" >"$FLOE_OUTPUT_1"')
    place.program('folder.sh', 'mkdir -p d/sub; echo one >d/1; echo two >d/sub/2')
    const packed = (n: number) => ({
      id: `p${n}`,
      executable: './file.sh',
      data: { output: [`p/${n}.txt`] },
      publish: 'pack',
    })
    place.jobs('jobs.ndjson', [
      { id: 'a', executable: './file.sh', data: { output: ['x/a.txt'] }, labels: { kind: 'plain' } },
      { id: 'b', executable: './file.sh', data: { output: ['x/b.txt'] }, labels: { kind: 'plain' } },
      { id: 'd', executable: './folder.sh', data: { output: ['d/'] } },
      packed(1),
      packed(2),
    ])
    await scene.run(['add', place.path('jobs.ndjson')])
    const { stderr } = await scene.run(['run', '--site', 'frost'])
    expect(stderr).toBe('')
    return scene
  }

  test('brings files, folders and members of packs, once', async () => {
    const scene = await ran()
    const { place, json, run } = scene
    expect(here(place, 'x/a.txt')).toBeUndefined()
    expect(await json('fetch', 'a')).toMatchObject({ fetched: 1, bytes: 10, skipped: 0, missing: 0 })
    expect(here(place, 'x/a.txt')).toBe('file of a\n')
    expect(here(place, 'x/b.txt')).toBeUndefined()
    const told = await run(['fetch', '--site', 'frost'])
    expect(told).toMatchObject({ status: 0, stderr: '' })
    expect(told.stdout).toBe('Fetched 4 outputs, 40 B.\n  here already: 1\n')
    expect(here(place, 'x/b.txt')).toBe('file of b\n')
    expect([here(place, 'd/1'), here(place, 'd/sub/2')]).toEqual(['one\n', 'two\n'])
    expect([here(place, 'p/1.txt'), here(place, 'p/2.txt')]).toEqual(['file of p1\n', 'file of p2\n'])
    expect(await json('fetch')).toMatchObject({ fetched: 0, bytes: 0, skipped: 5, missing: 0 })
    // What a person changed is not what was published.
    place.file('c/outputs/x/a.txt', 'something else\n')
    expect(await json('fetch', '--where', "labels['kind'] = 'plain'")).toMatchObject({ fetched: 1, skipped: 1 })
    expect(here(place, 'x/a.txt')).toBe('file of a\n')
    // Results say where they were made.
    expect(await scene.rows("select count(*) as n from results where site = 'frost'")).toBe('n\n5\n')
  })

  test('says what its site has no more, and brings the rest', async () => {
    const scene = await ran()
    const { place, run } = scene
    const outputs = `${campaignOf(scene)}/outputs`
    rmSync(`${outputs}/x/a.txt`)
    const [pack] = readdirSync(`${outputs}/.packs`)
    const bytes = readFileSync(`${outputs}/.packs/${pack}`)
    bytes[bytes.indexOf('file of p1')] = 0
    writeFileSync(`${outputs}/.packs/${pack}`, bytes)
    writeFileSync(`${outputs}/x/b.txt`, 'file of c\n')
    const told = await run(['fetch', '--json'])
    expect(told.status).toBe(3)
    expect(JSON.parse(told.stdout)).toEqual({
      ...{ fetched: 2, bytes: 19, skipped: 0, missing: 3 },
      missing_outputs: expect.arrayContaining(['x/a.txt', 'x/b.txt', 'p/1.txt']),
    })
    expect([here(place, 'x/a.txt'), here(place, 'x/b.txt'), here(place, 'p/1.txt')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect(here(place, 'p/2.txt')).toBe('file of p2\n')
    expect(readdirSync(place.path('c/outputs/p'))).toEqual(['2.txt'])
    const { stdout } = await run(['fetch'])
    expect(stdout).toContain('not there any more as they were published: 3, e.g.')
  })

  test('of nothing says so; of an unknown job or site too', async () => {
    const scene = await openScene('slurm')
    expect((await scene.run(['fetch'])).stdout).toContain('Nothing to fetch')
    expect(await scene.run(['fetch', '--site', 'frots'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('There is no site frots'),
    })
    expect(await scene.run(['fetch', '--all', 'a'])).toMatchObject({ status: 2 })
  })
})

test('clean frees the scratch of a site, and leaves what is live', async () => {
  const scene = await openScene('slurm', { slots: 2 })
  const { place, json, run } = scene
  withWaits(place, { jobs: 2 })
  open(place)
  await run(['add', place.path('jobs.ndjson')])
  await run(['run', '--site', 'frost'])
  const arrays = `${campaignOf(scene)}/arrays`
  const quiet = await json<{ freed_bytes: number; sites: unknown[] }>('clean')
  expect(quiet.sites).toMatchObject([{ site: 'local' }, { site: 'frost', arrays: 0 }])
  // The newest arrays stay below a quota; the cache is filled again when something is run.
  expect(readdirSync(arrays)).toEqual(['a000001'])
  expect(existsSync(place.path('scratch/floe/cache'))).toBe(false)
  rmSync(place.path('ran'))
  close(place)
  withWaits(place, { jobs: 1, id: 'late', data: { output: ['o/late.txt'] } })
  await run(['add', place.path('jobs.ndjson')])
  const atWork = scene.start(['run', '--site', 'frost'])
  await until('it began', () => Object.keys(began(place)).length === 1)
  expect(await run(['clean', '--all'])).toMatchObject({ status: 11 })
  atWork.signal('SIGINT')
  expect((await atWork.end).status).toBe(130)
  const while1 = await run(['clean', '--all'])
  expect(while1.stdout).toMatch(/^Freed .*: \d arrays?, 0 cached files, /)
  expect(while1.stdout).toMatch(/at frost: .* kB; the cache stays: work is under way/)
  expect(readdirSync(arrays)).toEqual(['a000002'])
  expect(readdirSync(place.path('scratch/floe/cache')).length).toBeGreaterThan(1)
  open(place)
  expect((await run(['run', '--site', 'frost'])).stderr).not.toContain('floe:')
  const all = await json<{ sites: { site: string; arrays: number; cached: number; freed_bytes: number }[] }>(
    'clean',
    '--all',
  )
  expect(all.sites).toMatchObject([{ site: 'local' }, { site: 'frost', arrays: 1, kept: null }])
  expect(all.sites[1]!.freed_bytes).toBeGreaterThan(10_000)
  expect(readdirSync(arrays)).toEqual([])
  expect(readdirSync(`${campaignOf(scene)}/outputs/o`)).toEqual(['0.txt', '1.txt', 'late.txt'])
  rmSync(place.path('scratch'), { recursive: true })
  const away = await run(['clean'])
  expect(away).toMatchObject({ status: 0 })
  expect(away.stdout).toContain('at frost: 0 B; left as it is: ')
})

test('a cache that other campaigns use stays', async () => {
  const scene = await openScene('slurm')
  const { place, json, run } = scene
  withWaits(place, { jobs: 1, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  await run(['run', '--site', 'frost'])
  place.file('scratch/floe/campaigns/0-another/arrays/a000001/manifest', '')
  const { sites } = await json<{ sites: unknown[] }>('clean', '--all')
  expect(sites).toMatchObject([
    {},
    { arrays: 1, cached: 0, kept: 'the cache stays: other campaigns of yours have arrays there' },
  ])
  expect(readdirSync(place.path('scratch/floe/cache')).length).toBeGreaterThan(1)
  expect(existsSync(place.path('scratch/floe/campaigns/0-another/arrays/a000001/manifest'))).toBe(true)
})

test('status says what holds the campaign back, and run too', async () => {
  const scene = await openScene('slurm', { slots: 1, site: '    limits: {queued: 2}\n' })
  const { place, fake, json, run } = scene
  withWaits(place, { jobs: 3 })
  await run(['add', place.path('jobs.ndjson')])
  expect(await json('status')).toMatchObject({ runner: null, at_work: null })
  fake.noise.reason = 'AssocGrpCpuLimit'
  const atWork = scene.start(['run', '--site', 'frost', '--jobs-per-batch', '1'])
  type Work = { at_work: { waiting: string | null; tasks_running: number } | null }
  await until('it says why', async () => {
    const { at_work: work } = await json<Work>('status')
    return work?.waiting && work.tasks_running === 1
  })
  expect(await json('status')).toMatchObject({
    at_work: {
      ...{ site: 'frost', tasks_running: 1, tasks_queued: 1, tasks_max: 2 },
      waiting: 'you or your group have as much running as is allowed at once',
    },
  })
  const { stdout } = await run(['status'])
  expect(stdout).toMatch(/^ {2}frost: running 1 task · queued 1 \(limit 2\) · next look in /m)
  expect(stdout).toContain('  waiting: you or your group have as much running as is allowed at once\n')
  atWork.signal('SIGINT')
  await atWork.end
  expect(await json('status')).toMatchObject({ runner: null, at_work: null })
})
