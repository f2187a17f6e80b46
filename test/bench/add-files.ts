import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { count, emptyFolder, floe, freshCampaign, type Ground, interleave, jobsFor, peaks, seconds } from './ground.ts'
import type { Call, Measured } from './measure.ts'

const CAMPAIGN = 'added'
const WRONG = 1000

/** `add` of NDJSON against DuckDB alone, of NDJSON with wrong rows, and of the YAML form. */
export async function benchAdd(ground: Ground): Promise<void> {
  const jobs = jobsFor(ground, 1_500_000)
  const folder = emptyFolder(join(ground.scratch, 'add'))
  ground.tell(`writing job files of ${count(jobs)}`)
  const clean = join(folder, 'clean.ndjson')
  writeLines(clean, jobs, ndjson)
  await cleanNdjson(ground, { clean, jobs, folder })
  await wrongRows(ground, { clean, jobs, folder })
  await yamlForm(ground, { clean, jobs, folder })
  rmSync(folder, { recursive: true, force: true })
  rmSync(join(ground.scratch, CAMPAIGN), { recursive: true, force: true })
}

interface Ready {
  readonly clean: string
  readonly jobs: number
  readonly folder: string
}

function adding(ground: Ground, file: string, told: { added: number; rejected: number }) {
  return {
    before: () => freshCampaign(ground, CAMPAIGN).then(() => {}),
    call: (): Call => ({
      argv: floe(ground, join(ground.scratch, CAMPAIGN), ['add', file, '--json']),
      exits: [told.rejected > 0 ? 3 : 0],
    }),
    check({ stdout }: Measured) {
      const { added, rejected } = JSON.parse(stdout) as { added: number; rejected: number }
      if (added !== told.added || rejected !== told.rejected) {
        throw new Error(`${added} added and ${rejected} rejected instead of ${told.added} and ${told.rejected}`)
      }
    },
  }
}

async function cleanNdjson(ground: Ground, { clean, jobs, folder }: Ready): Promise<void> {
  const parquet = join(folder, 'parquet')
  const { ours, duckdb } = await interleave(ground.turns, {
    ours: adding(ground, clean, { added: jobs, rejected: 0 }),
    duckdb: {
      before: () => rmSync(parquet, { recursive: true, force: true }),
      call: () => ({ argv: [process.execPath, join(ground.programs, 'duckdb-copy.js'), clean, parquet] }),
    },
  })
  rmSync(parquet, { recursive: true, force: true })
  const work = `add ${count(jobs)} jobs, clean NDJSON`
  ground.print({
    work,
    unit: 's',
    ours: seconds(ours),
    baseline: seconds(duckdb),
    baselineName: 'DuckDB alone, read_json to 64 partitions of zstd Parquet',
    must: { of: 'ratio', most: 2.5 },
  })
  ground.print({
    work: `${work}: peak memory`,
    unit: 'bytes',
    ours: peaks(ours),
    baseline: peaks(duckdb),
    baselineName: 'DuckDB alone',
    must: { of: 'value', most: 2e9 },
  })
}

async function wrongRows(ground: Ground, { clean, jobs, folder }: Ready): Promise<void> {
  const file = join(folder, 'wrong.ndjson')
  const every = Math.max(2, Math.floor(jobs / WRONG))
  const isWrong = (row: number) => row % every === every - 1 && row < every * WRONG
  writeLines(file, jobs, (row) => (isWrong(row) ? wrong(row) : ndjson(row)))
  const lines = Array.from({ length: jobs }, (_, row) => row + 1).filter((line) => isWrong(line - 1))
  const told = adding(ground, file, { added: jobs - lines.length, rejected: lines.length })
  const { ours, base } = await interleave(ground.turns, {
    ours: {
      ...told,
      check(measured) {
        told.check(measured)
        const { rejects_file: path } = JSON.parse(measured.stdout) as { rejects_file: string }
        const named = readFileSync(path, 'utf8')
          .trimEnd()
          .split('\n')
          .map((text) => (JSON.parse(text) as { line: number }).line)
        if (named.sort((a, b) => a - b).join() !== lines.join())
          throw new Error(`${path} names other lines than the wrong ones`)
      },
    },
    base: adding(ground, clean, { added: jobs, rejected: 0 }),
  })
  rmSync(file)
  ground.print({
    work: `add ${count(jobs)} jobs, ${count(lines.length)} of them wrong`,
    unit: 's',
    ours: seconds(ours),
    baseline: seconds(base),
    baselineName: 'the clean file',
    must: { of: 'ratio', most: 3 },
    note: 'all rejects named with their lines',
  })
}

