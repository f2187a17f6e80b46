import { existsSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
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
    expect(told).toMatchObject({ status: 0, stderr: expect.not.stringContaining('floe:') })
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
      directory: expect.stringContaining('outputs'),
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
  expect(readdirSync(place.path('scratch/floe/cache'))).toEqual([])
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
  expect(while1.stdout).toMatch(/at frost: .* kB; 2 cached files needed by work under way/)
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

test('what arrays of other campaigns need of the cache stays until they are over', async () => {
  const scene = await openScene('slurm')
  const { place, json, run } = scene
  withWaits(place, { jobs: 1, waits: false })
  await run(['add', place.path('jobs.ndjson')])
  await run(['run', '--site', 'frost'])
  const cache = place.path('scratch/floe/cache')
  const [kept, ...others] = readdirSync(cache).filter((name) => /^[0-9a-f]+$/.test(name))
  const needs = place.path('scratch/floe/campaigns/0-another/arrays/a000001/needs')
  place.file('scratch/floe/campaigns/0-another/arrays/a000001/needs', `${kept}\n`)
  const { sites } = await json<{ sites: unknown[] }>('clean', '--all')
  expect(sites).toMatchObject([
    {},
    {
      ...{ arrays: 1, cached: others.length },
      kept: expect.stringMatching(
        /^1 cached file needed by work under way\. By campaign: 0-another .*B \(a000001\)\. .* in .*\/floe\/campaigns$/,
      ),
    },
  ])
  expect(readdirSync(cache)).toContain(kept)
  for (const other of others) expect(readdirSync(cache)).not.toContain(other)
  renameSync(needs, needs.replace(/needs$/, 'needed'))
  expect((await json<{ sites: unknown[] }>('clean', '--all')).sites).toMatchObject([{}, { cached: 1, kept: null }])
  expect(readdirSync(cache)).toEqual([])
})

describe('clean within a quota', () => {
  /** Two runs whose program carries a megabyte each, the first of them long ago. */
  async function filled() {
    const scene = await openScene('slurm')
    const { place, run } = scene
    const cache = place.path('scratch/floe/cache')
    const large = (name: string) => {
      place.file(`in/${name}`, name.repeat(2 ** 20))
      place.program('cat.sh', `cat "$FLOE_INPUT_1" | head -c 1 >"$FLOE_OUTPUT_1"`)
      place.jobs(`${name}.ndjson`, [
        { id: name, executable: './cat.sh', data: { input: [`in/${name}`], output: [`o/${name}`] } },
      ])
    }
    for (const name of ['x', 'y']) {
      large(name)
      await run(['add', place.path(`${name}.ndjson`)])
      await run(['run', '--site', 'frost'])
      if (name === 'y') break
      for (const file of readdirSync(cache)) utimesSync(`${cache}/${file}`, 1, 1)
      const [array] = readdirSync(`${campaignOf(scene)}/arrays`)
      utimesSync(`${campaignOf(scene)}/arrays/${array}/needed`, 2, 2)
    }
    const firsts = () =>
      readdirSync(cache, { withFileTypes: true }).map((entry) =>
        entry.isFile() ? readFileSync(`${cache}/${entry.name}`).subarray(0, 3).toString() : entry.name,
      )
    return { scene, cache, firsts }
  }

  test('the least recently used goes first, and no more than it takes', async () => {
    const { scene, firsts } = await filled()
    const { json, run } = scene
    expect(firsts()).toEqual(expect.arrayContaining(['xxx', 'yyy']))
    const { sites } = await json<{ sites: object[] }>('clean', '--site', 'frost', '--keep', '2M')
    expect(sites).toMatchObject([{ site: 'frost', arrays: 0, cached: 1, kept: null }])
    expect(firsts()).not.toContain('xxx')
    expect(firsts()).toContain('yyy')
    expect((await run(['clean', '--site', 'frost', '--keep', '2M'])).stdout).toMatch(
      /^Freed 0 B: 0 arrays, 0 cached files/,
    )
    scene.settle({ quota: '500k' })
    expect(await run(['clean', '--site', 'frost'])).toMatchObject({ status: 0 })
    expect(firsts()).not.toContain('yyy')
    // What went is carried again.
    await run(['retry', '--all'])
    expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2 })
  })

  test('what a queued task reads stays, however old it is and whatever the quota', async () => {
    const { scene, firsts } = await filled()
    const { json, run } = scene
    scene.fake.noise.paused = true
    await run(['retry', 'x'])
    const waiting = scene.start(['run', '--site', 'frost'])
    await until('it is submitted', () => scene.fake.jobs.length === 3)
    waiting.signal('SIGINT')
    await waiting.end
    const cleaned = await run(['clean', '--site', 'frost', '--keep', '1k'])
    expect(cleaned.stdout).toMatch(/MB more than was to be kept: work under way needs it/)
    expect(firsts()).toContain('xxx')
    expect(firsts()).not.toContain('yyy')
    scene.fake.noise.paused = false
    scene.fake.pump()
    expect(await json('run', '--site', 'frost')).toMatchObject({ succeeded: 2, failed: 0 })
    expect(await scene.rows("select count(*) as n, max(try) as tries from attempts where job_id = 'x'")).toBe(
      'n,tries\n2,2\n',
    )
  })

  test('a wrong size, an unknown site', async () => {
    const { run } = await openScene('slurm')
    expect(await run(['clean', '--keep', 'much'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--keep takes a size such as 500MB'),
    })
    expect(await run(['clean', '--site', 'frots'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('There is no site frots'),
    })
    expect(await run(['clean', '--all', '--keep', '1G'])).toMatchObject({ status: 2 })
  })
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
