import type { Command } from '../command.ts'
import { openGauge } from '../gauge.ts'
import { renderDoctor } from '../text/doctor.ts'
import { seconds } from '../values.ts'

interface DoctorArgs {
  site: string
  wait: string | undefined
  job?: boolean
}

export const doctor: Command<DoctorArgs> = {
  usage: 'doctor <site>',
  text: 'What a site is and can do, measured, and what floe does about it',
  examples: [
    ['floe doctor frost', 'makes a directory on scratch and submits one tiny task; both are gone afterwards'],
    ['floe doctor frost --no-job', 'without the task'],
    ['floe doctor frost --wait 10m', 'for a queue that is slow to start it'],
  ],
  interruptible: true,
  options: (yargs) =>
    yargs
      .positional('site', { type: 'string', demandOption: true, describe: 'Name in sites.yaml, or `local`' })
      .option('wait', { type: 'string', requiresArg: true, describe: 'How long the task may wait: 120 (default), 10m' })
      .option('job', { type: 'boolean', default: true, hidden: true })
      .option('no-job', { type: 'boolean', describe: 'Submit no task' }),
  async run({ site, wait, job = true }, { terminal, signal }) {
    const { doctor: examine } = await import('../../floe.ts')
    const gauge = openGauge(terminal)
    const report = await examine(site, {
      job,
      signal,
      ...(wait !== undefined && { waitSec: seconds('--wait', wait) }),
      ...(terminal.ask && { ask: terminal.ask }),
      onProgress: (doing) =>
        gauge.show(
          () => [`${site}: ${doing}`],
          () => `${site}: ${doing}\n`,
        ),
    }).finally(() => gauge.clear())
    if (terminal.json) await terminal.outJson(report)
    else await terminal.out(renderDoctor(report, terminal.style))
    return report.usable ? 0 : 3
  },
}
