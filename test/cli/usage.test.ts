import { describe, expect, test } from 'vitest'
import about from '../../package.json' with { type: 'json' }
import { commands } from '../../src/cli/commands.ts'
import { openPlace } from './place.ts'

const verbs = commands.map(({ usage }) => usage.split(' ')[0]!)

test('help and version are results', async () => {
  const place = openPlace()
  const { stdout, stderr, status } = await place.run(['--help'])
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  expect(stdout).toContain('floe [-C CAMPAIGN] VERB')
  expect(await place.floe('--version')).toBe(about.version)
})

describe('a wrong line', () => {
  test.each([
    [['stauts'], 'There is no command stauts.', 'Did you mean `floe status`?'],
    [['jobs', '--limit', 'few'], '--limit takes a whole number of 1 or more.', '`floe --help`'],
    [['plan', '--batch-seconds', 'soon'], '--batch-seconds takes a duration such as 600, 10m or 1h30m, not soon.', ''],
    [['hold'], 'Nothing says which jobs to hold.', '--state, --where or --all'],
    [['hold', 'a', '--all'], '--all goes with no other selection.', 'Leave out'],
    [['retry', '--state', 'faild'], 'There is no state faild.', 'Did you mean failed?'],
  ])('floe %j', async (args, message, hint) => {
    const { stdout, stderr, status } = await openPlace().run(args)
    expect(stderr.split('\n')[0]).toBe(`floe: ${message}`)
    expect(stderr).toContain(hint)
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 })
  })

  test('is one JSON object with --json', async () => {
    const { stdout, stderr, status } = await openPlace().run(['stauts', '--json'])
    expect(stdout).toBe('')
    expect(status).toBe(2)
    expect(JSON.parse(stderr)).toEqual({
      code: 'USAGE',
      message: 'There is no command stauts.',
      hint: 'Did you mean `floe status`? `floe --help` lists the commands.',
      details: {},
    })
  })

  test('tells where an error arose with --debug only', async () => {
    const place = openPlace()
    expect(await place.floe('status')).not.toMatch(/at .*\.js/)
    expect(await place.floe('status', '--debug')).toMatch(/at .*\.js/)
  })
})

describe('completion', () => {
  test('scripts for three shells, by name or by $SHELL', async () => {
    const place = openPlace()
    expect(await place.floe('completion', 'zsh')).toContain('#compdef floe')
    expect(await place.floe('completion', { env: { SHELL: '/usr/bin/fish' } })).toContain('complete -c floe')
    expect(await place.floe('completion', { env: { SHELL: '/bin/sh' } })).toContain('complete -F _floe floe')
    expect(await place.json('completion', 'bash')).toMatchObject({ shell: 'bash' })
  })

  test('answers with verbs, options and values', async () => {
    const place = openPlace()
    const bash = { env: { SHELL: 'bash' } }
    const complete = async (...words: string[]) =>
      (await place.floe('--get-yargs-completions', 'floe', ...words, bash)).split('\n')
    expect(await complete('')).toEqual(verbs)
    expect(await complete('run', '--')).toEqual(expect.arrayContaining(['--once', '--jobs-per-batch', '--campaign']))
    place.file('config/floe/sites.yaml', 'sites: {frost: {connector: slurm, scratch: /s}}\n', 0o600)
    Object.assign(bash.env, { XDG_CONFIG_HOME: place.path('config') })
    expect(await complete('doctor', '')).toEqual(['local', 'frost'])
    expect(await complete('run', '--site', 'fr')).toEqual(['frost'])
    expect(await complete('doctor', '--')).toContain('--wait')
    expect(await complete('results', '--format', '')).toEqual(['csv', 'tsv', 'ndjson', 'parquet', 'arrow', 'arrows'])
  })
})
