import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchAdd } from './add-files.ts'
import { HEADER, type Line, render, toJson } from './figures.ts'
import type { Ground } from './ground.ts'
import { benchLook } from './look.ts'
import { benchMapPhase } from './map-phase.ts'
import { stopAll } from './measure.ts'
import { benchPlan } from './plan.ts'
import { benchRecovery } from './recovery.ts'
import { benchMemory } from './run-memory.ts'
import { benchRuns } from './runs.ts'

const BENCHMARKS: Readonly<Record<string, (ground: Ground) => Promise<void>>> = {
  runs: benchRuns,
  look: benchLook,
  recovery: benchRecovery,
  memory: benchMemory,
  add: benchAdd,
  plan: benchPlan,
  map: benchMapPhase,
}
/** Only when they are named: they need what most machines have not. */
const BY_HAND: typeof BENCHMARKS = {
  sites: async (ground) => (await import('./sites.ts')).benchSites(ground),
  drain: async (ground) => (await import('./drain.ts')).benchDrain(ground),
  hdfs: async (ground) => (await import('./hdfs.ts')).benchHdfs(ground),
  events: async (ground) => (await import('./events.ts')).benchEvents(ground),
}

const USAGE = `usage: npm run bench -- [--only NAME]… [--quick] [--turns N] [--json FILE] [--scratch DIR]

  --only NAME   of ${Object.keys(BENCHMARKS).join(', ')}; all by default. And ${Object.keys(BY_HAND).join(', ')}: clusters, an HDFS and a Kafka, in containers
  --quick       a thousandth of the jobs, once: shows that the benchmark works, not how fast floe is
  --turns N     how often each figure and its baseline are measured, in turn; the medians count (3)
  --json FILE   where the figures go (bench-out/bench.json)
  --scratch DIR a disk with 20 GB free, for the campaigns (the system's temporary folder)
`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      turns: { type: 'string' },
      json: { type: 'string' },
      scratch: { type: 'string', default: tmpdir() },
      help: { type: 'boolean', default: false },
    },
  })
  const names = [...(values.only ?? []), ...positionals]
  const unknown = names.find((name) => !Object.hasOwn({ ...BENCHMARKS, ...BY_HAND }, name))
  if (values.help || unknown !== undefined) {
    process.stderr.write(`${unknown === undefined ? '' : `There is no benchmark ${unknown}.\n`}${USAGE}`)
    return values.help ? 0 : 2
  }
  const programs = dirname(fileURLToPath(import.meta.url))
  const root = resolve(programs, '..', '..')
  const scratch = mkdtempSync(join(values.scratch, 'floe-bench-'))
  for (const word of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(word, () => {
      stopAll()
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
      process.exit(130)
    })
  }
  const lines: Line[] = []
  const ground: Ground = {
    root,
    scratch,
    programs,
    shrink: values.quick ? 1000 : 1,
    turns: Number(values.turns ?? (values.quick ? 1 : 3)),
    print(line) {
      lines.push(line)
      process.stdout.write(`${render(line)}\n`)
    },
    tell: (text) => process.stderr.write(`  ${text}\n`),
  }
  const machine = machineFacts()
  process.stdout.write(`${HEADER}\n`)
  let broken = 0
  try {
    for (const name of names.length > 0 ? names : Object.keys(BENCHMARKS)) {
      try {
        await (BENCHMARKS[name] ?? BY_HAND[name]!)(ground)
      } catch (error) {
        broken++
        ground.print({ work: name, why: (error as Error).message })
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  const path = values.json ?? join(root, 'bench-out', 'bench.json')
  mkdirSync(dirname(path), { recursive: true })
  const document = { version: 1, quick: values.quick, machine, load_after: loadavg(), figures: lines.map(toJson) }
  writeFileSync(path, `${JSON.stringify(document, null, 2)}\n`)
  process.stdout.write(`\n${path}\n`)
  return broken > 0 ? 1 : 0
}

function machineFacts(): Record<string, unknown> {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model ?? null,
    memory_bytes: totalmem(),
    node: process.versions.node,
    system: `${process.platform} ${process.arch}`,
    started_at: new Date().toISOString(),
    load_before: loadavg(),
  }
}

process.exitCode = await main()