async function yamlForm(ground: Ground, { clean, jobs, folder }: Ready): Promise<void> {
  const [large, small] = [join(folder, 'large.yaml'), join(folder, 'small.yaml')]
  const few = Math.max(1, Math.round(jobs / 10))
  writeLines(large, jobs, yaml)
  writeLines(small, few, yaml)
  const work = `add ${count(jobs)} jobs, YAML`
  try {
    const { ours, base, less } = await interleave(Math.min(2, ground.turns), {
      ours: adding(ground, large, { added: jobs, rejected: 0 }),
      base: adding(ground, clean, { added: jobs, rejected: 0 }),
      less: adding(ground, small, { added: few, rejected: 0 }),
    })
    const must = { of: 'ratio' as const, most: 8 }
    ground.print({ work, unit: 's', ours: seconds(ours), baseline: seconds(base), baselineName: 'the NDJSON', must })
    const memory = {
      unit: 'bytes' as const,
      ours: peaks(ours),
      baseline: peaks(less),
      baselineName: `${count(few)} jobs`,
    }
    ground.print({ work: `${work}: peak memory`, ...memory, must: { of: 'value', most: 1e9 } })
    ground.print({ work: `${work}: growth of peak memory`, ...memory, must: { of: 'ratio', most: 1.2 } })
  } catch (error) {
    ground.print({ work, why: (error as Error).message })
  }
  rmSync(large)
  rmSync(small)
}

const [YEARS, STATIONS] = [40 * 12, 5000]
const month = (row: number): string =>
  `${1982 + Math.floor((row % YEARS) / 12)}-${String((row % 12) + 1).padStart(2, '0')}`

/** Some 200 bytes a job. */
function ndjson(row: number): string {
  const data = { input: [`winds/${month(row)}.csv`, `stations/${row % STATIONS}.csv`], output: [`mean/${row}.csv`] }
  const rest = { executable: '/usr/bin/prg.sh', arguments: ['{input:1}', '{output:1}'], labels: { month: month(row) } }
  return `${JSON.stringify({ id: `job${row}`, data, ...rest })}\n`
}

/** By turns: no program, an output outside of the campaign, a misspelled key, a line cut short. */
function wrong(row: number): string {
  const line = ndjson(row)
  const kinds = [
    line.replace(/"executable":"[^"]*",/, ''),
    line.replace('"mean/', '"../mean/'),
    line.replace('"labels"', '"lables"'),
    `${line.slice(0, line.length >> 1)}\n`,
  ]
  return kinds[Math.floor(row / 2) % kinds.length]!
}

function yaml(row: number): string {
  return `job${row}:
  data:
    input:
      - winds/${month(row)}.csv
      - stations/${row % STATIONS}.csv
    output:
      - mean/${row}.csv
  executable: /usr/bin/prg.sh
  arguments: ["{input:1}", "{output:1}"]
  labels: {month: ${month(row)}}
`
}

function writeLines(path: string, rows: number, lineOf: (row: number) => string): void {
  const file = openSync(path, 'w')
  let text = ''
  for (let row = 0; row < rows; row++) {
    text += lineOf(row)
    if (text.length > 1 << 20 || row === rows - 1) {
      writeSync(file, text)
      text = ''
    }
  }
  closeSync(file)
}
