import * as z from 'zod'
import { configSchema } from './schema.ts'

interface Option {
  readonly description?: string
  readonly unit?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Option>>
  readonly anyOf?: readonly Option[]
  readonly minimum?: number
  readonly maximum?: number
}

/** The schema of floe.yaml for editors, as text of data/schemas/floe.schema.json. */
export function jsonSchema(): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input' })
  return `${JSON.stringify(schema, null, 2)}\n`
}

const options = (): Readonly<Record<string, Option>> => (JSON.parse(jsonSchema()) as Option).properties!

/** docs/config.md. */
export function configMarkdown(): string {
  return [
    '# Options of floe.yaml',
    '',
    'Everything is optional; a key that is not listed is an error, with the nearest one named. `data/schemas/floe.schema.json` says the same',
    'to editors: `init` puts a copy into `.floe/` and names it in the first line of floe.yaml. Both files are made from',
    '`src/config/schema.ts` by `npx vitest run test/unit/config -u`, and a test keeps them current.',
    '',
    '| option | default | unit | what |',
    '|---|---|---|---|',
    ...rowsOf(options(), ''),
    '',
    'A class under `retries` takes four keys:',
    '',
    '| key | default | what |',
    '|---|---|---|',
    ...Object.entries(options().retries!.properties!.app!.properties!).map(
      ([name, option]) =>
        `| \`${name}\` | ${name === 'tries' ? 'as above' : value(option.default)} | ${option.description} |`,
    ),
    '',
    'Sizes: `512MB`, `2GB` (powers of 1000), `1.5GiB` (powers of 1024). Durations: `90s`, `10m`, `1h30m`, `2-12:00:00`, or seconds.',
    '',
  ].join('\n')
}

function rowsOf(properties: Readonly<Record<string, Option>>, prefix: string): string[] {
  return Object.entries(properties).flatMap(([name, option]) => {
    const key = `${prefix}${name}`
    if (prefix === 'retries.') return [`| \`${key}\` | ${value(changes(option))} | | ${option.description ?? ''} |`]
    if (option.properties === undefined) {
      const allowed =
        option.enum && !option.description?.includes(option.enum[0]!) ? ` (${option.enum.join(', ')})` : ''
      return [
        `| \`${key}\` | ${value(option.default)} | ${option.unit ?? ''} | ${option.description ?? ''}${allowed} |`,
      ]
    }
    return [`| **\`${key}\`** | | | ${option.description ?? ''} |`, ...rowsOf(option.properties, `${key}.`)]
  })
}

/** Defaults of a retry rule that differ from one try, the same again. */
const changes = ({ properties = {} }: Option): object =>
  Object.fromEntries(
    Object.entries(properties)
      .filter(([name, option]) => name === 'tries' || (name.endsWith('_factor') && option.default !== 1))
      .map(([name, option]) => [name, option.default]),
  )

const value = (given: unknown): string =>
  given === null || given === undefined || isEmpty(given)
    ? '–'
    : `\`${JSON.stringify(given)
        .replaceAll('"', '')
        .replace(/([:,])(?=\S)/g, '$1 ')}\``

const isEmpty = (given: unknown): boolean =>
  typeof given === 'object' && given !== null && Object.keys(given).length === 0

/** The floe.yaml that `init` writes: what is most often set, commented. */
export function configTemplate(name: string): string {
  return `# yaml-language-server: $schema=.floe/floe.schema.json
# Settings of this campaign. Everything is optional; what is shown in comments is the default or an example.
name: ${JSON.stringify(name)}

# jobs:                                # for every job that does not say otherwise
#   resources: {cpus: 1, memory: 2GB, walltime: 10m}
#   setup: module load cdo             # sh, once in each slot before the first job
#   environment: {LANG: C}
#   check: test -s "$FLOE_OUTPUT_1"    # sh, after exit 0
#   publish: files                     # files, pack or table
# slots: 4                             # cores of this machine that jobs may use; default: all
# roots: {era5: /data/era5}            # then a job may say era5:1982/01.nc
# retries:
#   memory: {tries: 3, memory_factor: 2}
#   walltime: {tries: 2, walltime_factor: 2}
#   app: {tries: 1}
# stop_when_failed: 0.25               # share of failed jobs that stops a run
# reuse: [../earlier]                  # campaigns whose results answer equal jobs
`
}
