import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeRecord } from '../../src/model/record.ts'
import { fakeArray, fakeJob } from '../fakes/array.ts'

/*
 * The runner against xargs, in one run, interleaved. Two runners with a slot each, as the local scheduler starts them for tasks of one core.
 *   tiny: /bin/true with different arguments, an own directory, a linked input, logs. Baselines: `xargs -P2` of a shell that makes the same directory,
 *         link and two log files; bare `xargs -P2`.
 *   mean: a mean by awk of CSV files of 20 kB each. Baseline: `xargs -P2` of the same awk, its output in a file.
 * A ratio over 1: the runner is faster. Usage: after a build, `floe bench` calls `benchRunner`.
 */

export interface RunnerFigure {
  readonly work: string
  readonly baseline: string
  /** Jobs a second of runner and baseline, medians. */
  readonly runner: number
  readonly base: number
  /** Median of the ratios of the rounds. */
  readonly ratio: number
  readonly wanted: number
}

const PARALLEL = 2

export async function benchRunner(options: {
  runner: string
  jobs?: number
  files?: number
  rounds?: number
}): Promise<RunnerFigure[]> {
  const { runner, jobs = 10_000, files = 2000, rounds = 3 } = options
  const scratch = mkdtempSync(join(tmpdir(), 'floe-bench-'))
  try {
    const bench = new Bench(scratch, runner)
    const tiny = await bench.tiny(jobs, rounds)
    const mean = await bench.mean(files, rounds)
    return [...tiny, ...mean]
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

class Bench {
  readonly #scratch: string
  readonly #runner: string
  #count = 0

  constructor(scratch: string, runner: string) {
    this.#scratch = scratch
    this.#runner = runner
  }

  async tiny(jobs: number, rounds: number): Promise<RunnerFigure[]> {
    const input = join(this.#scratch, 'in.csv')
    writeFileSync(input, 'a,b\n1,2\n')
    const shell = join(this.#scratch, 'tiny.sh')
    writeFileSync(shell, 'mkdir "$1/$2" && cd "$1/$2" && ln -s "$3" in.csv && /bin/true "$2" >out.log 2>err.log\n')
    const link = { name: 'in.csv', path: input, size_bytes: 8, mtime: null }
    const names = Array.from({ length: jobs }, (_, i) => String(i))
    const seconds = { runner: [] as number[], shell: [] as number[], bare: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      const array = this.#array(
        names.map((name) => fakeJob(name, { program: '/bin/true', arguments: [name], inputs: [link] })),
      )
      seconds.runner.push(await this.#runners(array, jobs))
      const folder = this.#folder()
      seconds.shell.push(this.#xargs(names, ['-I{}', '/bin/sh', shell, folder, '{}', input]))
      rmSync(folder, { recursive: true, force: true })
      seconds.bare.push(this.#xargs(names, ['-n1', '/bin/true']))
    }
    return [
      figure('tiny jobs', 'xargs -P2 of a shell that makes the same', {
        jobs,
        wanted: 2.2,
        runner: seconds.runner,
        base: seconds.shell,
      }),
      figure('tiny jobs', 'bare xargs -P2', { jobs, wanted: 0.6, runner: seconds.runner, base: seconds.bare }),
    ]
  }

  async mean(files: number, rounds: number): Promise<RunnerFigure[]> {
    const folder = this.#folder()
    const rows = Array.from({ length: 1000 }, (_, i) => `${i},${((i * 7919) % 997) / 10},${'x'.repeat(8)}`).join('\n')
    const names = Array.from({ length: files }, (_, i) => `${i}.csv`)
    for (const name of names) writeFileSync(join(folder, name), `${rows}\n`)
    const awk = '{ sum += $2 } END { print sum / NR }'
    const shell = join(this.#scratch, 'mean.sh')
    writeFileSync(shell, `exec awk -F, '${awk}' "$1/$3" > "$2/$3"\n`)
    const seconds = { runner: [] as number[], xargs: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      const array = this.#array(
        names.map((name) =>
          fakeJob(name, {
            program: 'awk',
            arguments: ['-F,', awk, name],
            inputs: [{ name, path: join(folder, name), size_bytes: null, mtime: null }],
            outputs: [{ path: `mean/${name}`, optional: false }],
            stdout: `mean/${name}`,
          }),
        ),
      )
      seconds.runner.push(await this.#runners(array, files))
      const to = this.#folder()
      seconds.xargs.push(this.#xargs(names, ['-I{}', '/bin/sh', shell, folder, to, '{}']))
      rmSync(to, { recursive: true, force: true })
    }
    return [
      figure('means by awk', 'xargs -P2', { jobs: files, wanted: 0.95, runner: seconds.runner, base: seconds.xargs }),
    ]
  }

  #array(jobs: readonly ReturnType<typeof fakeJob>[]): string {
    const tasks = Array.from({ length: PARALLEL }, (_, task) => jobs.filter((_job, i) => i % PARALLEL === task))
    return fakeArray(this.#folder(), tasks)
  }

  /** Seconds from the start of the runners to the end of the last; checks that each job succeeded. */
  async #runners(array: string, jobs: number): Promise<number> {
    const start = performance.now()
    const exits = Array.from({ length: PARALLEL }, (_, task) => {
      const child = spawn(process.execPath, [this.#runner, '--array', array, '--task', String(task)], {
        stdio: 'inherit',
      })
      return new Promise<number | null>((resolve) => child.on('exit', resolve))
    })
    const codes = await Promise.all(exits)
    const seconds = (performance.now() - start) / 1000
    const succeeded = readdirSync(join(array, 'records'))
      .flatMap((name) => readFileSync(join(array, 'records', name), 'utf8').split('\n'))
      .map((line) => decodeRecord(line))
      .filter((line) => line?.event === 'job ended' && line.verdict === 'succeeded').length
    if (succeeded !== jobs || codes.some((code) => code !== 0))
      throw new Error(`${succeeded} of ${jobs} jobs succeeded`)
    rmSync(join(array, '..', '..'), { recursive: true, force: true })
    return seconds
  }

  #xargs(names: readonly string[], words: readonly string[]): number {
    const start = performance.now()
    const { status } = spawnSync('xargs', [`-P${PARALLEL}`, ...words], {
      input: names.join('\n'),
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    if (status !== 0) throw new Error(`xargs ended with ${status}`)
    return (performance.now() - start) / 1000
  }

  #folder(): string {
    const path = join(this.#scratch, String(this.#count++))
    mkdirSync(path)
    return path
  }
}

function figure(
  work: string,
  baseline: string,
  { jobs, wanted, runner, base }: { jobs: number; wanted: number; runner: readonly number[]; base: readonly number[] },
): RunnerFigure {
  const ratio = median(runner.map((seconds, round) => base[round]! / seconds))
  return { work, baseline, runner: jobs / median(runner), base: jobs / median(base), ratio, wanted }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

const [runner, jobs, files, rounds] = process.argv.slice(2)
if (runner !== undefined && existsSync(runner) && runner.endsWith('runner.js')) {
  const counts = { jobs: Number(jobs ?? 10_000), files: Number(files ?? 2000), rounds: Number(rounds ?? 3) }
  for (const { work, baseline, ...figures } of await benchRunner({ runner, ...counts })) {
    const { runner: own, base, ratio, wanted } = figures
    process.stdout.write(
      `${work}: ${own.toFixed(0)}/s, ${baseline} ${base.toFixed(0)}/s: ${ratio.toFixed(2)} (wanted ${wanted})\n`,
    )
  }
}
