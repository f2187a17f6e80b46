import yargs, { type Argv } from 'yargs'
import { FloeError } from '../model/errors.ts'
import { nearest } from '../model/nearest.ts'
import type { AnyCommand } from './command.ts'

/** A command line that was understood. */
export interface Parsed {
  readonly command: AnyCommand
  readonly args: unknown
  readonly campaign: string | undefined
  readonly json: boolean
  readonly quiet: boolean
  readonly color: boolean
}

interface Ground {
  readonly commands: readonly AnyCommand[]
  readonly columns: number
  readonly version: string
  /** Names of sites, for completion; asked only when they may be wanted. */
  readonly sites: () => Promise<readonly string[]>
}

/**
 * Reads a command line: the command and its arguments, or the text of a help, version or completion. Throws USAGE, with the nearest
 * command or option when one is unknown. Runs nothing.
 */
export async function parseLine(given: readonly string[], ground: Ground): Promise<Parsed | { output: string }> {
  const line = shielded(given)
  const begun = siteBegun(line)
  if (begun !== undefined) return { output: lines((await ground.sites()).filter((name) => name.startsWith(begun))) }
  const parser = compose(ground, line)
  if (line.length === 0) return { output: lines([await parser.getHelp()]) }
  let told: { output: string; error: Error | undefined } | undefined
  try {
    parser.parse(line, {}, (error: Error | undefined, _: unknown, output: string) => {
      told = { output, error }
    })
  } catch (thrown) {
    if (thrown instanceof Chosen) return parsedOf(thrown)
    throw thrown
  }
  if (told?.error) throw refusal(told.error, line, ground)
  return { output: lines([told?.output ?? '']) }
}

const COMPLETE = '--get-yargs-completions'

/** The beginning of a word that names a site, when such a one is to be completed. */
function siteBegun(line: readonly string[]): string | undefined {
  const [before = '', word = ''] = line.slice(-2)
  return line[0] === COMPLETE && ['doctor', '--site'].includes(before) && !word.startsWith('-') ? word : undefined
}

/** Put before a word behind `--`. No word of a command line can hold a NUL itself. */
const SHIELD = '\0'

/** yargs 18.2 does not count what stands behind `--` as positionals of a command; a job may be named `-x`. */
function shielded(line: readonly string[]): string[] {
  const at = line[0] === COMPLETE ? -1 : line.indexOf('--')
  return at < 0 ? [...line] : [...line.slice(0, at), ...line.slice(at + 1).map((word) => SHIELD + word)]
}

const bare = (word: unknown): unknown =>
  typeof word === 'string' && word.startsWith(SHIELD) ? word.slice(SHIELD.length) : word

/**
 * Thrown through yargs by the handler of a command. yargs 18.2 renders the help of a command after its handler has run, in case that it fails
 * (command.js, cacheHelpMessage), which takes 40 ms of the 100 that a start may cost.
 */
class Chosen {
  readonly command: AnyCommand
  readonly args: Record<string, unknown>

  constructor(command: AnyCommand, args: Record<string, unknown>) {
    this.command = command
    this.args = args
  }
}

function parsedOf({ command, args: given }: Chosen): Parsed {
  const { campaign, json = false, quiet = false, color = true, ...args } = withoutYargs(given) as Partial<Parsed>
  return { command, args, campaign, json, quiet, color }
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('')

/** yargs looks at the line it was made with when it completes the options of a command. */
function compose({ commands, columns, version }: Ground, line: readonly string[]): Argv {
  const parser = yargs([...line])
    .scriptName('floe')
    .usage('floe [-C CAMPAIGN] VERB\n\nRuns catalogs of millions of jobs over shared files and publishes tables.')
    .detectLocale(false)
    .parserConfiguration({
      'dot-notation': false,
      'parse-positional-numbers': false,
      'greedy-arrays': false,
      'strip-aliased': true,
      'strip-dashed': true,
    })
    .options({
      campaign: {
        alias: 'C',
        type: 'string',
        requiresArg: true,
        normalize: false,
        describe: 'Campaign to work in; default: the one around this directory',
        group: 'Everywhere:',
      },
      json: { type: 'boolean', describe: 'One JSON document, or one a line', group: 'Everywhere:' },
      quiet: { type: 'boolean', describe: 'Results and errors only', group: 'Everywhere:' },
      color: { type: 'boolean', default: true, hidden: true },
      'no-color': { type: 'boolean', describe: 'Plain text, as with NO_COLOR', group: 'Everywhere:' },
      debug: { type: 'boolean', describe: 'Show where an error arose', group: 'Everywhere:' },
    })
    .help('help', 'Show this help')
    .alias('help', 'h')
    .version('version', 'Show the version', version)
    .group(['help', 'version'], 'Everywhere:')
    .strict()
    .demandCommand(1, 'No command was given.')
    .wrap(Math.min(columns, 110))
    .epilogue(
      '`floe VERB --help` shows examples. Exit status: 0 all well, 1 unexpected, 2 usage or configuration, 3 some jobs failed or rows were rejected, 4 nothing selected, 10 no campaign, 11 locked, 130 interrupted.',
    )
    .exitProcess(false)
  let lists: ReadonlySet<string> = new Set()
  for (const entry of commands) {
    parser.command(
      entry.usage,
      entry.text,
      (inner) => {
        inner.usage(`floe ${entry.usage}\n\n${entry.text}`).epilogue('')
        for (const [example, says] of entry.examples) inner.example(example, says)
        const before = new Set([...optionKeys(inner), ...(entry.usage.match(/\w+(?=\.*[\]>])/g) ?? [])])
        entry.options?.(inner)
        lists = new Set(known(inner).array)
        // Grouped by hand, they come before the options of all verbs.
        inner.group(
          [...optionKeys(inner)].filter((key) => !before.has(key)),
          'Options:',
        )
        return inner
      },
      (args) => {
        const twice = Object.keys(args).find((key) => Array.isArray(args[key]) && key !== '_' && !lists.has(key))
        throw twice === undefined ? new Chosen(entry, args) : givenTwice(twice)
      },
    )
  }
  return parser
}

