import * as z from 'zod'
import { configSchema } from './schema.ts'
import { sitesSchema } from './sites-schema.ts'

interface Option {
  readonly description?: string
  readonly unit?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Option>>
  readonly anyOf?: readonly Option[]
  readonly required?: readonly string[]
  readonly additionalProperties?: Option
  readonly minimum?: number
  readonly maximum?: number
}

/** The schema of floe.yaml for editors, as text of data/schemas/floe.schema.json. */
export const jsonSchema = (): string => textOf(configSchema)

/** The same of sites.yaml: data/schemas/sites.schema.json. */
export const sitesJsonSchema = (): string => textOf(sitesSchema)

const textOf = (schema: z.ZodType): string => `${JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2)}\n`

const options = (): Readonly<Record<string, Option>> => (JSON.parse(jsonSchema()) as Option).properties!
const siteOptions = (): Option => optionsBelow('sites')
const optionsBelow = (key: string): Option =>
  (JSON.parse(sitesJsonSchema()) as Option).properties![key]!.additionalProperties!

const kafkaOptions = (): Option =>
  (JSON.parse(sitesJsonSchema()) as Option).properties!.kafka!.anyOf!.find(({ properties }) => properties)!

/** docs/config.md. */
export function configMarkdown(): string {
  return [
    '# Options',
    '',
    'Two files: floe.yaml of a campaign, and sites.yaml of a person. A key that is not listed is an error, with the nearest one named.',
    '`data/schemas/floe.schema.json` and `data/schemas/sites.schema.json` say the same to editors. This page and both schemas are made from',
    '`src/config/schema.ts` and `src/config/sites-schema.ts` by `npx vitest run test/unit/config -u`, and a test keeps them current.',
    '',
    'Sizes: `512MB`, `2GB` (powers of 1000), `1.5GiB` (powers of 1024). Durations: `90s`, `10m`, `1h30m`, `2-12:00:00`, or seconds.',
    '',
    '## floe.yaml',
    '',
    'Everything is optional. `floe init` puts a copy of the schema into `.floe/` and names it in the first line of floe.yaml.',
    '',
    ...HEAD,
    ...rowsOf({ properties: options() }, ''),
    '',
    'A class under `policy` takes these keys. What contradicts is refused: `tries:` with `action: give up`, `action: retry` for a class that is not tried again',
    'by default without saying how often, a `cap` below what jobs ask for at first. `node`, `staging`, `preempted`, `purged` and `lost` are losses by the',
    'site: they use up no try of a job, and are counted for their own class alone.',
    '',
    '| key | what |',
    '|---|---|',
    ...Object.entries(options().policy!.properties!.app!.properties!).map(
      ([name, option]) => `| \`${name}\` | ${option.description} |`,
    ),
    '',
    '## sites.yaml',
    '',
    '`~/.config/floe/sites.yaml`, or `$XDG_CONFIG_HOME/floe/sites.yaml`, which nobody but you may write (`chmod 600`). Below `sites:` stands a',
    'mapping from the name of each site to its options; `local`, this machine, is always there. [Operating](operating.md#clusters) shows one.',
    'A key that says nothing with the `connector` of its site is an error, such as `queue` with `local`, or `ssh` with `simulated`.',
    '',
    ...HEAD,
    ...rowsOf(siteOptions(), ''),
    '',
    'Below `hdfs:` stands a mapping from the host of an address, with its port or without, to how that HDFS is reached.',
    '',
    ...HEAD,
    ...rowsOf(optionsBelow('hdfs'), ''),
    '',
    'Beside `sites:` may stand `kafka:`, where [status events](formats.md#status-events) are told. Its client is installed by who wants it:',
    '`npm install node-rdkafka`, beside floe. Paths are relative to sites.yaml.',
    '',
    ...HEAD,
    ...rowsOf(kafkaOptions(), ''),
    '',
  ].join('\n')
}

const HEAD = ['| option | default | unit | what |', '|---|---|---|---|']

function rowsOf({ properties = {}, required = [] }: Option, prefix: string): string[] {
  return Object.entries(properties).flatMap(([name, option]) => {
    const key = `${prefix}${name}`
    if (prefix === 'policy.') return [`| \`${key}\` | ${value(option.default)} | | ${option.description ?? ''} |`]
    const inner = option.properties ? option : option.anyOf?.find((one) => one.properties)
    const usual = required.includes(name) && option.default === undefined ? 'needed' : value(option.default)
    const head = `| ${option.properties ? `**\`${key}\`**` : `\`${key}\``}`
    if (option.properties) return [`${head} | | | ${option.description ?? ''} |`, ...rowsOf(option, `${key}.`)]
    const first = option.enum?.[0]
    const allowed = first !== undefined && !option.description?.includes(first) ? ` (${option.enum!.join(', ')})` : ''
    const row = `${head} | ${usual} | ${option.unit ?? ''} | ${option.description ?? ''}${allowed} |`
    return [row, ...(inner ? rowsOf(inner, `${key}.`) : [])]
  })
}

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
# policy:                              # what follows a failure, by its class
#   memory: {action: memory, tries: 3, factor: 2, cap: 64GB}
#   walltime: {action: walltime, tries: 2, factor: 2}
#   input: {action: hold}
#   app: {action: give up}
# stop_when_failed: 0.25               # share of failed jobs that stops a run
# reuse: [../earlier]                  # campaigns whose results answer equal jobs
`
}
