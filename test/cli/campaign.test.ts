import { cpSync, readFileSync, renameSync, statSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { openPlace, withSums } from './place.ts'

describe('init', () => {
  test('makes a campaign and says what to do next', async () => {
    const place = openPlace()
    expect(await place.floe('init', 'winds')).toMatchInlineSnapshot(`
      "Made a campaign in winds: campaign.json, floe.yaml, .gitignore, tables/, outputs/

      Next:
        floe -C winds add JOBS.yaml      put jobs into the catalog
        floe -C winds plan               see what they cost
        floe -C winds run                run them"
    `)
    expect(await place.floe('status', { in: 'winds' })).toMatchInlineSnapshot(
      `"winds has no jobs yet; \`floe add FILE\` puts some in."`,
    )
    expect(readFileSync(place.path('winds/floe.yaml'), 'utf8')).toContain('name: "winds"')
    expect(JSON.parse(readFileSync(place.path('winds/campaign.json'), 'utf8'))).toMatchObject({
      v: 2,
      path: place.path('winds'),
    })
    expect(statSync(place.path('winds')).mode & 0o777).toBe(0o700)
  })

  test('works in the directory where one stands, with a name that needs quotes', async () => {
    const place = openPlace().file("my winds' home/notes.txt", 'kept')
    expect(await place.floe('init', { in: "my winds' home" })).toMatchInlineSnapshot(`
      "Made a campaign in .: campaign.json, floe.yaml, .gitignore, tables/, outputs/

      Next:
        floe add JOBS.yaml      put jobs into the catalog
        floe plan               see what they cost
        floe run                run them"
    `)
    expect(await place.floe('init', 'other one')).toContain("floe -C 'other one' run")
  })

  test('refuses what is there', async () => {
    const place = openPlace().file('taken/tables/x', '')
    await place.floe('init', 'winds')
    expect(await place.floe('init', 'winds')).toMatchInlineSnapshot(`
      "! floe: DIR/winds is a campaign already.
      !   do        Choose another directory, or use the campaign that is there.
      exit 2"
    `)
    expect(await place.floe('init', 'taken')).toMatchInlineSnapshot(`
      "! floe: DIR/taken/tables is there already and floe would write into it.
      !   do        Choose another directory, or move that folder away.
      exit 2"
    `)
  })

  test('keeps a floe.yaml that came with a clone, when it is right', async () => {
    const place = openPlace().file('winds/floe.yaml', 'slots: 3\n').file('winds/.gitignore', '*.bak\n')
    expect(await place.floe('status', { in: 'winds' })).toMatchInlineSnapshot(`
      "! floe: There is no campaign in DIR/winds or above it.
      !   do        DIR/winds has a floe.yaml: \`floe init DIR/winds\` makes a campaign with it.
      exit 10"
    `)
    expect(await place.json('init', 'winds')).toMatchObject({
      action: 'made',
      made: ['campaign.json', '.gitignore', 'tables/', 'outputs/'],
    })
    expect(readFileSync(place.path('winds/.gitignore'), 'utf8')).toMatch(/^\*\.bak\n\n# Made by floe/)
    place.file('bad/floe.yaml', 'slot: 3\n')
    expect(await place.floe('init', 'bad')).toMatchInlineSnapshot(`
      "! floe: bad/floe.yaml:1: unknown key \`slot\`; did you mean \`slots\`?
      !   do        Correct floe.yaml; docs/config.md lists every option.
      exit 2"
    `)
  })
})

describe('the campaign', () => {
  test('is the one around the current directory, or that of -C', async () => {
    const place = openPlace().file('winds/programs/deep/x', '')
    await place.floe('init', 'winds')
    expect(await place.floe('status', { in: 'winds/programs/deep' })).toContain('winds has no jobs yet')
    expect(await place.floe('-C', 'winds', 'status')).toContain('winds has no jobs yet')
    expect(await place.floe('-C', 'programs', 'status', { in: 'winds' })).toMatchInlineSnapshot(`
      "! floe: DIR/winds/programs is no campaign: it has no campaign.json.
      !   do        \`floe init DIR\` makes a campaign; \`-C DIR\` names one.
      exit 10"
    `)
    expect(await place.floe('-C', 'nowhere', 'status')).toMatchInlineSnapshot(`
      "! floe: DIR/nowhere is not there.
      !   do        \`floe init DIR\` makes a campaign; \`-C DIR\` names one.
      exit 10"
    `)
    expect(await place.floe('status')).toMatchInlineSnapshot(`
      "! floe: There is no campaign in DIR or above it.
      !   do        \`floe init DIR\` makes a campaign; \`-C DIR\` names one.
      exit 10"
    `)
  })

  test('made by a floe that kept it in another way is refused: its verdicts would belong to no job', async () => {
    const text = JSON.stringify({ v: 1, id: '66f2f22e-641c-4c87-8839-c6dcf783b397', path: '/data/winds' })
    const place = openPlace().file('winds/campaign.json', text)
    expect(await place.floe('-C', 'winds', 'run')).toMatchInlineSnapshot(`
      "! floe: DIR/winds/campaign.json is of another version of floe (1, not 2).
      !   do        Use the floe that made it, or make the campaign anew: \`floe init\`, then \`floe add\` its job files.
      exit 2"
    `)
  })

  test('whose campaign.json is damaged is named', async () => {
    const place = openPlace().file('winds/campaign.json', '{"v":1,')
    expect(await place.floe('-C', 'winds', 'status')).toMatchInlineSnapshot(`
      "! floe: DIR/winds/campaign.json is damaged: it does not name a campaign.
      !   do        Restore the file named above from a backup; nothing was changed.
      exit 1"
    `)
  })

  test('with a wrong floe.yaml still tells its status', async () => {
    const place = openPlace()
    await place.floe('init', 'winds')
    place.file('winds/floe.yaml', 'slots: many\nresue: [a]\n')
    expect(await place.floe('-C', 'winds', 'status')).toContain('no jobs yet')
    expect(await place.floe('-C', 'winds', 'run')).toMatchInlineSnapshot(`
      "! floe: DIR/winds/floe.yaml:1: slots must be a number
      !   DIR/winds/floe.yaml:2: unknown key \`resue\`; did you mean \`reuse\`?
      !   do        Correct floe.yaml; docs/config.md lists every option.
      exit 2"
    `)
  })

  test('that names a site which is not there says so', async () => {
    const place = openPlace()
    await place.floe('init', 'winds')
    const env = { XDG_CONFIG_HOME: place.path('config') }
    expect(await place.floe('-C', 'winds', 'run', '--site', 'frost', { env })).toMatchInlineSnapshot(`
      "! floe: There is no site frost in DIR/config/floe/sites.yaml.
      !   do        Sites are local.
      exit 2"
    `)
  })
})

describe('a copy and a move', () => {
  test('of a campaign are noticed by run, forked and adopted', async () => {
    const place = withSums(openPlace())
    await place.floe('init', 'winds')
    await place.floe('-C', 'winds', 'add', 'jobs.ndjson')
    expect(await place.floe('-C', 'winds', 'run')).toContain('succeeded  7')
    cpSync(place.path('winds'), place.path('copy'), { recursive: true })
    expect(await place.floe('-C', 'copy', 'run')).toMatchInlineSnapshot(`
      "! floe: This campaign was copied from DIR/winds, which is still there.
      !   do        \`floe init --fork DIR/copy\` makes this a campaign of its own; \`--adopt\` if the other one is given up.
      exit 2"
    `)
    expect(await place.floe('-C', 'copy', 'status')).toContain('8 jobs')
    expect(await place.floe('init', '--fork', 'copy')).toMatchInlineSnapshot(
      `"copy is a campaign of its own now; what runs for the original is left to it."`,
    )
    expect(await place.floe('init', '--fork', 'copy')).toMatchInlineSnapshot(`
      "! floe: DIR/copy was neither copied nor moved.
      !   do        \`floe run\` runs it as it is.
      exit 2"
    `)
    const idOf = (name: string) => JSON.parse(readFileSync(place.path(`${name}/campaign.json`), 'utf8')).id
    expect(idOf('copy')).not.toBe(idOf('winds'))
    const id = idOf('winds')

    renameSync(place.path('winds'), place.path('moved'))
    expect(await place.floe('-C', 'moved', 'plan')).toMatchInlineSnapshot(`
      "! floe: This campaign was moved here from DIR/winds.
      !   do        \`floe init --adopt DIR/moved\` says that this is right; \`--fork\` if it is a copy to go its own way.
      exit 2"
    `)
    expect(await place.floe('init', '--adopt', 'moved')).toMatchInlineSnapshot(
      `"moved is where this campaign lies from now on."`,
    )
    expect(idOf('moved')).toBe(id)
    for (const name of ['copy', 'moved']) {
      expect(await place.floe('-C', name, 'query', 'select url from results order by 1 limit 1')).toBe(
        `url\nDIR/${name}/outputs/a/1.csv`,
      )
      expect(await place.floe('-C', name, 'logs', 'a1')).toBe('job a1')
      expect(await place.floe('-C', name, 'run')).toContain('Nothing to do.')
    }
  })
})