/** Arguments without what yargs adds for itself. */
function withoutYargs(args: Record<string, unknown>): Record<string, unknown> {
  const { _: words, $0: script, help, version, debug, ...rest } = args
  return Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, Array.isArray(value) ? value.map(bare) : bare(value)]),
  )
}

/** What yargs says of a wrong line, with the likely word. */
function refusal(error: Error, line: readonly string[], { commands }: Ground): FloeError {
  const unknown = /^Unknown (argument|command)s?: (.*)$/.exec(error.message)
  const verbs = commands.map(nameOf)
  const verb = line.find((word) => verbs.includes(word))
  const help =
    verb === undefined ? '`floe --help` lists the commands.' : `\`floe ${verb} --help\` shows how it is used.`
  if (/^Not enough non-option/.test(error.message) && verb !== undefined) {
    const usage = commands.find((entry) => nameOf(entry) === verb)?.usage
    return new FloeError('USAGE', `Something is left out: floe ${usage}.`, { hint: help, cause: error })
  }
  if (!unknown) return new FloeError('USAGE', reworded(error.message), { hint: help, cause: error })
  // yargs names an option that it does not know in camel case.
  const word = unknown[2]!
    .replaceAll(SHIELD, '')
    .split(', ')[0]!
    .replace(/(?<=\w)[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const typed = line.find((told) => told.replace(/^-+/, '').split('=')[0] === word) ?? word
  if (typed.startsWith('-')) {
    const meant = nearest(word, optionsOf(commands, verb))
    return new FloeError(
      'USAGE',
      `There is no option ${typed.split('=')[0]}${verb === undefined ? '' : ` for ${verb}`}.`,
      {
        hint: meant === undefined ? help : `Did you mean --${meant}? ${help}`,
      },
    )
  }
  const meant = verb === undefined ? nearest(word, verbs) : undefined
  return new FloeError(
    'USAGE',
    verb === undefined ? `There is no command ${typed}.` : `${verb} takes no further argument ${typed}.`,
    {
      hint: meant === undefined ? help : `Did you mean \`floe ${meant}\`? ${help}`,
    },
  )
}

const givenTwice = (option: string): FloeError =>
  new FloeError('USAGE', `${dashed(option)} was given twice.`, { hint: 'Give it once.' })

const dashed = (option: string): string => `${option.length === 1 ? '-' : '--'}${option}`

/** What yargs 18.2 says, as floe would. */
function reworded(message: string): string {
  const wanting = /^Not enough arguments following: (\S+)$/.exec(message)
  if (wanting) return `${dashed(wanting[1]!)} wants a value.`
  const exclusive = /^Arguments (\S+) and (\S+) are mutually exclusive$/.exec(message)
  if (exclusive) return `${dashed(exclusive[1]!)} and ${dashed(exclusive[2]!)} do not go together.`
  const invalid = /Argument: (\S+), Given: "(.*)", Choices: (.*)$/m.exec(message)
  if (invalid) return `${dashed(invalid[1]!)} takes ${invalid[3]!.replaceAll('"', '')}, not ${invalid[2]}.`
  return message
}

const nameOf = ({ usage }: AnyCommand): string => usage.split(' ')[0]!

/** Names of the options that a verb takes, those of all verbs included. */
function optionsOf(commands: readonly AnyCommand[], verb: string | undefined): string[] {
  const own = commands.find((entry) => nameOf(entry) === verb)
  const inner = yargs().help(false).version(false)
  own?.options?.(inner)
  return [...optionKeys(inner), 'campaign', 'json', 'quiet', 'no-color', 'debug', 'help', 'version']
}

/** Names of options and positionals defined so far; `getOptions` is not in the typings of yargs 17, which 18 has none of its own for. */
function optionKeys(yargs: Argv): Set<string> {
  const { key, alias, string, boolean, number, choices } = known(yargs)
  const aliases = new Set(Object.values(alias).flat())
  const names = [...Object.keys(key), ...string, ...boolean, ...number, ...Object.keys(choices)]
  return new Set(names.filter((name) => !aliases.has(name)))
}

const known = (yargs: Argv): Known => (yargs as unknown as { getOptions(): Known }).getOptions()

interface Known {
  readonly array: readonly string[]
  readonly key: Record<string, unknown>
  readonly alias: Record<string, string[]>
  readonly string: readonly string[]
  readonly boolean: readonly string[]
  readonly number: readonly string[]
  readonly choices: Record<string, unknown>
}
