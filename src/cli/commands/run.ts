import type { RunReport } from '../../floe.ts'
import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderProgress, renderProgressLine, renderRun, renderStopped } from '../text/run.ts'
import { positive } from '../values.ts'
import { type PlanArgs, planOptions, planWishes } from './plan.ts'

interface RunArgs extends PlanArgs {
  once?: boolean
  rerun?: boolean
  keep?: boolean
  maxTries: number | undefined
  maxFailures: number | undefined
}

export const run: Command<RunArgs> = {
  usage: 'run',
  text: 'Plan, run, follow and publish what waits; goes on where it stopped',
  examples: [
    ['floe run', 'until nothing is left; Ctrl-C is safe and leaves the jobs working'],
    ['floe run --site frost --site rime', 'on two sites at once: each takes what it has done first'],
    ['floe run --once', 'one turn, for cron'],
    ['floe run --site sim', 'rehearse on a site that sites.yaml calls simulated; nothing is run'],
    ['floe run --max-failures 100', 'stop when so many jobs failed, rather than when a quarter did'],
    ['floe run --rerun', 'run again what an input or program changed for'],
  ],
  interruptible: true,
  options: (yargs) =>
    planOptions(yargs)
      .option('once', { type: 'boolean', describe: 'One turn, then back; jobs go on working' })
      .option('rerun', { type: 'boolean', describe: 'Run stale results again' })
      .option('keep', { type: 'boolean', describe: 'Keep stale results as they are' })
      .option('max-tries', {
        type: 'number',
        requiresArg: true,
        describe: 'Attempts of a job at most, losses by the site aside',
      })
      .option('max-failures', {
        type: 'number',
        requiresArg: true,
        describe: 'Failed jobs at which it stops; default: by `stop_when_failed` of floe.yaml',
      })
      .conflicts('rerun', 'keep'),
  async run({ once = false, rerun, keep, maxTries, maxFailures, ...wishes }, { terminal, campaign, signal }) {
    const planned = {
      ...planWishes(wishes),
      ...(maxTries !== undefined && { maxTries: positive('--max-tries', maxTries) }),
      ...(maxFailures !== undefined && { maxFailures: positive('--max-failures', maxFailures) }),
    }
    const opened = await campaign()
    const gauge = openGauge(terminal)
    const report = await opened
      .run({
        ...planned,
        once,
        signal,
        ...((rerun || keep) && { stale: rerun ? 'rerun' : 'keep' }),
        onProgress: (progress) =>
          gauge.show(
            () => renderProgress(progress, { columns: terminal.columns, now: new Date() }),
            () => renderProgressLine(progress),
          ),
      })
      .finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else if (report.stopped !== 'interrupted') await terminal.out(renderRun(report))
    if (report.stopped === 'interrupted') terminal.note(renderStopped(report, planned.site))
    return statusOf(report)
  },
}

function statusOf({ stopped, failed, lost, missing, decided }: RunReport): 0 | 3 | 130 {
  if (stopped === 'interrupted') return 130
  return failed + lost + missing + decided.held > 0 ? 3 : 0
}
