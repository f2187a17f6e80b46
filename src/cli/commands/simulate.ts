import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderProgress, renderProgressLine } from '../text/run.ts'
import { renderSimulation } from '../text/simulate.ts'
import { positive, seconds, share } from '../values.ts'

interface SimulateArgs {
  site: string | undefined
  seed: number | undefined
  cores: number | undefined
  job: string | undefined
  wait: string | undefined
  failures: number | undefined
  trouble: 'none' | 'some' | 'much' | undefined
  policy: string[] | undefined
  against: boolean | undefined
}

export const simulate: Command<SimulateArgs> = {
  usage: 'simulate',
  text: 'Rehearse what waits on a simulated site, in virtual time; nothing is run and no site is asked',
  examples: [
    ['floe simulate --site frost', 'when would it end, at what cost; limits are those that `floe doctor frost` found'],
    ['floe simulate --site frost --trouble much', 'the same while nodes fail and the scheduler does not answer'],
    ['floe simulate --policy a.yaml --policy b.yaml', 'two policies beside each other'],
    ['floe simulate --against', 'all of it from the start, beside what really happened'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs
      .option('site', {
        type: 'string',
        requiresArg: true,
        describe: 'The site that it is like; default: `site` of floe.yaml',
      })
      .option('seed', { type: 'number', requiresArg: true, describe: 'The same seed tells the same; default: 1' })
      .option('cores', { type: 'number', requiresArg: true, describe: 'That tasks use at a time' })
      .option('job', {
        type: 'string',
        requiresArg: true,
        describe: 'How long a job takes; default: the mean of those that succeeded',
      })
      .option('wait', {
        type: 'string',
        requiresArg: true,
        describe: 'How long half of the arrays wait at most; default: as doctor measured',
      })
      .option('failures', {
        type: 'number',
        requiresArg: true,
        describe: 'Share of the jobs that fail by themselves, 0 to 1',
      })
      .option('trouble', {
        choices: ['none', 'some', 'much'] as const,
        requiresArg: true,
        describe: 'How often calls get no answer, nodes fail, tasks are preempted or forgotten',
      })
      .option('policy', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'A file with `policy:`, `batch:`, `scouts:` and `stop_when_failed:` as in floe.yaml; of several each',
      })
      .option('against', { type: 'boolean', describe: 'From the start, beside what really happened' }),
  async run(args, { terminal, campaign, signal }) {
    const { site, seed, cores, job, wait, failures, trouble, policy, against } = args
    const wishes = {
      ...(site !== undefined && { site }),
      ...(seed !== undefined && { seed }),
      ...(cores !== undefined && { cores: positive('--cores', cores) }),
      ...(job !== undefined && { jobSec: seconds('--job', job) }),
      ...(wait !== undefined && { waitSec: seconds('--wait', wait) }),
      ...(failures !== undefined && { failures: share('--failures', failures) }),
      ...(trouble !== undefined && { trouble }),
      ...(policy !== undefined && { policies: policy }),
      ...(against && { against }),
    }
    const opened = await campaign()
    const gauge = openGauge(terminal)
    const report = await opened
      .simulate({
        ...wishes,
        signal,
        onProgress: (progress) =>
          gauge.show(
            () => renderProgress(progress, { columns: terminal.columns, now: new Date() }),
            () => renderProgressLine(progress),
          ),
      })
      .finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderSimulation(report, { now: new Date() }))
    return report.runs.some(({ stopped }) => stopped === 'interrupted') ? 130 : 0
  },
}
