import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { count, emptyFolder, floe, freshCampaign, type Ground, interleave, jobsFor, seconds } from './ground.ts'
import { type Measured, measure } from './measure.ts'

const SLOTS = 2

/** Whole calls of `floe run` on two slots against two lanes of xargs; then `run` and `make` again, when all is done. */
export async function benchRuns(ground: Ground): Promise<void> {
  await tinyJobs(ground)
  await meansOfFiles(ground)
}

async function tinyJobs(ground: Ground): Promise<void> {
  const jobs = jobsFor(ground, 10_000)
  const folder = emptyFolder(join(ground.scratch, 'tiny'))
  const numbers = Array.from({ length: jobs }, (_, i) => `${i}`)
  writeFileSync(join(folder, 'one.csv'), 'a,b\n1,2\n')
  const jobOf = (n: string) => ({
    id: `t${n}`,
    data: { input: ['one.csv'] },
    executable: '/bin/true',
    arguments: ['--n', n],
  })
  writeFileSync(join(folder, 'jobs.ndjson'), numbers.map((n) => `${JSON.stringify(jobOf(n))}\n`).join(''))
  writeFileSync(join(folder, 'arguments'), numbers.map((n) => `--n ${n}\n`).join(''))
  const shell = join(folder, 'tiny.sh')
  writeFileSync(shell, 'mkdir "$2" && cd "$2" && ln -s ../../one.csv one.csv && exec /bin/true "$1" "$2" >out 2>err\n')
  const campaign = 'tiny/campaign'
  const stdin = join(folder, 'arguments')
  const lanes = join(folder, 'lanes')
  const { ours, shells, bare } = await interleave(ground.turns, {
    ours: {
      before: () => campaignOf(ground, campaign, join(folder, 'jobs.ndjson')),
      call: () => ({ argv: floe(ground, join(ground.scratch, campaign), ['run', '--json']), sampleMs: 0 }),
      check: ({ stdout }) => allSucceeded(stdout, jobs),
    },
    shells: {
      before: () => void emptyFolder(lanes),
      call: () => ({
        argv: ['xargs', '-P', `${SLOTS}`, '-n2', 'sh', shell],
        cwd: lanes,
        stdin,
        sampleMs: 0,
      }),
    },
    bare: { call: () => ({ argv: ['xargs', '-P', `${SLOTS}`, '-n2', '/bin/true'], stdin, sampleMs: 0 }) },
  })
  const rate = (measured: readonly Measured[]) => seconds(measured).map((sec) => jobs / sec)
  const work = `run ${count(jobs)} tiny jobs`
  const [unit, told] = ['jobs/s' as const, rate(ours)]
  const least = (ratio: number) => ({ of: 'ratio' as const, least: ratio })
  ground.print({
    work: `${work}, directories, links, logs`,
    unit,
    ours: told,
    baseline: rate(shells),
    baselineName: 'xargs -P2 of a shell that makes the same',
    must: least(2),
  })
  ground.print({
    work: `${work}, the bare programs`,
    unit,
    ours: told,
    baseline: rate(bare),
    baselineName: 'bare xargs -P2',
    must: least(0.5),
  })
  await again(ground, { campaign: join(ground.scratch, campaign), jobs, numbers })
}

/** Nothing is left to do. */
async function again(
  ground: Ground,
  { campaign, jobs, numbers }: { campaign: string; jobs: number; numbers: readonly string[] },
): Promise<void> {
  const made = emptyFolder(join(ground.scratch, 'made'))
  const targets = numbers.map((n) => `t/${n}`)
  writeFileSync(join(made, 'Makefile'), `all: ${targets.join(' ')}\nt/%: one\n\t@touch $@\n`)
  writeFileSync(join(made, 'one'), '')
  mkdirSync(join(made, 't'))
  for (const target of targets) writeFileSync(join(made, target), '')
  const { ours, make, node } = await interleave(ground.turns * 3, {
    ours: { call: () => ({ argv: floe(ground, campaign, ['run', '--json']), sampleMs: 0 }) },
    make: { call: () => ({ argv: ['make', '-j2'], cwd: made, sampleMs: 0 }) },
    node: { call: () => ({ argv: [process.execPath, '-e', '0'], sampleMs: 0 }) },
  })
  ground.print({
    work: `run again, all ${count(jobs)} done`,
    unit: 's',
    ours: seconds(ours),
    baseline: seconds(make),
    baselineName: 'make -j2 again',
    must: { of: 'value', most: 0.5 },
    note: `node -e 0 took ${Math.min(...seconds(node)).toFixed(2)} s at best`,
  })
}

async function meansOfFiles(ground: Ground): Promise<void> {
  const files = jobsFor(ground, 2000)
  const folder = emptyFolder(join(ground.scratch, 'means'))
  mkdirSync(join(folder, 'in'))
  const numbers = Array.from({ length: files }, (_, i) => `${i}`)
  for (const n of numbers) writeFileSync(join(folder, 'in', `${n}.csv`), csv(Number(n)))
  const program = '{ sum += $2 } END { printf "%.6f\\n", sum / NR }'
  const jobOf = (n: string) => ({
    id: `m${n}`,
    data: { input: [`in/${n}.csv`], output: [`mean/${n}.txt`] },
    executable: 'awk',
    arguments: ['-F,', program.replaceAll('{', '{{').replaceAll('}', '}}'), '{input:1}'],
    stdout: `mean/${n}.txt`,
  })
  writeFileSync(join(folder, 'jobs.ndjson'), numbers.map((n) => `${JSON.stringify(jobOf(n))}\n`).join(''))
  writeFileSync(join(folder, 'names'), numbers.map((n) => `${n}\n`).join(''))
  writeFileSync(join(folder, 'mean.sh'), `exec awk -F, '${program}' "in/$1.csv" >"mean/$1.txt"\n`)
  const { ours, xargs } = await interleave(ground.turns, {
    ours: {
      before: () => campaignOf(ground, 'means/campaign', join(folder, 'jobs.ndjson')),
      call: () => ({ argv: floe(ground, join(folder, 'campaign'), ['run', '--json']), sampleMs: 0 }),
      check: ({ stdout }) => allSucceeded(stdout, files),
    },
    xargs: {
      before: () => void emptyFolder(join(folder, 'mean')),
      call: () => ({
        argv: ['xargs', '-P', `${SLOTS}`, '-n1', 'sh', 'mean.sh'],
        cwd: folder,
        stdin: join(folder, 'names'),
        sampleMs: 0,
      }),
    },
  })
  ground.print({
    work: `run ${count(files)} means by awk of 20 kB of CSV`,
    unit: 'jobs/s',
    ours: seconds(ours).map((sec) => files / sec),
    baseline: seconds(xargs).map((sec) => files / sec),
    baselineName: 'xargs -P2 of the same',
    must: { of: 'ratio', least: 0.9 },
  })
}

function csv(seed: number): string {
  let text = ''
  for (let row = 0; text.length < 20_000; row++) text += `${row},${((row * 7919 + seed * 31) % 1000) / 10},${seed}\n`
  return text
}

async function campaignOf(ground: Ground, name: string, jobFile: string): Promise<void> {
  const campaign = await freshCampaign(ground, name)
  writeFileSync(join(campaign, 'floe.yaml'), `slots: ${SLOTS}\n`)
  await measure({ argv: floe(ground, campaign, ['add', jobFile]) })
}

function allSucceeded(stdout: string, jobs: number): void {
  const { succeeded } = JSON.parse(stdout) as { succeeded: number }
  if (succeeded !== jobs) throw new Error(`${succeeded} of ${jobs} jobs succeeded`)
}
