import { describe, expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { parseLine } from '../../src/cli/parse.ts'
import { FloeError } from '../../src/model/errors.ts'

const ground = { commands, columns: 100, version: '1.2.3', sites: async () => [] }
const verbs = commands.map(({ usage }) => usage.split(' ')[0]!)

async function output(...line: string[]): Promise<string> {
  const parsed = await parseLine(line, ground)
  return 'output' in parsed ? parsed.output : `the command ${parsed.command.usage}`
}

async function args(...line: string[]): Promise<unknown> {
  const parsed = await parseLine(line, ground)
  if ('output' in parsed) throw new Error(parsed.output)
  const { command, ...rest } = parsed
  return { usage: command.usage, ...rest }
}

async function refusal(...line: string[]): Promise<FloeError> {
  try {
    await parseLine(line, ground)
  } catch (error) {
    if (error instanceof FloeError) return error
    throw error
  }
  throw new Error(`floe ${line.join(' ')} was accepted`)
}

describe('help', () => {
  test('lists every verb and says what exit statuses mean', async () => {
    const told = await output('--help')
    for (const verb of verbs) expect(told).toMatch(new RegExp(`^  floe ${verb}\\b`, 'm'))
    expect(told).toContain('130')
    expect(await output()).toBe(told)
  })

  test.each(verbs)('of %s shows an example', async (verb) => {
    const told = await output(verb, '--help')
    expect(told).toMatch(new RegExp(`^floe ${verb}\\b`))
    expect(told).toContain('Examples:')
    expect(told.split('\n').filter((line) => line.length > 100)).toEqual([])
  })
})

describe('a line', () => {
  test('gives names as they were typed', async () => {
    expect(await args('show', '0017')).toMatchObject({ args: { job: '0017' } })
    expect(await args('hold', '1e3', '0x10', 'a.b')).toMatchObject({ args: { job: ['1e3', '0x10', 'a.b'] } })
    expect(await args('show', '--', '-x')).toMatchObject({ args: { job: '-x' } })
    expect(await args('add', 'a b.yaml', '$(rm -rf)')).toMatchObject({ args: { file: ['a b.yaml', '$(rm -rf)'] } })
  })

  test('may have the flags of all verbs before and after the verb', async () => {
    const wanted = { usage: 'status', args: {}, campaign: 'w', json: true, quiet: true, color: false }
    expect(await args('-C', 'w', '--json', '--quiet', '--no-color', 'status')).toEqual(wanted)
    expect(await args('status', '--no-color', '--quiet', '--json', '--campaign=w')).toEqual(wanted)
  })

  test('may select by several states, and name jobs after them', async () => {
    expect(await args('retry', '--state', 'failed', '--state', 'lost', 'job1')).toMatchObject({
      args: { state: ['failed', 'lost'], job: ['job1'] },
    })
  })
})

describe('a wrong line', () => {
  test.each([
    [['stauts'], 'There is no command stauts.', 'Did you mean `floe status`?'],
    [['xyz'], 'There is no command xyz.', '`floe --help` lists the commands.'],
    [['run', '--onse'], 'There is no option --onse for run.', 'Did you mean --once?'],
    [['run', '--batch-second=3'], 'There is no option --batch-second for run.', 'Did you mean --batch-seconds?'],
    [['--jsn', 'status'], 'There is no option --jsn for status.', 'Did you mean --json?'],
    [['show'], 'Something is left out: floe show <job>.', '`floe show --help`'],
    [['show', 'a', 'b'], 'show takes no further argument b.', '`floe show --help`'],
    [['jobs', '--state'], '--state wants a value.', '`floe jobs --help`'],
    [['jobs', '--csv', '--json'], '--csv and --json do not go together.', '`floe jobs --help`'],
    [['run', '--rerun', '--keep'], '--rerun and --keep do not go together.', '`floe run --help`'],
    [['results', '--format', 'xml'], '--format takes csv, tsv, ndjson, parquet, arrow, arrows, not xml.', ''],
    [['-C', 'a', '-C', 'b', 'status'], '--campaign was given twice.', 'Give it once.'],
  ])('floe %j', async (line, message, hint) => {
    const error = await refusal(...line)
    expect(error).toMatchObject({ code: 'USAGE', message })
    expect(error.hint).toContain(hint)
  })
})
